//! Breaks the protocol itself: a model that answers over the C table by hand.
//!
//! The table given to the host passes everything on to the SDK's, but for the calls of objects that
//! were created as the model `raw`.

use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use serde::Deserialize;
use tale_api::{
    CreateEnv, Error, ErrorKind, Llm, Result,
    abi::{Bytes, ROOT, RawPeer, STATUS_ERROR, STATUS_REPLY},
};

/// Objects from this number on are ours; the SDK counts from 1.
const FIRST: u64 = 1 << 40;
/// An answer that would be right.
const COMPLETION: &[u8] = br#"{"text":"raw","finish_reason":"stop"}"#;

/// What the descriptor needs for `raw` to be listed; its creation never reaches the SDK.
pub(crate) async fn never_created(
    _options: serde_json::Value,
    _env: CreateEnv,
) -> Result<Box<Never>> {
    Err(Error::new(ErrorKind::Internal, "`raw` was not intercepted"))
}

/// A model that does not exist.
pub(crate) enum Never {}

#[tale_api::async_trait]
impl Llm for Box<Never> {
    async fn info(&self) -> Result<tale_api::LlmInfo> {
        match **self {}
    }

    async fn generate(
        &self,
        _request: tale_api::GenerateRequest,
        _events: tale_api::Events<tale_api::GenerateEvent>,
    ) -> Result<tale_api::Completion> {
        match **self {}
    }
}

#[derive(Deserialize)]
struct Create {
    name: String,
    options: Options,
}

#[derive(Deserialize)]
struct Options {
    mode: String,
}

/// Both tables behind ours, and the objects that answer by hand.
pub(crate) struct Table {
    host: &'static RawPeer,
    sdk: &'static RawPeer,
    modes: Mutex<HashMap<u64, String>>,
    next: AtomicU64,
    /// Calls that answer once they are cancelled.
    late: Mutex<Vec<u64>>,
}

