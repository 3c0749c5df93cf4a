//! The data set `gsm8k-zero`: questions that answer themselves (arXiv 2401.11467).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use tale_api::{CreateEnv, DatasetInfo, Question, Result};

use super::{
    FileDataset, Gsm8kOptions, Records, broken,
    mapping::{json_error, whole_if_whole},
};

/// GSM8K-Zero as its authors publish it: `question`, and `answer` as a JSON number.
#[derive(Clone, Copy, Debug)]
pub struct Gsm8kZero;

impl Gsm8kZero {
    /// Opens the data set.
    ///
    /// # Errors
    /// [`NotFound`](tale_api::ErrorKind::NotFound) where there is no such file.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: Gsm8kOptions, env: CreateEnv) -> Result<FileDataset<Self>> {
        let about = DatasetInfo {
            name: "gsm8k-zero".to_owned(),
            // Its repository names no licence, so neither do we.
            license: None,
            source: Some("https://github.com/d223302/Over-Reasoning-of-LLMs".to_owned()),
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
    answer: &'a RawValue,
}

impl Records for Gsm8kZero {
    fn question(&self, line: &str, number: u64) -> Result<Question> {
        let record: Line<'_> = serde_json::from_str(line).map_err(|e| json_error(&e))?;
        let written = record.answer.get();
        if !written.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return Err(broken(format!("`answer` is `{written}`, no number")).hint(
                "the data set `table` reads other forms: its option `gold` names the field",
            ));
        }
        Ok(Question {
            id: number.to_string(),
            // 65 golds are no integers, and stay so; the reference code truncates them.
            gold: Some(whole_if_whole(written).to_owned()),
            text: record.question.into_owned(),
            language: "en".to_owned(),
            ..Question::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golds_are_kept_as_written_and_whole_ones_made_whole() {
        let gold = |number: &str| {
            Gsm8kZero
                .question(&format!(r#"{{"question": "q", "answer": {number}}}"#), 1)
                .unwrap()
                .gold
        };
        for (written, expected) in [
            ("48.0", "48"),
            ("7.22", "7.22"),
            ("-1.0", "-1"),
            ("400000.0", "400000"),
            ("5", "5"),
            ("0.1000000000000000055", "0.1000000000000000055"),
        ] {
            assert_eq!(gold(written).as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_answer_that_is_no_number_is_broken() {
        for answer in ["\"5\"", "null", "[5]"] {
            let error = Gsm8kZero
                .question(&format!(r#"{{"question": "q", "answer": {answer}}}"#), 1)
                .unwrap_err();
            assert!(error.message.contains("no number"), "{error}");
        }
    }
}
