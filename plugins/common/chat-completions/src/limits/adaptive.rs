//! How many requests at a time: as many as the server bears.
//!
//! As TCP finds the width of a path: fewer at once when the server refuses or collapses, then slowly
//! more again. It begins with all that are asked for, since that many were asked for; a server that
//! bears them loses no time.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

/// What is left of the limit when the server cannot bear it.
const CUT: f64 = 0.7;

/// Without trouble for so long, the server is taken to bear more than it did.
const FORGIVEN: Duration = Duration::from_secs(20);

/// A shorter time, or fewer answers, say nothing about the server.
const WINDOW: Duration = Duration::from_secs(2);
const WINDOW_ANSWERS: u32 = 20;

/// A bound on requests at a time that follows the server.
#[derive(Clone, Debug)]
pub(crate) struct Adaptive {
    state: Arc<Mutex<State>>,
    is_fixed: bool,
}

#[derive(Debug)]
struct State {
    ceiling: f64,
    limit: f64,
    /// Below this the limit grows fast: the server has borne it before.
    borne: f64,
    under_way: usize,
    waiting: VecDeque<oneshot::Sender<Permit>>,
    last_cut: Option<Instant>,
    window: Window,
}

/// What the last answers took.
#[derive(Debug)]
struct Window {
    since: Instant,
    answers: u32,
    seconds: f64,
    best_mean_s: f64,
    best_rate: f64,
}

impl Adaptive {
    /// At most `most` at a time; where `is_fixed`, always so many.
    pub(crate) fn new(most: Option<u32>, is_fixed: bool) -> Self {
        let ceiling = most.map_or(f64::INFINITY, f64::from);
        let window = Window {
            since: Instant::now(),
            answers: 0,
            seconds: 0.0,
            best_mean_s: f64::INFINITY,
            best_rate: 0.0,
        };
        let state = State {
            ceiling,
            limit: ceiling,
            borne: ceiling,
            under_way: 0,
            waiting: VecDeque::new(),
            last_cut: None,
            window,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            is_fixed,
        }
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self) -> Permit {
        let place = {
            let mut state = self.lock();
            if state.has_room() {
                state.under_way += 1;
                return self.permit();
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            receiver
        };
        place
            .await
            .expect("a sender is used or lives in the state, which is borrowed here")
    }

    fn permit(&self) -> Permit {
        Permit {
            adaptive: self.clone(),
            since: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands free places to those who wait.
    fn wake(&self) {
        loop {
            let mut state = self.lock();
            if !state.has_room() {
                return;
            }
            let Some(next) = state.waiting.pop_front() else {
                return;
            };
            state.under_way += 1;
            drop(state);
            // Whoever has gone drops the permit, which gives the place back and wakes the next.
            let _ = next.send(self.permit());
        }
    }

    /// The limit at the moment; infinite where there is none.
    #[cfg(test)]
    fn limit(&self) -> f64 {
        self.lock().limit
    }
}

impl State {
    #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
    fn has_room(&self) -> bool {
        (self.under_way as f64) < self.limit.max(1.0).floor()
    }

    /// The server cannot bear so much; `since` is when the request that showed it was sent.
    #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
    fn cut(&mut self, since: Instant) {
        // What was sent before the last cut says nothing about the limit after it.
        if self.last_cut.is_some_and(|cut| since <= cut) {
            return;
        }
        self.limit = (self.limit.min(self.under_way as f64) * CUT).max(1.0);
        self.borne = self.limit;
        self.last_cut = Some(Instant::now());
        tracing::debug!(
            limit = self.limit,
            "the server is overloaded; fewer requests at a time"
        );
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
    fn grow(&mut self) {
        // A limit that is not reached need not grow.
        if self.limit >= self.ceiling || (self.under_way as f64) < self.limit.floor() * 0.9 {
            return;
        }
        if self.last_cut.is_some_and(|cut| cut.elapsed() > FORGIVEN) {
            self.borne *= 2.0;
            self.last_cut = None;
        }
        let step = if self.limit < self.borne {
            1.0
        } else {
            // A fiftieth of what it bore for each round of answers, at least one.
            (self.borne / 50.0).max(1.0) / self.limit
        };
        self.limit = (self.limit + step).min(self.ceiling);
    }

    /// Whether answers take far longer than they did while fewer come: a server that thrashes.
    fn collapses(&mut self, took: Duration) -> bool {
        let window = &mut self.window;
        window.answers += 1;
        window.seconds += took.as_secs_f64();
        let elapsed = window.since.elapsed();
        if window.answers < WINDOW_ANSWERS || elapsed < WINDOW {
            return false;
        }
        let mean_s = window.seconds / f64::from(window.answers);
        let rate = f64::from(window.answers) / elapsed.as_secs_f64();
        // Both bests fade, so that a model that has become slower for good is not held against it.
        window.best_mean_s = (window.best_mean_s * 1.05).min(mean_s);
        window.best_rate = (window.best_rate * 0.95).max(rate);
        let collapses = mean_s > 4.0 * window.best_mean_s && rate < 0.6 * window.best_rate;
        (window.since, window.answers, window.seconds) = (Instant::now(), 0, 0.0);
        collapses
    }
}

/// A place among the requests under way.
#[derive(Debug)]
pub(crate) struct Permit {
    adaptive: Adaptive,
    since: Instant,
}

impl Permit {
    /// An answer came.
    pub(crate) fn answered(&self) {
        if self.adaptive.is_fixed {
            return;
        }
        let mut state = self.adaptive.lock();
        if state.collapses(self.since.elapsed()) {
            state.cut(self.since);
        } else {
            state.grow();
        }
    }

    /// The server refused for want of strength.
    pub(crate) fn refused(&self) {
        if !self.adaptive.is_fixed {
            self.adaptive.lock().cut(self.since);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.adaptive.lock().under_way -= 1;
        self.adaptive.wake();
    }
}

#[cfg(test)]
#[path = "adaptive_tests.rs"]
mod tests;
