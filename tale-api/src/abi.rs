//! The C types of the plugin boundary, version 1.
//!
//! `docs/abi.md` states the protocol in words and `include/tale_plugin.h` declares the same types in
//! C; tests hold the layouts equal. Three ideas keep it small:
//!
//! * **Symmetric.** Host and plugin give each other one table of functions, a [`RawPeer`]. Whatever
//!   one side can do to the other, the other can do back: that is how an estimator asks the host's
//!   model.
//! * **Handles, no pointers.** Objects and calls are named by 64-bit numbers that are never used
//!   twice, so a late, wrong or repeated number finds nothing and is ignored.
//! * **Borrowed bytes.** All data are UTF-8 JSON, valid only while the function that was handed them
//!   runs. Neither side ever frees what the other allocated.

use std::{ffi::c_void, slice};

/// The C header `tale_plugin.h` that declares these types, for plugins in other languages.
pub const HEADER: &str = include_str!("../include/tale_plugin.h");
/// The first eight bytes of a descriptor.
pub const MAGIC: [u8; 8] = *b"TALEPLUG";
/// A plugin with another major version is refused.
pub const ABI_MAJOR: u32 = 1;
/// Grows when something optional is added; `docs/abi.md` says what came with which.
pub const ABI_MINOR: u32 = 1;
/// The one symbol a plugin exports.
pub const SYMBOL: &str = "tale_plugin";
/// The object that exists without having been created.
pub const ROOT: u64 = 0;
/// [`RawPeer::finish`]: the reply follows.
pub const STATUS_REPLY: u32 = 0;
/// [`RawPeer::finish`]: an [`Error`](crate::Error) follows.
pub const STATUS_ERROR: u32 = 1;
/// [`RawPeer::event`]: go on.
pub const EVENT_GO_ON: i32 = 0;
/// [`RawPeer::event`]: nobody listens any more; further events of this call are wasted.
pub const EVENT_UNWANTED: i32 = 1;

/// Bytes lent for the duration of one function call.
///
/// `ptr` may be null only if `len` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// The first byte; owned by the caller.
    pub ptr: *const u8,
    /// How many there are.
    pub len: usize,
}

/// Why [`Bytes`] could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBytes {
    /// A null pointer with a length.
    #[error("a null pointer with a length of {len}")]
    Null {
        /// The length claimed.
        len: usize,
    },
    /// More than the receiver takes.
    #[error("{len} bytes where at most {limit} are taken")]
    TooLong {
        /// The length claimed.
        len: usize,
        /// The most that is taken.
        limit: usize,
    },
}

