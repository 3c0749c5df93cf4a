//! The data set `table`: any JSONL, CSV or Parquet, its fields named by options.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tale_api::{AnswerKind, CreateEnv, DatasetInfo, Error, ErrorKind, Question, Result};

use super::{
    FileDataset, Form, MAX_LINE_BYTES, OnError, Part, Reading, Records, broken,
    compose::{Source, Templates},
    files,
    mapping::{Record, text, texts},
    options,
};

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
    pub(super) fn known(path: PathBuf, question: &str, gold: &str, kind: AnswerKind) -> Self {
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

    pub(super) fn reading(&self) -> Reading {
        Reading {
            form: self.format,
            on_error: self.on_error,
            max_record_bytes: self.max_line_bytes,
            group_rows: self.group_rows.clone(),
            is_plain: false,
        }
    }
}

/// How records become questions.
#[derive(Debug)]
pub struct Table {
    options: TableOptions,
    templates: Templates,
    question: Source,
    gold: Option<Source>,
    id: Option<Source>,
    choice: Choice,
    seed: u64,
}

#[derive(Debug)]
enum Choice {
    One(String),
    Each(Vec<Source>),
}

impl Table {
    /// Opens the data set.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no such file, [`ErrorKind::InvalidOptions`] for an
    /// empty name of a field or mark, and a template that cannot be read.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: TableOptions, env: CreateEnv) -> Result<FileDataset<Self>> {
        Self::open(&options, &env)
    }

    /// As [`Table::create`].
    ///
    /// # Errors
    /// As [`Table::create`].
    pub(super) fn open(options: &TableOptions, env: &CreateEnv) -> Result<FileDataset<Self>> {
        let reading = options.reading();
        Self::over(options, &reading, env)
    }

    /// As [`Table::create`], of CSV that knows no quotes and no fixed number of columns.
    ///
    /// # Errors
    /// As [`Table::create`].
    pub(super) fn open_plain(options: &TableOptions, env: &CreateEnv) -> Result<FileDataset<Self>> {
        let reading = Reading {
            is_plain: true,
            ..options.reading()
        };
        Self::over(options, &reading, env)
    }

    fn over(
        options: &TableOptions,
        reading: &Reading,
        env: &CreateEnv,
    ) -> Result<FileDataset<Self>> {
        // Options first: what is wrong with them is wrong whatever file it is.
        Self::new(options.clone(), env.seed)?;
        let files = files::at(&options.path, env, reading)?;
        let origin = Origin::beside(&env.base_dir.join(&options.path));
        let about = DatasetInfo {
            name: options.name.clone().unwrap_or_else(|| name(&options.path)),
            license: options.license.clone().or(origin.licence),
            source: options.source.clone().or(origin.source),
            ..DatasetInfo::default()
        };
        let several = files.len() > 1;
        let parts = files
            .into_iter()
            .map(|file| {
                let prefix = several.then(|| format!("{}:", file.stem()));
                let records = Self::new(options.clone(), env.seed)?;
                Ok(Part {
                    file,
                    records,
                    prefix,
                })
            })
            .collect::<Result<_>>()?;
        Ok(FileDataset::new(parts, about))
    }

    /// Reads the options; `seed` is the run's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`].
    pub(super) fn new(options: TableOptions, seed: u64) -> Result<Self> {
        let invalid =
            |what: &str| Error::new(ErrorKind::InvalidOptions, what.to_owned()).operation("create");
        if options.gold_after.as_deref() == Some("") {
            return Err(invalid("`gold_after` is empty"));
        }
        if options.max_line_bytes == 0 {
            return Err(invalid("`max_line_bytes` is 0"));
        }
        let mut templates = Templates::new();
        let mut maybe = |name: &str, written: &Option<String>| {
            let written = written.as_deref();
            written.map(|w| templates.source(name, w)).transpose()
        };
        let gold = maybe("gold", &options.gold)?;
        let id = maybe("id", &options.id)?;
        let question = templates.source("question", &options.question)?;
        let choice = match &options.options {
            Fields::One(field) => match templates.source("options", field)? {
                Source::Field(field) => Choice::One(field),
                Source::Template(_) => {
                    return Err(
                        invalid("`options` is one template, and a choice has several")
                            .hint("write a list, with a field or template for each option"),
                    );
                }
            },
            Fields::Each(fields) => {
                let named = |(i, field): (usize, &String)| {
                    templates.source(&format!("options[{i}]"), field)
                };
                Choice::Each(
                    fields
                        .iter()
                        .enumerate()
                        .map(named)
                        .collect::<Result<_>>()?,
                )
            }
        };
        Ok(Self {
            seed: options.shuffle_seed.unwrap_or(seed),
            options,
            templates,
            question,
            gold,
            id,
            choice,
        })
    }
}

