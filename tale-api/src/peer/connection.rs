//! One side's end of a connection: its tables, and the C functions that the peer calls.

use std::{
    ffi::c_void,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::AbortHandle;
use serde::{Deserialize, Serialize};
use tokio::{runtime::Handle, sync::Semaphore};

use super::{
    caught,
    functions::{Functions, TableFault},
    incoming,
    outgoing::{MAX_THREADS, Slot},
    secrets::Secrets,
    serve::Object,
    shards::Shards,
};
use crate::{
    abi::{Bytes, EVENT_GO_ON, EVENT_UNWANTED, ROOT, RawPeer},
    messages::{Error, ErrorKind},
};

/// How much the peer may send at once, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) message: usize,
    pub(crate) event: usize,
    pub(crate) log: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 256 << 20,
            event: 1 << 20,
            log: 64 << 10,
        }
    }
}

/// Takes the peer's log records: level, target, JSON fields.
pub(crate) type LogSink = Box<dyn Fn(u32, &str, &[u8]) + Send + Sync>;

/// Which end this is.
pub(crate) enum Side {
    /// The host's end; the peer is a plugin.
    #[cfg_attr(
        not(feature = "host"),
        expect(dead_code, reason = "built by the host only")
    )]
    Host { log: LogSink, secrets: Arc<Secrets> },
    /// The plugin's end; the peer is the host.
    #[cfg_attr(
        not(feature = "export"),
        expect(dead_code, reason = "built by plugins only")
    )]
    Plugin,
}

/// How many things a side holds for its peer at the moment, and what it ignored so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    not(feature = "host"),
    expect(unreachable_pub, reason = "public in `host`")
)]
pub struct PeerCounts {
    /// Objects the peer may call.
    #[serde(default)]
    pub objects: usize,
    /// Calls made and not answered yet.
    #[serde(default)]
    pub outgoing: usize,
    /// Calls of the peer under way.
    #[serde(default)]
    pub incoming: usize,
    /// Answers and events for calls that had ended or never existed. A few are normal after
    /// cancelled calls; many are a fault of the peer.
    #[serde(default)]
    pub ignored: u64,
}

/// An object with the runtime that works for it.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) object: Arc<dyn Object>,
    pub(crate) runtime: Handle,
}

/// This side's end of a connection. Lives as long as the process, because the peer keeps its address.
pub(crate) struct Connection {
    /// The plugin's name, whichever end this is.
    pub(crate) plugin: String,
    pub(crate) side: Side,
    pub(crate) limits: Limits,
    pub(crate) objects: Shards<Served>,
    pub(crate) outgoing: Shards<Arc<Slot>>,
    pub(crate) incoming: Shards<AbortHandle>,
    ours: OnceLock<RawPeer>,
    theirs: OnceLock<Functions>,
    next_object: AtomicU64,
    next_call: AtomicU64,
    ignored: AtomicU64,
    /// Turns for threads that wait for the peer's `call` to return (see [`super::outgoing`]).
    pub(crate) threads: Semaphore,
}

/// Every end of this copy of the crate. Nothing is looked up here: it keeps the leaked ends reachable,
/// so that a leak checker tells them from real leaks.
static ENDS: Mutex<Vec<&'static Connection>> = Mutex::new(Vec::new());

