//! The functions of a peer's table, all of them there.

use std::ffi::c_void;

use crate::abi::{Bytes, EVENT_UNWANTED, RawPeer};

/// A peer's functions with the `ctx` that they want. Whoever has one can call them: that they may be
/// called is settled once, in [`Functions::read`].
#[derive(Clone, Copy)]
pub(crate) struct Functions {
    ctx: *mut c_void,
    call: unsafe extern "C" fn(*mut c_void, u64, u64, Bytes, Bytes),
    cancel: unsafe extern "C" fn(*mut c_void, u64),
    event: unsafe extern "C" fn(*mut c_void, u64, Bytes) -> i32,
    finish: unsafe extern "C" fn(*mut c_void, u64, u32, Bytes),
    release: unsafe extern "C" fn(*mut c_void, u64),
    log: unsafe extern "C" fn(*mut c_void, u32, Bytes, Bytes),
}

// SAFETY: the protocol demands that a peer's functions with its `ctx` can be called from any thread.
unsafe impl Send for Functions {}
// SAFETY: as above.
unsafe impl Sync for Functions {}

/// What can be wrong with a peer's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TableFault {
    #[error("no table")]
    Null,
    #[error("a table of {found} bytes where {needed} are needed")]
    TooSmall { found: usize, needed: usize },
    #[error("a table with a null function")]
    MissingFunction,
}

impl Functions {
    /// Reads a peer's table; says what is wrong with it otherwise.
    ///
    /// # Safety
    /// `table` is null, or points to a table that lives as long as the process and whose functions
    /// keep the protocol: with its `ctx` each can be called at any time, from any thread, and reads
    /// what it is lent only until it returns.
    pub(crate) unsafe fn read(table: *const RawPeer) -> Result<Self, TableFault> {
        if table.is_null() {
            return Err(TableFault::Null);
        }
        // SAFETY: not null; a table starts with its size in every version (the caller's contract).
        let found = unsafe { std::ptr::addr_of!((*table).struct_size).read() };
        let needed = size_of::<RawPeer>();
        if found < needed {
            return Err(TableFault::TooSmall { found, needed });
        }
        // SAFETY: the table says that it is at least as large as the type read.
        let table = unsafe { table.read() };
        let functions = (|| {
            Some(Self {
                ctx: table.ctx,
                call: table.call?,
                cancel: table.cancel?,
                event: table.event?,
                finish: table.finish?,
                release: table.release?,
                log: table.log?,
            })
        })();
        functions.ok_or(TableFault::MissingFunction)
    }

    pub(crate) fn call(&self, object: u64, call: u64, method: &[u8], request: &[u8]) {
        let (method, request) = (Bytes::lend(method), Bytes::lend(request));
        // SAFETY: the peer's function with its own `ctx` (`read`); both slices outlive the call.
        unsafe { (self.call)(self.ctx, object, call, method, request) }
    }

    pub(crate) fn cancel(&self, call: u64) {
        // SAFETY: the peer's function with its own `ctx`.
        unsafe { (self.cancel)(self.ctx, call) }
    }

    /// Whether the peer wants more events of this call.
    pub(crate) fn event(&self, call: u64, event: &[u8]) -> bool {
        // SAFETY: the peer's function with its own `ctx`; `event` outlives the call.
        unsafe { (self.event)(self.ctx, call, Bytes::lend(event)) != EVENT_UNWANTED }
    }

    pub(crate) fn finish(&self, call: u64, status: u32, reply: &[u8]) {
        // SAFETY: the peer's function with its own `ctx`; `reply` outlives the call.
        unsafe { (self.finish)(self.ctx, call, status, Bytes::lend(reply)) }
    }

    pub(crate) fn release(&self, object: u64) {
        // SAFETY: the peer's function with its own `ctx`.
        unsafe { (self.release)(self.ctx, object) }
    }

    pub(crate) fn log(&self, level: u32, target: &[u8], fields: &[u8]) {
        let (target, fields) = (Bytes::lend(target), Bytes::lend(fields));
        // SAFETY: the peer's function with its own `ctx`; both slices outlive the call.
        unsafe { (self.log)(self.ctx, level, target, fields) }
    }
}