fn name(path: &Path) -> String {
    let stem = path.file_stem().or(path.file_name());
    stem.map_or_else(|| "table".to_owned(), |s| s.to_string_lossy().into_owned())
}

/// What `tale dataset fetch` notes beside the files that it got.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Origin {
    licence: Option<String>,
    source: Option<String>,
}

impl Origin {
    /// The note in the folder at `path`, or in that of the file there.
    fn beside(path: &Path) -> Self {
        let folder = if path.is_dir() {
            Some(path)
        } else {
            path.parent()
        };
        folder
            .and_then(|folder| std::fs::read(folder.join("origin.json")).ok())
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default()
    }
}

impl Records for Table {
    fn question(&self, line: &str, number: u64) -> Result<Question> {
        let (mut question, gold) = self.read(line, number)?;
        if self.options.shuffle_options {
            options::shuffle(&mut question, gold, self.seed);
        }
        Ok(question)
    }

    fn questions(&self, line: &str, number: u64) -> Result<Vec<Question>> {
        if !self.options.circular {
            return Ok(vec![self.question(line, number)?]);
        }
        let (question, gold) = self.read(line, number)?;
        if question.options.len() != ROTATIONS {
            let found = question.options.len();
            return Err(broken(format!(
                "{found} options, and `circular` asks choices of {ROTATIONS}"
            )));
        }
        Ok(options::rotations(&question, gold, ROTATIONS))
    }

    fn questions_a_record(&self) -> u64 {
        if self.options.circular {
            ROTATIONS as u64
        } else {
            1
        }
    }

    fn ids_may_repeat(&self) -> bool {
        self.id.is_some()
    }
}

/// Rotations of a choice, as `OpenCompass` asks `MathBench`.
const ROTATIONS: usize = 4;

impl Table {
    /// The question of a record, and the position of its right option.
    fn read(&self, line: &str, number: u64) -> Result<(Question, Option<usize>)> {
        let record = Record::parse(line)?;
        let wanted = |source: &Source| -> Result<String> {
            let text = self.templates.text(source, &record)?;
            text.ok_or_else(|| broken(format!("`{}` is null or empty", source.name())))
        };
        let maybe = |field: &Option<String>| -> Result<Option<String>> {
            field
                .as_deref()
                .and_then(|f| Some((f, record.get(f)?)))
                .map_or(Ok(None), |(f, value)| text(f, value))
        };
        let kind = match maybe(&self.options.kind_field)? {
            Some(kind) => kind.parse().map_err(|e: Error| Error {
                kind: ErrorKind::InvalidData,
                ..e
            })?,
            None => self.options.kind,
        };
        let id = self.id.as_ref().map(wanted).transpose()?;
        let mut question = Question {
            id: id.unwrap_or_else(|| number.to_string()),
            text: wanted(&self.question)?,
            gold: self.gold(&record)?,
            kind,
            language: maybe(&self.options.language_field)?
                .unwrap_or_else(|| self.options.language.clone()),
            options: Vec::new(),
        };
        if kind != AnswerKind::Choice {
            return Ok((question, None));
        }
        let written = match &self.choice {
            Choice::One(field) => texts(field, record.require(field)?)?,
            Choice::Each(sources) => sources.iter().map(wanted).collect::<Result<_>>()?,
        };
        question.options = options::without_letters(written);
        options::check(&question.options)?;
        let gold = question
            .gold
            .as_deref()
            .map(|gold| options::position(gold, &question.options, self.options.gold_counts_from))
            .transpose()?;
        question.gold = gold.map(options::letter);
        Ok((question, gold))
    }

    fn gold(&self, record: &Record<'_>) -> Result<Option<String>> {
        let gold = match &self.gold {
            // Who names a field means it: a typing error must not make every answer wrong.
            Some(source) => self.templates.text(source, record)?,
            None => match record.get("answer") {
                Some(value) => text("answer", value)?,
                None => None,
            },
        };
        let (Some(gold), Some(mark)) = (&gold, self.options.gold_after.as_deref()) else {
            return Ok(gold);
        };
        let Some((_, after)) = gold.rsplit_once(mark) else {
            let field = self.gold.as_ref().map_or("answer", Source::name);
            return Err(broken(format!("no `{mark}` in `{field}`")));
        };
        Ok(Some(after.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &str, line: &str) -> Result<Question> {
        let options = serde_json::from_str(&format!(r#"{{"path": "x"{options}}}"#)).unwrap();
        Table::new(options, 1024)?.question(line, 17)
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
        assert!(serde_json::from_str::<TableOptions>(r#"{"path": "x", "questoin": "q"}"#).is_err());
    }
}
