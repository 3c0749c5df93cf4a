//! The table that a link gives to its connection: each function becomes a frame.

use std::{ffi::c_void, time::Duration};

use super::{
    frame::Frame,
    link::{IS_READER, Link, OWN, OWN_BITS},
};
use crate::{
    abi::{Bytes, EVENT_GO_ON, EVENT_UNWANTED, RawPeer},
    messages::{Error, ErrorKind},
    peer::Limits,
};

/// The functions; `ctx` is to be the link.
pub(super) const TABLE: RawPeer = RawPeer {
    struct_size: size_of::<RawPeer>(),
    ctx: std::ptr::null_mut(),
    call: Some(link_call),
    cancel: Some(link_cancel),
    event: Some(link_event),
    finish: Some(link_finish),
    release: Some(link_release),
    log: Some(link_log),
};

/// The link behind a table's `ctx`.
fn link_of(ctx: *mut c_void) -> Option<&'static Link> {
    // SAFETY: `ctx` is what `Link::open` wrote into the table: a leaked link, which nobody changes.
    unsafe { ctx.cast::<Link>().cast_const().as_ref() }
}

/// Bytes that this process lends to itself.
///
/// # Safety
/// As [`Bytes::read`].
unsafe fn own<'a>(bytes: Bytes) -> &'a [u8] {
    // SAFETY: this function's own contract.
    unsafe { bytes.read(usize::MAX) }.unwrap_or_default()
}

unsafe extern "C" fn link_call(
    ctx: *mut c_void,
    object: u64,
    call: u64,
    method: Bytes,
    request: Bytes,
) {
    let Some(link) = link_of(ctx) else { return };
    // SAFETY: the connection lends both while this function runs.
    let (method, request) = unsafe { (own(method), own(request)) };
    let most = Limits::default().message;
    let refuse = |message: String, kind: ErrorKind| {
        if let Some(slot) = link.connection.outgoing.remove(call) {
            let method = slot.method().as_str();
            let plugin = &link.connection.plugin;
            let error = Error::new(kind, message).operation(method);
            slot.end(Err(error.context("plugin", plugin)));
        }
    };
    if request.len() > most {
        let len = request.len();
        let message = format!("a request of {len} bytes where at most {most} can be sent");
        return refuse(message, ErrorKind::InvalidInput);
    }
    if let Some(running) = link.running(object >> OWN_BITS) {
        running.send(&Frame::Call {
            object: object & OWN,
            call,
            method,
            request,
        });
    } else {
        let plugin = &link.connection.plugin;
        let method = String::from_utf8_lossy(method);
        let message =
            format!("plugin `{plugin}` is gone, and with it what `{method}` was called on");
        refuse(message, ErrorKind::Unavailable);
    }
}

unsafe extern "C" fn link_cancel(ctx: *mut c_void, call: u64) {
    let Some(link) = link_of(ctx) else { return };
    // Calls of this side are numbered through all children; one that was of another finds nothing.
    if let Some(running) = link.any_running() {
        running.send(&Frame::Cancel { call });
    }
}

unsafe extern "C" fn link_event(ctx: *mut c_void, call: u64, event: Bytes) -> i32 {
    let Some(running) = link_of(ctx).and_then(|link| link.running(call >> OWN_BITS)) else {
        return EVENT_UNWANTED;
    };
    if !IS_READER.get() {
        running.queue.wait_for_room(Duration::from_secs(10));
    }
    // SAFETY: the connection lends it while this function runs.
    let event = unsafe { own(event) };
    running.send(&Frame::Event {
        call: call & OWN,
        event,
    });
    EVENT_GO_ON
}

unsafe extern "C" fn link_finish(ctx: *mut c_void, call: u64, status: u32, reply: Bytes) {
    if let Some(running) = link_of(ctx).and_then(|link| link.running(call >> OWN_BITS)) {
        // SAFETY: the connection lends it while this function runs.
        let reply = unsafe { own(reply) };
        running.send(&Frame::Finish {
            call: call & OWN,
            status,
            reply,
        });
    }
}

/// Returns when the plugin's own `release` has: the caller bounds how long it waits.
unsafe extern "C" fn link_release(ctx: *mut c_void, object: u64) {
    let Some(running) = link_of(ctx).and_then(|link| link.running(object >> OWN_BITS)) else {
        return;
    };
    running.release(object & OWN, !IS_READER.get());
}

unsafe extern "C" fn link_log(_ctx: *mut c_void, _level: u32, _target: Bytes, _fields: Bytes) {}
