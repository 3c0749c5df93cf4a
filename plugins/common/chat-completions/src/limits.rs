//! How much is sent: requests and tokens a minute, and how many at a time.

mod adaptive;
mod pace;

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use reqwest::header::HeaderMap;
use tokio::time::{Instant, sleep_until};

pub(crate) use adaptive::{Adaptive, Permit};
pub(crate) use pace::Pace;

/// What bounds the requests of one model.
#[derive(Debug)]
pub(crate) struct Limits {
    requests: Option<Pace>,
    tokens: Option<Pace>,
    adaptive: Adaptive,
    /// The server has asked for silence until then.
    silence: Mutex<Option<Instant>>,
}

impl Limits {
    pub(crate) fn new(rpm: Option<u32>, tpm: Option<u32>, adaptive: Adaptive) -> Self {
        Self {
            requests: rpm.map(Pace::per_minute),
            tokens: tpm.map(Pace::per_minute),
            adaptive,
            silence: Mutex::new(None),
        }
    }

    /// Waits until a request of about `tokens` tokens may be sent.
    pub(crate) async fn enter(&self, tokens: u64) -> Permit {
        let permit = self.adaptive.enter().await;
        if let Some(pace) = &self.requests {
            pace.take(1).await;
        }
        if let Some(pace) = &self.tokens {
            pace.take(tokens).await;
        }
        loop {
            let until = *self.silence();
            match until {
                Some(until) if until > Instant::now() => sleep_until(until).await,
                _ => return permit,
            }
        }
    }

    /// Whether tokens are counted at all.
    pub(crate) fn counts_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Corrects what `enter` was told once the real number is known.
    pub(crate) fn settle(&self, expected: u64, real: u64) {
        if let Some(pace) = &self.tokens {
            pace.correct(expected, real);
        }
    }

    /// Nothing is sent for `wait`.
    pub(crate) fn be_silent(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut silence = self.silence();
        *silence = Some(silence.map_or(until, |s| s.max(until)));
    }

    fn silence(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer than this no server is believed: a limit per day, or a clock that is wrong.
const LONGEST_WAIT: Duration = Duration::from_secs(900);

/// How long the headers of a refusal ask to wait.
pub(crate) fn waiting(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |s: f64| Duration::try_from_secs_f64(s).ok();
    let asked = text("retry-after-ms")
        .and_then(|ms| ms.parse::<f64>().ok())
        .and_then(|ms| seconds(ms / 1e3))
        .or_else(|| {
            let value = text("retry-after")?;
            if let Ok(s) = value.parse::<f64>() {
                return seconds(s);
            }
            let date = httpdate::parse_http_date(value).ok()?;
            Some(date.duration_since(SystemTime::now()).unwrap_or_default())
        })
        .or_else(|| {
            // The limits that are used up say when they are whole again.
            ["requests", "tokens"]
                .iter()
                .filter(|what| text(&format!("x-ratelimit-remaining-{what}")) == Some("0"))
                .filter_map(|what| clock(text(&format!("x-ratelimit-reset-{what}"))?))
                .max()
        });
    asked.map(|wait| wait.min(LONGEST_WAIT))
}

/// A duration such as `1h2m3.5s`, `250ms` or `12` (seconds).
fn clock(text: &str) -> Option<Duration> {
    if let Ok(s) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(s).ok();
    }
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        total += number
            * match unit {
                "d" => 86_400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                _ => return None,
            };
        rest = tail;
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &str)], expected: Option<f64>) {
        let map: HeaderMap = headers
            .iter()
            .map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()))
            .collect();
        let found = waiting(&map).map(|d| d.as_secs_f64());
        match (found, expected) {
            (Some(found), Some(expected)) => {
                assert!((found - expected).abs() < 1.5e-3, "{headers:?}: {found}");
            }
            _ => assert_eq!(found, expected, "{headers:?}"),
        }
    }

    #[test]
    fn refusals_say_how_long_to_wait() {
        check(&[], None);
        check(&[("retry-after", "3")], Some(3.0));
        check(&[("retry-after", "0.5")], Some(0.5));
        check(
            &[("retry-after-ms", "250"), ("retry-after", "3")],
            Some(0.25),
        );
        check(
            &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")],
            Some(0.0),
        );
        check(&[("retry-after", "-1")], None);
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after", "1e300")], None);
        check(&[("retry-after", "99999")], Some(900.0));
        let used_up = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m2.5s"),
        ];
        check(&used_up, Some(62.5));
        let not_used_up = [
            ("x-ratelimit-remaining-requests", "5"),
            ("x-ratelimit-reset-requests", "1s"),
        ];
        check(&not_used_up, None);
    }

    #[test]
    fn clocks_are_read() {
        for (text, expected) in [
            ("12", 12.0),
            ("250ms", 0.25),
            ("1h0m1s", 3601.0),
            ("6m0s", 360.0),
            ("1.5s", 1.5),
        ] {
            assert_eq!(
                clock(text).map(|d| d.as_secs_f64()),
                Some(expected),
                "{text}"
            );
        }
        for text in ["", "s", "1x", "1s2", "-1s"] {
            assert!(clock(text).is_none_or(|d| d.is_zero()), "{text}");
        }
    }
}
