//! Loads a library and starts the plugin in it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::{Deadlines, Inspected, LoadError, inspect, log};
use crate::{
    abi::{ABI_MAJOR, ABI_MINOR, Bytes, Header, SYMBOL, Start},
    peer::{Connection, HostInfo, Secrets, Side, caught},
};

/// What is asked of a plugin's file before it is loaded, and how long the plugin may take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadPolicy {
    /// The SHA-256 that the file must have, in hexadecimal.
    ///
    /// A pinned plugin is loaded from a private copy of exactly the bytes that were hashed (on
    /// Linux, in sealed memory), so nothing can be put in its place between check and load. That copy
    /// lies in no folder, so a pinned plugin must not look for libraries beside itself (`$ORIGIN`).
    pub sha256: Option<String>,
    /// Load the file even if others than its owner and group can write to it or its folder.
    pub allow_writable_by_others: bool,
    /// How long loading and starting may take. Default: 30 seconds.
    pub start_within: Duration,
    /// How long its calls may take.
    pub deadlines: Deadlines,
}

impl Default for LoadPolicy {
    fn default() -> Self {
        Self {
            sha256: None,
            allow_writable_by_others: false,
            start_within: Duration::from_secs(30),
            deadlines: Deadlines::default(),
        }
    }
}

/// Loads and starts the plugin in the file `path`.
pub(super) fn load(
    path: &Path,
    policy: &LoadPolicy,
) -> Result<(&'static Connection, Inspected), LoadError> {
    load_with(path, policy, |path, name, function| {
        // SAFETY: `load_with` gives the function of a descriptor that it has checked, in a library
        // that is never closed.
        unsafe { start(path, name, function) }
    })
}

/// Opens the file `path`, unless others could write to it and `policy` minds; with its whole path.
fn open_by(path: &Path, policy: &LoadPolicy) -> Result<(PathBuf, File), LoadError> {
    let path = path.canonicalize().map_err(|source| LoadError::Open {
        path: path.to_owned(),
        source,
    })?;
    let file = inspect::open(&path)?;
    if !policy.allow_writable_by_others {
        refuse_if_writable_by_others(&path)?;
    }
    Ok((path, file))
}

/// Checks what can be checked of the file `path` by `policy` without running any of it.
pub(super) fn examine(path: &Path, policy: &LoadPolicy) -> Result<Inspected, LoadError> {
    let (path, mut file) = open_by(path, policy)?;
    let inspected = inspect::read(&path, &mut file)?.inspected;
    refuse_another_digest(&path, policy, &inspected)?;
    Ok(inspected)
}

/// Checks and loads the file `path`, and lets `begin` call its start, in a thread of its own.
pub(super) fn load_with<T: Send + 'static>(
    path: &Path,
    policy: &LoadPolicy,
    begin: impl FnOnce(&Path, &str, Start) -> Result<T, LoadError> + Send + 'static,
) -> Result<(T, Inspected), LoadError> {
    let (path, mut file) = open_by(path, policy)?;
    let before = Stamp::of(&path, &file)?;
    let read = inspect::read(&path, &mut file)?;
    let inspected = read.inspected;
    refuse_another_digest(&path, policy, &inspected)?;
    let source = match policy.sha256 {
        Some(_) => Source::private_copy(&path, &read.content)?,
        None => Source::File,
    };
    drop(read.content);
    let is_file = matches!(source, Source::File);
    let started = start_in_thread(path.clone(), source, &inspected, policy.start_within, begin)?;
    if is_file && Stamp::of(&path, &open_again(&path)?)? != before {
        return Err(LoadError::Changed { path });
    }
    Ok((started, inspected))
}

fn refuse_another_digest(
    path: &Path,
    policy: &LoadPolicy,
    inspected: &Inspected,
) -> Result<(), LoadError> {
    match &policy.sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(&inspected.sha256) => {
            Err(LoadError::Digest {
                path: path.to_owned(),
                expected: expected.clone(),
                found: inspected.sha256.clone(),
            })
        }
        _ => Ok(()),
    }
}

fn open_again(path: &Path) -> Result<File, LoadError> {
    File::open(path).map_err(|source| LoadError::Open {
        path: path.to_owned(),
        source,
    })
}

