//! The head of a GGUF file, written piece by piece.

use super::{MAGIC, VERSION, put_text};

/// What stands first.
pub(crate) fn begin(out: &mut Vec<u8>, tensors: u64, pairs: u64) {
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend(tensors.to_le_bytes());
    out.extend(pairs.to_le_bytes());
}

/// A line of the table of tensors; `at` counts from where the data begin.
pub(crate) fn entry(out: &mut Vec<u8>, name: &str, shape: &[usize], kind: u32, at: u64) {
    put_text(out, name);
    out.extend(u32::try_from(shape.len()).unwrap_or(u32::MAX).to_le_bytes());
    // The dimension that changes fastest stands first.
    for &size in shape.iter().rev() {
        out.extend((size as u64).to_le_bytes());
    }
    out.extend(kind.to_le_bytes());
    out.extend(at.to_le_bytes());
}

/// Metadata under way.
#[derive(Default)]
pub(crate) struct Pairs {
    bytes: Vec<u8>,
    count: u64,
}

impl Pairs {
    pub(crate) fn u32(&mut self, key: &str, value: u32) {
        self.key(key, 4);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, key: &str, value: f32) {
        self.key(key, 6);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn bool(&mut self, key: &str, value: bool) {
        self.key(key, 7);
        self.bytes.push(value.into());
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key, 8);
        put_text(&mut self.bytes, value);
    }

    pub(crate) fn texts(&mut self, key: &str, values: &[String]) {
        self.list(key, 8, values.len());
        for value in values {
            put_text(&mut self.bytes, value);
        }
    }

    pub(crate) fn i32s(&mut self, key: &str, values: &[i32]) {
        self.list(key, 5, values.len());
        for value in values {
            self.bytes.extend(value.to_le_bytes());
        }
    }

    /// The bytes, and how many pairs they are.
    pub(crate) fn finish(self) -> (Vec<u8>, u64) {
        (self.bytes, self.count)
    }

    fn list(&mut self, key: &str, kind: u32, length: usize) {
        self.key(key, 9);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend((length as u64).to_le_bytes());
    }

    fn key(&mut self, key: &str, kind: u32) {
        put_text(&mut self.bytes, key);
        self.bytes.extend(kind.to_le_bytes());
        self.count += 1;
    }
}
