//! Lines of bounded length.

use std::io::{self, BufRead, Read};

/// What was found where a line should begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A line, without its end, in the buffer. `bytes` is what it took of the file.
    Line { bytes: u64 },
    /// More than the bound without a line's end.
    TooLong,
    /// The end of the file.
    End,
}

/// Reads the next line into `buffer`, at most `max` bytes of it. LF and CRLF end a line; the last one
/// needs no end.
pub(super) fn read_line(
    reader: &mut impl BufRead,
    buffer: &mut Vec<u8>,
    max: usize,
) -> io::Result<Found> {
    buffer.clear();
    // The two more are the line's end.
    let bytes = reader.take(max as u64 + 2).read_until(b'\n', buffer)?;
    if bytes == 0 {
        return Ok(Found::End);
    }
    if buffer.last() == Some(&b'\n') {
        buffer.pop();
        if buffer.last() == Some(&b'\r') {
            buffer.pop();
        }
    }
    Ok(if buffer.len() > max {
        Found::TooLong
    } else {
        Found::Line {
            bytes: bytes as u64,
        }
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
                Found::TooLong => {
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
        assert_eq!(
            read_line(&mut endless, &mut buffer, 1000).unwrap(),
            Found::TooLong
        );
        assert!(buffer.capacity() <= 4096, "{}", buffer.capacity());
    }
}