/// What the system's loader is given.
enum Source {
    /// The file itself.
    File,
    /// A copy in memory that nobody can write to.
    #[cfg(target_os = "linux")]
    Memory(std::os::fd::OwnedFd),
}

impl Source {
    #[cfg(target_os = "linux")]
    fn private_copy(path: &Path, content: &[u8]) -> Result<Self, LoadError> {
        use std::io::Write;

        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        if names_origin(content) {
            return Err(LoadError::PinnedOrigin {
                path: path.to_owned(),
            });
        }
        let fail = |source: std::io::Error| LoadError::Open {
            path: path.to_owned(),
            source,
        };
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = memfd_create(name, flags).map_err(|e| fail(e.into()))?;
        let mut file = File::from(memory);
        file.write_all(content).map_err(fail)?;
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals).map_err(|e| fail(e.into()))?;
        Ok(Self::Memory(file.into()))
    }

    /// Without sealed memory, [`load`] compares the file's stamp instead.
    #[cfg(not(target_os = "linux"))]
    fn private_copy(_path: &Path, _content: &[u8]) -> Result<Self, LoadError> {
        Ok(Self::File)
    }

    fn path(&self, file: &Path) -> PathBuf {
        match self {
            Self::File => file.to_owned(),
            #[cfg(target_os = "linux")]
            Self::Memory(memory) => {
                use std::os::fd::AsRawFd;
                format!("/proc/self/fd/{}", memory.as_raw_fd()).into()
            }
        }
    }
}

/// Whether a library's run path depends on where the library lies.
#[cfg(target_os = "linux")]
fn names_origin(content: &[u8]) -> bool {
    // The run path is a string of the file; that it stands elsewhere too is most unlikely, and then
    // costs no more than the pin.
    content.windows(7).any(|w| w == b"$ORIGIN") || content.windows(9).any(|w| w == b"${ORIGIN}")
}

/// Tells a file that was written to or replaced from the one before.
#[derive(PartialEq, Eq)]
struct Stamp {
    #[cfg(unix)]
    identity: (u64, u64, u64, i64, i64),
    #[cfg(not(unix))]
    identity: (u64, Option<std::time::SystemTime>),
}

impl Stamp {
    fn of(path: &Path, file: &File) -> Result<Self, LoadError> {
        let meta = file.metadata().map_err(|source| LoadError::Open {
            path: path.to_owned(),
            source,
        })?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            (
                meta.dev(),
                meta.ino(),
                meta.size(),
                meta.ctime(),
                meta.ctime_nsec(),
            )
        };
        #[cfg(not(unix))]
        let identity = (meta.len(), meta.modified().ok());
        Ok(Self { identity })
    }
}

/// Refuses a file that somebody other than its owner and group could change or replace.
#[cfg(unix)]
fn refuse_if_writable_by_others(path: &Path) -> Result<(), LoadError> {
    use std::os::unix::fs::MetadataExt;
    const OTHERS_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    for (depth, place) in path.ancestors().enumerate() {
        let meta = place.metadata().map_err(|source| LoadError::Open {
            path: path.to_owned(),
            source,
        })?;
        let is_open = meta.mode() & OTHERS_WRITE != 0;
        // Higher up a sticky folder, such as /tmp, protects what is in it from being renamed. The
        // plugin's own folder must not be open even so: anybody could have put the plugin there.
        let is_protected = depth > 1 && meta.mode() & STICKY != 0;
        if is_open && !is_protected {
            let (path, writable) = (path.to_owned(), place.to_owned());
            return Err(LoadError::WritableByOthers { path, writable });
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_if_writable_by_others(_path: &Path) -> Result<(), LoadError> {
    Ok(())
}

/// Loads and starts in a thread of its own, because a library's initialisers may hang.
fn start_in_thread<T: Send + 'static>(
    path: PathBuf,
    source: Source,
    inspected: &Inspected,
    within: Duration,
    begin: impl FnOnce(&Path, &str, Start) -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let (sender, outcome) = mpsc::sync_channel(1);
    let (name, file) = (inspected.manifest.name.clone(), path.clone());
    let work = move || {
        let outcome = open_library(&file, &source).and_then(|start| begin(&file, &name, start));
        let _ = sender.send(outcome);
    };
    let spawned = thread::Builder::new()
        .name("tale-load".to_owned())
        .spawn(work);
    if let Err(source) = spawned {
        return Err(LoadError::Open { path, source });
    }
    match outcome.recv_timeout(within) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(LoadError::StartTimeout {
            path,
            after: within,
        }),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let reason = "its thread ended in the middle".to_owned();
            Err(LoadError::StartFailed { path, reason })
        }
    }
}

