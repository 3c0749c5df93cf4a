//! GGUF files: metadata and tensors.
//!
//! The format is documented in `docs/gguf.md` of the ggml project: little endian; a header, key and
//! value pairs, a table of tensors, then their data from the next multiple of the alignment.

pub(crate) mod head;
mod raw;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use tale_api::Result;

use crate::{
    error::{invalid, unreadable, unwritable},
    model::Array,
    quants,
};

const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;
/// What the places of tensors are multiples of, unless the file says otherwise.
pub(crate) const ALIGNMENT: u64 = 32;
/// Where the metadata begin: behind magic, version and two counts.
const METADATA_AT: u64 = 24;
/// No text or array of a sound file is longer; a damaged length must not ask for all memory.
const LONGEST: u64 = 1 << 28;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number without a fraction, of whatever width.
    Integer(i64),
    /// A number with one.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// UTF-8.
    Text(String),
    /// Values of one kind.
    List(Vec<Value>),
}

impl Value {
    /// As a whole number that is not negative.
    #[must_use]
    pub fn as_usize(&self) -> Option<usize> {
        match self {
            Self::Integer(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// As a number.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            #[expect(
                clippy::cast_precision_loss,
                reason = "sizes of models are far below 2^53"
            )]
            Self::Integer(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// As a text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    /// As a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    /// Rows first, unlike in the file.
    shape: Vec<usize>,
    kind: u32,
    /// From the file's beginning.
    at: u64,
}

/// An open file: its tables in memory, its tensors on disk.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    file: File,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Entry>,
    /// Pairs of the metadata, and where they end.
    pairs: u64,
    metadata_end: u64,
}

impl Gguf {
    /// Reads the tables of `path`.
    ///
    /// # Errors
    /// [`NotFound`](tale_api::ErrorKind::NotFound), or
    /// [`InvalidData`](tale_api::ErrorKind::InvalidData): no GGUF, of another version, or cut.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let length = file.metadata().map_err(|e| unreadable(path, &e))?.len();
        let mut reader = Reader {
            inner: BufReader::new(&file),
            at: 0,
        };
        let tables = reader
            .tables()
            .map_err(|e| invalid(path, "no sound GGUF file").caused_by(&e))?;
        let Tables {
            metadata,
            mut tensors,
            pairs,
            metadata_end,
        } = tables;
        let alignment = metadata
            .get("general.alignment")
            .and_then(Value::as_usize)
            .map_or(ALIGNMENT, |alignment| alignment.max(1) as u64);
        let data = reader.at.next_multiple_of(alignment);
        for (name, entry) in &mut tensors {
            entry.at = entry.at.saturating_add(data);
            let bytes = quants::bytes(entry.kind, elements(&entry.shape))
                .map_err(|what| invalid(path, format!("tensor `{name}` {what}")))?;
            let end = entry.at.saturating_add(bytes as u64);
            if end > length {
                let what = format!("cut: {length} bytes, tensor `{name}` ends at {end}");
                return Err(invalid(path, what).hint("fetch the file again"));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            metadata,
            tensors,
            pairs,
            metadata_end,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A value of the metadata.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// Whether there is a tensor of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor, dequantised.
    ///
    /// # Errors
    /// [`InvalidData`](tale_api::ErrorKind::InvalidData): no such tensor, or it cannot be read.
    pub fn tensor(&self, name: &str) -> Result<Array> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(invalid(&self.path, format!("no tensor `{name}`")));
        };
        let bad = |what| invalid(&self.path, format!("tensor `{name}` {what}"));
        let bytes = quants::bytes(entry.kind, elements(&entry.shape)).map_err(bad)?;
        let mut data = vec![0; bytes];
        self.file
            .read_exact_at(&mut data, entry.at)
            .map_err(|e| unreadable(&self.path, &e))?;
        Ok(Array {
            shape: entry.shape.clone(),
            values: quants::dequantise(entry.kind, &data),
        })
    }
}

fn elements(shape: &[usize]) -> usize {
    shape
        .iter()
        .fold(1, |product, &size| product.saturating_mul(size))
}

struct Reader<R> {
    inner: R,
    at: u64,
}

struct Tables {
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Entry>,
    pairs: u64,
    metadata_end: u64,
}

impl<R: Read> Reader<R> {
    fn tables(&mut self) -> io::Result<Tables> {
        if self.bytes::<4>()? != *MAGIC {
            return Err(bad("it does not begin with `GGUF`"));
        }
        let version = self.u32()?;
        if !(2..=VERSION).contains(&version) {
            return Err(bad(&format!("version {version}; 2 and 3 can be read")));
        }
        let (tensors, pairs) = (self.u64()?, self.u64()?);
        let mut metadata = BTreeMap::new();
        for _ in 0..pairs {
            let (key, kind) = (self.text()?, self.u32()?);
            metadata.insert(key, self.value(kind)?);
        }
        let metadata_end = self.at;
        let mut table = BTreeMap::new();
        for _ in 0..tensors {
            let (name, dimensions) = (self.text()?, self.u32()?);
            if dimensions > 4 {
                return Err(bad("a tensor of more than 4 dimensions"));
            }
            let mut shape = Vec::new();
            for _ in 0..dimensions {
                shape.push(usize::try_from(self.u64()?).map_err(|e| bad(&e.to_string()))?);
            }
            // The file names the dimension first that changes fastest.
            shape.reverse();
            let (kind, at) = (self.u32()?, self.u64()?);
            table.insert(name, Entry { shape, kind, at });
        }
        Ok(Tables {
            metadata,
            tensors: table,
            pairs,
            metadata_end,
        })
    }

