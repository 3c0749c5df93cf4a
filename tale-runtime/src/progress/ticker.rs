//! A thread that does something now and then until it is dropped.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

pub(super) struct Ticker {
    /// Dropped to wake and end the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Calls `tick` after each pause that `pause` names.
    pub(super) fn start(
        pause: impl Fn() -> Duration + Send + 'static,
        tick: impl Fn() + Send + 'static,
    ) -> Self {
        let (stop, stopped) = mpsc::channel();
        let work = move || {
            while stopped.recv_timeout(pause()) == Err(RecvTimeoutError::Timeout) {
                tick();
            }
        };
        // Without the thread there is nothing to see, and everything else goes on.
        let thread = thread::Builder::new()
            .name("progress".to_owned())
            .spawn(work)
            .ok();
        Self {
            stop: Some(stop),
            thread,
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported already.
            let _ = thread.join();
        }
    }
}
