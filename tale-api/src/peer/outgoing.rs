//! Calls to the peer: number them, send them, wait, and give up properly.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::{
    connection::{Connection, Side},
    wire::Method,
};
use crate::{
    abi::{BadBytes, STATUS_ERROR, STATUS_REPLY},
    messages::{Error, ErrorKind, Result},
};

/// How long a call may take; `None` is for ever.
pub(crate) type Deadline = Option<Duration>;

/// Takes an event's JSON. Answers whether more are wanted; an error spoils the call.
pub(crate) type Listener = Box<dyn Fn(&[u8]) -> Result<bool, serde_json::Error> + Send + Sync>;

/// A call that waits for its answer.
pub(crate) struct Slot {
    method: Method,
    answer: Mutex<Option<oneshot::Sender<Result<Vec<u8>>>>>,
    listener: Option<Listener>,
}

impl Slot {
    /// Hands an event to the listener, in the peer's thread.
    pub(super) fn take_event(
        &self,
        connection: &Connection,
        event: Result<&[u8], BadBytes>,
    ) -> Result<bool> {
        let method = self.method.as_str();
        let event = event
            .map_err(|f| connection.protocol_error(method, format_args!("an event of {f}")))?;
        let Some(listener) = &self.listener else {
            return Ok(false);
        };
        listener(event).map_err(|e| {
            connection.protocol_error(method, format_args!("an event that cannot be read: {e}"))
        })
    }

    pub(super) fn take_finish(
        &self,
        connection: &Connection,
        status: u32,
        reply: Result<&[u8], BadBytes>,
    ) {
        let method = self.method.as_str();
        let broken = |fault: &dyn std::fmt::Display| Err(connection.protocol_error(method, fault));
        let outcome = match (status, reply) {
            (_, Err(fault)) => broken(&format_args!("a reply of {fault}")),
            (STATUS_REPLY, Ok(reply)) => Ok(reply.to_vec()),
            (STATUS_ERROR, Ok(reply)) => match serde_json::from_slice::<Error>(reply) {
                Ok(error) => Err(placed(connection, method, error)),
                Err(e) => broken(&format_args!("an error that cannot be read: {e}")),
            },
            (other, Ok(_)) => broken(&format_args!("unknown status {other}")),
        };
        self.end(outcome);
    }

    /// The method that was called.
    #[cfg(feature = "host")]
    pub(crate) fn method(&self) -> Method {
        self.method
    }

    pub(crate) fn end(&self, outcome: Result<Vec<u8>>) {
        let answer = self
            .answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(answer) = answer {
            // Whoever waited may just have given up.
            let _ = answer.send(outcome);
        }
    }
}

/// Adds to an error of a plugin where it comes from. An error that only passes through the plugin,
/// because it comes from the model that the host lent it, keeps its first place.
fn placed(connection: &Connection, method: &str, mut error: Error) -> Error {
    let Side::Host { secrets, .. } = &connection.side else {
        return error;
    };
    secrets.hide_in(&mut error);
    let is_named = error
        .context
        .iter()
        .any(|(k, v)| k == "plugin" && *v == connection.plugin);
    let error = error.operation(method);
    if is_named {
        error
    } else {
        error.context("plugin", &connection.plugin)
    }
}

/// An object of the peer.
pub(crate) struct Target {
    pub(crate) connection: &'static Connection,
    object: u64,
    pace: Option<[Pace; Method::COUNT]>,
}

impl Target {
    /// An object of a peer that is trusted to return soon from `call`.
    pub(crate) fn trusted(connection: &'static Connection, object: u64) -> Self {
        Self {
            connection,
            object,
            pace: None,
        }
    }

    /// An object of a peer that may block in `call`.
    #[cfg(feature = "host")]
    pub(crate) fn watched(connection: &'static Connection, object: u64) -> Self {
        Self {
            connection,
            object,
            pace: Some(std::array::from_fn(|_| Pace::default())),
        }
    }

    /// Tells the peer that its object is not used any more.
    pub(crate) fn release(&self) {
        self.connection.send_release(self.object);
    }

    /// The same, but waits no longer than `patience` for the peer to tear it down.
    ///
    /// Waiting at all matters at the end of a process: an engine that is still being torn down when
    /// the C++ destructors run may crash.
    #[cfg(feature = "host")]
    pub(crate) fn release_within(&self, patience: Duration) {
        let (connection, object) = (self.connection, self.object);
        let (done, is_done) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("tale-release".to_owned())
            .spawn(move || {
                connection.send_release(object);
                let _ = done.send(());
            });
        if thread.is_err() {
            connection.send_release(object);
        } else if is_done.recv_timeout(patience).is_err() {
            let plugin = &connection.plugin;
            tracing::warn!(%plugin, "a destructor takes longer than {patience:?}; not waited for");
        }
    }