    fn value(&mut self, kind: u32) -> io::Result<Value> {
        Ok(match kind {
            0 => Value::Integer(self.bytes::<1>()?[0].into()),
            1 => Value::Integer(i8::from_le_bytes(self.bytes()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.bytes()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.bytes()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.bytes()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.bytes()?).into()),
            7 => Value::Bool(self.bytes::<1>()?[0] != 0),
            8 => Value::Text(self.text()?),
            9 => {
                let (kind, length) = (self.u32()?, self.length()?);
                if kind == 9 {
                    return Err(bad("a list of lists"));
                }
                (0..length)
                    .map(|_| self.value(kind))
                    .collect::<io::Result<_>>()
                    .map(Value::List)?
            }
            // No key of ours is above 2^63.
            10 => Value::Integer(self.u64()?.cast_signed()),
            11 => Value::Integer(i64::from_le_bytes(self.bytes()?)),
            12 => Value::Float(f64::from_le_bytes(self.bytes()?)),
            other => return Err(bad(&format!("a value of the unknown kind {other}"))),
        })
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.length()?;
        let mut bytes = vec![0; length];
        self.inner.read_exact(&mut bytes)?;
        self.at += length as u64;
        // Tokens of a byte-level vocabulary are UTF-8; a damaged one is found by its tokenizer.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn length(&mut self) -> io::Result<usize> {
        let length = self.u64()?;
        if length > LONGEST {
            return Err(bad(&format!("a length of {length}")));
        }
        usize::try_from(length).map_err(|e| bad(&e.to_string()))
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes a file of `f32` tensors; it lands as a whole or not at all.
///
/// # Errors
/// [`ResourceExhausted`](tale_api::ErrorKind::ResourceExhausted) where the disk is full.
pub fn write(path: &Path, metadata: &[(&str, Value)], tensors: &[(String, Array)]) -> Result<()> {
    let partial = path.with_extension("gguf.part");
    let written = File::create(&partial).and_then(|file| {
        let mut out = BufWriter::new(file);
        write_to(&mut out, metadata, tensors)?;
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()
    });
    written
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|e| {
            let _ = std::fs::remove_file(&partial);
            unwritable(path, &e)
        })
}

fn write_to(
    out: &mut impl Write,
    metadata: &[(&str, Value)],
    tensors: &[(String, Array)],
) -> io::Result<()> {
    let mut head = Vec::from(MAGIC);
    head.extend(VERSION.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        put_text(&mut head, key);
        head.extend(kind(value).to_le_bytes());
        put(&mut head, value);
    }
    let mut at = 0_u64;
    for (name, array) in tensors {
        put_text(&mut head, name);
        head.extend(
            u32::try_from(array.shape.len())
                .map_err(io::Error::other)?
                .to_le_bytes(),
        );
        for &size in array.shape.iter().rev() {
            head.extend((size as u64).to_le_bytes());
        }
        head.extend(quants::F32.to_le_bytes());
        head.extend(at.to_le_bytes());
        at = (at + 4 * array.values.len() as u64).next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(32), 0);
    out.write_all(&head)?;
    for (_, array) in tensors {
        let mut data: Vec<u8> = array.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        data.resize(data.len().next_multiple_of(32), 0);
        out.write_all(&data)?;
    }
    Ok(())
}

fn kind(value: &Value) -> u32 {
    match value {
        Value::Integer(_) => 4,
        Value::Float(_) => 6,
        Value::Bool(_) => 7,
        Value::Text(_) => 8,
        Value::List(_) => 9,
    }
}

/// Integers are written with 32 bits, as llama.cpp expects sizes and token ids.
fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "sizes and ids fit"
        )]
        Value::Integer(value) => out.extend((*value as u32).to_le_bytes()),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "llama.cpp reads single precision"
        )]
        Value::Float(value) => out.extend((*value as f32).to_le_bytes()),
        Value::Bool(value) => out.push((*value).into()),
        Value::Text(value) => put_text(out, value),
        Value::List(values) => {
            out.extend(values.first().map_or(4, kind).to_le_bytes());
            out.extend((values.len() as u64).to_le_bytes());
            for value in values {
                put(out, value);
            }
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let metadata = [
            ("general.type", Value::Text("adapter".into())),
            ("x.alpha", Value::Float(32.0)),
            (
                "x.ids",
                Value::List(vec![Value::Integer(3), Value::Integer(7)]),
            ),
            ("x.yes", Value::Bool(true)),
        ];
        let array = |shape: &[usize], from: u8| Array {
            shape: shape.to_vec(),
            values: (0..elements(shape))
                .map(|i| f32::from(from) + f32::from(u8::try_from(i).unwrap()))
                .collect(),
        };
        let tensors = [
            ("a".to_owned(), array(&[3, 5], 0)),
            ("b".to_owned(), array(&[7], 100)),
        ];
        write(&path, &metadata, &tensors).unwrap();
        let file = Gguf::open(&path).unwrap();
        for (key, value) in &metadata {
            assert_eq!(file.value(key), Some(value));
        }
        for (name, array) in &tensors {
            assert_eq!(&file.tensor(name).unwrap(), array);
        }
        assert!(file.tensor("c").is_err());
    }

    #[test]
    fn a_cut_file_is_refused_wherever_it_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let array = Array {
            shape: vec![4, 2],
            values: vec![1.0; 8],
        };
        write(
            &path,
            &[("k", Value::Text("v".into()))],
            &[("t".into(), array)],
        )
        .unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = Gguf::open(&path).unwrap_err();
            assert_eq!(error.kind, tale_api::ErrorKind::InvalidData, "{length}");
        }
    }
}
