//! Calls of the peer: start, run, answer once.
//!
//! A call is polled once at once, in the peer's thread. Most small calls end there and cost no
//! change of threads, which would be several times dearer than all the rest; what waits goes on in
//! the runtime of the object.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_util::future::{AbortHandle, Abortable};

use super::{
    caught,
    connection::{Connection, Side},
    serve::Incoming,
};
use crate::{
    abi::{BadBytes, STATUS_ERROR, STATUS_REPLY},
    messages::{Error, ErrorKind, Result},
};

/// A call under way: gives the reply's JSON.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send>>;

/// Serves one call of the peer.
pub(super) fn serve(
    connection: &'static Connection,
    object: u64,
    call: u64,
    method: Result<&[u8], BadBytes>,
    request: Result<&[u8], BadBytes>,
) {
    let method = method.map(String::from_utf8_lossy);
    let name = method.as_deref().unwrap_or("?");
    let fault: &dyn std::fmt::Display = match (&method, &request) {
        (Err(fault), _) | (_, Err(fault)) => fault,
        (Ok(_), Ok(_)) => &format_args!("object {object} does not exist, or no longer"),
    };
    let (Ok(request), Some(served)) = (request, connection.objects.get(object)) else {
        return finish(connection, call, &Err(misused(connection, name, fault)));
    };
    let runtime = served.runtime.enter();
    let incoming = Incoming { connection, call };
    let started = caught(|| served.object.start(&incoming, name, request));
    let mut running = match started {
        Ok(Ok(running)) => Guarded::new(connection, call, name, running),
        Ok(Err(error)) => return finish(connection, call, &Err(error)),
        Err(text) => return finish(connection, call, &Err(panicked(connection, name, &text))),
    };
    if let Poll::Ready(outcome) = running.poll_once(&mut Context::from_waker(Waker::noop())) {
        running.discard();
        return finish(connection, call, &outcome);
    }
    // The first poll's waker is lost; the task's own poll, which comes next, brings another.
    let (abort, registration) = AbortHandle::new_pair();
    running.is_listed = true;
    connection.incoming.insert(call, abort);
    drop(runtime);
    served.runtime.spawn(Abortable::new(running, registration));
}

fn finish(connection: &Connection, call: u64, outcome: &Result<Vec<u8>>) {
    match outcome {
        Ok(reply) => connection.send_finish(call, STATUS_REPLY, reply),
        Err(error) => {
            let error = serde_json::to_vec(error).unwrap_or_else(|_| b"{}".to_vec());
            connection.send_finish(call, STATUS_ERROR, &error);
        }
    }
}

/// The peer called in a way it must not.
fn misused(connection: &Connection, method: &str, fault: &dyn std::fmt::Display) -> Error {
    let message = format!("a call of `{method}` that cannot be served: {fault}");
    Error::new(ErrorKind::Protocol, message)
        .operation(method)
        .context("plugin", &connection.plugin)
}

fn panicked(connection: &Connection, method: &str, text: &str) -> Error {
    let message = match connection.side {
        Side::Plugin => format!(
            "plugin `{}` panicked in `{method}`: {text}",
            connection.plugin
        ),
        Side::Host { .. } => {
            format!(
                "the host panicked in `{method}` for plugin `{}`: {text}",
                connection.plugin
            )
        }
    };
    Error::new(ErrorKind::Panicked, message)
        .operation(method)
        .context("plugin", &connection.plugin)
        .hint("this is a fault of the component; its log may say more")
}

/// A call under way that answers once, whatever becomes of it: it ends, panics, is cancelled, or
/// dies with its runtime.
struct Guarded {
    connection: &'static Connection,
    call: u64,
    method: Box<str>,
    running: Option<Running>,
    /// Whether the table of incoming calls has it; whoever takes it out of there answers.
    is_listed: bool,
}

impl Guarded {
    fn new(connection: &'static Connection, call: u64, method: &str, running: Running) -> Self {
        Self {
            connection,
            call,
            method: method.into(),
            running: Some(running),
            is_listed: false,
        }
    }

    fn poll_once(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>>> {
        let Some(running) = &mut self.running else {
            return Poll::Pending;
        };
        match caught(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(text) => Poll::Ready(Err(panicked(self.connection, &self.method, &text))),
        }
    }

    /// Drops the future here, where a panic of a destructor does no harm.
    fn discard(&mut self) {
        let running = self.running.take();
        if let Err(text) = caught(|| drop(running)) {
            let (plugin, method) = (&self.connection.plugin, &self.method);
            tracing::error!(%plugin, %method, "a destructor panicked after the call: {text}");
        }
    }
}

impl Future for Guarded {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Poll::Ready(outcome) = self.poll_once(cx) else {
            return Poll::Pending;
        };
        self.discard();
        if self.connection.incoming.remove(self.call).is_some() {
            finish(self.connection, self.call, &outcome);
        }
        Poll::Ready(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.running.is_none() {
            return;
        }
        self.discard();
        if self.is_listed && self.connection.incoming.remove(self.call).is_some() {
            let error = Error::new(
                ErrorKind::Cancelled,
                "the runtime that served this call ended",
            )
            .operation(&*self.method)
            .context("plugin", &self.connection.plugin);
            finish(self.connection, self.call, &Err(error));
        }
    }
}
