//! CSV and TSV: the first line names the columns, and a row is an object of texts.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use csv::{ByteRecord, Position, ReaderBuilder};
use tale_api::Result;

use super::{
    broken,
    file::{At, DataFile, Next, Place},
};

/// A CSV file opened at some row.
pub(super) struct CsvReader {
    reader: csv::Reader<Bounded<File>>,
    columns: Vec<String>,
    place: Place,
    row: ByteRecord,
    is_plain: bool,
    /// 1 where lines end in CRLF: the reader counts a line at its LF, and is before it after a row.
    uncounted: u64,
}

impl CsvReader {
    pub(super) fn new(about: &DataFile, file: File, delimiter: u8, at: At) -> Result<Self> {
        let place = Place::of(about);
        let bounded = Bounded {
            inner: file,
            most: place.max_record_bytes as u64 + SLACK,
            left: place.max_record_bytes as u64 + SLACK,
        };
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .quoting(!about.reading.is_plain)
            .from_reader(bounded);
        let columns = columns(&mut reader, &place)?;
        let uncounted = u64::from(byte_at(about, reader.position().byte())? == Some(b'\n'));
        if at.byte > 0 && begins_with_mark(about, at.byte)? {
            // The parser would take the mark for that of a file, and drop it: it is a row's here.
            let mut row = ByteRecord::new();
            while reader.position().byte() < at.byte {
                reader.get_mut().left = reader.get_ref().most;
                let read = reader.read_byte_record(&mut row);
                if !read.map_err(|e| place.failed(at.number, e))? {
                    break;
                }
            }
        } else if at.byte > 0 {
            let mut position = Position::new();
            position.set_byte(at.byte).set_line(at.number + 1);
            reader
                .seek(position)
                .map_err(|e| about.read_error(&io::Error::from(e)))?;
        }
        Ok(Self {
            reader,
            columns,
            place,
            row: ByteRecord::new(),
            is_plain: about.reading.is_plain,
            uncounted,
        })
    }

    pub(super) fn at(&self) -> At {
        let position = self.reader.position();
        At {
            byte: position.byte(),
            number: position.line() - 1,
        }
    }

    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> Result<Next> {
        record.clear();
        let line = self.reader.position().line() + self.uncounted;
        self.reader.get_mut().left = self.reader.get_ref().most;
        match self.reader.read_byte_record(&mut self.row) {
            Ok(false) => return Ok(Next::End),
            Ok(true) => {}
            Err(e) => return Err(self.place.failed(line, e)),
        }
        // The line after the row before: blank lines between them are not passed over yet.
        let number = self
            .row
            .position()
            .map_or(line, |at| at.line() + self.uncounted);
        let (found, expected) = (self.row.len(), self.columns.len());
        if found != expected && !self.is_plain {
            let counts = format!("{found} values under {expected} names");
            return Ok(Next::Broken(self.place.error(number, broken(counts)).hint(
                "a text that holds the delimiter or a line's end stands in double quotes",
            )));
        }
        record.push(b'{');
        let values = self.row.iter().chain(std::iter::repeat(&b""[..]));
        for (name, value) in self.columns.iter().zip(values) {
            if record.len() > 1 {
                record.push(b',');
            }
            record.extend(name.as_bytes());
            record.push(b':');
            // An empty cell is no text of no characters, but nothing.
            match str::from_utf8(value) {
                Ok("") => record.extend(b"null"),
                Ok(text) => record.extend(json(text).as_bytes()),
                Err(e) => {
                    let at = e.valid_up_to() + 1;
                    let error = broken(format!("no UTF-8 from byte {at} of {name} on"));
                    return Ok(Next::Broken(
                        self.place
                            .error(number, error)
                            .hint("save the file as UTF-8, for instance with `iconv`"),
                    ));
                }
            }
        }
        record.push(b'}');
        Ok(Next::Record(number))
    }
}

fn byte_at(about: &DataFile, offset: u64) -> Result<Option<u8>> {
    let mut file = about.open()?;
    let mut byte = [0];
    let read = file
        .seek(SeekFrom::Start(offset))
        .and_then(|_| file.read(&mut byte))
        .map_err(|e| about.read_error(&e))?;
    Ok((read == 1).then_some(byte[0]))
}

fn begins_with_mark(about: &DataFile, offset: u64) -> Result<bool> {
    for (byte, at) in b"\xef\xbb\xbf".iter().zip(offset..) {
        if byte_at(about, at)? != Some(*byte) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The names of the columns, each as JSON text. None for an empty file.
fn columns(reader: &mut csv::Reader<Bounded<File>>, place: &Place) -> Result<Vec<String>> {
    let names = reader.headers().map_err(|e| place.failed(1, e))?;
    let mut columns: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let name = json(name.trim());
        if columns.contains(&name) {
            return Err(place.error(1, broken(format!("two columns are called {name}"))));
        }
        columns.push(name);
    }
    Ok(columns)
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

impl Place {
    fn failed(&self, line: u64, error: csv::Error) -> tale_api::Error {
        match error.into_kind() {
            csv::ErrorKind::Io(e) if e.kind() == io::ErrorKind::FileTooLarge => self.too_long(line),
            csv::ErrorKind::Io(e) => self.unreadable(&e),
            csv::ErrorKind::Utf8 { err, .. } => {
                self.error(line, broken(format!("no UTF-8: {err}")))
            }
            other => self.error(line, broken(format!("no CSV: {other:?}"))),
        }
    }
}

/// What the reader may read ahead of the record it is at.
const SLACK: u64 = 64 << 10;

/// A file that gives no more than so many bytes for one record: a quote that is never closed would
/// make one record of all that follows.
struct Bounded<R> {
    inner: R,
    most: u64,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let n = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