impl Bytes {
    /// Lends `bytes`.
    #[must_use]
    pub const fn lend(bytes: &[u8]) -> Self {
        Self {
            ptr: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    /// The bytes, if they can be what they claim to be.
    ///
    /// # Errors
    /// [`BadBytes`] for a null pointer with a length, and for more than `limit` bytes.
    ///
    /// # Safety
    /// A `ptr` that is not null must be readable for `len` bytes, which nobody changes during `'a`.
    pub unsafe fn read<'a>(self, limit: usize) -> Result<&'a [u8], BadBytes> {
        if self.len == 0 {
            return Ok(&[]);
        }
        if self.ptr.is_null() {
            return Err(BadBytes::Null { len: self.len });
        }
        // `isize::MAX` is what a slice may hold at most, whatever the limit.
        let limit = limit.min(isize::MAX.unsigned_abs());
        if self.len > limit {
            return Err(BadBytes::TooLong {
                len: self.len,
                limit,
            });
        }
        // SAFETY: not null and within a slice's bounds (checked above); readable and unchanged by
        // this function's own contract, which the caller upholds.
        Ok(unsafe { slice::from_raw_parts(self.ptr, self.len) })
    }
}

/// What one side can do to the other. Each side owns its table and keeps it for the life of the
/// process; every function may be called from any thread, also from within another one, and gets
/// `ctx` as its first argument.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RawPeer {
    /// Size of this struct as its owner knows it. Fields are added at the end only.
    pub struct_size: usize,
    /// Handed back in every call; opaque to the other side.
    pub ctx: *mut c_void,
    /// Starts call number `call` (the caller's choice, never used twice) of `method` on `object`.
    /// Returns soon. `finish` may come before it returns.
    pub call: Option<unsafe extern "C" fn(*mut c_void, u64, u64, Bytes, Bytes)>,
    /// The caller gave up `call`. What it held is freed; a `finish` may still come and is ignored.
    pub cancel: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    /// An event of a call that the owner of this table had made. Answers [`EVENT_GO_ON`] or
    /// [`EVENT_UNWANTED`].
    pub event: Option<unsafe extern "C" fn(*mut c_void, u64, Bytes) -> i32>,
    /// The end of a call that the owner of this table had made: [`STATUS_REPLY`] or
    /// [`STATUS_ERROR`] with its JSON. Once per call; anything after it is ignored.
    pub finish: Option<unsafe extern "C" fn(*mut c_void, u64, u32, Bytes)>,
    /// The other side will not use `object` again.
    pub release: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    /// A log record: level (1 error to 5 trace), target, and a JSON object with `message` and
    /// further fields.
    pub log: Option<unsafe extern "C" fn(*mut c_void, u32, Bytes, Bytes)>,
}

// SAFETY: the table is a constant after construction, and the protocol demands of its owner that
// every function can be called from any thread.
unsafe impl Send for RawPeer {}
// SAFETY: as above.
unsafe impl Sync for RawPeer {}

/// How a plugin is started: it gets the host's table and a JSON object about the host, and gives its
/// own table, or null if it cannot work.
pub type Start = unsafe extern "C" fn(host: *const RawPeer, host_info: Bytes) -> *const RawPeer;

/// The fixed part of a descriptor, which the manifest follows at offset `struct_size`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// Version of the protocol the plugin speaks.
    pub abi_major: u32,
    /// Its minor version.
    pub abi_minor: u32,
    /// Bytes before the manifest: the size of this struct as the plugin knows it.
    pub struct_size: u32,
    /// Bytes of the manifest.
    pub manifest_len: u32,
    /// The way in.
    pub start: Option<Start>,
}

/// What the symbol [`SYMBOL`] names: a [`Header`] with the manifest right behind it.
///
/// The manifest is inline so that it needs no relocation: a host reads it out of the file and runs
/// none of the plugin's code.
#[repr(C)]
#[derive(Debug)]
pub struct Descriptor<const LEN: usize> {
    /// The fixed part.
    pub header: Header,
    /// [`PluginManifest`](crate::PluginManifest) as JSON.
    pub manifest: [u8; LEN],
}

impl<const LEN: usize> Descriptor<LEN> {
    /// A descriptor of this version of the protocol.
    ///
    /// # Panics
    /// If the manifest is longer than 16 MiB.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both are checked to be small"
    )]
    pub const fn new(manifest: [u8; LEN], start: Start) -> Self {
        assert!(
            LEN < 1 << 24,
            "a plugin's manifest has to stay below 16 MiB"
        );
        let header = Header {
            magic: MAGIC,
            abi_major: ABI_MAJOR,
            abi_minor: ABI_MINOR,
            struct_size: size_of::<Header>() as u32,
            manifest_len: LEN as u32,
            start: Some(start),
        };
        Self { header, manifest }
    }
}

/// The layouts that `include/tale_plugin.h` asserts from its side.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Bytes>() == 16 && offset_of!(Bytes, len) == 8);
    assert!(size_of::<RawPeer>() == 64);
    assert!(offset_of!(RawPeer, ctx) == 8 && offset_of!(RawPeer, call) == 16);
    assert!(offset_of!(RawPeer, cancel) == 24 && offset_of!(RawPeer, event) == 32);
    assert!(offset_of!(RawPeer, finish) == 40 && offset_of!(RawPeer, release) == 48);
    assert!(offset_of!(RawPeer, log) == 56);
    assert!(size_of::<Header>() == 32 && offset_of!(Header, abi_major) == 8);
    assert!(offset_of!(Header, abi_minor) == 12 && offset_of!(Header, struct_size) == 16);
    assert!(offset_of!(Header, manifest_len) == 20 && offset_of!(Header, start) == 24);
    assert!(offset_of!(Descriptor<1>, manifest) == 32);
};
