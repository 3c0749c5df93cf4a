//! What passes between the host and the plugin, and the threads that pass it.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Write as _},
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    host::isolation::frame::{self, Frame},
    peer::Functions,
};

/// Threads that may be inside the plugin at a time; more means that it never comes back.
const MOST_THREADS: usize = 256;

/// Threads that are kept waiting for work.
const SPARE_THREADS: usize = 4;

/// How long an answer to a ping may wait for calls that were given up.
const PATIENCE: Duration = Duration::from_secs(60);

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
pub(super) struct Relay {
    output: Mutex<File>,
    calls: Mutex<HashMap<u64, Open>>,
    /// A call came back from the plugin.
    returned: Condvar,
    plugin: OnceLock<Functions>,
    waiting: AtomicUsize,
    threads: AtomicUsize,
}

static RELAY: OnceLock<Relay> = OnceLock::new();

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
    /// The relay of this process, which writes to `output`. There is one.
    pub(super) fn open(output: File) -> &'static Self {
        RELAY.get_or_init(|| Self {
            output: Mutex::new(output),
            calls: Mutex::default(),
            returned: Condvar::new(),
            plugin: OnceLock::new(),
            waiting: AtomicUsize::new(0),
            threads: AtomicUsize::new(1),
        })
    }

    /// The relay, once it is open.
    pub(super) fn get() -> Option<&'static Self> {
        RELAY.get()
    }

    /// Passes on what comes from `input` to `plugin`, with more threads as they are needed. Returns
    /// when this one is not.
    pub(super) fn serve(&'static self, plugin: Functions, input: BufReader<File>) {
        // Set once: there is one relay, and `serve` is called once.
        let _ = self.plugin.set(plugin);
        self.work(Box::leak(Box::new(Mutex::new(input))));
    }

    pub(super) fn send(&self, frame: &Frame<'_>) {
        let bytes = frame.encode();
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        if output.write_all(&bytes).is_err() {
            end();
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn plugin(&self) -> &Functions {
        self.plugin
            .get()
            .expect("frames are read once the plugin is there")
    }

    /// Whether the host wants events of `call`.
    pub(super) fn is_wanted(&self, call: u64) -> bool {
        self.calls()
            .get(&call)
            .is_some_and(|open| !open.is_unwanted)
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
        match frame {
            Frame::Event { call, event } => {
                let is_wanted = self.plugin().event(call, event);
                if !is_wanted {
                    self.send(&Frame::Unwanted { call });
                }
            }
            Frame::Finish {
                call,
                status,
                reply,
            } => self.plugin().finish(call, status, reply),
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
        match frame {
            Frame::Call {
                object,
                call,
                method,
                request,
            } => self.call(object, call, method, request),
            Frame::Cancel { call } => self.cancel(call),
            Frame::Release { object } => {
                self.plugin().release(object);
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
        let mut calls = self.calls();
        match calls.get_mut(&call) {
            Some(open) if !open.is_cancelled => open.stage = Stage::Inside,
            _ => {
                calls.remove(&call);
                return;
            }
        }
        drop(calls);
        self.plugin().call(object, call, method, request);
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
            self.plugin().cancel(call);
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
        self.plugin().cancel(call);
    }

    /// The plugin has answered `call`.
    pub(super) fn finished(&self, call: u64) {
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
