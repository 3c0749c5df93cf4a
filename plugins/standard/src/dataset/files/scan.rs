//! One pass over whole files: how many questions, which digest, what cannot be read, ids that repeat.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    fs::File,
    hash::BuildHasher,
    io::Read,
};

use sha2::{Digest, Sha256};
use tale_api::{Result, Skipped};

use super::{
    Form, OnError, Part, Records, broken,
    file::{At, DataFile, Next},
    parquet,
};
use crate::prompts::hex;

/// What is known of files once they were read.
#[derive(Debug, Default)]
pub(in crate::dataset) struct Scan {
    /// Questions that they ask.
    pub questions: u64,
    /// `sha256:` and the digest of all bytes; of several files, that of their digests in order.
    pub digest: String,
    /// Records that are left out.
    pub skipped: Option<Skipped>,
}

/// Reads all files in constant memory; with ids from the files, 16 bytes a record on top.
pub(in crate::dataset) fn scan<R: Records>(parts: &[Part<R>]) -> Result<Scan> {
    let mut digests = Vec::new();
    let mut records = 0;
    for part in parts {
        let mut open = part.file.open()?;
        let (digest, lines) = digest(&mut open).map_err(|e| part.file.read_error(&e))?;
        records += match part.file.form {
            Form::Parquet => parquet::rows(&part.file, open)?,
            Form::Csv | Form::Tsv => count(&part.file)?,
            Form::Auto | Form::Jsonl => lines,
        };
        digests.push(digest);
    }
    let mut found = Scan {
        questions: records * parts.first().map_or(1, |p| p.records.questions_a_record()),
        digest: format!("sha256:{}", join(digests)),
        skipped: None,
    };
    let reads_all = parts.iter().any(|part| {
        let reading = &part.file.reading;
        part.records.ids_may_repeat()
            || reading.on_error == OnError::Skip
            || reading.group_rows.is_some()
    });
    if reads_all {
        read_all(parts, &mut found)?;
    }
    // A writer during the pass would leave a digest of no state that ever was.
    for part in parts {
        part.file.open()?;
    }
    Ok(found)
}

fn join(mut digests: Vec<String>) -> String {
    match digests.pop() {
        Some(only) if digests.is_empty() => only,
        Some(last) => {
            digests.push(last);
            hex(&Sha256::digest(digests.join("\n")))
        }
        None => String::new(),
    }
}

/// The digest of all bytes, and the lines that are not blank.
fn digest(file: &mut File) -> std::io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 256 << 10];
    let (mut lines, mut line_has_text, mut first) = (0, false, true);
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 {
            break;
        }
        hash.update(&chunk[..n]);
        let mut text = &chunk[..n];
        if first {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            first = false;
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', text) {
            lines += u64::from(line_has_text || has_text(&text[start..end]));
            line_has_text = false;
            start = end + 1;
        }
        line_has_text |= has_text(&text[start..]);
    }
    lines += u64::from(line_has_text);
    Ok((hex(&hash.finalize()), lines))
}

fn has_text(line: &[u8]) -> bool {
    line.iter().any(|b| !b.is_ascii_whitespace())
}

/// The records of a file whose lines are not its records.
fn count(file: &DataFile) -> Result<u64> {
    let mut reader = file.reader(At::default())?;
    let (mut record, mut records) = (Vec::new(), 0);
    loop {
        match reader.next(&mut record)? {
            Next::End => return Ok(records),
            // What cannot be read is told when it is its turn.
            Next::Record(_) | Next::Broken(_) => records += 1,
        }
    }
}

/// Reads every record: counts those that are left out, and refuses ids that come twice. Results are
/// told apart by id, and two questions of one id would be taken for one.
fn read_all<R: Records>(parts: &[Part<R>], found: &mut Scan) -> Result<()> {
    let hasher = RandomState::new();
    let mut seen: Vec<(u64, u64)> = Vec::new();
    let mut skipped: Option<Skipped> = None;
    let mut questions = 0;
    each_record(parts, |order, read| {
        match read {
            Ok(asked) => {
                questions += asked.len() as u64;
                let repeats = parts.iter().any(|p| p.records.ids_may_repeat());
                for id in asked.iter().filter(|_| repeats) {
                    seen.push((hasher.hash_one(id), order));
                }
            }
            Err(e) => {
                let skipped = skipped.get_or_insert_with(|| Skipped {
                    records: 0,
                    first: e.message.clone(),
                });
                skipped.records += 1;
            }
        }
        Ok(())
    })?;
    found.questions = questions;
    found.skipped = skipped;

    seen.sort_unstable();
    let suspects: HashSet<u64> = seen
        .windows(2)
        .filter(|w| w[0].0 == w[1].0)
        .flat_map(|w| [w[0].1, w[1].1])
        .collect();
    if suspects.is_empty() {
        return Ok(());
    }
    drop(seen);
    // Equal hashes are only a suspicion; the second reading compares the ids themselves.
    let mut ids: HashMap<String, String> = HashMap::new();
    each_record_placed(parts, |order, place, read| {
        for id in read.unwrap_or_default() {
            if !suspects.contains(&order) {
                continue;
            }
            let error = |before: &str| {
                let message = format!("{place}: the id `{id}` is {before}'s already");
                broken(message)
                    .context("line", place.rsplit(' ').next().unwrap_or_default())
                    .hint("leave the option `id` out to number questions by line")
            };
            if let Some(before) = ids.get(&id) {
                return Err(error(before));
            }
            ids.insert(id, place.to_owned());
        }
        Ok(())
    })
}

/// Calls `visit` with number and ids of each record, or what is wrong with it.
fn each_record<R: Records>(
    parts: &[Part<R>],
    mut visit: impl FnMut(u64, Result<Vec<String>>) -> Result<()>,
) -> Result<()> {
    each_record_placed(parts, |order, _, read| visit(order, read))
}

fn each_record_placed<R: Records>(
    parts: &[Part<R>],
    mut visit: impl FnMut(u64, &str, Result<Vec<String>>) -> Result<()>,
) -> Result<()> {
    let mut order = 0;
    for part in parts {
        let mut reader = part.file.reader(At::default())?;
        let mut record = Vec::new();
        loop {
            let (number, read) = match reader.next(&mut record)? {
                Next::End => break,
                Next::Record(number) => (number, part.read(&record, number)),
                Next::Broken(error) => (reader.at().number, Err(error)),
            };
            order += 1;
            let read = match read {
                Err(e) if part.file.reading.on_error == OnError::Stop => return Err(e),
                other => other.map(ids),
            };
            let place = if parts.len() > 1 {
                format!("{} line {number}", part.file.stem())
            } else {
                format!("line {number}")
            };
            visit(order, &place, read)?;
        }
    }
    Ok(())
}

fn ids(questions: Vec<tale_api::Question>) -> Vec<String> {
    questions.into_iter().map(|q| q.id).collect()
}
