//! SHA-256 of model files, remembered.
//!
//! The digest is part of the key under which an answer is kept, so it must be the content's. Reading
//! half a gigabyte for it takes about a second, so the result is kept beside the user's other caches,
//! keyed by path, and believed while length and time of change are the same.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    path: PathBuf,
    bytes: u64,
    modified_ns: u128,
    sha256: String,
}

/// The SHA-256 of `file` as hexadecimal digits, from `cache_dir` if it is known there.
///
/// An empty `cache_dir` keeps nothing. A cache that cannot be written costs time, not the call.
pub(crate) fn of_file(file: &Path, cache_dir: &Path) -> io::Result<String> {
    let path = file.canonicalize()?;
    let metadata = path.metadata()?;
    let modified_ns = metadata
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let bytes = metadata.len();
    let entry = (!cache_dir.as_os_str().is_empty()).then(|| {
        let name = hex(&Sha256::digest(path.as_os_str().as_encoded_bytes()));
        cache_dir
            .join("llama-cpp")
            .join("digests")
            .join(format!("{name}.json"))
    });
    if let Some(known) = entry.as_deref().and_then(read)
        && (&known.path, known.bytes, known.modified_ns) == (&path, bytes, modified_ns)
    {
        return Ok(known.sha256);
    }
    let sha256 = hash(&path)?;
    if let Some(entry) = entry {
        let remembered = Remembered {
            path,
            bytes,
            modified_ns,
            sha256: sha256.clone(),
        };
        if let Err(e) = write(&entry, &remembered) {
            tracing::debug!(error = %e, "the digest of a model file is not remembered");
        }
    }
    Ok(sha256)
}

fn read(entry: &Path) -> Option<Remembered> {
    serde_json::from_slice(&fs::read(entry).ok()?).ok()
}

fn write(entry: &Path, remembered: &Remembered) -> io::Result<()> {
    if let Some(parent) = entry.parent() {
        fs::create_dir_all(parent)?;
    }
    // Renamed into place, so that a reader never sees half of it.
    let partial = entry.with_extension(format!("{}.part", std::process::id()));
    fs::write(&partial, serde_json::to_vec(remembered)?)?;
    fs::rename(&partial, entry)
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_remembered_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.gguf");
        fs::write(&file, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of_file(&file, dir.path()).unwrap(), abc);

        // What is remembered is what is answered …
        let entries = dir.path().join("llama-cpp/digests");
        let entry = fs::read_dir(entries)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let text = fs::read_to_string(&entry)
            .unwrap()
            .replace(abc, "remembered");
        fs::write(&entry, text).unwrap();
        assert_eq!(of_file(&file, dir.path()).unwrap(), "remembered");

        // … until the file is another.
        fs::write(&file, "abcd").unwrap();
        assert_ne!(of_file(&file, dir.path()).unwrap(), "remembered");
    }

    #[test]
    fn without_a_cache_directory_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.gguf");
        fs::write(&file, "").unwrap();
        of_file(&file, Path::new("")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
