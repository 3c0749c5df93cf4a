//! The child: loads one plugin and passes on, frame by frame, what the two tables say.
//!
//! It reads no message. What the host says is passed to the plugin's table, what the plugin says to
//! the host becomes a frame; so a plugin cannot tell where it runs, and the host judges its answers
//! as it does in its own process.

use std::{
    collections::HashMap,
    ffi::c_void,
    fs::File,
    io::{self, BufReader, Write as _},
    path::Path,
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    Greeting, Welcome,
    frame::{self, Frame},
};
use crate::{
    abi::{Bytes, EVENT_GO_ON, EVENT_UNWANTED, RawPeer, STATUS_ERROR, Start},
    host::{LoadError, LoadPolicy, load},
    messages::{Error, ErrorKind},
    peer::{Limits, caught},
};

/// Threads that may be inside the plugin at a time; more means that it never comes back.
const MOST_THREADS: usize = 256;

/// Threads that are kept waiting for work.
const SPARE_THREADS: usize = 4;

/// How long an answer to a ping may wait for calls that were given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves the host at the other end of stdin and stdout, with the plugin that it names. Does not
/// return before the host is gone.
///
/// The program that is started as a child does this and nothing else; see
/// [`Isolation`](super::Isolation).
///
/// # Errors
/// stdin and stdout are no pipe to a host that speaks this protocol.
pub fn serve() -> io::Result<()> {
    die_with_the_parent();
    let (input, output) = take_stdio()?;
    let mut input = BufReader::with_capacity(64 << 10, input);
    let mut buffer = Vec::new();
    let Some(Frame::Hello(greeting)) = frame::read(&mut input, &mut buffer)? else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "nobody speaks at the other end",
        ));
    };
    let greeting: Greeting = serde_json::from_slice(greeting)?;
    let relay = RELAY.get_or_init(|| Relay {
        output: Mutex::new(output),
        calls: Mutex::default(),
        returned: Condvar::new(),
        plugin: OnceLock::new(),
        waiting: AtomicUsize::new(0),
        threads: AtomicUsize::new(1),
    });
    let loaded = load_plugin(&greeting);
    let welcome = match &loaded {
        Ok((_, sha256)) => Welcome {
            sha256: Some(sha256.clone()),
            error: None,
        },
        Err(e) => Welcome {
            sha256: None,
            error: Some(words(e)),
        },
    };
    relay.send(&Frame::Hello(&serde_json::to_vec(&welcome)?));
    let Ok((plugin, _)) = loaded else {
        return Ok(());
    };
    // Set once: there is one relay, and this is the one place.
    let _ = relay.plugin.set(plugin);
    let input: &'static Input = Box::leak(Box::new(Mutex::new(input)));
    relay.work(input);
    // One of many that were too many just now. This one's end would be the process's.
    loop {
        thread::park();
    }
}

/// An error with its causes, in one line.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// The plugin's table, as the protocol lends it: for ever, and to any thread.
struct PluginTable(&'static RawPeer);

// SAFETY: the protocol demands that a peer's functions with its `ctx` can be called from any thread.
unsafe impl Send for PluginTable {}
// SAFETY: as above.
unsafe impl Sync for PluginTable {}

fn load_plugin(greeting: &Greeting) -> Result<(PluginTable, String), LoadError> {
    let policy = LoadPolicy {
        sha256: greeting.sha256.clone(),
        allow_writable_by_others: greeting.allow_writable_by_others,
        start_within: Duration::from_secs_f64(greeting.start_within_s),
        ..LoadPolicy::default()
    };
    let info = greeting.host_info.to_string();
    let begin = move |path: &Path, _name: &str, start: Start| {
        let failed = |reason: String| LoadError::StartFailed {
            path: path.to_owned(),
            reason,
        };
        // SAFETY: the function of a checked descriptor; our table is static and `info` outlives the
        // call.
        let table = caught(|| unsafe { start(&raw const TABLE, Bytes::lend(info.as_bytes())) })
            .map_err(failed)?;
        // SAFETY: null, or a table that lives as long as the process (the protocol); a table starts
        // with its size in every version.
        let size = unsafe {
            table
                .as_ref()
                .map(|_| (&raw const (*table).struct_size).read())
        };
        match size {
            None => Err(failed("it gave no table".to_owned())),
            Some(found) if found < size_of::<RawPeer>() => Err(failed(format!(
                "it gave a table of {found} bytes where {} are needed",
                size_of::<RawPeer>()
            ))),
            // SAFETY: as large as it has to be, and it lives as long as the process.
            Some(_) => Ok(PluginTable(unsafe { &*table })),
        }
    };
    let (table, inspected) = load::load_with(&greeting.path, &policy, begin)?;
    let t = table.0;
    let is_whole = t.call.is_some()
        && t.cancel.is_some()
        && t.event.is_some()
        && t.finish.is_some()
        && t.release.is_some();
    if !is_whole || t.log.is_none() {
        return Err(LoadError::StartFailed {
            path: greeting.path.clone(),
            reason: "it gave a table with a null function".to_owned(),
        });
    }
    Ok((table, inspected.sha256))
}

type Input = Mutex<BufReader<File>>;

/// A call of the host that is not over yet.
#[derive(Default)]
struct Open {
    stage: Stage,
    /// The host gave it up.
    is_cancelled: bool,
    /// The plugin has answered.
    is_finished: bool,
    /// Nobody wants its events.
    is_unwanted: bool,
}

/// How far a call has come.
#[derive(Default, PartialEq, Eq)]
enum Stage {
    /// Read, but not made yet.
    #[default]
    Read,
    /// A thread is in the plugin's `call`.
    Inside,
    /// `call` has returned; the plugin works on.
    Returned,
}

impl Open {
    /// Holds a thread that nobody waits for any more.
    fn is_stuck(&self) -> bool {
        self.stage == Stage::Inside && self.is_cancelled
    }
}

/// What the plugin's threads and those that read from the host share.
struct Relay {
    output: Mutex<File>,
    calls: Mutex<HashMap<u64, Open>>,
    /// A call came back from the plugin.
    returned: Condvar,
    plugin: OnceLock<PluginTable>,
    waiting: AtomicUsize,
    threads: AtomicUsize,
}

static RELAY: OnceLock<Relay> = OnceLock::new();

fn relay() -> Option<&'static Relay> {
    RELAY.get()
}

