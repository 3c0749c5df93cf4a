//! The data set `inline`: questions written in the manifest itself.

use async_trait::async_trait;
use serde::Deserialize;
use tale_api::{
    AnswerKind, CreateEnv, Dataset, DatasetInfo, Error, ErrorKind, Page, PageRequest, Question,
    Result,
};

/// Options of `inline`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InlineOptions {
    /// The questions, in the order in which they are asked.
    pub questions: Vec<InlineQuestion>,
}

/// One question.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InlineQuestion {
    /// What is asked.
    pub text: String,
    /// The id, unique in the list. Default: the position, from 1.
    #[serde(default)]
    pub id: Option<String>,
    /// The right answer. Default: nobody knows it, and answers are not graded.
    #[serde(default)]
    pub gold: Option<String>,
    /// The kind of answer wanted: `number`, `choice`, `math` or `text`. Default: `number`.
    #[serde(default)]
    #[cfg_attr(test, schemars(schema_with = "crate::schema_test::answer_kind"))]
    pub kind: AnswerKind,
    /// The language, which chooses the prompt. Default: `en`.
    #[serde(default = "english")]
    pub language: String,
    /// The options of a choice question, without letters.
    #[serde(default)]
    pub options: Vec<String>,
}

fn english() -> String {
    "en".to_owned()
}

/// A list of questions in memory.
#[derive(Clone, Debug)]
pub struct Inline {
    questions: Vec<Question>,
}

impl Inline {
    /// Takes the questions.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] where two questions have the same id.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: InlineOptions, _: CreateEnv) -> Result<Self> {
        let mut seen = std::collections::HashSet::new();
        let mut questions = Vec::with_capacity(options.questions.len());
        for (i, q) in options.questions.into_iter().enumerate() {
            let id = q.id.unwrap_or_else(|| (i + 1).to_string());
            if !seen.insert(id.clone()) {
                return Err(Error::new(
                    ErrorKind::InvalidOptions,
                    format!("two questions have the id `{id}`"),
                ));
            }
            let InlineQuestion {
                text,
                gold,
                kind,
                language,
                options,
                ..
            } = q;
            questions.push(Question {
                id,
                text,
                gold,
                kind,
                language,
                options,
            });
        }
        Ok(Self { questions })
    }
}

#[async_trait]
impl Dataset for Inline {
    async fn info(&self) -> Result<DatasetInfo> {
        Ok(DatasetInfo {
            name: "inline".to_owned(),
            size: Some(self.questions.len() as u64),
            ..DatasetInfo::default()
        })
    }

    async fn page(&self, request: PageRequest) -> Result<Page> {
        let start = match request.cursor.as_deref() {
            None => 0,
            Some(cursor) => cursor
                .parse()
                .ok()
                .filter(|start| *start < self.questions.len())
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::InvalidInput,
                        format!("no cursor of ours: `{cursor}`"),
                    )
                })?,
        };
        let end = start
            .saturating_add(request.limit as usize)
            .min(self.questions.len());
        let next = (end < self.questions.len()).then(|| end.to_string());
        Ok(Page {
            questions: self.questions[start..end].to_vec(),
            next,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn inline(options: serde_json::Value) -> Result<Inline> {
        let options = serde_json::from_value(options).unwrap();
        Inline::create(options, CreateEnv::default()).await
    }

    #[tokio::test]
    async fn questions_come_in_order_page_by_page() {
        let set = inline(serde_json::json!({"questions": [
            {"text": "1 + 1?", "gold": "2"}, {"text": "2 + 2?", "id": "b"}, {"text": "3?"},
        ]}))
        .await
        .unwrap();
        let first = set
            .page(PageRequest {
                cursor: None,
                limit: 2,
            })
            .await
            .unwrap();
        let ids: Vec<_> = first.questions.iter().map(|q| q.id.as_str()).collect();
        assert_eq!(ids, ["1", "b"]);
        let last = set
            .page(PageRequest {
                cursor: first.next,
                limit: 2,
            })
            .await
            .unwrap();
        assert_eq!((last.questions[0].id.as_str(), last.next), ("3", None));
        assert_eq!(last.questions[0].language, "en");
    }

    #[tokio::test]
    async fn a_foreign_cursor_and_a_repeated_id_are_refused() {
        let set = inline(serde_json::json!({"questions": [{"text": "1 + 1?"}]}))
            .await
            .unwrap();
        let request = PageRequest {
            cursor: Some("7".into()),
            limit: 1,
        };
        assert_eq!(
            set.page(request).await.unwrap_err().kind,
            ErrorKind::InvalidInput
        );
        let twice = serde_json::json!({"questions": [
            {"text": "a", "id": "x"}, {"text": "b", "id": "x"},
        ]});
        assert_eq!(
            inline(twice).await.unwrap_err().kind,
            ErrorKind::InvalidOptions
        );
    }
}
