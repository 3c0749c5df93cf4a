//! The table that the plugin is handed: each function becomes a frame.

use std::ffi::c_void;

use super::relay::Relay;
use crate::{
    abi::{Bytes, EVENT_GO_ON, EVENT_UNWANTED, RawPeer, STATUS_ERROR},
    host::isolation::frame::{self, Frame},
    messages::{Error, ErrorKind},
    peer::{Limits, caught},
};

/// What the plugin can do to the host: each becomes a frame.
pub(super) static TABLE: RawPeer = RawPeer {
    struct_size: size_of::<RawPeer>(),
    ctx: std::ptr::null_mut(),
    call: Some(on_call),
    cancel: Some(on_cancel),
    event: Some(on_event),
    finish: Some(on_finish),
    release: Some(on_release),
    log: Some(on_log),
};

/// How much of each the host takes.
fn limits() -> Limits {
    Limits::default()
}

/// Runs what the plugin asked for; a panic of ours must not unwind into its frames.
fn guarded(f: impl FnOnce(&'static Relay)) {
    if let Some(relay) = Relay::get() {
        let _ = caught(|| f(relay));
    }
}

unsafe extern "C" fn on_call(
    _ctx: *mut c_void,
    object: u64,
    call: u64,
    method: Bytes,
    request: Bytes,
) {
    guarded(|relay| {
        let most = limits().message;
        // SAFETY: the protocol lets us read both while this function runs.
        let (method, request) = unsafe { (method.read(most), request.read(most)) };
        match (method, request) {
            (Ok(method), Ok(request)) => relay.send(&Frame::Call {
                object,
                call,
                method,
                request,
            }),
            (Err(fault), _) | (_, Err(fault)) => {
                let message = format!("a call of {fault}");
                let error = Error::new(ErrorKind::Protocol, message);
                let error = serde_json::to_vec(&error).unwrap_or_default();
                relay.plugin().finish(call, STATUS_ERROR, &error);
            }
        }
    });
}

unsafe extern "C" fn on_cancel(_ctx: *mut c_void, call: u64) {
    guarded(|relay| relay.send(&Frame::Cancel { call }));
}

unsafe extern "C" fn on_event(_ctx: *mut c_void, call: u64, event: Bytes) -> i32 {
    let mut answer = EVENT_UNWANTED;
    guarded(|relay| {
        if !relay.is_wanted(call) {
            return;
        }
        // SAFETY: the protocol lets us read the event while this function runs.
        match unsafe { event.read(limits().event) } {
            Ok(event) => {
                relay.send(&Frame::Event { call, event });
                answer = EVENT_GO_ON;
            }
            Err(bytes) => {
                let what = frame::fault("an event", bytes);
                relay.send(&Frame::Fault {
                    call,
                    what: what.as_bytes(),
                });
            }
        }
    });
    answer
}

unsafe extern "C" fn on_finish(_ctx: *mut c_void, call: u64, status: u32, reply: Bytes) {
    guarded(|relay| {
        relay.finished(call);
        // SAFETY: the protocol lets us read the reply while this function runs.
        match unsafe { reply.read(limits().message) } {
            Ok(reply) => relay.send(&Frame::Finish {
                call,
                status,
                reply,
            }),
            Err(bytes) => {
                let what = frame::fault("a reply", bytes);
                relay.send(&Frame::Fault {
                    call,
                    what: what.as_bytes(),
                });
            }
        }
    });
}

unsafe extern "C" fn on_release(_ctx: *mut c_void, object: u64) {
    guarded(|relay| relay.send(&Frame::Release { object }));
}

unsafe extern "C" fn on_log(_ctx: *mut c_void, level: u32, target: Bytes, fields: Bytes) {
    guarded(|relay| {
        let most = limits().log;
        // SAFETY: the protocol lets us read both while this function runs.
        if let (Ok(target), Ok(fields)) = unsafe { (target.read(most), fields.read(most)) } {
            relay.send(&Frame::Log {
                level,
                target,
                fields,
            });
        }
    });
}
