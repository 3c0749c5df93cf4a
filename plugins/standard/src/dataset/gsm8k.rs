//! The data set `gsm8k`: grade-school mathematics in words (arXiv 2110.14168).

use std::{borrow::Cow, path::PathBuf};

use serde::Deserialize;
use tale_api::{CreateEnv, DatasetInfo, Question, Result};

use super::{
    DataFile, FileDataset, Form, MAX_LINE_BYTES, OnError, Reading, Records, broken,
    mapping::json_error,
};

/// Options of `gsm8k` and `gsm8k-zero`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Gsm8kOptions {
    /// The authors' JSONL file, or a part of it, relative to the manifest's folder.
    pub path: PathBuf,
    /// What happens at a record that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
}

impl Gsm8kOptions {
    /// The file, whose lines are `records`.
    pub(super) fn open<R: Records>(
        &self,
        records: R,
        about: DatasetInfo,
        env: &CreateEnv,
    ) -> Result<FileDataset<R>> {
        let reading = Reading {
            form: Form::Jsonl,
            on_error: self.on_error,
            max_record_bytes: MAX_LINE_BYTES,
            group_rows: None,
            is_plain: false,
        };
        let file = DataFile::named(&self.path, env, &reading)?;
        Ok(FileDataset::of(file, records, about))
    }
}

/// GSM8K as its authors publish it: `question`, and `answer` with the number after `####`.
#[derive(Clone, Copy, Debug)]
pub struct Gsm8k;

impl Gsm8k {
    /// Opens the data set.
    ///
    /// # Errors
    /// [`NotFound`](tale_api::ErrorKind::NotFound) where there is no such file.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: Gsm8kOptions, env: CreateEnv) -> Result<FileDataset<Self>> {
        let about = DatasetInfo {
            name: "gsm8k".to_owned(),
            license: Some("MIT".to_owned()),
            source: Some("https://github.com/openai/grade-school-math".to_owned()),
            ..DatasetInfo::default()
        };
        options.open(Self, about, &env)
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    question: Cow<'a, str>,
    #[serde(borrow)]
    answer: Cow<'a, str>,
}

impl Records for Gsm8k {
    fn question(&self, line: &str, number: u64) -> Result<Question> {
        let record: Line<'_> = serde_json::from_str(line).map_err(|e| json_error(&e))?;
        Ok(Question {
            id: number.to_string(),
            gold: Some(gold(&record.answer)?),
            text: record.question.into_owned(),
            language: "en".to_owned(),
            ..Question::default()
        })
    }
}

/// The number after the last `####`, without thousands commas: "1,234" is 1234. The reference
/// code's pattern stops at the comma and reads 1 (14 test and 79 training golds).
fn gold(answer: &str) -> Result<String> {
    let (_, after) = answer.rsplit_once("####").ok_or_else(|| {
        broken("no `####` before the gold answer in `answer`")
            .hint("the data set `table` reads other forms: its option `gold` names the field")
    })?;
    let gold: String = after.trim().chars().filter(|c| *c != ',').collect();
    if gold.parse::<f64>().is_ok_and(f64::is_finite) {
        Ok(gold)
    } else {
        Err(broken(format!(
            "`{}` after `####` is no number",
            after.trim()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gold_with_thousands_comma_is_one_number() {
        assert_eq!(
            gold("2 + 2 = <<2+2=4>>4\n#### 1,450,000").unwrap(),
            "1450000"
        );
        assert_eq!(gold("#### 18").unwrap(), "18");
        assert_eq!(gold("####-3.5 ").unwrap(), "-3.5");
        assert_eq!(gold("#### is written before #### 7").unwrap(), "7");
    }

    #[test]
    fn a_record_without_a_number_is_broken() {
        for answer in ["18", "####", "#### eighteen", "#### nan"] {
            assert!(gold(answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn escapes_are_read_and_the_line_is_the_id() {
        let line = r#"{"question": "Janet\u2019s \"ducks\"", "answer": "x\n#### 18", "more": [1]}"#;
        let question = Gsm8k.question(line, 17).unwrap();
        assert_eq!(
            question,
            Question {
                id: "17".to_owned(),
                text: "Janet’s \"ducks\"".to_owned(),
                gold: Some("18".to_owned()),
                language: "en".to_owned(),
                ..Question::default()
            }
        );
    }
}