impl Connection {
    /// An end without a peer yet.
    pub(crate) fn open(plugin: String, side: Side) -> &'static Self {
        let connection: &'static Self = Box::leak(Box::new(Self {
            plugin,
            side,
            limits: Limits::default(),
            objects: Shards::new(),
            outgoing: Shards::new(),
            incoming: Shards::new(),
            ours: OnceLock::new(),
            theirs: OnceLock::new(),
            next_object: AtomicU64::new(ROOT + 1),
            next_call: AtomicU64::new(1),
            ignored: AtomicU64::new(0),
            threads: Semaphore::new(MAX_THREADS),
        }));
        ENDS.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        connection
    }

    /// The table to hand to the peer.
    pub(crate) fn table(&'static self) -> &'static RawPeer {
        self.ours.get_or_init(|| RawPeer {
            struct_size: size_of::<RawPeer>(),
            ctx: std::ptr::from_ref(self).cast_mut().cast(),
            call: Some(on_call),
            cancel: Some(on_cancel),
            event: Some(on_event),
            finish: Some(on_finish),
            release: Some(on_release),
            log: Some(on_log),
        })
    }

    /// Takes over the peer's table; says what is wrong with it otherwise.
    ///
    /// # Safety
    /// As [`Functions::read`].
    pub(crate) unsafe fn join(&self, table: *const RawPeer) -> Result<(), TableFault> {
        // SAFETY: this function's own contract.
        let functions = unsafe { Functions::read(table) }?;
        // A second table for the same end cannot happen: `open` makes a new end each time.
        let _ = self.theirs.set(functions);
        Ok(())
    }

    pub(crate) fn counts(&self) -> PeerCounts {
        PeerCounts {
            objects: self.objects.len(),
            outgoing: self.outgoing.len(),
            incoming: self.incoming.len(),
            ignored: self.ignored.load(Ordering::Relaxed),
        }
    }

    /// Offers `object` to the peer; its calls run on `runtime`.
    pub(crate) fn offer(&self, object: Arc<dyn Object>, runtime: Handle) -> u64 {
        let id = self.next_object.fetch_add(1, Ordering::Relaxed);
        self.objects.insert(id, Served { object, runtime });
        id
    }

    /// Offers the object that everything starts from.
    #[cfg(feature = "export")]
    pub(crate) fn offer_root(&self, object: Arc<dyn Object>, runtime: Handle) {
        self.objects.insert(ROOT, Served { object, runtime });
    }

    pub(crate) fn next_call(&self) -> u64 {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    fn ignore(&self, what: &'static str, call: u64) {
        self.ignored.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(plugin = %self.plugin, call, "ignored {what} of a call that is not under way");
    }

    /// An error of this connection's protocol.
    pub(crate) fn protocol_error(&self, method: &str, fault: impl std::fmt::Display) -> Error {
        let who = match self.side {
            Side::Host { .. } => format!("plugin `{}`", self.plugin),
            Side::Plugin => "the host".to_owned(),
        };
        let mut error = Error::new(
            ErrorKind::Protocol,
            format!("{who} broke the protocol in `{method}`: {fault}"),
        )
        .operation(method)
        .context("plugin", &self.plugin);
        // What cannot be read is quoted in parts.
        if let Side::Host { secrets, .. } = &self.side {
            secrets.hide_in(&mut error);
        }
        error
    }
}

/// Calls to the peer. Before [`Connection::join`] they do nothing: nobody is there to hear.
impl Connection {
    pub(crate) fn send_call(&self, object: u64, call: u64, method: &str, request: &[u8]) {
        if let Some(f) = self.theirs.get() {
            f.call(object, call, method.as_bytes(), request);
        }
    }

    pub(crate) fn send_cancel(&self, call: u64) {
        if let Some(f) = self.theirs.get() {
            f.cancel(call);
        }
    }

    /// Whether the peer wants more events of this call.
    pub(crate) fn send_event(&self, call: u64, event: &[u8]) -> bool {
        self.theirs.get().is_some_and(|f| f.event(call, event))
    }

    pub(crate) fn send_finish(&self, call: u64, status: u32, reply: &[u8]) {
        if let Some(f) = self.theirs.get() {
            f.finish(call, status, reply);
        }
    }

    pub(crate) fn send_release(&self, object: u64) {
        if let Some(f) = self.theirs.get() {
            f.release(object);
        }
    }

    #[cfg(feature = "export")]
    pub(crate) fn send_log(&self, level: u32, target: &str, fields: &[u8]) {
        if let Some(f) = self.theirs.get() {
            f.log(level, target.as_bytes(), fields);
        }
    }
}

/// Runs what the peer asked for; a panic of ours must not unwind into its frames.
fn guarded(ctx: *mut c_void, f: impl FnOnce(&'static Connection)) {
    // SAFETY: `ctx` is what `table` gave out: null if the peer lost it, or one of our ends, which
    // are leaked and so live for ever.
    let Some(connection) = (unsafe { ctx.cast::<Connection>().cast_const().as_ref() }) else {
        return;
    };
    if let Err(text) = caught(|| f(connection)) {
        // Nor may the log, should its subscriber panic.
        let _ = caught(
            || tracing::error!(plugin = %connection.plugin, "panic at the boundary: {text}"),
        );
    }
}

unsafe extern "C" fn on_call(
    ctx: *mut c_void,
    object: u64,
    call: u64,
    method: Bytes,
    request: Bytes,
) {
    guarded(ctx, |c| {
        // SAFETY: the protocol lets us read both while this function runs, and no longer is done.
        let (method, request) = unsafe {
            (
                method.read(c.limits.message),
                request.read(c.limits.message),
            )
        };
        incoming::serve(c, object, call, method, request);
    });
}

unsafe extern "C" fn on_cancel(ctx: *mut c_void, call: u64) {
    guarded(ctx, |c| {
        if let Some(task) = c.incoming.remove(call) {
            task.abort();
        }
    });
}

unsafe extern "C" fn on_event(ctx: *mut c_void, call: u64, event: Bytes) -> i32 {
    let mut answer = EVENT_UNWANTED;
    guarded(ctx, |c| {
        let Some(slot) = c.outgoing.get(call) else {
            c.ignore("an event", call);
            return;
        };
        // SAFETY: the protocol lets us read the event while this function runs.
        match slot.take_event(c, unsafe { event.read(c.limits.event) }) {
            Ok(true) => answer = EVENT_GO_ON,
            Ok(false) => {}
            Err(fault) => {
                // A broken event spoils the call: its listener would miss a part unawares.
                if let Some(slot) = c.outgoing.remove(call) {
                    slot.end(Err(fault));
                    c.send_cancel(call);
                }
            }
        }
    });
    answer
}

unsafe extern "C" fn on_finish(ctx: *mut c_void, call: u64, status: u32, reply: Bytes) {
    guarded(ctx, |c| {
        let Some(slot) = c.outgoing.remove(call) else {
            c.ignore("an answer", call);
            return;
        };
        // SAFETY: the protocol lets us read the reply while this function runs.
        let reply = unsafe { reply.read(c.limits.message) };
        slot.take_finish(c, status, reply);
    });
}

unsafe extern "C" fn on_release(ctx: *mut c_void, object: u64) {
    guarded(ctx, |c| {
        if object == ROOT {
            return;
        }
        if let Some(served) = c.objects.remove(object) {
            // A destructor may want to spawn.
            let _runtime = served.runtime.enter();
            drop(served.object);
        }
    });
}

unsafe extern "C" fn on_log(ctx: *mut c_void, level: u32, target: Bytes, fields: Bytes) {
    guarded(ctx, |c| {
        let Side::Host { log, .. } = &c.side else {
            return;
        };
        // SAFETY: the protocol lets us read both while this function runs.
        let (Ok(target), Ok(fields)) =
            (unsafe { (target.read(c.limits.log), fields.read(c.limits.log)) })
        else {
            return;
        };
        log(level, &String::from_utf8_lossy(target), fields);
    });
}
