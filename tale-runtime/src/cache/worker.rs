//! The cache as a run uses it: a thread that owns the connection, as the journal has one.
//!
//! Look-ups and new answers reach it over a bounded channel. It answers the look-ups first, then
//! writes what has gathered in one transaction, so that many answers cost one commit, and another
//! process's lock is met only where there is something to write.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Access, CacheError, table};
use crate::store::{CallKey, CallRow};

/// Requests that wait at most; more make their callers wait.
const QUEUE: usize = 1024;

/// Answers in one transaction at most.
const BATCH: usize = 512;

/// The answers of earlier runs.
pub struct AnswerCache {
    access: Access,
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    has_warned: AtomicBool,
}

enum Request {
    Find {
        key: CallKey,
        answer: oneshot::Sender<Result<Option<CallRow>, CacheError>>,
    },
    Put {
        key: CallKey,
        asked: String,
        call: Box<CallRow>,
        done: oneshot::Sender<Result<(), String>>,
    },
}

impl AnswerCache {
    /// Opens the answers in the file `path`, which is made if need be.
    ///
    /// # Errors
    /// See [`CacheError`].
    pub fn open(path: &Path, access: Access) -> Result<Self, CacheError> {
        let db = table::open(path)?;
        let (requests, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("answers".to_owned())
            .spawn(move || work(&db, queue))
            .map_err(|e| CacheError::Open {
                path: path.to_owned(),
                source: e.into(),
            })?;
        Ok(Self {
            access,
            requests: Some(requests),
            thread: Some(thread),
            has_warned: AtomicBool::new(false),
        })
    }

    /// The answer of that key, if there is one. It has no price yet.
    ///
    /// A cache that cannot be read has no answers; that is logged once.
    pub async fn find(&self, key: CallKey) -> Option<CallRow> {
        let (answer, found) = oneshot::channel();
        let found = self.ask(Request::Find { key, answer }, found).await;
        match found.unwrap_or(Err(CacheError::Closed)) {
            Ok(found) => found,
            Err(e) => {
                self.warn(&e.to_string());
                None
            }
        }
    }

    /// Keeps the answer of `asked`, committed when this returns.
    ///
    /// A cache that cannot be written keeps nothing; that is logged once.
    pub async fn put(&self, key: CallKey, asked: &str, call: &CallRow) {
        if self.access == Access::ReadOnly {
            return;
        }
        let (done, kept) = oneshot::channel();
        let request = Request::Put {
            key,
            asked: asked.to_owned(),
            call: Box::new(call.clone()),
            done,
        };
        let kept = self.ask(request, kept).await;
        if let Err(cause) = kept.unwrap_or_else(|| Err(CacheError::Closed.to_string())) {
            self.warn(&cause);
        }
    }

    async fn ask<T>(&self, request: Request, answer: oneshot::Receiver<T>) -> Option<T> {
        self.requests.as_ref()?.send(request).await.ok()?;
        answer.await.ok()
    }

    fn warn(&self, cause: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(cause, "the answer cache fails; the run goes on without it");
        }
    }
}

impl Drop for AnswerCache {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported already; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// An answer to be kept, and who waits for it.
type Kept = (
    CallKey,
    String,
    Box<CallRow>,
    oneshot::Sender<Result<(), String>>,
);

fn work(db: &Connection, mut queue: mpsc::Receiver<Request>) {
    let mut waiting = Vec::with_capacity(BATCH);
    let mut new: Vec<Kept> = Vec::new();
    while queue.blocking_recv_many(&mut waiting, BATCH) > 0 {
        for request in waiting.drain(..) {
            match request {
                // Nobody waits any more where the call was cancelled.
                Request::Find { key, answer } => drop(answer.send(table::find(db, key))),
                Request::Put {
                    key,
                    asked,
                    call,
                    done,
                } => new.push((key, asked, call, done)),
            }
        }
        if new.is_empty() {
            continue;
        }
        let written = write(db, &new).map_err(|e| e.to_string());
        if written.is_err() {
            // A full disk may have ended the transaction already; then there is nothing to undo.
            let _ = db.execute_batch("ROLLBACK");
        }
        for (.., done) in new.drain(..) {
            let _ = done.send(written.clone());
        }
    }
}

fn write(db: &Connection, new: &[Kept]) -> rusqlite::Result<()> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    for (key, asked, call, _) in new {
        table::put(db, *key, asked, call)?;
    }
    db.execute_batch("COMMIT")
}
