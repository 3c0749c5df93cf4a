//! One file and the places in it.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Mutex,
    time::SystemTime,
};

use tale_api::{CreateEnv, Error, ErrorKind, Result};

use super::{
    Form, Reading, broken, csv::CsvReader, grouped::Grouped, lines::LineReader,
    parquet::ParquetReader,
};

/// A file that is read in pages and must stay as it was when it was named.
#[derive(Debug)]
pub(in crate::dataset) struct DataFile {
    pub path: PathBuf,
    pub form: Form,
    pub reading: Reading,
    opened: Stamp,
    /// The reader that a page left behind. A row of Parquet is not found without decoding those
    /// before it, and reading on is what nearly every next page does.
    kept: Mutex<Option<Reader>>,
}

/// What tells cheaply that a file was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// A place between records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct At {
    /// Offset of the next record; in Parquet its row.
    pub byte: u64,
    /// Lines (rows) before it.
    pub number: u64,
}

/// What comes next in a file.
pub(super) enum Next {
    /// A record, now in the buffer, and the number of its line or row, from 1.
    Record(u64),
    /// Something that is no record. Reading can go on behind it.
    Broken(Error),
    /// Nothing.
    End,
}

/// A file opened at some place.
pub(super) enum Reader {
    Lines(LineReader),
    Csv(Box<CsvReader>),
    Parquet(Box<ParquetReader>),
    Grouped(Box<Grouped>),
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({:?})", self.at())
    }
}

impl Reader {
    pub(super) fn at(&self) -> At {
        match self {
            Self::Lines(reader) => reader.at,
            Self::Csv(reader) => reader.at(),
            Self::Parquet(reader) => reader.at(),
            Self::Grouped(reader) => reader.at(),
        }
    }

    /// Puts the next record into `record` and moves past it.
    ///
    /// # Errors
    /// Those after which reading cannot go on.
    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> Result<Next> {
        match self {
            Self::Lines(reader) => reader.next(record),
            Self::Csv(reader) => reader.next(record),
            Self::Parquet(reader) => reader.next(record),
            Self::Grouped(reader) => reader.next(record),
        }
    }
}

impl DataFile {
    /// Names a file; a relative `path` is relative to the manifest's folder.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none, [`ErrorKind::InvalidData`] where it is no file.
    pub(in crate::dataset) fn named(
        path: &Path,
        env: &CreateEnv,
        reading: &Reading,
    ) -> Result<Self> {
        let path = env.base_dir.join(path);
        let about = fs::metadata(&path).map_err(|e| unreadable(&path, &e))?;
        if !about.is_file() {
            return Err(broken(format!("`{}` is no regular file", path.display()))
                .context("file", path.display().to_string())
                .hint("name a file; pages are read from it at any place, so a pipe will not do"));
        }
        Ok(Self {
            form: reading.form.of(&path),
            path,
            reading: reading.clone(),
            opened: Stamp::of(&about),
            kept: Mutex::new(None),
        })
    }

    /// The file's name without folder and ending.
    pub(in crate::dataset) fn stem(&self) -> String {
        self.path
            .file_stem()
            .map_or_else(String::new, |s| s.to_string_lossy().into_owned())
    }

    /// Opens the file, if it still is what it was.
    pub(super) fn open(&self) -> Result<File> {
        let file = File::open(&self.path).map_err(|e| self.read_error(&e))?;
        self.check_unchanged(&file)?;
        Ok(file)
    }

    pub(super) fn check_unchanged(&self, file: &File) -> Result<()> {
        let now = Stamp::of(&file.metadata().map_err(|e| self.read_error(&e))?);
        if now == self.opened {
            return Ok(());
        }
        Err(broken(format!(
            "`{}` was written to while it was read",
            self.path.display()
        ))
        .context("file", self.path.display().to_string())
        .hint(
            "cursors point into the file as it was: start again, on a copy if something keeps \
                 writing to it",
        ))
    }

    /// The file, to be read from `at` on.
    pub(super) fn reader(&self, at: At) -> Result<Reader> {
        let file = self.open()?;
        let kept = self.kept.lock().ok().and_then(|mut kept| kept.take());
        if let Some(reader) = kept.filter(|reader| reader.at() == at) {
            return Ok(reader);
        }
        let rows = match self.form {
            Form::Csv => Reader::Csv(Box::new(CsvReader::new(self, file, b',', at)?)),
            Form::Tsv => Reader::Csv(Box::new(CsvReader::new(self, file, b'\t', at)?)),
            Form::Parquet => Reader::Parquet(Box::new(ParquetReader::new(self, file, at)?)),
            Form::Auto | Form::Jsonl => Reader::Lines(LineReader::new(self, file, at)?),
        };
        Ok(match &self.reading.group_rows {
            Some(field) => Reader::Grouped(Box::new(Grouped::new(rows, field, Place::of(self)))),
            None => rows,
        })
    }