/// Opens the library and finds its checked descriptor's way in.
fn open_library(path: &Path, source: &Source) -> Result<Start, LoadError> {
    let link = |e: &dyn std::error::Error| {
        let reason = e
            .source()
            .map_or_else(|| e.to_string(), ToString::to_string);
        LoadError::Link {
            path: path.to_owned(),
            reason,
        }
    };
    // SAFETY: this runs the library's initialisers. Whoever names a plugin trusts its code as far
    // as this process goes; that cannot be checked.
    let library = unsafe { open_now(&source.path(path)) }.map_err(|e| link(&e))?;
    // Never closed: its threads and tables are in use until the process ends.
    let library = std::mem::ManuallyDrop::new(library);
    // SAFETY: only the symbol's address is taken here; it is read as bytes and checked below.
    let header = unsafe { library.get::<*const Header>(SYMBOL) }.map_err(|e| link(&e))?;
    let header: *const Header = *header;
    if header.is_null() {
        return Err(LoadError::NoSymbol {
            path: path.to_owned(),
        });
    }
    // SAFETY: `inspect` found the symbol in the same file with at least this many bytes in its
    // section, and the loader maps a section whole.
    let bytes = unsafe { std::slice::from_raw_parts(header.cast::<u8>(), size_of::<Header>()) };
    inspect::header(path, bytes)?;
    // SAFETY: as above; a descriptor is aligned by its compiler, but nothing is lost by not relying
    // on it. Any bit pattern is a valid `Option` of a function pointer as far as Rust goes, and
    // that it points to the plugin's `start` is what magic and version promise.
    let header = unsafe { header.cast::<Header>().read_unaligned() };
    header.start.ok_or_else(|| LoadError::StartFailed {
        path: path.to_owned(),
        reason: "its descriptor has no `start`".to_owned(),
    })
}

/// Opens a library with every symbol resolved at once, so that a missing one is an error here and
/// not a crash in the middle of a run.
#[cfg(unix)]
unsafe fn open_now(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: this function's own contract.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
}

#[cfg(not(unix))]
unsafe fn open_now(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: this function's own contract.
    unsafe { libloading::Library::new(path) }
}

/// What plugins are told of this program.
pub(super) fn host_info() -> HostInfo {
    HostInfo {
        host: concat!("tale-api ", env!("CARGO_PKG_VERSION")).to_owned(),
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        log_level: tracing::level_filters::LevelFilter::current().to_string(),
    }
}

/// Calls a plugin's `start` and joins the two tables.
///
/// # Safety
/// `start` is the function of a descriptor with our magic and major version, in a library that is
/// never unloaded.
pub(super) unsafe fn start(
    path: &Path,
    name: &str,
    start: Start,
) -> Result<&'static Connection, LoadError> {
    let secrets = Arc::<Secrets>::default();
    let log = log::sink(name, Arc::clone(&secrets));
    let connection = Connection::open(name.to_owned(), Side::Host { log, secrets });
    let info = host_info();
    let failed = |reason: String| LoadError::StartFailed {
        path: path.to_owned(),
        reason,
    };
    let info = serde_json::to_vec(&info).map_err(|e| failed(e.to_string()))?;
    // SAFETY: the plugin's function by this function's contract; our table lives for ever and
    // `info` during the call.
    let table =
        caught(|| unsafe { start(connection.table(), Bytes::lend(&info)) }).map_err(failed)?;
    // SAFETY: the protocol demands a table that lives as long as the process, or null.
    unsafe { connection.join(table) }.map_err(|fault| failed(format!("it gave {fault}")))?;
    Ok(connection)
}
