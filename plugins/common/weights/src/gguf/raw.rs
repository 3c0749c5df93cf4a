//! What a GGUF file holds, byte by byte, for a file that is made from it.

use std::{
    io::{self, Write},
    os::unix::fs::FileExt,
};

use super::{ALIGNMENT, Gguf, METADATA_AT, Value, elements};
use crate::quants;

/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;

impl Gguf {
    /// What the places of tensors are multiples of.
    pub(crate) fn alignment(&self) -> u64 {
        self.value("general.alignment")
            .and_then(Value::as_usize)
            .map_or(ALIGNMENT, |alignment| alignment.max(1) as u64)
    }

    /// The number of pairs in the metadata.
    pub(crate) fn pairs(&self) -> u64 {
        self.pairs
    }

    /// The bytes of the metadata.
    pub(crate) fn metadata_bytes(&self) -> u64 {
        self.metadata_end - METADATA_AT
    }

    /// Copies the metadata.
    pub(crate) fn copy_metadata(&self, out: &mut impl Write) -> io::Result<()> {
        self.copy_range(METADATA_AT, self.metadata_bytes(), out)
    }

    /// The names of all tensors, in the order of the file.
    pub(crate) fn names_in_order(&self) -> Vec<String> {
        let mut names: Vec<_> = self.tensors.iter().map(|(name, e)| (e.at, name)).collect();
        names.sort();
        names.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// Shape, ggml's number format and bytes of a tensor that is there.
    pub(crate) fn stored(&self, name: &str) -> (&[usize], u32, u64) {
        let entry = &self.tensors[name];
        // The file has been refused where that fails.
        let bytes = quants::bytes(entry.kind, elements(&entry.shape)).unwrap_or(0);
        (&entry.shape, entry.kind, bytes as u64)
    }

    /// Copies the numbers of a tensor that is there, and says how many bytes they are.
    pub(crate) fn copy(&self, name: &str, out: &mut impl Write) -> io::Result<u64> {
        let bytes = self.stored(name).2;
        self.copy_range(self.tensors[name].at, bytes, out)?;
        Ok(bytes)
    }

    fn copy_range(&self, from: u64, bytes: u64, out: &mut impl Write) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut done = 0;
        while done < bytes {
            let left = usize::try_from(bytes - done).unwrap_or(CHUNK).min(CHUNK);
            self.file.read_exact_at(&mut buffer[..left], from + done)?;
            out.write_all(&buffer[..left])?;
            done += left as u64;
        }
        Ok(())
    }
}
