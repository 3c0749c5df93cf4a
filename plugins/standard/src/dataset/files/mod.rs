//! Files of records, whatever their form, read in pages.
//!
//! Every form becomes one thing: a record as JSON text. JSONL is that already; a row of CSV or
//! Parquet is written as an object of its columns. What a record *means* is
//! [`Records`](super::Records)' business.

mod csv;
mod file;
mod grouped;
mod lines;
mod parquet;
mod scan;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tale_api::{CreateEnv, Error, ErrorKind, Page, PageRequest, Question, Result};

use super::{Records, broken};
pub(super) use file::DataFile;
use file::{At, Next};
pub(super) use scan::scan;

/// How a file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// By the file's ending: `.csv`, `.tsv`, `.parquet`; anything else is JSONL.
    #[default]
    Auto,
    /// One JSON object a line.
    Jsonl,
    /// Values with commas between, the names in the first line.
    Csv,
    /// Values with tabs between, likewise.
    Tsv,
    /// Apache Parquet.
    Parquet,
}

impl Form {
    fn of(self, path: &Path) -> Self {
        if self != Self::Auto {
            return self;
        }
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("csv") => Self::Csv,
            Some("tsv") => Self::Tsv,
            Some("parquet" | "pq") => Self::Parquet,
            _ => Self::Jsonl,
        }
    }
}

/// What happens at a record that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Reading ends there, with the place.
    #[default]
    Stop,
    /// It is left out and counted.
    Skip,
}

/// How files are read, whatever is in them.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub form: Form,
    pub on_error: OnError,
    /// A longer record is refused: one is in memory at a time.
    pub max_record_bytes: usize,
    /// Rows that agree in this field make one record.
    pub group_rows: Option<String>,
    /// CSV without quotes, whose rows may have more or fewer values than there are names.
    pub is_plain: bool,
}

/// Bounds of a page, whatever its `limit`: a page crosses the plugin boundary as one message.
const MOST_QUESTIONS: usize = 4096;
const MOST_BYTES: u64 = 8 << 20;

/// One file of a data set and what its records mean.
#[derive(Debug)]
pub(super) struct Part<R> {
    pub file: DataFile,
    pub records: R,
    /// Stands before ids that are numbers of lines, where there are several files.
    pub prefix: Option<String>,
}

/// The files at `path`: itself, or those of a folder that hold data, by name.
///
/// # Errors
/// [`ErrorKind::NotFound`] where there is nothing, [`ErrorKind::InvalidData`] where there is no
/// data.
pub(super) fn at(path: &Path, env: &CreateEnv, reading: &Reading) -> Result<Vec<DataFile>> {
    let whole = env.base_dir.join(path);
    if !whole.is_dir() {
        return Ok(vec![DataFile::named(path, env, reading)?]);
    }
    let unreadable = |e: std::io::Error| {
        broken(format!("cannot read the folder `{}`", whole.display())).caused_by(&e)
    };
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&whole).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if holds_data(&path) {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(
            broken(format!("the folder `{}` holds no data", whole.display())).hint(
                "files ending in `.jsonl`, `.csv`, `.tsv` or `.parquet` are read; name another \
                 one by its path",
            ),
        );
    }
    found
        .iter()
        .map(|path| DataFile::named(path, env, reading))
        .collect()
}

fn holds_data(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let known = ["jsonl", "csv", "tsv", "parquet"];
    ending.to_str().is_some_and(|e| known.contains(&e)) && path.is_file()
}

/// Where a page begins. Written as `file:byte:number:rotation`, opaque to everybody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    part: usize,
    at: At,
    /// Questions of the record at `at` that were given out already.
    rotation: usize,
}

impl Cursor {
    fn read<R>(text: &str, parts: &[Part<R>]) -> Result<Self> {
        let foreign = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{text}` is no cursor of this data set"),
            )
        };
        let fields: Vec<u64> = text
            .split(':')
            .map(|field| field.parse().map_err(|_| foreign()))
            .collect::<Result<_>>()?;
        let [part, byte, number, rotation] = fields[..] else {
            return Err(foreign());
        };
        let part = usize::try_from(part).map_err(|_| foreign())?;
        let at = At { byte, number };
        let file = &parts.get(part).ok_or_else(foreign)?.file;
        if rotation > 25 || !file.is_place(at)? {
            return Err(foreign().context("file", file.path.display().to_string()));
        }
        Ok(Self {
            part,
            at,
            rotation: usize::try_from(rotation).map_err(|_| foreign())?,
        })
    }

    fn write(self) -> String {
        let Self { part, at, rotation } = self;
        format!("{part}:{}:{}:{rotation}", at.byte, at.number)
    }
}

/// The questions from the request's cursor on.
pub(super) fn page<R: Records>(parts: &[Part<R>], request: &PageRequest) -> Result<Page> {
    if request.limit == 0 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "a page of 0 questions was asked for",
        ));
    }
    let most = usize::try_from(request.limit).map_or(MOST_QUESTIONS, |l| l.min(MOST_QUESTIONS));
    let mut cursor = match request.cursor.as_deref() {
        Some(text) => Cursor::read(text, parts)?,
        None => Cursor::default(),
    };
    let (mut questions, mut bytes) = (Vec::new(), 0);
    while let Some(part) = parts.get(cursor.part) {
        let mut reader = part.file.reader(cursor.at)?;
        let mut record = Vec::new();
        loop {
            if questions.len() >= most || bytes >= MOST_BYTES {
                part.file.keep(reader);
                let next = Some(cursor.write());
                return Ok(Page { questions, next });
            }
            let found = match reader.next(&mut record)? {
                Next::End => break,
                Next::Record(number) => part.read(&record, number),
                Next::Broken(error) => Err(error),
            };
            bytes += record.len() as u64;
            let mut asked = match found {
                Ok(asked) => asked,
                Err(e) if part.file.reading.on_error == OnError::Stop => return Err(e),
                Err(_) => Vec::new(),
            };
            let given = cursor.rotation.min(asked.len());
            let room = most - questions.len();
            if asked.len() - given > room {
                // The record is read again for its other rotations.
                questions.extend(asked.drain(given..given + room));
                cursor.rotation = given + room;
                let next = Some(cursor.write());
                return Ok(Page { questions, next });
            }
            questions.extend(asked.drain(given..));
            cursor.at = reader.at();
            cursor.rotation = 0;
        }
        cursor = Cursor {
            part: cursor.part + 1,
            ..Cursor::default()
        };
    }
    Ok(Page {
        questions,
        next: None,
    })
}

impl<R: Records> Part<R> {
    /// The questions that a record asks; the error names file and line.
    pub(super) fn read(&self, record: &[u8], number: u64) -> Result<Vec<Question>> {
        let text = str::from_utf8(record).map_err(|e| {
            self.file
                .placed(
                    number,
                    broken(format!("no UTF-8 from byte {} on", e.valid_up_to() + 1)),
                )
                .hint("save the file as UTF-8, for instance with `iconv`")
        })?;
        let mut questions = self
            .records
            .questions(text, number)
            .map_err(|e| self.file.record_error(text, number, e))?;
        if let Some(prefix) = &self.prefix
            && !self.records.ids_may_repeat()
        {
            for question in &mut questions {
                question.id.insert_str(0, prefix);
            }
        }
        Ok(questions)
    }
}
