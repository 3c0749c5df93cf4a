//! How long a plugin may take.

use std::time::Duration;

/// How long the host waits for each kind of call before it gives up with
/// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout).
///
/// These are nets for plugins that hang, not tuning knobs: generous, so that a slow machine does
/// not trip them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlines {
    /// Creating a component, which may load a model. Default: 15 minutes.
    pub create: Duration,
    /// `generate` for requests without a `timeout_s` of their own. Default: an hour, because a
    /// local model answers its queue in turn.
    pub generate: Duration,
    /// What a request's own `timeout_s` is extended by, so that the plugin, which knows more,
    /// reports it first. Default: 5 seconds.
    pub grace: Duration,
    /// `estimate` and `is_feasible`, which may ask a model themselves. Default: an hour.
    pub asking: Duration,
    /// `info`, `count_tokens`, `page`, `grade`. Default: 2 minutes.
    pub short: Duration,
    /// `train`; `None`, the default, is for ever.
    pub train: Option<Duration>,
    /// How long the end of a component is waited for. Default: 10 seconds.
    pub release: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            create: Duration::from_secs(15 * 60),
            generate: Duration::from_secs(3600),
            grace: Duration::from_secs(5),
            asking: Duration::from_secs(3600),
            short: Duration::from_secs(120),
            train: None,
            release: Duration::from_secs(10),
        }
    }
}

impl Deadlines {
    /// The same time for every kind of call; for tests and for checking plugins.
    #[must_use]
    pub fn all(time: Duration) -> Self {
        Self {
            create: time,
            generate: time,
            grace: time,
            asking: time,
            short: time,
            train: Some(time),
            release: time,
        }
    }

    pub(crate) fn generate(&self, timeout_s: Option<f64>) -> Duration {
        match timeout_s.map(Duration::try_from_secs_f64) {
            Some(Ok(timeout)) => timeout.saturating_add(self.grace),
            // A time that is no time (negative, not a number) is the plugin's to refuse.
            Some(Err(_)) | None => self.generate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_its_own_time_gets_that_and_the_grace() {
        let deadlines = Deadlines::default();
        assert_eq!(deadlines.generate(Some(1.5)), Duration::from_millis(6500));
        for timeout_s in [None, Some(-1.0), Some(f64::NAN)] {
            assert_eq!(deadlines.generate(timeout_s), deadlines.generate);
        }
    }
}
