//! What a manifest says of a table.

use std::path::PathBuf;

use serde::Deserialize;
use tale_api::AnswerKind;

use super::super::{Form, MAX_LINE_BYTES, OnError, Reading};

/// Options of `table`. A field is named by its key or column; dots lead into objects and lists
/// (`answers.0.text`). `question`, `gold`, `options` and `id` may be templates over the fields
/// instead (`{{ title }}: {{ text }}`).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TableOptions {
    /// The file, relative to the manifest's folder; or a folder, then all `.jsonl`, `.csv`, `.tsv`
    /// and `.parquet` files in it, by name.
    pub path: PathBuf,
    /// How the file is read. Default: by its ending, and as JSONL where that says nothing.
    #[serde(default)]
    pub format: Form,
    /// The name that results bear. Default: the file's, without its ending.
    pub name: Option<String>,
    /// The field or template of the question's text.
    #[serde(default = "question_field")]
    pub question: String,
    /// The field or template of the right answer. Default: `answer`, and no gold answer where that
    /// is missing.
    pub gold: Option<String>,
    /// Takes only what stands after the last of these marks in the gold answer, such as `####`.
    pub gold_after: Option<String>,
    /// The gold answer of a choice is the number of the right option, the first being this one.
    pub gold_counts_from: Option<u32>,
    /// The field or template of the id, unique in the data set. Default: the number of line or row.
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
    /// The options of a choice: a field that is a list of texts or an object with keys A, B, C, …;
    /// or a list of fields and templates, one for each option.
    #[serde(default)]
    pub options: Fields,
    /// Puts the options of each choice in another order, by seed and question.
    #[serde(default)]
    pub shuffle_options: bool,
    /// Seed of `shuffle_options`. Default: the run's.
    pub shuffle_seed: Option<u64>,
    /// Asks each choice of four options in its four rotations, which are one task together.
    #[serde(default)]
    pub circular: bool,
    /// Rows in a row that agree in this field are one record, whose field `rows` is a list of them.
    pub group_rows: Option<String>,
    /// The licence, to be named in listings and reports.
    pub license: Option<String>,
    /// Where the data comes from, likewise.
    pub source: Option<String>,
    /// A longer line, row or record is refused.
    #[serde(default = "max_line_bytes")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub max_line_bytes: usize,
    /// What happens at a record that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
}

/// One field, or several.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Fields {
    /// A field that holds all of them.
    One(String),
    /// A field or template for each.
    Each(Vec<String>),
}

impl Default for Fields {
    fn default() -> Self {
        Self::One("options".to_owned())
    }
}

fn question_field() -> String {
    "question".to_owned()
}

fn english() -> String {
    "en".to_owned()
}

fn max_line_bytes() -> usize {
    MAX_LINE_BYTES
}

impl TableOptions {
    /// The options of a data set whose fields are known.
    pub(in crate::dataset) fn known(
        path: PathBuf,
        question: &str,
        gold: &str,
        kind: AnswerKind,
    ) -> Self {
        Self {
            path,
            format: Form::Auto,
            name: None,
            question: question.to_owned(),
            gold: Some(gold.to_owned()),
            gold_after: None,
            gold_counts_from: None,
            id: None,
            kind,
            kind_field: None,
            language: english(),
            language_field: None,
            options: Fields::default(),
            shuffle_options: false,
            shuffle_seed: None,
            circular: false,
            group_rows: None,
            license: None,
            source: None,
            max_line_bytes: MAX_LINE_BYTES,
            on_error: OnError::Stop,
        }
    }

    pub(in crate::dataset) fn reading(&self) -> Reading {
        Reading {
            form: self.format,
            on_error: self.on_error,
            max_record_bytes: self.max_line_bytes,
            group_rows: self.group_rows.clone(),
            is_plain: false,
        }
    }
}
