//! One pass over a whole file: how many records, which digest, ids that repeat.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    fs::File,
    hash::BuildHasher,
    io::{BufReader, Read, Seek, SeekFrom},
};

use sha2::{Digest, Sha256};
use tale_api::Result;

use super::{
    Records, broken,
    file::JsonlFile,
    lines::{Found, read_line},
};
use crate::prompts::hex;

/// What is known of a file once it was read.
#[derive(Debug)]
pub(super) struct Scan {
    /// Lines that are not blank.
    pub records: u64,
    /// `sha256:` and the digest of all bytes.
    pub digest: String,
}

/// Reads the whole file in constant memory; with ids from the file, 16 bytes a record on top.
pub(super) fn scan(file: &JsonlFile, records: &impl Records) -> Result<Scan> {
    let mut open = file.open()?;
    let found = digest_and_count(&mut open).map_err(|e| file.read_error(&e))?;
    if records.ids_may_repeat() {
        open.seek(SeekFrom::Start(0))
            .map_err(|e| file.read_error(&e))?;
        refuse_repeated_ids(file, &open, records)?;
    }
    // A writer during the pass would leave a digest of no state that ever was.
    file.check_unchanged(&open)?;
    Ok(found)
}

fn digest_and_count(file: &mut File) -> std::io::Result<Scan> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 256 << 10];
    let (mut records, mut line_has_text, mut first) = (0, false, true);
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 {
            break;
        }
        hash.update(&chunk[..n]);
        let text = if first {
            chunk[..n]
                .strip_prefix(b"\xef\xbb\xbf")
                .unwrap_or(&chunk[..n])
        } else {
            &chunk[..n]
        };
        first = false;
        let mut lines = text.split(|b| *b == b'\n').peekable();
        while let Some(part) = lines.next() {
            line_has_text |= part.iter().any(|b| !b.is_ascii_whitespace());
            if lines.peek().is_some() {
                records += u64::from(line_has_text);
                line_has_text = false;
            }
        }
    }
    records += u64::from(line_has_text);
    Ok(Scan {
        records,
        digest: format!("sha256:{}", hex(&hash.finalize())),
    })
}

/// Results are kept by id, so that two questions of one id would be taken for one.
fn refuse_repeated_ids(file: &JsonlFile, open: &File, records: &impl Records) -> Result<()> {
    let hasher = RandomState::new();
    let mut seen: Vec<(u64, u64)> = Vec::new();
    each_question(file, open, records, |number, id| {
        seen.push((hasher.hash_one(id), number));
        None::<()>
    })?;
    seen.sort_unstable();
    let suspects: HashSet<u64> = seen
        .windows(2)
        .filter(|w| w[0].0 == w[1].0)
        .flat_map(|w| [w[0].1, w[1].1])
        .collect();
    if suspects.is_empty() {
        return Ok(());
    }
    // Equal hashes are only a suspicion; the second reading compares the ids themselves.
    let mut ids = HashMap::new();
    let mut again = open;
    again
        .seek(SeekFrom::Start(0))
        .map_err(|e| file.read_error(&e))?;
    let repeated = each_question(file, open, records, |number, id| {
        let before = suspects
            .contains(&number)
            .then(|| ids.insert(id.to_owned(), number))
            .flatten()?;
        Some((number, before, id.to_owned()))
    })?;
    match repeated {
        None => Ok(()),
        Some((number, before, id)) => Err(file
            .line_error(
                number,
                broken(format!("the id `{id}` is line {before}'s already")),
            )
            .hint("leave the option `id` out to number questions by line")),
    }
}

/// Calls `visit` with line and id of each question until it returns something.
fn each_question<T>(
    file: &JsonlFile,
    open: &File,
    records: &impl Records,
    mut visit: impl FnMut(u64, &str) -> Option<T>,
) -> Result<Option<T>> {
    let mut reader = BufReader::with_capacity(64 << 10, open);
    let (mut buffer, mut number) = (Vec::new(), 0);
    loop {
        number += 1;
        match read_line(&mut reader, &mut buffer, file.max_line_bytes)
            .map_err(|e| file.read_error(&e))?
        {
            Found::End => return Ok(None),
            Found::TooLong => return Err(file.too_long(number)),
            Found::Line { .. } => {}
        }
        let line = if number == 1 {
            buffer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&buffer)
        } else {
            &buffer
        };
        let question = file.question(line, number, records)?;
        if let Some(found) = question.and_then(|q| visit(number, &q.id)) {
            return Ok(Some(found));
        }
    }
}