/// Ends this process at once and silently: nobody is left to tell anything to.
fn end() -> ! {
    #[cfg(unix)]
    {
        // Without the destructors of libraries whose threads still run.
        use rustix::process::{Signal, getpid, kill_process};
        let _ = kill_process(getpid(), Signal::KILL);
    }
    std::process::exit(0)
}

impl Relay {
    fn send(&self, frame: &Frame<'_>) {
        let bytes = frame.encode();
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        if output.write_all(&bytes).is_err() {
            end();
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> &'static RawPeer {
        self.plugin
            .get()
            .expect("frames are read once the plugin is there")
            .0
    }

    /// Takes turns with other threads in reading a frame, and passes it on. The thread that has read
    /// a call makes it, while another reads on: no call waits for a change of threads.
    fn work(&'static self, input: &'static Input) {
        let mut buffer = Vec::new();
        loop {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let mut reading = input.lock().unwrap_or_else(PoisonError::into_inner);
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            let Ok(Some(frame)) = frame::read(&mut *reading, &mut buffer) else {
                end();
            };
            // What has an order is passed on before another frame is read.
            if self.in_order(frame) {
                continue;
            }
            if let Frame::Call { call, .. } = frame {
                self.calls().insert(call, Open::default());
            }
            self.see_to_a_reader(input);
            drop(reading);
            self.at_leisure(frame);
            if self.waiting.load(Ordering::SeqCst) > SPARE_THREADS {
                self.threads.fetch_sub(1, Ordering::SeqCst);
                return;
            }
        }
    }

    /// Makes sure that somebody reads while this thread is in the plugin.
    fn see_to_a_reader(&'static self, input: &'static Input) {
        if self.waiting.load(Ordering::SeqCst) > 0
            || self.threads.load(Ordering::SeqCst) >= MOST_THREADS
        {
            return;
        }
        self.threads.fetch_add(1, Ordering::SeqCst);
        let spawned = thread::Builder::new()
            .name("tale-relay".to_owned())
            .spawn(move || self.work(input));
        if spawned.is_err() {
            self.threads.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Passes on answers to the plugin's own calls, and words between the processes.
    fn in_order(&self, frame: Frame<'_>) -> bool {
        let table = self.table();
        match frame {
            Frame::Event { call, event } => {
                if let Some(f) = table.event {
                    // SAFETY: the plugin's function with its own `ctx`; the bytes outlive the call.
                    let heard = unsafe { f(table.ctx, call, Bytes::lend(event)) };
                    if heard == EVENT_UNWANTED {
                        self.send(&Frame::Unwanted { call });
                    }
                }
            }
            Frame::Finish {
                call,
                status,
                reply,
            } => {
                if let Some(f) = table.finish {
                    // SAFETY: as above.
                    unsafe { f(table.ctx, call, status, Bytes::lend(reply)) }
                }
            }
            Frame::Unwanted { call } => {
                if let Some(open) = self.calls().get_mut(&call) {
                    open.is_unwanted = true;
                }
            }
            Frame::Call { .. } | Frame::Cancel { .. } | Frame::Release { .. } | Frame::Ping(_) => {
                return false;
            }
            // A host sends nothing else.
            _ => {}
        }
        true
    }

    /// Passes on what may keep the plugin busy.
    fn at_leisure(&self, frame: Frame<'_>) {
        let table = self.table();
        match frame {
            Frame::Call {
                object,
                call,
                method,
                request,
            } => self.call(object, call, method, request),
            Frame::Cancel { call } => self.cancel(call),
            Frame::Release { object } => {
                if let Some(f) = table.release {
                    // SAFETY: the plugin's function with its own `ctx`.
                    unsafe { f(table.ctx, object) }
                }
                self.send(&Frame::Released { object });
            }
            Frame::Ping(n) => {
                let calls = self.calls();
                let is_stuck = |calls: &mut HashMap<u64, Open>| calls.values().any(Open::is_stuck);
                let waited = self.returned.wait_timeout_while(calls, PATIENCE, is_stuck);
                let is_well = waited.is_ok_and(|(_, timeout)| !timeout.timed_out());
                if is_well {
                    self.send(&Frame::Pong(n));
                }
            }
            _ => {}
        }
    }

    fn call(&self, object: u64, call: u64, method: &[u8], request: &[u8]) {
        let table = self.table();
        let mut calls = self.calls();
        match calls.get_mut(&call) {
            Some(open) if !open.is_cancelled => open.stage = Stage::Inside,
            _ => {
                calls.remove(&call);
                return;
            }
        }
        drop(calls);
        if let Some(f) = table.call {
            // SAFETY: the plugin's function with its own `ctx`; the bytes outlive the call.
            unsafe {
                f(
                    table.ctx,
                    object,
                    call,
                    Bytes::lend(method),
                    Bytes::lend(request),
                );
            }
        }
        let mut calls = self.calls();
        let Some(open) = calls.get_mut(&call) else {
            return;
        };
        open.stage = Stage::Returned;
        let (is_cancelled, is_over) = (open.is_cancelled, open.is_cancelled || open.is_finished);
        if is_over {
            calls.remove(&call);
        }
        drop(calls);
        self.returned.notify_all();
        if is_cancelled {
            // The first may have come before the plugin knew of the call.
            self.tell_cancelled(call);
        }
    }

    fn cancel(&self, call: u64) {
        let mut calls = self.calls();
        let Some(open) = calls.get_mut(&call) else {
            return;
        };
        open.is_cancelled = true;
        open.is_unwanted = true;
        match open.stage {
            // The thread that read it finds it given up, and never makes it.
            Stage::Read => return,
            Stage::Inside => {}
            Stage::Returned => {
                calls.remove(&call);
            }
        }
        drop(calls);
        self.tell_cancelled(call);
    }

    fn tell_cancelled(&self, call: u64) {
        let table = self.table();
        if let Some(f) = table.cancel {
            // SAFETY: the plugin's function with its own `ctx`.
            unsafe { f(table.ctx, call) }
        }
    }

    /// The plugin has answered `call`.
    fn finished(&self, call: u64) {
        let mut calls = self.calls();
        if let Some(open) = calls.get_mut(&call) {
            if open.stage == Stage::Inside {
                open.is_finished = true;
            } else {
                calls.remove(&call);
            }
        }
    }
}

/// What the plugin can do to the host: each becomes a frame.
static TABLE: RawPeer = RawPeer {
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
    if let Some(relay) = relay() {
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
                let table = relay.table();
                if let Some(f) = table.finish {
                    // SAFETY: the plugin's function with its own `ctx`; `error` outlives the call.
                    unsafe { f(table.ctx, call, STATUS_ERROR, Bytes::lend(&error)) }
                }
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
        if relay.calls().get(&call).is_none_or(|open| open.is_unwanted) {
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

/// Takes the two pipes away from the plugin, whose own `printf` would be no frame: its stdin is
/// empty from here on, and its stdout is stderr.
#[cfg(unix)]
fn take_stdio() -> io::Result<(File, File)> {
    use rustix::{
        io::dup,
        stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout},
    };
    let (input, output) = (File::from(dup(stdin())?), File::from(dup(stdout())?));
    for pipe in [&input, &output] {
        rustix::io::fcntl_setfd(pipe, rustix::io::FdFlags::CLOEXEC)?;
    }
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(stderr())?;
    Ok((input, output))
}

#[cfg(not(unix))]
fn take_stdio() -> io::Result<(File, File)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The system ends this process when the host's thread that started it ends, however it ends. The
/// end of the pipe says the same, but is not seen while the plugin holds every thread.
#[cfg(target_os = "linux")]
fn die_with_the_parent() {
    use rustix::process::{Signal, set_parent_process_death_signal};
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

#[cfg(not(target_os = "linux"))]
fn die_with_the_parent() {}
