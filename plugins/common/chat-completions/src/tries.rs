//! How often and when something is tried again.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tale_api::Error;
use tokio::time::Instant;

use crate::failure::{Again, Failure};

/// Attempts where trying again seldom helps.
const SELDOM_ATTEMPTS: u32 = 3;

/// The tries of one request.
pub(crate) struct Tries {
    pub most: u32,
    made: u32,
    begin: Instant,
    patience: Duration,
    delays: ExponentialBackoff,
}

impl Tries {
    pub(crate) fn new(most: u32, patience: Duration) -> Self {
        let delays = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(200))
            .with_factor(2.0)
            .with_max_delay(Duration::from_secs(30))
            .with_jitter()
            .without_max_times()
            .build();
        Self {
            most,
            made: 0,
            begin: Instant::now(),
            patience,
            delays,
        }
    }

    /// How long to wait before the next try; `None` if there is none.
    pub(crate) fn next(&mut self, failure: &Failure) -> Option<Duration> {
        let most = match failure.again {
            Again::Never => {
                self.made += 1;
                return None;
            }
            Again::Soon => self.most,
            Again::Seldom => self.most.min(SELDOM_ATTEMPTS),
            Again::Slower(_) => u32::MAX,
        };
        // Being asked to slow down is no failed try.
        if !matches!(failure.again, Again::Slower(_)) {
            self.made += 1;
        }
        if self.made >= most || self.begin.elapsed() >= self.patience {
            return None;
        }
        let delay = self.delays.next()?;
        Some(match failure.again {
            // Those that were refused together do not come back together.
            Again::Slower(Some(wait)) => wait + delay.min(wait / 4 + Duration::from_millis(50)),
            _ => delay,
        })
    }

    /// The last error with how much was tried.
    pub(crate) fn told(&self, mut error: Error) -> Error {
        if self.made > 1 {
            let (made, seconds) = (self.made, self.begin.elapsed().as_secs());
            error.message = format!(
                "no answer after {made} attempts in {seconds} s: {}",
                error.message
            );
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use tale_api::ErrorKind;

    use super::*;

    #[test]
    fn tries_end() {
        let mut tries = Tries::new(3, Duration::from_secs(60));
        let soon = Failure::soon("x");
        assert!(tries.next(&soon).is_some() && tries.next(&soon).is_some());
        assert!(tries.next(&soon).is_none());
        assert!(tries.told(soon.error).message.contains("after 3 attempts"));
        let mut tries = Tries::new(1, Duration::from_secs(60));
        let slower = Failure::new(Error::new(ErrorKind::RateLimited, "x"), Again::Slower(None));
        assert!((0..20).all(|_| tries.next(&slower).is_some()));
        let mut tries = Tries::new(9, Duration::ZERO);
        assert!(tries.next(&slower).is_none());
    }
}
