//! Why a plugin cannot be loaded.

use std::{io, path::PathBuf, time::Duration};

use super::AbiVersion;

/// Why a file cannot be used as a plugin.
///
/// The message says what is wrong; [`LoadError::path`] where; [`LoadError::hint`] how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such file, or it cannot be read.
    #[error("cannot read the plugin `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder, a device, a pipe.
    #[error("`{}` is not a regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Not a shared library of a known form: a text, an archive, a file cut short.
    #[error("`{}` is not a shared library", path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// What its reader says.
        reason: String,
    },
    /// A shared library that is no plugin.
    #[error("`{}` is a library, but no plugin: it has no symbol `tale_plugin`", path.display())]
    NoSymbol {
        /// The file.
        path: PathBuf,
    },
    /// The symbol is something else.
    #[error("`tale_plugin` in `{}` is not a plugin's descriptor", path.display())]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: [u8; 8],
    },
    /// Built for a later protocol.
    #[error("`{}` is built for plugin ABI {found}, this program speaks {supported}", path.display())]
    NewerAbi {
        /// The file.
        path: PathBuf,
        /// The plugin's version.
        found: AbiVersion,
        /// Ours.
        supported: AbiVersion,
    },
    /// Built for an earlier protocol that is no longer spoken.
    #[error("`{}` is built for plugin ABI {found}, this program speaks {supported}", path.display())]
    OlderAbi {
        /// The file.
        path: PathBuf,
        /// The plugin's version.
        found: AbiVersion,
        /// Ours.
        supported: AbiVersion,
    },
    /// A struct of the plugin is smaller than its ABI version demands.
    #[error("the {what} of `{}` has {found} bytes where {needed} are needed", path.display())]
    TooSmall {
        /// The file.
        path: PathBuf,
        /// Which struct.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The least it must be.
        needed: usize,
    },
    /// The manifest in the descriptor cannot be read.
    #[error("the descriptor of `{}` holds no readable manifest: {reason}", path.display())]
    BadManifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another file than the one that was pinned.
    #[error("`{}` is not the file that is pinned: its SHA-256 is {found}, not {expected}", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// What the pin says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A pinned plugin that finds further libraries beside itself.
    #[error("`{}` is pinned, but looks for libraries beside itself (`$ORIGIN`)", path.display())]
    PinnedOrigin {
        /// The file.
        path: PathBuf,
    },
    /// Others could replace the file.
    #[error("others can write to `{}`, and so change the plugin `{}`", writable.display(), path.display())]
    WritableByOthers {
        /// The plugin.
        path: PathBuf,
        /// The file or folder that is open to others.
        writable: PathBuf,
    },
    /// The file was replaced or written to while it was loaded.
    #[error("`{}` changed while it was loaded", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The system's loader refused it.
    #[error("the system cannot load `{}`: {reason}", path.display())]
    Link {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// The plugin was started and gave no table.
    #[error("the plugin `{}` failed to start: {reason}", path.display())]
    StartFailed {
        /// The file.
        path: PathBuf,
        /// What is known of it.
        reason: String,
    },
    /// The plugin's start does not end.
    #[error("the plugin `{}` did not start within {} s", path.display(), after.as_secs_f64())]
    StartTimeout {
        /// The file.
        path: PathBuf,
        /// How long was waited.
        after: Duration,
    },
    /// The process that was to hold an isolated plugin does not.
    #[error("the plugin `{}` cannot be started in a process of its own: {reason}", path.display())]
    Isolation {
        /// The plugin.
        path: PathBuf,
        /// What the process said, or how it ended.
        reason: String,
    },
}

impl LoadError {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Open { path, .. }
            | Self::NotAFile { path }
            | Self::NotALibrary { path, .. }
            | Self::NoSymbol { path }
            | Self::WrongMagic { path, .. }
            | Self::NewerAbi { path, .. }
            | Self::OlderAbi { path, .. }
            | Self::TooSmall { path, .. }
            | Self::BadManifest { path, .. }
            | Self::Digest { path, .. }
            | Self::PinnedOrigin { path }
            | Self::WritableByOthers { path, .. }
            | Self::Changed { path }
            | Self::Link { path, .. }
            | Self::StartFailed { path, .. }
            | Self::StartTimeout { path, .. }
            | Self::Isolation { path, .. } => path,
        }
    }

    /// How to mend it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Open { .. } => "check the path, and that you may read it".to_owned(),
            Self::NotAFile { .. } | Self::NotALibrary { .. } => {
                "a plugin is a shared library, such as cargo builds of a crate of type `cdylib`"
                    .to_owned()
            }
            Self::NoSymbol { .. } => {
                "a plugin in Rust exports the symbol by `tale_api::export_plugin!`".to_owned()
            }
            Self::WrongMagic { .. } | Self::TooSmall { .. } | Self::BadManifest { .. } => {
                "rebuild the plugin; `tale_plugin.h` and `docs/abi.md` say what it must export"
                    .to_owned()
            }
            Self::NewerAbi { supported, .. } => format!(
                "update this program, or rebuild the plugin for ABI {}.x; \
                 `tale plugin inspect FILE` shows both versions",
                supported.major
            ),
            Self::OlderAbi { supported, .. } => {
                format!(
                    "rebuild the plugin against a tale-api of plugin ABI {}.x",
                    supported.major
                )
            }
            Self::Digest { .. } => {
                "if you trust the new file, put its SHA-256 into the manifest".to_owned()
            }
            Self::PinnedOrigin { .. } => {
                "link its libraries by absolute path, or leave out `sha256`".to_owned()
            }
            Self::WritableByOthers { writable, .. } => format!(
                "run `chmod o-w {}`, or allow this plugin by name",
                writable.display()
            ),
            Self::Changed { .. } => "try again when nothing writes to it any more".to_owned(),
            Self::Link { .. } => {
                "it may be built for another system, or a library it needs is missing; `ldd FILE` \
                 lists them"
                    .to_owned()
            }
            Self::StartFailed { .. } | Self::StartTimeout { .. } | Self::Isolation { .. } => {
                "its own log may say more".to_owned()
            }
        }
    }
}
