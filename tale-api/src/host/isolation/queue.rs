//! Frames on their way to the child.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Events beyond this many bytes wait until the child has read some.
const ENOUGH: usize = 4 << 20;

/// A queue between those who send and the one thread that writes.
///
/// Nobody who makes a call waits for a child that does not read: the thread may be one of an
/// asynchronous runtime, or the one that has to read what the child writes. What is queued is
/// bounded by the calls under way; events, of which a call may have any number, wait for room.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame; one for a child that is gone is dropped.
    pub(super) fn push(&self, frame: Vec<u8>) {
        let mut state = self.state();
        if !state.is_closed {
            state.bytes += frame.len();
            state.frames.push_back(frame);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits until an event may be added. Not for ever: a child that reads nothing is found out by
    /// the call's deadline, which needs this thread.
    pub(super) fn wait_for_room(&self, patience: Duration) {
        let is_full = |state: &mut State| state.bytes > ENOUGH && !state.is_closed;
        // Full or not, the event is added.
        let _ = self
            .changed
            .wait_timeout_while(self.state(), patience, is_full);
    }

    /// The next frame; `None` once the queue is closed.
    pub(super) fn pop(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(frame) = state.frames.pop_front() {
                state.bytes -= frame.len();
                drop(state);
                self.changed.notify_all();
                return Some(frame);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.frames.clear();
        state.bytes = 0;
        drop(state);
        self.changed.notify_all();
    }
}
