//! How a fetch tells people how far it is. All of it goes to stderr.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use super::catalogue::Entry;
use super::error::{SourceFailure, bytes};

/// Something that happened to a fetch.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// Another process is fetching the same file; this one waits for it.
    Waiting,
    /// Bytes that are already there are being hashed.
    Checking {
        /// Bytes hashed so far.
        done: u64,
        /// Bytes to hash.
        total: u64,
    },
    /// The file that is there has a wrong digest; it was removed and is fetched again.
    Damaged,
    /// A source is about to be tried.
    From {
        /// Its name.
        source: &'a str,
    },
    /// Bytes arrived; comes often.
    Transfer {
        /// Bytes in place, those of earlier attempts included.
        done: u64,
        /// Size of the file.
        total: u64,
    },
    /// A passing error; the source is tried again.
    Retry {
        /// The error in one line.
        reason: &'a str,
        /// How long the fetch waits before.
        wait: Duration,
    },
    /// A source is given up.
    Failed(&'a SourceFailure),
    /// The file is in place and right.
    Done,
}

/// Hears of a fetch's steps, in order, on the thread that fetches; must be quick.
pub trait FetchProgress: Send + Sync {
    /// Called for each step of the fetch of `entry`.
    fn step(&self, entry: &Entry, step: &Step<'_>);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl FetchProgress for Silent {
    fn step(&self, _: &Entry, _: &Step<'_>) {}
}

/// A bar on a terminal, else plain lines.
#[must_use]
pub fn for_people() -> Box<dyn FetchProgress> {
    if std::io::stderr().is_terminal() {
        Box::new(Bar::default())
    } else {
        Box::new(Lines::default())
    }
}

/// A progress bar on the terminal's stderr.
#[derive(Debug, Default)]
pub struct Bar {
    bar: Mutex<Option<ProgressBar>>,
}

impl Bar {
    fn at(&self, entry: &Entry, verb: &str, done: u64, total: u64) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| {
            let style = "{msg}  [{bar:24}] {percent:>3}%  {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left";
            let style = ProgressStyle::with_template(style).expect("a valid template").progress_chars("=> ");
            let bar = ProgressBar::new(total).with_style(style);
            // Speed and time left count from here, not from the bytes of an earlier attempt.
            bar.set_position(done);
            bar.reset_eta();
            bar
        });
        bar.set_message(format!("{verb} {}", entry.name));
        bar.set_length(total);
        bar.set_position(done);
    }

    fn clear(&self) {
        if let Some(bar) = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            bar.finish_and_clear();
        }
    }
}

impl FetchProgress for Bar {
    fn step(&self, entry: &Entry, step: &Step<'_>) {
        match step {
            Step::Transfer { done, total } => self.at(entry, "fetching", *done, *total),
            Step::Checking { done, total } => self.at(entry, "checking", *done, *total),
            other => {
                self.clear();
                if let Some(line) = sentence(entry, other) {
                    say(&line);
                }
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Plain lines on stderr: one at each event, and one every ten seconds of a transfer.
#[derive(Debug, Default)]
pub struct Lines {
    last: Mutex<Option<Instant>>,
}

impl Lines {
    const EVERY: Duration = Duration::from_secs(10);

    fn is_due(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let since = *last.get_or_insert(now);
        let due = now.duration_since(since) >= Self::EVERY;
        if due {
            *last = Some(now);
        }
        due
    }
}

impl FetchProgress for Lines {
    fn step(&self, entry: &Entry, step: &Step<'_>) {
        match step {
            Step::Transfer { done, total } | Step::Checking { done, total } => {
                if self.is_due() {
                    say(&format!(
                        "{}: {} of {} ({}%)",
                        entry.name,
                        bytes(*done),
                        bytes(*total),
                        done * 100 / total.max(&1)
                    ));
                }
            }
            other => {
                if let Some(line) = sentence(entry, other) {
                    say(&line);
                }
            }
        }
    }
}

fn sentence(entry: &Entry, step: &Step<'_>) -> Option<String> {
    let name = &entry.name;
    Some(match step {
        Step::Waiting => format!("{name}: another process is fetching it; waiting"),
        Step::Damaged => format!("{name}: the file in the cache is damaged; fetching it again"),
        Step::From { source } => format!("{name}: fetching {} from {source}", bytes(entry.bytes)),
        Step::Retry { reason, wait } => {
            format!("{name}: {reason}; trying again in {}", HumanDuration(*wait))
        }
        Step::Failed(failure) => format!("{name}: {}: {}", failure.source, failure.reason),
        Step::Done | Step::Transfer { .. } | Step::Checking { .. } => return None,
    })
}

/// A closed stderr must not end a download.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
