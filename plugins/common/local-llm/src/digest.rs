//! What tells a model from others: the SHA-256 of its files, remembered.
//!
//! The digest is part of the key under which an answer is kept, so it must be the content's. Hashing
//! gigabytes takes seconds, so each file's is kept in the user's cache directory and believed while
//! path, length and time of change are the same.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Of a file its own, of a folder that of its files' names and digests.
///
/// `cache_dir` is the user's; an empty one keeps nothing, and one that cannot be written costs time, not
/// the call.
///
/// # Errors
/// A file cannot be read.
pub fn of(path: &Path, cache_dir: &Path) -> io::Result<String> {
    if !path.is_dir() {
        return of_file(path, cache_dir);
    }
    let mut files: Vec<PathBuf> = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|file| file.is_file() && matters(file));
    files.sort_unstable();
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let digest = of_file(&file, cache_dir)?;
        hasher.update(format!("{name}\0{digest}\n"));
    }
    Ok(hex(&hasher.finalize()))
}

/// Whether a file of a model's folder can change an answer: not a licence, not weights in a form that
/// is not read.
fn matters(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("json" | "jinja" | "safetensors"))
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    path: PathBuf,
    bytes: u64,
    modified_ns: u128,
    sha256: String,
}

fn of_file(file: &Path, cache_dir: &Path) -> io::Result<String> {
    let path = file.canonicalize()?;
    let metadata = path.metadata()?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
    let mut found = Remembered {
        bytes: metadata.len(),
        modified_ns: modified.unwrap_or_default().as_nanos(),
        sha256: String::new(),
        path,
    };
    let entry = (!cache_dir.as_os_str().is_empty()).then(|| {
        let name = hex(&Sha256::digest(found.path.as_os_str().as_encoded_bytes()));
        cache_dir.join("digests").join(format!("{name}.json"))
    });
    let known = entry
        .as_deref()
        .and_then(|entry| serde_json::from_slice::<Remembered>(&fs::read(entry).ok()?).ok());
    if let Some(known) = known {
        found.sha256.clone_from(&known.sha256);
        if found == known {
            return Ok(found.sha256);
        }
    }
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(&found.path)?, &mut hasher)?;
    found.sha256 = hex(&hasher.finalize());
    if let Some(Err(e)) = entry.map(|entry| write(&entry, &found)) {
        tracing::debug!(error = %e, "the digest of a model's file is not remembered");
    }
    Ok(found.sha256)
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_another_when_a_file_that_matters_is() {
        let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("config.json", "{}");
        write("model.safetensors", "1");
        let first = of(dir.path(), cache.path()).unwrap();
        write("README.md", "words");
        assert_eq!(of(dir.path(), cache.path()).unwrap(), first);
        write("model.safetensors", "22");
        assert_ne!(of(dir.path(), cache.path()).unwrap(), first);
        assert_eq!(
            of(dir.path(), Path::new("")).unwrap(),
            of(dir.path(), cache.path()).unwrap()
        );
    }

    #[test]
    fn a_files_digest_is_remembered() {
        let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = dir.path().join("m.gguf");
        fs::write(&file, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(&file, cache.path()).unwrap(), abc);
        let entries = cache.path().join("digests");
        let entry = fs::read_dir(entries)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let text = fs::read_to_string(&entry).unwrap();
        fs::write(&entry, text.replace(abc, "remembered")).unwrap();
        assert_eq!(of(&file, cache.path()).unwrap(), "remembered");
        fs::write(&file, "abcd").unwrap();
        assert_ne!(of(&file, cache.path()).unwrap(), "remembered");
    }

    #[test]
    fn without_a_cache_directory_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.gguf");
        fs::write(&file, "").unwrap();
        of(&file, Path::new("")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
