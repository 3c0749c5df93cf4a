//! The data set `jsonl`: any JSONL file, its fields named by options.

use std::path::PathBuf;

use serde::Deserialize;
use tale_api::{AnswerKind, CreateEnv, DatasetInfo, Error, ErrorKind, Question, Result};

use super::{
    JsonlDataset, MAX_LINE_BYTES, Records, broken,
    file::JsonlFile,
    mapping::{Record, text, texts},
};

/// Options of `jsonl`. A field is named by its key; dots lead into objects and lists
/// (`answers.0.text`).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JsonlOptions {
    /// The JSONL file, relative to the manifest's folder.
    pub path: PathBuf,
    /// The name that results bear. Default: the file's, without its ending.
    pub name: Option<String>,
    /// The field of the question's text.
    #[serde(default = "question_field")]
    pub question: String,
    /// The field of the right answer. Default: `answer`, and no gold answer where that is missing.
    pub gold: Option<String>,
    /// Takes only what stands after the last of these marks in the gold answer, such as `####`.
    pub gold_after: Option<String>,
    /// The field of the id, unique in the file. Default: the number of the line.
    pub id: Option<String>,
    /// The kind of answer wanted: `number`, `choice`, `math` or `text`.
    #[serde(default)]
    #[cfg_attr(test, schemars(schema_with = "crate::schema_test::answer_kind"))]
    pub kind: AnswerKind,
    /// The field of the kind of answer; `kind` holds where a record lacks it.
    pub kind_field: Option<String>,
    /// The language of the questions, which chooses the prompt.
    #[serde(default = "english")]
    pub language: String,
    /// The field of the language; `language` holds where a record lacks it.
    pub language_field: Option<String>,
    /// The field of a choice question's options: a list of texts, or an object with keys A, B, C, …
    #[serde(default = "options_field")]
    pub options: String,
    /// The licence, to be named in listings and reports.
    pub license: Option<String>,
    /// Where the data comes from, likewise.
    pub source: Option<String>,
    /// A longer line is refused.
    #[serde(default = "max_line_bytes")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub max_line_bytes: usize,
}

fn question_field() -> String {
    "question".to_owned()
}

fn options_field() -> String {
    "options".to_owned()
}

fn english() -> String {
    "en".to_owned()
}

fn max_line_bytes() -> usize {
    MAX_LINE_BYTES
}

/// Any JSONL file.
#[derive(Clone, Debug)]
pub struct Jsonl {
    options: JsonlOptions,
}

impl Jsonl {
    /// Opens the data set.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no such file, [`ErrorKind::InvalidOptions`] for an
    /// empty name of a field or mark.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: JsonlOptions, env: CreateEnv) -> Result<JsonlDataset<Self>> {
        let empty = |what: &str| {
            Error::new(ErrorKind::InvalidOptions, format!("`{what}` is empty")).operation("create")
        };
        if options.gold_after.as_deref() == Some("") {
            return Err(empty("gold_after"));
        }
        if options.max_line_bytes == 0 {
            return Err(
                Error::new(ErrorKind::InvalidOptions, "`max_line_bytes` is 0").operation("create"),
            );
        }
        let file = JsonlFile::named(&options.path, &env, options.max_line_bytes)?;
        let about = DatasetInfo {
            name: options.name.clone().unwrap_or_else(|| file.stem()),
            license: options.license.clone(),
            source: options.source.clone(),
            ..DatasetInfo::default()
        };
        Ok(JsonlDataset::new(file, Self { options }, about))
    }
}

