//! Safetensors: eight bytes of length, a JSON table, then the numbers.
//!
//! The `safetensors` crate reads a file that lies in memory as a whole; base models are larger than
//! one wants there, so the table is read here and each tensor when it is asked for.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use serde::Deserialize;
use tale_api::{Error, ErrorKind, Result};

use crate::{
    error::{invalid, unreadable, unwritable},
    model::Array,
};

/// A table larger than this is no table.
const LONGEST: u64 = 100 << 20;

#[derive(Clone, Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Safetensors {
    path: PathBuf,
    file: File,
    /// Where the numbers begin.
    data: u64,
    entries: BTreeMap<String, Entry>,
}

impl Safetensors {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let length = file.metadata().map_err(|e| unreadable(path, &e))?.len();
        let mut size = [0; 8];
        file.read_exact_at(&mut size, 0)
            .map_err(|_| invalid(path, "too short for a safetensors file"))?;
        let size = u64::from_le_bytes(size);
        if size > LONGEST.min(length.saturating_sub(8)) {
            return Err(invalid(path, "no safetensors file, or cut in its table"));
        }
        let mut table = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact_at(&mut table, 8)
            .map_err(|e| unreadable(path, &e))?;
        let mut table: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&table)
            .map_err(|e| invalid(path, "its table is no JSON").caused_by(&e))?;
        table.remove("__metadata__");
        let mut entries = BTreeMap::new();
        for (name, entry) in table {
            let entry: Entry = serde_json::from_value(entry)
                .map_err(|e| invalid(path, format!("the entry of `{name}`")).caused_by(&e))?;
            let bytes = entry
                .shape
                .iter()
                .try_fold(width(&entry.dtype).unwrap_or(0), |a, &b| a.checked_mul(b));
            let (from, to) = entry.data_offsets;
            if to < from
                || width(&entry.dtype).is_some() && bytes.map(|b| b as u64) != Some(to - from)
            {
                return Err(invalid(
                    path,
                    format!(
                        "`{name}` has {} bytes for the shape {:?}",
                        to.saturating_sub(from),
                        entry.shape
                    ),
                ));
            }
            if to.saturating_add(8 + size) > length {
                return Err(invalid(
                    path,
                    format!("cut: `{name}` ends behind the file's {length} bytes"),
                )
                .hint("fetch the file again"));
            }
            entries.insert(name, entry);
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            data: 8 + size,
            entries,
        })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Array> {
        let Some(entry) = self.entries.get(name) else {
            return Err(invalid(&self.path, format!("no tensor `{name}`")));
        };
        let (from, to) = entry.data_offsets;
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        self.file
            .read_exact_at(&mut bytes, self.data + from)
            .map_err(|e| unreadable(&self.path, &e))?;
        let values = match entry.dtype.as_str() {
            "F32" => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            "F16" => bytes
                .chunks_exact(2)
                .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            "BF16" => bytes
                .chunks_exact(2)
                .map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            other => {
                let what = format!(
                    "`{}`: tensor `{name}` has the number format {other}",
                    self.path.display()
                );
                return Err(
                    Error::new(ErrorKind::Unsupported, what).hint("F32, F16 and BF16 can be read")
                );
            }
        };
        Ok(Array {
            shape: entry.shape.clone(),
            values,
        })
    }
}

impl Safetensors {
    /// Name, shape and number format of every tensor, in the order of the file.
    pub(crate) fn stored(&self) -> Vec<(String, Vec<usize>, String)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by_key(|(_, entry)| entry.data_offsets);
        all.into_iter()
            .map(|(name, e)| (name.clone(), e.shape.clone(), e.dtype.clone()))
            .collect()
    }

    pub(crate) fn dtype(&self, name: &str) -> Option<&String> {
        Some(&self.entries.get(name)?.dtype)
    }

    pub(crate) fn bytes(&self, name: &str) -> u64 {
        let offsets = self.entries.get(name).map_or((0, 0), |e| e.data_offsets);
        offsets.1 - offsets.0
    }

    /// Copies the numbers of a tensor that is there.
    pub(crate) fn copy(&self, name: &str, out: &mut impl Write) -> io::Result<()> {
        let (from, to) = self.entries[name].data_offsets;
        let mut buffer = vec![0; 1 << 20];
        let mut at = from;
        while at < to {
            let left = usize::try_from(to - at).map_or(buffer.len(), |n| n.min(buffer.len()));
            self.file
                .read_exact_at(&mut buffer[..left], self.data + at)?;
            out.write_all(&buffer[..left])?;
            at += left as u64;
        }
        Ok(())
    }
}

fn width(dtype: &str) -> Option<usize> {
    match dtype {
        "F32" => Some(4),
        "F16" | "BF16" => Some(2),
        _ => None,
    }
}

/// Reads all tensors of a file that is small enough for that.
///
/// # Errors
/// [`InvalidData`](ErrorKind::InvalidData): cut, or no safetensors file.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array>> {
    let file = Safetensors::open(path)?;
    file.names()
        .map(|name| Ok((name.to_owned(), file.tensor(name)?)))
        .collect()
}

/// Writes `f32` tensors; the file lands as a whole or not at all.
///
/// # Errors
/// [`ResourceExhausted`](ErrorKind::ResourceExhausted) where the disk is full.
pub fn write(path: &Path, tensors: &[(String, Array)]) -> Result<()> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, array)| array.values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let mut views = Vec::new();
    for ((name, array), bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes)
            .map_err(|e| invalid(path, format!("tensor `{name}`")).caused_by(&e))?;
        views.push((name.as_str(), view));
    }
    let partial = path.with_extension("safetensors.part");
    let marks = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let written = serialize_to_file(views, Some(marks), &partial).map_err(|e| match e {
        safetensors::SafeTensorError::IoError(e) => e,
        other => std::io::Error::other(other),
    });
    written
        .and_then(|()| File::open(&partial)?.sync_all())
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|e| {
            let _ = std::fs::remove_file(&partial);
            unwritable(path, &e)
        })
}