impl Table {
    /// # Safety
    /// Both tables are null or live as long as the process.
    pub(crate) unsafe fn new(host: *const RawPeer, sdk: *const RawPeer) -> &'static Self {
        // SAFETY: they live as long as the process, by this function's contract.
        let (host, sdk) = unsafe { (host.as_ref(), sdk.as_ref()) };
        Box::leak(Box::new(Self {
            host: host.expect("the host has a table"),
            sdk: sdk.expect("the SDK starts"),
            modes: Mutex::default(),
            next: AtomicU64::new(FIRST),
            late: Mutex::default(),
        }))
    }

    pub(crate) fn functions(&'static self) -> RawPeer {
        RawPeer {
            ctx: std::ptr::from_ref(self).cast_mut().cast(),
            call: Some(call),
            cancel: Some(cancel),
            event: Some(event),
            finish: Some(finish),
            release: Some(release),
            ..*self.sdk
        }
    }

    fn mode(&self, object: u64) -> Option<String> {
        self.modes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&object)
            .cloned()
    }

    fn finish(&self, call: u64, status: u32, reply: Bytes) {
        let finish = self.host.finish.expect("the host's table is whole");
        // SAFETY: the host's function with its own `ctx`. That `reply` may be a lie is what is
        // tested; the host must refuse each of them before it reads.
        unsafe { finish(self.host.ctx, call, status, reply) }
    }

    fn reply(&self, call: u64, reply: &[u8]) {
        self.finish(call, STATUS_REPLY, Bytes::lend(reply));
    }

    fn event(&self, call: u64, event: Bytes) {
        let send = self.host.event.expect("the host's table is whole");
        // SAFETY: as in `finish`.
        unsafe { send(self.host.ctx, call, event) };
    }

    /// Answers a call of a `raw` object as its mode says.
    fn answer(&'static self, mode: &str, call: u64) {
        let at_nothing = |len| Bytes {
            ptr: std::ptr::null(),
            len,
        };
        let at_something = |len| Bytes {
            ptr: COMPLETION.as_ptr(),
            len,
        };
        match mode {
            "fine" => self.reply(call, COMPLETION),
            "from-a-thread" => {
                thread::spawn(move || self.reply(call, COMPLETION));
            }
            "empty" => self.reply(call, b""),
            "empty-with-a-wild-pointer" => {
                let ptr = std::ptr::without_provenance(1);
                self.finish(call, STATUS_REPLY, Bytes { ptr, len: 0 });
            }
            "not-json" => self.reply(call, b"Segmentation fault"),
            "not-utf8" => self.reply(call, b"{\"text\":\"\xff\xfe\",\"finish_reason\":\"stop\"}"),
            "truncated" => self.reply(call, &COMPLETION[..20]),
            "wrong-shape" => self.reply(call, br#"{"text": 7}"#),
            "deep" => self.reply(call, "[".repeat(1 << 20).as_bytes()),
            "huge" => self.finish(call, STATUS_REPLY, at_something(1 << 30)),
            "endless" => self.finish(call, STATUS_REPLY, at_something(usize::MAX)),
            "null" => self.finish(call, STATUS_REPLY, at_nothing(100)),
            "error-not-json" => self.finish(call, STATUS_ERROR, Bytes::lend(b"oops")),
            "error-null" => self.finish(call, STATUS_ERROR, at_nothing(5)),
            "error-of-a-new-kind" => {
                let error = br#"{"kind":"sunspots","message":"hot","colour":"red"}"#;
                self.finish(call, STATUS_ERROR, Bytes::lend(error));
            }
            "unknown-status" => self.finish(call, 42, Bytes::lend(COMPLETION)),
            "never" => {}
            "late" => self
                .late
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(call),
            "twice" => {
                self.reply(call, COMPLETION);
                self.reply(call, b"again, and no JSON");
                self.finish(call, STATUS_ERROR, at_nothing(9));
            }
            "another-call" => {
                self.reply(call + 1_000_000, COMPLETION);
                self.reply(call, COMPLETION);
            }
            "event-not-json" => self.event_then_reply(call, Bytes::lend(b"{")),
            "event-null" => self.event_then_reply(call, at_nothing(3)),
            "event-huge" => self.event_then_reply(call, at_something(2 << 20)),
            "event-of-a-new-type" => {
                self.event_then_reply(call, Bytes::lend(br#"{"type":"picture","data":"..."}"#));
            }
            "event-after-end" => {
                self.reply(call, COMPLETION);
                self.event(call, Bytes::lend(br#"{"type":"delta","text":"late"}"#));
            }
            "block" => thread::sleep(Duration::from_secs(3600)),
            "slow" => {
                thread::sleep(Duration::from_millis(20));
                self.reply(call, COMPLETION);
            }
            "misuse-the-host" => self.misuse_the_host(call),
            other => unreachable!("a mode that no test should ask for: `{other}`"),
        }
    }

    /// Answers as a plugin does that was built against a later version: with fields, capabilities,
    /// reasons, events and a log record that today's host has never heard of.
    fn answer_of_a_later_version(&self, method: &[u8], call: u64) {
        let host = self.host;
        let log = host.log.expect("the host's table is whole");
        let fields = br#"{"message":"later","spans":[{"name":"s","x":[1]}],"picture":{"w":1}}"#;
        // SAFETY: as in `finish`.
        unsafe { log(host.ctx, 9, Bytes::lend(b"later"), Bytes::lend(fields)) };
        match method {
            b"info" => self.reply(
                call,
                br#"{"model":"later","modalities":["text"],
                    "capabilities":{"seed":true,"telepathy":true,"max_concurrency":3}}"#,
            ),
            b"generate" => {
                for event in [
                    br#"{"type":"picture","data":"..."}"#.as_slice(),
                    br#"{"type":"status","text":"waiting","until":1.5}"#,
                    br#"{"type":"delta","text":"hello","logprob":-0.5}"#,
                ] {
                    self.event(call, Bytes::lend(event));
                }
                self.reply(
                    call,
                    br#"{"text":"hello","finish_reason":"tired","service_tier":"flex","mood":{},
                        "usage":{"input_tokens":3,"output_tokens":7,"picture_tokens":2}}"#,
                );
            }
            _ => {
                let error = br#"{"kind":"unsupported","message":"no such method","since":"9.9"}"#;
                self.finish(call, STATUS_ERROR, Bytes::lend(error));
            }
        }
    }

    fn event_then_reply(&self, call: u64, event: Bytes) {
        self.event(call, event);
        self.reply(call, COMPLETION);
    }

    /// Calls what does not exist, and lets go of what it does not hold.
    fn misuse_the_host(&self, call: u64) {
        let host = self.host;
        let (start, cancel) = (host.call.expect("whole"), host.cancel.expect("whole"));
        let (release, log) = (host.release.expect("whole"), host.log.expect("whole"));
        let text = Bytes::lend(b"generate");
        let null = Bytes {
            ptr: std::ptr::null(),
            len: 8,
        };
        // SAFETY: the host's functions with its own `ctx`, or with a null one, which it must bear.
        unsafe {
            start(host.ctx, ROOT, 1, text, Bytes::lend(b"{}"));
            start(host.ctx, 999, 2, text, Bytes::lend(b"{}"));
            start(host.ctx, 999, 3, null, null);
            start(std::ptr::null_mut(), 1, 4, text, text);
            cancel(host.ctx, 12_345);
            release(host.ctx, ROOT);
            release(host.ctx, 12_345);
            log(host.ctx, 77, Bytes::lend(b"\xff"), Bytes::lend(b"no JSON"));
            log(host.ctx, 1, null, null);
        }
        self.reply(call, COMPLETION);
    }
}

/// # Safety
/// `ctx` is the `ctx` of a table that [`Table::functions`] gave out.
unsafe fn table(ctx: *mut c_void) -> &'static Table {
    // SAFETY: leaked in `Table::new`, so it lives for ever.
    unsafe { &*ctx.cast::<Table>() }
}

unsafe extern "C" fn call(ctx: *mut c_void, object: u64, id: u64, method: Bytes, request: Bytes) {
    // SAFETY: by the protocol the host hands back our `ctx`, and bytes that live for this call.
    let (t, name, body) = unsafe {
        (
            table(ctx),
            method.read(100).unwrap_or_default(),
            request.read(1 << 30).unwrap_or_default(),
        )
    };
    match t.mode(object).as_deref() {
        Some("of-a-later-version") => return t.answer_of_a_later_version(name, id),
        Some(mode) => return t.answer(mode, id),
        None => {}
    }
    if object == ROOT
        && name == b"create"
        && let Ok(Create { name, options }) = serde_json::from_slice(body)
        && name == "raw"
    {
        return match options.mode.as_str() {
            "create-without-object" => t.reply(id, b"{}"),
            "create-the-root" => t.reply(id, br#"{"object":0}"#),
            "create-block" => thread::sleep(Duration::from_secs(3600)),
            _ => {
                let object = t.next.fetch_add(1, Ordering::Relaxed);
                let mut modes = t.modes.lock().unwrap_or_else(PoisonError::into_inner);
                modes.insert(object, options.mode);
                drop(modes);
                t.reply(id, format!(r#"{{"object":{object}}}"#).as_bytes());
            }
        };
    }
    let forward = t.sdk.call.expect("the SDK's table is whole");
    // SAFETY: handed on as it came, with the SDK's own `ctx`.
    unsafe { forward(t.sdk.ctx, object, id, method, request) }
}

unsafe extern "C" fn cancel(ctx: *mut c_void, id: u64) {
    // SAFETY: by the protocol the host hands back our `ctx`.
    let t = unsafe { table(ctx) };
    let mut late = t.late.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = late.iter().position(|&call| call == id) {
        late.swap_remove(at);
        drop(late);
        return t.reply(id, COMPLETION);
    }
    drop(late);
    let forward = t.sdk.cancel.expect("the SDK's table is whole");
    // SAFETY: handed on with the SDK's own `ctx`.
    unsafe { forward(t.sdk.ctx, id) }
}

unsafe extern "C" fn event(ctx: *mut c_void, id: u64, event: Bytes) -> i32 {
    // SAFETY: by the protocol the host hands back our `ctx`.
    let t = unsafe { table(ctx) };
    let forward = t.sdk.event.expect("the SDK's table is whole");
    // SAFETY: handed on as it came, with the SDK's own `ctx`.
    unsafe { forward(t.sdk.ctx, id, event) }
}

unsafe extern "C" fn finish(ctx: *mut c_void, id: u64, status: u32, reply: Bytes) {
    // SAFETY: by the protocol the host hands back our `ctx`.
    let t = unsafe { table(ctx) };
    let forward = t.sdk.finish.expect("the SDK's table is whole");
    // SAFETY: handed on as it came, with the SDK's own `ctx`.
    unsafe { forward(t.sdk.ctx, id, status, reply) }
}

unsafe extern "C" fn release(ctx: *mut c_void, object: u64) {
    // SAFETY: by the protocol the host hands back our `ctx`.
    let t = unsafe { table(ctx) };
    if t.modes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&object)
        .is_some()
    {
        return;
    }
    let forward = t.sdk.release.expect("the SDK's table is whole");
    // SAFETY: handed on with the SDK's own `ctx`.
    unsafe { forward(t.sdk.ctx, object) }
}