impl Records for Jsonl {
    fn question(&self, line: &str, number: u64) -> Result<Question> {
        let record = Record::parse(line)?;
        let wanted = |field: &str| -> Result<String> {
            text(field, record.require(field)?)?.ok_or_else(|| broken(format!("`{field}` is null")))
        };
        let maybe = |field: &Option<String>| -> Result<Option<String>> {
            field
                .as_deref()
                .and_then(|f| Some((f, record.get(f)?)))
                .map_or(Ok(None), |(f, value)| text(f, value))
        };
        let options = &self.options;

        let kind = match maybe(&options.kind_field)? {
            Some(kind) => kind.parse().map_err(|e: Error| Error {
                kind: ErrorKind::InvalidData,
                ..e
            })?,
            None => options.kind,
        };
        let mut question = Question {
            id: options
                .id
                .as_deref()
                .map_or_else(|| Ok(number.to_string()), wanted)?,
            text: wanted(&options.question)?,
            gold: self.gold(&record)?,
            kind,
            language: maybe(&options.language_field)?.unwrap_or_else(|| options.language.clone()),
            options: Vec::new(),
        };
        if kind == AnswerKind::Choice {
            let written = texts(&options.options, record.require(&options.options)?)?;
            question.options = without_letters(written);
            question.gold = question
                .gold
                .map(|gold| letter_of(&gold, &question.options))
                .transpose()?;
        }
        Ok(question)
    }

    fn ids_may_repeat(&self) -> bool {
        self.options.id.is_some()
    }
}

impl Jsonl {
    fn gold(&self, record: &Record<'_>) -> Result<Option<String>> {
        let (field, value) = match &self.options.gold {
            // Who names a field means it: a typing error must not make every answer wrong.
            Some(field) => (field.as_str(), record.require(field)?),
            None => match record.get("answer") {
                Some(value) => ("answer", value),
                None => return Ok(None),
            },
        };
        let (Some(gold), mark) = (text(field, value)?, self.options.gold_after.as_deref()) else {
            return Ok(None);
        };
        let Some(mark) = mark else {
            return Ok(Some(gold));
        };
        match gold.rsplit_once(mark) {
            Some((_, after)) => Ok(Some(after.trim().to_owned())),
            None => Err(broken(format!("no `{mark}` in `{field}`"))),
        }
    }
}

/// Options without the letters that some files write before them (`A) 21`, `(A) 21`, `A. 21`): the
/// prompt writes its own. Only if all have their own letter, so that an option "A. Lincoln" stays.
fn without_letters(options: Vec<String>) -> Vec<String> {
    let bare = |(letter, option): (char, &String)| {
        let option = option.trim_start();
        let rest = match option.strip_prefix('(') {
            Some(inside) => inside.strip_prefix(letter)?.strip_prefix(')')?,
            None => option.strip_prefix(letter)?.strip_prefix([')', '.', ':'])?,
        };
        Some(rest.trim_start().to_owned())
    };
    match ('A'..='Z')
        .zip(&options)
        .map(bare)
        .collect::<Option<Vec<_>>>()
    {
        Some(bare) if bare.len() > 1 => bare,
        _ => options,
    }
}