    /// Calls `method` and waits for the reply. Dropping the future cancels the call.
    pub(crate) async fn call<R: DeserializeOwned>(
        &self,
        method: Method,
        request: Vec<u8>,
        listener: Option<Listener>,
        deadline: Deadline,
    ) -> Result<R> {
        let connection = self.connection;
        let (sender, mut answer) = oneshot::channel();
        let slot = Slot {
            method,
            answer: Mutex::new(Some(sender)),
            listener,
        };
        let waiting = Waiting {
            connection,
            call: connection.next_call(),
        };
        connection.outgoing.insert(waiting.call, Arc::new(slot));
        self.send(waiting.call, method, request, deadline).await?;
        let outcome = match (answer.try_recv(), deadline) {
            (Ok(outcome), _) => Ok(outcome),
            (Err(_), Some(deadline)) => tokio::time::timeout(deadline, answer)
                .await
                .map_err(|_| self.too_late(method, deadline))?,
            (Err(_), None) => answer.await,
        };
        drop(waiting);
        let reply = outcome.unwrap_or_else(|_| {
            Err(connection.protocol_error(method.as_str(), "the call was lost"))
        })?;
        serde_json::from_slice(&reply).map_err(|e| {
            let fault = format_args!("a reply that cannot be read: {e}");
            connection.protocol_error(method.as_str(), fault)
        })
    }

    fn too_late(&self, method: Method, deadline: Duration) -> Error {
        let (plugin, method) = (&self.connection.plugin, method.as_str());
        let seconds = deadline.as_secs_f64();
        let message = format!("plugin `{plugin}` gave no answer to `{method}` within {seconds} s");
        Error::new(ErrorKind::Timeout, message)
            .operation(method)
            .context("plugin", plugin)
    }

    /// Hands the request over, in this thread where that is known to be quick.
    async fn send(
        &self,
        call: u64,
        method: Method,
        request: Vec<u8>,
        deadline: Deadline,
    ) -> Result<()> {
        let (connection, object) = (self.connection, self.object);
        let Some(pace) = &self.pace else {
            connection.send_call(object, call, method.as_str(), &request);
            return Ok(());
        };
        let pace = &pace[method as usize];
        // Creating is rare and may well load a model: never in place, however quick it was before.
        let in_place = || {
            let is_quick = pace.is_quick() && method != Method::Create;
            if is_quick {
                let start = Instant::now();
                connection.send_call(object, call, method.as_str(), &request);
                pace.record(start.elapsed());
            }
            is_quick
        };
        if in_place() {
            return Ok(());
        }
        let patience = deadline.unwrap_or(PATIENCE).min(PATIENCE);
        let Ok(Ok(turn)) = tokio::time::timeout(patience, connection.threads.acquire()).await
        else {
            let (plugin, most) = (&connection.plugin, MAX_THREADS);
            let why = format!("{most} earlier calls to plugin `{plugin}` block their threads");
            return Err(self.refused(method, why));
        };
        // Those that were waited for may have shown how quick the method is.
        if in_place() {
            return Ok(());
        }
        let pace = pace.clone();
        let work = move || {
            let start = Instant::now();
            connection.send_call(object, call, method.as_str(), &request);
            pace.record(start.elapsed());
            drop(turn);
            // Given up meanwhile: the cancellation may have come before the call itself.
            if !connection.outgoing.contains(call) {
                connection.send_cancel(call);
            }
        };
        thread::Builder::new()
            .name("tale-call".to_owned())
            .spawn(work)
            .map(drop)
            .map_err(|e| self.refused(method, format!("no thread for a call to a plugin: {e}")))
    }

    fn refused(&self, method: Method, why: String) -> Error {
        Error::new(ErrorKind::Unavailable, why)
            .operation(method.as_str())
            .context("plugin", &self.connection.plugin)
    }
}

/// As many threads may be in a plugin's `call` at once; further calls wait for their turn.
pub(super) const MAX_THREADS: usize = 256;

/// Where no thread comes back for so long, the plugin hangs. A burst of first calls on a machine
/// that is busy with other things takes its time, too, so the number alone says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A call quicker than this costs the caller's thread nothing worth a change of threads.
const QUICK: Duration = Duration::from_micros(500);

/// How quickly a method of an object returns from `call`.
///
/// A plugin must return soon, but one that blocks must not take the host's threads with it. So the
/// first calls of each method are made from a thread of their own; once two have returned quickly,
/// calls are made in place, until one is slow again.
#[derive(Clone, Default)]
struct Pace {
    quick_in_a_row: Arc<AtomicU32>,
}

impl Pace {
    fn is_quick(&self) -> bool {
        self.quick_in_a_row.load(Ordering::Relaxed) >= 2
    }

    fn record(&self, took: Duration) {
        if took > QUICK {
            self.quick_in_a_row.store(0, Ordering::Relaxed);
        } else if !self.is_quick() {
            self.quick_in_a_row.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A call that is cancelled if it is dropped before its answer came.
struct Waiting {
    connection: &'static Connection,
    call: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.connection.outgoing.remove(self.call).is_some() {
            self.connection.send_cancel(self.call);
        }
    }
}
