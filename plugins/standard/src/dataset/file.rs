//! A JSONL file and its pages.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use tale_api::{CreateEnv, Error, ErrorKind, Page, PageRequest, Question, Result};

use super::{
    Records, broken,
    lines::{Found, read_line},
};

/// Bounds of a page, whatever its `limit`: a page crosses the plugin boundary as one message.
const MOST_QUESTIONS: usize = 4096;
const MOST_BYTES: u64 = 8 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file that is read in pages and must stay as it was when it was named.
#[derive(Debug)]
pub(super) struct JsonlFile {
    pub path: PathBuf,
    pub max_line_bytes: usize,
    opened: Stamp,
}

/// What tells cheaply that a file was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// Where a page begins. Written as `byte:line`, opaque to everybody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    /// Offset of the next line.
    byte: u64,
    /// Lines before it.
    lines: u64,
}

impl JsonlFile {
    /// Names a file; a relative `path` is relative to the manifest's folder.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none, [`ErrorKind::InvalidData`] where it is no file.
    pub(super) fn named(path: &Path, env: &CreateEnv, max_line_bytes: usize) -> Result<Self> {
        let path = env.base_dir.join(path);
        let about = fs::metadata(&path).map_err(|e| unreadable(&path, &e))?;
        if !about.is_file() {
            return Err(broken(format!("`{}` is no regular file", path.display()))
                .context("file", path.display().to_string())
                .hint(
                    "name a JSONL file; pages are read from it at any place, so a pipe will not do",
                ));
        }
        Ok(Self {
            path,
            max_line_bytes,
            opened: Stamp::of(&about),
        })
    }

    /// The file's name without folder and ending.
    pub(super) fn stem(&self) -> String {
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
        Err(self.placed(broken(format!("`{}` was written to while it was read", self.path.display()))).hint(
            "cursors point into the file as it was: start again, on a copy if something keeps writing to it",
        ))
    }

    /// The questions from the request's cursor on.
    pub(super) fn page(&self, request: &PageRequest, records: &impl Records) -> Result<Page> {
        if request.limit == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a page of 0 questions was asked for",
            ));
        }
        let mut file = self.open()?;
        let mut at = request
            .cursor
            .as_deref()
            .map_or(Ok(Cursor::default()), |c| self.cursor(c, &mut file))?;
        let start = at.byte;
        file.seek(SeekFrom::Start(start))
            .map_err(|e| self.read_error(&e))?;
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let most = usize::try_from(request.limit).map_or(MOST_QUESTIONS, |l| l.min(MOST_QUESTIONS));

        let (mut questions, mut buffer) = (Vec::new(), Vec::new());
        while questions.len() < most && at.byte - start < MOST_BYTES {
            if !self.next_line(&mut reader, &mut buffer, &mut at)? {
                return Ok(Page {
                    questions,
                    next: None,
                });
            }
            if let Some(question) = self.question(&buffer, at.lines, records)? {
                questions.push(question);
            }
        }
        let end = at.byte >= self.opened.bytes;
        Ok(Page {
            questions,
            next: (!end).then(|| format!("{}:{}", at.byte, at.lines)),
        })
    }

    /// Reads a line and moves past it; `false` at the end.
    fn next_line(
        &self,
        reader: &mut BufReader<File>,
        buffer: &mut Vec<u8>,
        at: &mut Cursor,
    ) -> Result<bool> {
        let first = at.byte == 0;
        match read_line(reader, buffer, self.max_line_bytes).map_err(|e| self.read_error(&e))? {
            Found::End => return Ok(false),
            Found::TooLong => return Err(self.too_long(at.lines + 1)),
            Found::Line { bytes } => at.byte += bytes,
        }
        at.lines += 1;
        if first && buffer.starts_with(BYTE_ORDER_MARK) {
            buffer.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(true)
    }

    /// The question on a line; none on a blank one.
    pub(super) fn question(
        &self,
        line: &[u8],
        number: u64,
        records: &impl Records,
    ) -> Result<Option<Question>> {
        let text = str::from_utf8(line).map_err(|e| {
            self.line_error(
                number,
                broken(format!("no UTF-8 from byte {} on", e.valid_up_to() + 1)),
            )
            .hint("save the file as UTF-8, for instance with `iconv`")
        })?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let question = records.question(text, number).map_err(|e| {
            let error = self.line_error(number, e);
            // The commonest mistake deserves its own words.
            match (number, text.trim_start().as_bytes()) {
                (1, [b'[', ..]) => error
                    .hint("this looks like one JSON array; `jq -c '.[]' FILE` makes JSONL of it"),
                _ if error.hint.is_none() => error.hint(format!(
                    "look at it with `sed -n {number}p {}`, then mend or remove it",
                    self.path.display()
                )),
                _ => error,
            }
        })?;
        Ok(Some(question))
    }

    fn cursor(&self, text: &str, file: &mut File) -> Result<Cursor> {
        let foreign = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{text}` is no cursor of this data set"),
            )
            .context("file", self.path.display().to_string())
        };
        let (byte, lines) = text.split_once(':').ok_or_else(foreign)?;
        let at = Cursor {
            byte: byte.parse().map_err(|_| foreign())?,
            lines: lines.parse().map_err(|_| foreign())?,
        };
        if at.byte > self.opened.bytes || (at.byte == 0) != (at.lines == 0) || at.lines > at.byte {
            return Err(foreign());
        }
        if at.byte > 0 {
            let mut before = [0];
            file.seek(SeekFrom::Start(at.byte - 1))
                .map_err(|e| self.read_error(&e))?;
            file.read_exact(&mut before)
                .map_err(|e| self.read_error(&e))?;
            if before != [b'\n'] {
                return Err(foreign());
            }
        }
        Ok(at)
    }

    /// Says on which line of this file `error` is.
    pub(super) fn line_error(&self, number: u64, error: Error) -> Error {
        let message = format!(
            "line {number} of `{}`: {}",
            self.path.display(),
            error.message
        );
        self.placed(Error { message, ..error })
            .context("line", number.to_string())
    }

    pub(super) fn too_long(&self, number: u64) -> Error {
        self.line_error(number, broken(format!("longer than {} bytes", self.max_line_bytes))).hint(
            "if this is one record, raise the option `max_line_bytes`; if it is the whole file, it is no JSONL: one record a line",
        )
    }

    pub(super) fn read_error(&self, error: &io::Error) -> Error {
        unreadable(&self.path, error)
    }

    fn placed(&self, error: Error) -> Error {
        error.context("file", self.path.display().to_string())
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