/// The letter of the right option, which the file gives as letter or as the option's text.
fn letter_of(gold: &str, options: &[String]) -> Result<String> {
    let letters = || ('A'..='Z').zip(options);
    let gold = gold.trim();
    let by_letter =
        letters().find(|(letter, _)| gold.eq_ignore_ascii_case(letter.encode_utf8(&mut [0; 4])));
    let found = by_letter.or_else(|| {
        let mut same = letters().filter(|(_, option)| option.trim() == gold);
        same.next().filter(|_| same.next().is_none())
    });
    match found {
        Some((letter, _)) => Ok(letter.to_string()),
        None => Err(broken(format!(
            "the gold answer `{gold}` is neither a letter nor the text of one of {} options",
            options.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &str, line: &str) -> Result<Question> {
        let options = serde_json::from_str(&format!(r#"{{"path": "x"{options}}}"#)).unwrap();
        Jsonl { options }.question(line, 17)
    }

    #[test]
    fn without_options_question_and_answer_are_read() {
        let question = read("", r#"{"question": "2+2?", "answer": 4}"#).unwrap();
        assert_eq!(
            question,
            Question {
                id: "17".to_owned(),
                text: "2+2?".to_owned(),
                gold: Some("4".to_owned()),
                language: "en".to_owned(),
                ..Question::default()
            }
        );
        assert_eq!(read("", r#"{"question": "2+2?"}"#).unwrap().gold, None);
        assert_eq!(
            read("", r#"{"question": "2+2?", "answer": null}"#)
                .unwrap()
                .gold,
            None
        );
    }

    #[test]
    fn every_field_can_be_mapped() {
        let question = read(
            r#", "question": "task.text", "gold": "solutions.0", "gold_after": "=", "id": "uid", "kind_field": "type", "language_field": "lang""#,
            r#"{"task": {"text": "2+2?"}, "solutions": ["2+2 = 4"], "uid": 9, "type": "math", "lang": "zh"}"#,
        )
        .unwrap();
        assert_eq!(
            question,
            Question {
                id: "9".to_owned(),
                text: "2+2?".to_owned(),
                gold: Some("4".to_owned()),
                kind: AnswerKind::Math,
                language: "zh".to_owned(),
                options: Vec::new(),
            }
        );
        let default = read(
            r#", "kind": "text", "kind_field": "type", "language_field": "lang""#,
            r#"{"question": "q"}"#,
        )
        .unwrap();
        assert_eq!(
            (default.kind, default.language.as_str()),
            (AnswerKind::Text, "en")
        );
    }

    #[test]
    fn a_field_that_was_named_must_be_there() {
        for options in [
            r#", "gold": "gold""#,
            r#", "id": "uid""#,
            r#", "question": "q""#,
        ] {
            let error = read(options, r#"{"question": "q", "answer": 4}"#).unwrap_err();
            assert!(
                error.message.starts_with("no field") || options.contains("\"q\""),
                "{error}"
            );
        }
        assert!(
            read(
                r#", "kind_field": "type""#,
                r#"{"question": "q", "type": "essay"}"#
            )
            .is_err()
        );
        assert!(
            read(
                r#", "gold_after": "=""#,
                r#"{"question": "q", "answer": "4"}"#
            )
            .is_err()
        );
    }

    #[test]
    fn choices_lose_their_letters_and_the_gold_becomes_one() {
        let choice = |options: &str, gold: &str| {
            read(
                r#", "kind": "choice""#,
                &format!(r#"{{"question": "q", "options": {options}, "answer": {gold}}}"#),
            )
        };
        let lettered = choice(r#"["A)21", "B) 21.5", "C)22"]"#, "\"B\"").unwrap();
        assert_eq!(lettered.options, ["21", "21.5", "22"]);
        assert_eq!(lettered.gold.as_deref(), Some("B"));
        assert_eq!(
            choice(r#"["A. Lincoln", "J. Adams"]"#, "\"a\"")
                .unwrap()
                .options,
            ["A. Lincoln", "J. Adams"]
        );
        assert_eq!(
            choice(r#"["21", "22"]"#, "22").unwrap().gold.as_deref(),
            Some("B")
        );
        assert_eq!(
            choice(r#"{"A": "21", "B": "22"}"#, "\"A\"")
                .unwrap()
                .options,
            ["21", "22"]
        );
        for (options, gold) in [
            (r#"["21", "22"]"#, "\"C\""),
            (r#"["21", "21"]"#, "21"),
            (r#"{"B": "1"}"#, "\"A\""),
            ("\"21\"", "\"A\""),
        ] {
            assert!(choice(options, gold).is_err(), "{options} {gold}");
        }
        assert!(
            read(
                r#", "kind": "choice""#,
                r#"{"question": "q", "answer": "A"}"#
            )
            .is_err()
        );
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(serde_json::from_str::<JsonlOptions>(r#"{"path": "x", "questoin": "q"}"#).is_err());
    }
}
