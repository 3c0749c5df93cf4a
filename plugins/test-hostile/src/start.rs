//! A start that can fail, and the table that [`raw`](crate::raw) answers through.

use std::{
    ptr,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use tale_api::abi::{Bytes, RawPeer};

use crate::raw::Table;

/// The last byte says how the start goes. It is read anew each time, since tests change it in a copy
/// of the file.
static START: [u8; 16] = *b"HOSTILE-START: .";

/// Never freed, since a host may keep the address; and reachable, so that a leak checker tells them
/// from real leaks.
static TABLES: Mutex<Vec<&'static RawPeer>> = Mutex::new(Vec::new());

/// Starts as [`START`] says.
///
/// # Safety
/// As the protocol has it: `host` lives as long as the process, `info` for this call.
pub(crate) unsafe extern "C" fn start(host: *const RawPeer, info: Bytes) -> *const RawPeer {
    let [.., mode] = &START;
    // SAFETY: a reference to a byte of ours is valid to read from.
    let mode = unsafe { ptr::read_volatile(mode) };
    match mode {
        b'n' => return ptr::null(),
        b'h' => thread::sleep(Duration::from_secs(3600)),
        _ => {}
    }
    // SAFETY: `host` and `info` are handed on as they came.
    let sdk = unsafe { crate::__start(host, info) };
    // SAFETY: both tables live as long as the process.
    let table = unsafe { Table::new(host, sdk) };
    let mut ours = table.functions();
    match mode {
        b's' => ours.struct_size = 8,
        b'f' => ours.finish = None,
        _ => {}
    }
    let ours: &'static RawPeer = Box::leak(Box::new(ours));
    TABLES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(ours);
    ours
}
