//! JSONL: lines of bounded length.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

use tale_api::Result;

use super::file::{At, DataFile, Next, Place};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A JSONL file opened at some line.
pub(super) struct LineReader {
    reader: BufReader<File>,
    place: Place,
    pub at: At,
}

impl LineReader {
    pub(super) fn new(about: &DataFile, mut file: File, at: At) -> Result<Self> {
        file.seek(SeekFrom::Start(at.byte))
            .map_err(|e| about.read_error(&e))?;
        Ok(Self {
            reader: BufReader::with_capacity(64 << 10, file),
            place: Place::of(about),
            at,
        })
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> Result<Next> {
        loop {
            let first = self.at.byte == 0;
            let found = read_line(&mut self.reader, record, self.place.max_record_bytes)
                .map_err(|e| self.place.unreadable(&e))?;
            self.at.number += 1;
            match found {
                Found::End => return Ok(Next::End),
                Found::TooLong { bytes, is_ended } => {
                    self.at.byte += bytes;
                    if !is_ended {
                        let rest = self.reader.skip_until(b'\n');
                        self.at.byte += rest.map_err(|e| self.place.unreadable(&e))? as u64;
                    }
                    record.clear();
                    return Ok(Next::Broken(self.place.too_long(self.at.number)));
                }
                Found::Line { bytes } => self.at.byte += bytes,
            }
            if first && record.starts_with(BYTE_ORDER_MARK) {
                record.drain(..BYTE_ORDER_MARK.len());
            }
            if !record.trim_ascii().is_empty() {
                return Ok(Next::Record(self.at.number));
            }
        }
    }
}

/// What was found where a line should begin.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// A line, without its end, in the buffer. `bytes` is what it took of the file.
    Line { bytes: u64 },
    /// More than the bound. `bytes` were taken, the line's end among them if `is_ended`.
    TooLong { bytes: u64, is_ended: bool },
    /// The end of the file.
    End,
}

/// Reads the next line into `buffer`, at most `max` bytes of it. LF and CRLF end a line; the last one
/// needs no end.
fn read_line(reader: &mut impl BufRead, buffer: &mut Vec<u8>, max: usize) -> io::Result<Found> {
    buffer.clear();
    // The two more are the line's end.
    let bytes = reader.take(max as u64 + 2).read_until(b'\n', buffer)? as u64;
    if bytes == 0 {
        return Ok(Found::End);
    }
    let is_ended = buffer.last() == Some(&b'\n');
    if is_ended {
        buffer.pop();
        if buffer.last() == Some(&b'\r') {
            buffer.pop();
        }
    }
    Ok(if buffer.len() > max {
        Found::TooLong { bytes, is_ended }
    } else {
        Found::Line { bytes }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, max: usize) -> Vec<String> {
        let (mut reader, mut buffer, mut out) = (io::Cursor::new(text), Vec::new(), Vec::new());
        loop {
            match read_line(&mut reader, &mut buffer, max).unwrap() {
                Found::Line { .. } => out.push(String::from_utf8(buffer.clone()).unwrap()),
                Found::TooLong { .. } => {
                    out.push("too long".to_owned());
                    return out;
                }
                Found::End => return out,
            }
        }
    }

    #[test]
    fn both_line_ends_count_and_the_last_line_needs_none() {
        assert_eq!(lines("a\r\nbb\n\nc", 10), ["a", "bb", "", "c"]);
        assert_eq!(lines("a\n", 10), ["a"]);
        assert_eq!(lines("", 10), Vec::<String>::new());
    }

    #[test]
    fn the_bound_is_on_the_text_not_on_its_end() {
        assert_eq!(lines("abc\nabc\r\nabc", 3), ["abc", "abc", "abc"]);
        assert_eq!(lines("abc\nabcd\nabc", 3), ["abc", "too long"]);
        assert_eq!(lines("abcd", 3), ["too long"]);
    }

    #[test]
    fn no_more_than_the_bound_is_held() {
        let (mut endless, mut buffer) = (io::BufReader::new(io::repeat(b'x')), Vec::new());
        let found = read_line(&mut endless, &mut buffer, 1000).unwrap();
        assert!(matches!(
            found,
            Found::TooLong {
                bytes: 1002,
                is_ended: false
            }
        ));
        assert!(buffer.capacity() <= 4096, "{}", buffer.capacity());
    }
}