    /// Leaves a reader for the next page.
    pub(super) fn keep(&self, reader: Reader) {
        if self.form == Form::Parquet
            && let Ok(mut kept) = self.kept.lock()
        {
            *kept = Some(reader);
        }
    }

    /// Whether `at` can be a place between two records, as far as that is cheap to say.
    pub(super) fn is_place(&self, at: At) -> Result<bool> {
        if self.form == Form::Parquet {
            return Ok(at.byte == at.number && at.byte <= parquet_rows(self)?);
        }
        if at.byte > self.opened.bytes || (at.byte == 0) != (at.number == 0) || at.number > at.byte
        {
            return Ok(false);
        }
        if at.byte == 0 || at.byte == self.opened.bytes {
            return Ok(true);
        }
        let mut file = self.open()?;
        let mut before = [0];
        file.seek(SeekFrom::Start(at.byte - 1))
            .and_then(|_| file.read_exact(&mut before))
            .map_err(|e| self.read_error(&e))?;
        // A lone CR ends a record of CSV, too.
        Ok(before == [b'\n'] || (self.form != Form::Jsonl && before == [b'\r']))
    }

    /// Says on which line or row of this file `error` is, and what is to be done about it.
    pub(super) fn record_error(&self, record: &str, number: u64, error: Error) -> Error {
        let error = self.placed(number, error);
        let first = record.trim_start().as_bytes().first();
        match (self.form, number, first) {
            // The commonest mistake deserves its own words.
            (Form::Jsonl, 1, Some(b'[')) => {
                error.hint("this looks like one JSON array; `jq -c '.[]' FILE` makes JSONL of it")
            }
            (Form::Jsonl | Form::Csv | Form::Tsv, ..) if error.hint.is_none() => {
                error.hint(format!(
                    "look at it with `sed -n {number}p {}`, then mend or remove it; \
                     `on_error = \"skip\"` leaves such records out and counts them",
                    self.path.display()
                ))
            }
            _ => error,
        }
    }

    /// Says on which line or row of this file `error` is.
    pub(super) fn placed(&self, number: u64, error: Error) -> Error {
        Place::of(self).error(number, error)
    }

    pub(super) fn read_error(&self, error: &io::Error) -> Error {
        unreadable(&self.path, error)
    }
}

fn parquet_rows(file: &DataFile) -> Result<u64> {
    super::parquet::rows(file, file.open()?)
}

/// What a reader needs to say where it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// `line` or `row`.
    unit: &'static str,
    pub max_record_bytes: usize,
}

impl Place {
    pub(super) fn of(file: &DataFile) -> Self {
        Self {
            path: file.path.clone(),
            unit: match file.form {
                Form::Parquet => "row",
                _ => "line",
            },
            max_record_bytes: file.reading.max_record_bytes,
        }
    }

    pub(super) fn error(&self, number: u64, error: Error) -> Error {
        let (unit, path) = (self.unit, self.path.display());
        let message = format!("{unit} {number} of `{path}`: {}", error.message);
        Error { message, ..error }
            .context("file", path.to_string())
            .context("line", number.to_string())
    }

    /// The whole file is at fault.
    pub(super) fn unreadable(&self, error: &io::Error) -> Error {
        unreadable(&self.path, error)
    }

    pub(super) fn too_long(&self, number: u64) -> Error {
        let most = self.max_record_bytes;
        self.error(number, broken(format!("longer than {most} bytes")))
            .hint(
                "if this is one record, raise the option `max_line_bytes`; if it is the whole \
                 file, it is no JSONL (one record a line), or a quote of a CSV is never closed",
            )
    }
}

impl Stamp {
    fn of(about: &fs::Metadata) -> Self {
        Self {
            bytes: about.len(),
            modified: about.modified().ok(),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let (kind, what) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "there is no file"),
        _ => (ErrorKind::InvalidData, "cannot read"),
    };
    let found = Error::new(kind, format!("{what} `{}`", path.display()))
        .context("file", path.display().to_string())
        .caused_by(error);
    if kind == ErrorKind::NotFound {
        found.hint("a relative `path` is relative to the manifest's folder")
    } else {
        found
    }
}
