//! The host's end of the pipe: one child at a time, which plays the peer of a connection.

use std::{
    cell::Cell,
    io::{self, BufReader},
    path::{Path, PathBuf},
    process::ChildStdout,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::{
    Greeting, Isolation, Welcome,
    frame::{self, Frame},
    running::Running,
    table,
};
use crate::{
    abi::{RawPeer, STATUS_REPLY},
    host::{LoadError, LoadPolicy, load, log},
    messages::{Error, ErrorKind, Result},
    peer::{Connection, Functions, Method, Secrets, Side, TableFault},
};

/// Numbers of a child are below this; above stands which child it is.
pub(super) const OWN_BITS: u32 = 48;
pub(super) const OWN: u64 = (1 << OWN_BITS) - 1;

/// Everything that outlives a child. Leaked, like the connection that it is the peer of.
pub(crate) struct Link {
    pub(crate) connection: &'static Connection,
    /// What a plugin in this process would be handed: the connection's own functions.
    host: Functions,
    path: PathBuf,
    policy: LoadPolicy,
    isolation: Isolation,
    /// What the first child loaded; the others must load the same.
    sha256: String,
    table: RawPeer,
    state: Mutex<State>,
    /// Held while a child is started, which may take long; `state` never is.
    starting: Mutex<()>,
    failures: AtomicU32,
}

// SAFETY: the raw pointer in `table` is the link's own address; everything else is `Send`.
unsafe impl Send for Link {}
// SAFETY: as above; the table is never changed after the link is made.
unsafe impl Sync for Link {}

#[derive(Default)]
struct State {
    /// How many children there were.
    generation: u64,
    running: Option<Arc<Running>>,
    /// How the last one ended.
    last_end: String,
}

thread_local! {
    /// Whether this thread reads from a child: it must not wait for one to read.
    pub(super) static IS_READER: Cell<bool> = const { Cell::new(false) };
}

impl Link {
    /// Starts the first child.
    pub(crate) fn open(
        path: &Path,
        policy: &LoadPolicy,
        isolation: Isolation,
        name: &str,
        sha256: &str,
    ) -> Result<&'static Self, LoadError> {
        let secrets = Arc::<Secrets>::default();
        let log = log::sink(name, Arc::clone(&secrets));
        let connection = Connection::open(name.to_owned(), Side::Host { log, secrets });
        let broken = |fault: TableFault| LoadError::StartFailed {
            path: path.to_owned(),
            reason: fault.to_string(),
        };
        // SAFETY: the connection's own table, which is leaked with it.
        let host = unsafe { Functions::read(connection.table()) }.map_err(broken)?;
        let link = Box::leak(Box::new(Self {
            connection,
            host,
            path: path.to_owned(),
            policy: policy.clone(),
            isolation,
            sha256: sha256.to_owned(),
            table: table::TABLE,
            state: Mutex::default(),
            starting: Mutex::default(),
            failures: AtomicU32::new(0),
        }));
        link.table.ctx = std::ptr::from_mut(link).cast();
        let link: &'static Self = link;
        // SAFETY: the table lives as long as the process, because the link does.
        unsafe { connection.join(&raw const link.table) }.map_err(broken)?;
        link.start()?;
        Ok(link)
    }

    pub(super) fn any_running(&self) -> Option<Arc<Running>> {
        self.state().running.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn running(&self, generation: u64) -> Option<Arc<Running>> {
        let state = self.state();
        let running = state.running.as_ref()?;
        (running.generation == generation).then(|| Arc::clone(running))
    }

    /// The child that is alive.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.state().running.as_ref().map(|r| r.generation)
    }

    /// The process of the child that is alive.
    pub(crate) fn process(&self) -> Option<u32> {
        self.any_running().map(|running| running.id())
    }

    /// The same, started if there is none. Blocks for as long as that takes.
    pub(crate) fn ensure(&'static self) -> Result<u64> {
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(generation) = self.generation() {
            return Ok(generation);
        }
        let plugin = &self.connection.plugin;
        let refused = |message: String| {
            Error::new(ErrorKind::Unavailable, message)
                .operation("start")
                .context("plugin", plugin)
        };
        let failures = self.failures.load(Ordering::SeqCst);
        if failures >= self.isolation.most_failures {
            return Err(refused(format!(
                "plugin `{plugin}` is not started again: its process ended {failures} times in a \
                 row without having answered a call; the last {}",
                self.state().last_end
            ))
            .hint("the same command tries again; the plugin's own output may say more"));
        }
        self.start().map_err(|e| {
            self.failures.fetch_add(1, Ordering::SeqCst);
            self.state().last_end = format!("did not start ({e})");
            refused(e.to_string()).hint(e.hint())
        })
    }

    /// Starts a child from a thread that lives as long as the child: on Linux the child dies with
    /// the thread that started it.
    fn start(&'static self) -> Result<u64, LoadError> {
        let generation = {
            let mut state = self.state();
            state.generation += 1;
            state.generation
        };
        let (sender, started) = mpsc::sync_channel(1);
        let work = move || {
            let (running, input) = match self.spawn(generation) {
                Ok(spawned) => spawned,
                Err(reason) => {
                    let _ = sender.send(Err(self.fault(reason)));
                    return;
                }
            };
            self.read(&running, input, &sender);
        };
        let spawned = thread::Builder::new()
            .name("tale-isolated".to_owned())
            .spawn(work);
        spawned.map_err(|e| self.fault(format!("no thread: {e}")))?;
        // The child bounds the start itself; this bounds the child.
        let patience = self.policy.start_within + Duration::from_secs(5);
        let running = match started.recv_timeout(patience) {
            Ok(outcome) => outcome?,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err(LoadError::StartTimeout {
                    path: self.path.clone(),
                    after: self.policy.start_within,
                });
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(self.fault("its thread ended in the middle".to_owned()));
            }
        };
        let mut state = self.state();
        // Whoever clears up after it says so before it takes the lock.
        if running.is_over() {
            return Err(self.fault(format!("it {}", state.last_end)));
        }
        state.running = Some(running);
        Ok(generation)
    }

    fn fault(&self, reason: String) -> LoadError {
        LoadError::Isolation {
            path: self.path.clone(),
            reason,
        }
    }

    fn spawn(&self, generation: u64) -> Result<(Arc<Running>, BufReader<ChildStdout>), String> {
        let greeting = Greeting {
            path: self.path.clone(),
            sha256: self.policy.sha256.clone(),
            allow_writable_by_others: self.policy.allow_writable_by_others,
            start_within_s: self.policy.start_within.as_secs_f64(),
            host_info: serde_json::to_value(load::host_info()).map_err(|e| e.to_string())?,
        };
        Running::start(generation, &self.isolation, &greeting)
    }

    /// Reads what the child says until it ends, and clears up after it.
    fn read(
        &'static self,
        running: &Arc<Running>,
        mut input: BufReader<ChildStdout>,
        sender: &mpsc::SyncSender<Result<Arc<Running>, LoadError>>,
    ) {
        IS_READER.set(true);
        let mut buffer = Vec::new();
        let welcome = match frame::read(&mut input, &mut buffer) {
            Ok(Some(Frame::Hello(welcome))) => serde_json::from_slice(welcome).ok(),
            _ => None,
        };
        let refusal = match welcome {
            Some(Welcome {
                sha256: Some(found),
                ..
            }) if found == self.sha256 => None,
            Some(Welcome {
                sha256: Some(_), ..
            }) => Some(LoadError::Changed {
                path: self.path.clone(),
            }),
            Some(Welcome { error, .. }) => Some(self.fault(error.unwrap_or_default())),
            None => {
                running.kill();
                let end = running.wait();
                Some(self.fault(format!("it {end}")))
            }
        };
        let is_started = refusal.is_none();
        let outcome = refusal.map_or_else(|| Ok(Arc::clone(running)), Err);
        if sender.send(outcome).is_err() || !is_started {
            // Refused, or nobody waits any more.
            running.queue.close();
            running.kill();
            running.wait();
            return;
        }
        let fault = loop {
            match frame::read(&mut input, &mut buffer) {
                Ok(Some(frame)) => self.take(running, frame),
                Ok(None) => break None,
                Err(e) => break Some(e),
            }
        };
        self.clear_up(running, fault.as_ref());
    }

    fn clear_up(&self, running: &Arc<Running>, fault: Option<&io::Error>) {
        let mut end = match fault {
            Some(e) if e.kind() == io::ErrorKind::InvalidData => {
                running.kill();
                format!("sent what is no frame ({e}), and ")
            }
            _ => String::new(),
        };
        end.push_str(&running.wait());
        let plugin = &self.connection.plugin;
        tracing::warn!(%plugin, "the plugin's process {end}");
        running.bury();
        // What is dropped with a call may be a component, whose release wants the lock.
        let lost = {
            // Under the lock: a call that is made from here on goes to another child.
            let mut state = self.state();
            state.last_end.clone_from(&end);
            if state
                .running
                .as_ref()
                .is_some_and(|r| r.generation == running.generation)
            {
                state.running = None;
            }
            self.failures.fetch_add(1, Ordering::SeqCst);
            for task in self.connection.incoming.drain() {
                task.abort();
            }
            let lost = self.connection.outgoing.drain();
            for slot in &lost {
                slot.end(Err(self.died(slot.method(), &end)));
            }
            lost
        };
        drop(lost);
        running.note_all_released();
    }

    fn died(&self, method: Method, end: &str) -> Error {
        let (plugin, method) = (&self.connection.plugin, method.as_str());
        let message = format!("plugin `{plugin}` died in `{method}`: its process {end}");
        Error::new(ErrorKind::Panicked, message)
            .operation(method)
            .context("plugin", plugin)
            .hint("this is a fault of the plugin; the next call starts it anew")
    }

    /// Passes on what the child's plugin said.
    fn take(&self, running: &Running, frame: Frame<'_>) {
        let host = &self.host;
        let high = running.generation << OWN_BITS;
        match frame {
            Frame::Call {
                object,
                call,
                method,
                request,
            } => {
                if call <= OWN {
                    host.call(object, high | call, method, request);
                }
            }
            Frame::Cancel { call } => {
                if call <= OWN {
                    host.cancel(high | call);
                }
            }
            Frame::Event { call, event } => {
                let is_wanted = host.event(call, event);
                if !is_wanted {
                    running.send(&Frame::Unwanted { call });
                }
            }
            Frame::Finish {
                call,
                status,
                reply,
            } => {
                self.note_success(call, status);
                host.finish(call, status, reply);
            }
            Frame::Release { object } => host.release(object),
            Frame::Log {
                level,
                target,
                fields,
            } => host.log(level, target, fields),
            Frame::Fault { call, what } => {
                if let Some(slot) = self.connection.outgoing.remove(call) {
                    let what = String::from_utf8_lossy(what);
                    let method = slot.method().as_str();
                    slot.end(Err(self.connection.protocol_error(method, what)));
                    running.send(&Frame::Cancel { call });
                }
            }
            Frame::Released { object } => running.note_released(object),
            Frame::Pong(n) => running.note_pong(n),
            // Words that a child does not say.
            Frame::Hello(_) | Frame::Unwanted { .. } | Frame::Ping(_) => {}
        }
    }

    /// A child that has answered a call is worth another when it dies.
    fn note_success(&self, call: u64, status: u32) {
        if status != STATUS_REPLY || self.failures.load(Ordering::SeqCst) == 0 {
            return;
        }
        let answered = self.connection.outgoing.get(call).map(|slot| slot.method());
        if answered.is_some_and(|method| method != Method::Create && method != Method::Counts) {
            self.failures.store(0, Ordering::SeqCst);
        }
    }

    /// After a call that was not answered in time: a child that says in time that it is well goes
    /// on; one that does not is killed.
    pub(crate) fn probe(&'static self, generation: u64) {
        let Some(running) = self.running(generation) else {
            return;
        };
        let n = running.ping();
        let patience = self.isolation.patience;
        tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            if !running.has_answered(n) && !running.is_over() {
                let plugin = &self.connection.plugin;
                tracing::warn!(%plugin, "its process does not answer; it is killed");
                running.kill();
            }
        });
    }
}

/// The number of `own` of the child `generation`.
pub(crate) fn of_child(generation: u64, own: u64) -> Option<u64> {
    (own <= OWN).then_some(generation << OWN_BITS | own)
}
