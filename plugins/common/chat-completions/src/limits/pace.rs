//! So many a minute.
//!
//! Written by hand and not taken from a crate of rate limiters, because tokens are only known after
//! the answer: what was guessed before must be corrected then.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// An even pace (the generic cell rate algorithm): a short burst, then one each so many seconds, and
/// never more than the number in any minute.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Seconds a unit takes.
    unit_s: f64,
    /// Seconds by which units may come early.
    burst_s: f64,
    /// When the units taken so far are used up.
    used_until: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn per_minute(most: u32) -> Self {
        let most = f64::from(most);
        // A second's worth at once; the rest of the minute's is spread over the minute.
        let burst = (most / 60.0).floor();
        let unit_s = 60.0 / (most - burst).max(1.0);
        Self {
            unit_s,
            burst_s: unit_s * (burst - 1.0).max(0.0),
            used_until: Mutex::new(None),
        }
    }

    /// Takes `units` and waits until they are due.
    pub(crate) async fn take(&self, units: u64) {
        let due = self.reserve(units, Instant::now());
        sleep_until(due).await;
    }

    /// When units asked for at `now` are due.
    fn reserve(&self, units: u64, now: Instant) -> Instant {
        let mut used_until = self
            .used_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let begin = used_until.map_or(now, |until| until.max(now));
        *used_until = Some(begin + self.duration(units));
        begin
            .checked_sub(Duration::from_secs_f64(self.burst_s))
            .unwrap_or(now)
            .max(now)
    }

    /// Corrects a guess.
    pub(crate) fn correct(&self, guessed: u64, real: u64) {
        let mut used_until = self
            .used_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = *used_until {
            *used_until = if real >= guessed {
                Some(until + self.duration(real - guessed))
            } else {
                until.checked_sub(self.duration(guessed - real))
            };
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of tokens")]
    fn duration(&self, units: u64) -> Duration {
        // More than an hour for one request is a mistake of the count, not a pace.
        Duration::from_secs_f64((self.unit_s * units as f64).min(3600.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_than_allowed() {
        for most in [1, 2, 7, 60, 500, 6000] {
            let pace = Pace::per_minute(most);
            let start = Instant::now();
            let due: Vec<f64> = (0..u64::from(most) * 3)
                .map(|_| (pace.reserve(1, start) - start).as_secs_f64())
                .collect();
            for (i, from) in due.iter().enumerate() {
                let within = due[i..].iter().filter(|d| **d < from + 60.0 - 1e-6).count();
                assert!(within <= most as usize, "{most} a minute: {within}");
            }
            // And little less than that.
            let last = due.last().unwrap();
            assert!(*last < 200.0, "{most} a minute: {last}");
        }
    }

    #[test]
    fn a_guess_is_corrected() {
        let pace = Pace::per_minute(6000);
        let now = Instant::now();
        pace.reserve(6000, now);
        let late = pace.reserve(0, now) - now;
        pace.correct(6000, 100);
        let early = pace.reserve(0, now) - now;
        assert!(
            late > Duration::from_secs(50) && early < Duration::from_secs(2),
            "{late:?} {early:?}"
        );
    }
}
