//! Reads a plugin's descriptor out of its file, without running any of its code.

use std::{fmt, fs::File, io::Read, path::Path};

use object::{ExportTarget, Object, ObjectSection};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::LoadError;
use crate::{
    abi::{ABI_MAJOR, ABI_MINOR, Header, MAGIC, SYMBOL},
    messages::PluginManifest,
};

/// A version of the plugin protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AbiVersion {
    /// Another one cannot be loaded.
    pub major: u32,
    /// Optional additions.
    pub minor: u32,
}

impl AbiVersion {
    /// The version that this program speaks.
    pub const OURS: Self = Self {
        major: ABI_MAJOR,
        minor: ABI_MINOR,
    };
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a file says of the plugin in it.
#[derive(Clone, Debug, Serialize)]
pub struct Inspected {
    /// Name, version, components and the schemas of their options.
    pub manifest: PluginManifest,
    /// The protocol it is built for.
    pub abi: AbiVersion,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
}

/// A file's content with what was read out of it.
pub(super) struct Read_ {
    pub(super) content: Vec<u8>,
    pub(super) inspected: Inspected,
}

/// Opens `path` if it is a regular file.
pub(super) fn open(path: &Path) -> Result<File, LoadError> {
    let unreadable = |source| LoadError::Open {
        path: path.to_owned(),
        source,
    };
    // Asked before opening: opening a pipe would wait for its writer.
    let is_file = path.metadata().map_err(unreadable)?.is_file();
    if !is_file {
        return Err(LoadError::NotAFile {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(unreadable)?;
    // Asked again, because only now it is certain which file is meant.
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(LoadError::NotAFile {
            path: path.to_owned(),
        });
    }
    Ok(file)
}

/// Reads and checks the whole file.
pub(super) fn read(path: &Path, file: &mut File) -> Result<Read_, LoadError> {
    let mut content = Vec::new();
    file.read_to_end(&mut content)
        .map_err(|source| LoadError::Open {
            path: path.to_owned(),
            source,
        })?;
    let (manifest, abi) = descriptor(path, &content)?;
    let sha256 = hex(&Sha256::digest(&content));
    Ok(Read_ {
        content,
        inspected: Inspected {
            manifest,
            abi,
            sha256,
        },
    })
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The symbol as it stands in files; macOS puts an underscore before it.
const SYMBOLS: [&[u8]; 2] = [SYMBOL.as_bytes(), b"_tale_plugin"];

/// Finds the descriptor by its symbol and reads it.
fn descriptor(path: &Path, content: &[u8]) -> Result<(PluginManifest, AbiVersion), LoadError> {
    let not_a_library = |reason: String| LoadError::NotALibrary {
        path: path.to_owned(),
        reason,
    };
    let library = object::File::parse(content).map_err(|e| not_a_library(e.to_string()))?;
    if !matches!(library.kind(), object::ObjectKind::Dynamic) {
        return Err(not_a_library(format!(
            "an object file of kind {:?}",
            library.kind()
        )));
    }
    let exports = library
        .exports()
        .map_err(|e| not_a_library(e.to_string()))?;
    let address = exports
        .filter_map(std::result::Result::ok)
        .find_map(
            |export| match (export.name().into_name(), export.target()) {
                (Some(name), ExportTarget::Address { address }) if SYMBOLS.contains(&name) => {
                    Some(address)
                }
                _ => None,
            },
        )
        .ok_or_else(|| LoadError::NoSymbol {
            path: path.to_owned(),
        })?;
    let bytes = bytes_at(&library, address)
        .ok_or_else(|| not_a_library("`tale_plugin` points outside the file".to_owned()))?;
    let (abi, start, len) = header(path, bytes)?;
    let manifest = bytes
        .get(start..)
        .and_then(|b| b.get(..len))
        .ok_or_else(|| bad_manifest(path, "it is longer than the section it lies in"))?;
    Ok((manifest_of(path, manifest)?, abi))
}

/// The content from `address` to the end of its section.
fn bytes_at<'a>(library: &object::File<'a>, address: u64) -> Option<&'a [u8]> {
    library.sections().find_map(|section| {
        let offset = address.checked_sub(section.address())?;
        let data = section.data().ok()?;
        data.get(usize::try_from(offset).ok()?..)
            .filter(|rest| !rest.is_empty())
    })
}

/// Checks a descriptor's fixed part; gives its version, and where the manifest starts and how long
/// it is.
pub(super) fn header(path: &Path, bytes: &[u8]) -> Result<(AbiVersion, usize, usize), LoadError> {
    let path = path.to_owned();
    let needed = size_of::<Header>();
    let Some(fixed) = bytes.first_chunk::<{ size_of::<Header>() }>() else {
        return Err(LoadError::TooSmall {
            path,
            what: "descriptor",
            found: bytes.len(),
            needed,
        });
    };
    let magic: [u8; 8] = std::array::from_fn(|i| fixed[i]);
    if magic != MAGIC {
        return Err(LoadError::WrongMagic { path, found: magic });
    }
    let number = |at: usize| u32::from_ne_bytes(std::array::from_fn(|i| fixed[at + i]));
    let found = AbiVersion {
        major: number(8),
        minor: number(12),
    };
    let supported = AbiVersion::OURS;
    if found.major > supported.major {
        return Err(LoadError::NewerAbi {
            path,
            found,
            supported,
        });
    }
    if found.major < supported.major {
        return Err(LoadError::OlderAbi {
            path,
            found,
            supported,
        });
    }
    let (size, len) = (number(16) as usize, number(20) as usize);
    if size < needed {
        return Err(LoadError::TooSmall {
            path,
            what: "descriptor",
            found: size,
            needed,
        });
    }
    Ok((found, size, len))
}

/// Reads a manifest and checks what the host goes by.
pub(super) fn manifest_of(path: &Path, bytes: &[u8]) -> Result<PluginManifest, LoadError> {
    let manifest: PluginManifest =
        serde_json::from_slice(bytes).map_err(|e| bad_manifest(path, e.to_string()))?;
    if manifest.name.is_empty() {
        return Err(bad_manifest(path, "the plugin has no name"));
    }
    for (i, component) in manifest.components.iter().enumerate() {
        let (kind, name) = (component.kind, &component.name);
        if manifest.components[..i]
            .iter()
            .any(|c| c.kind == kind && c.name == *name)
        {
            return Err(bad_manifest(
                path,
                format!("two {kind}s are named `{name}`"),
            ));
        }
    }
    Ok(manifest)
}

fn bad_manifest(path: &Path, reason: impl Into<String>) -> LoadError {
    LoadError::BadManifest {
        path: path.to_owned(),
        reason: reason.into(),
    }
}
