//! Downloads over HTTP: resumed, retried, and stopped early when it cannot be the right file.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE,
    RETRY_AFTER,
};
use reqwest::{Client, StatusCode};

use super::FetchProgress;
use super::catalogue::Entry;
use super::part::{Failed, Origin, Part};
use super::progress::Step;
use super::settings::Settings;

const NO_NETWORK: &str = "is there a network? a proxy goes into `HTTPS_PROXY`, a mirror of Hugging Face into `HF_ENDPOINT`";

/// One address to download from.
pub(super) struct Address<'a> {
    pub(super) url: String,
    /// Sent with the first request; the client drops it when another host takes over.
    pub(super) token: Option<&'a str>,
    /// The source's name in messages.
    pub(super) label: &'a str,
}

/// Why one attempt ended early.
enum Broken {
    /// Worth another attempt, no sooner than after `wait`; `unreachable` if nobody answered.
    Passing {
        reason: String,
        wait: Option<Duration>,
        unreachable: bool,
    },
    Lasting(Failed),
}

impl<E: Into<Failed>> From<E> for Broken {
    fn from(failed: E) -> Self {
        Self::Lasting(failed.into())
    }
}

/// A client with our patience. Proxies come from the environment, certificates from the system.
pub(super) fn client(settings: &Settings) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("tale/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.stall.min(Duration::from_secs(20)))
        .read_timeout(settings.stall)
        .build()
}

/// Brings `part` to its full length.
pub(super) async fn download(
    client: &Client,
    settings: &Settings,
    address: &Address<'_>,
    entry: &Entry,
    part: &mut Part<'_>,
    progress: &dyn FetchProgress,
) -> Result<(), Failed> {
    let mut fruitless = 0;
    let mut furthest = part.length();
    loop {
        let (reason, wait, unreachable) =
            match attempt(client, address, entry, part, progress).await {
                Ok(()) => return Ok(()),
                Err(Broken::Lasting(failed)) => return Err(failed),
                Err(Broken::Passing {
                    reason,
                    wait,
                    unreachable,
                }) => (reason, wait, unreachable),
            };
        fruitless = if part.length() > furthest {
            0
        } else {
            fruitless + 1
        };
        furthest = furthest.max(part.length());
        // A host that nobody answers at is most often out of reach for good (no network, a closed
        // one): two attempts tell, and the next source should not wait for more.
        let attempts = if unreachable {
            settings.attempts.min(2)
        } else {
            settings.attempts
        };
        if fruitless >= attempts {
            return Err(if unreachable {
                Failed::with_hint(reason, NO_NETWORK)
            } else {
                Failed::source(reason)
            });
        }
        let backoff = settings.first_wait * 2_u32.pow(fruitless.min(5).saturating_sub(1));
        let wait = wait.unwrap_or(backoff.min(Duration::from_secs(30)));
        progress.step(
            entry,
            &Step::Retry {
                reason: &reason,
                wait,
            },
        );
        tokio::time::sleep(wait).await;
    }
}

async fn attempt(
    client: &Client,
    address: &Address<'_>,
    entry: &Entry,
    part: &mut Part<'_>,
    progress: &dyn FetchProgress,
) -> Result<(), Broken> {
    if part.length() == entry.bytes {
        return Ok(());
    }
    let headers = headers(address, part);
    let mut response = client
        .get(&address.url)
        .headers(headers)
        .send()
        .await
        .map_err(broken)?;
    match response.status() {
        StatusCode::OK => {
            refuse_another_size(response.content_length(), entry)?;
            part.restart()?;
        }
        StatusCode::PARTIAL_CONTENT => {
            let range = response
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|value| value.to_str().ok());
            let (start, total) = range.and_then(content_range).unwrap_or((u64::MAX, None));
            refuse_another_size(total, entry)?;
            if start != part.length() {
                part.restart()?;
                return Err(passing("answers with another range than the one asked for"));
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            part.restart()?;
            return Err(passing("does not have the rest of the file (HTTP 416)"));
        }
        status => return Err(refused(status, response.headers(), address)),
    }
    let etag = response
        .headers()
        .get(ETAG)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    part.remember(Origin {
        source: address.label.to_owned(),
        etag,
        ..Origin::default()
    });
    progress.step(
        entry,
        &Step::Transfer {
            done: part.length(),
            total: entry.bytes,
        },
    );
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        part.write(&chunk)?;
        progress.step(
            entry,
            &Step::Transfer {
                done: part.length(),
                total: entry.bytes,
            },
        );
    }
    if part.length() < entry.bytes {
        return Err(passing(&format!(
            "ends after {} of {} bytes",
            part.length(),
            entry.bytes
        )));
    }
    Ok(())
}

fn headers(address: &Address<'_>, part: &Part<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Sizes and ranges are those of the file, not of a compressed form of it.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(mut value) = address
        .token
        .and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok())
    {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if part.length() > 0 {
        headers.insert(
            RANGE,
            HeaderValue::from_str(&format!("bytes={}-", part.length())).expect("ASCII"),
        );
        let origin = part.origin();
        // A weak validator promises the same meaning, not the same bytes, and may not stand here.
        let strong = origin
            .etag
            .as_deref()
            .filter(|etag| origin.source == address.label && !etag.starts_with("W/"));
        if let Some(value) = strong.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            headers.insert(IF_RANGE, value);
        }
    }
    headers
}

/// Start and total of `bytes 5-9/10`; the total may be unknown (`*`).
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value
        .trim()
        .strip_prefix("bytes")?
        .trim_start()
        .split_once('/')?;
    Some((
        range.split_once('-')?.0.trim().parse().ok()?,
        total.trim().parse().ok(),
    ))
}

/// Half a gigabyte of the wrong file is not worth downloading to find out.
fn refuse_another_size(size: Option<u64>, entry: &Entry) -> Result<(), Failed> {
    match size {
        Some(size) if size != entry.bytes => Err(Failed::source(format!(
            "has {size} bytes, not {}: another file",
            entry.bytes
        ))),
        _ => Ok(()),
    }
}

fn refused(status: StatusCode, headers: &HeaderMap, address: &Address<'_>) -> Broken {
    let reason = format!("HTTP {status}");
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {}
        _ if status.is_server_error() => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let hint = if address.token.is_some() {
                format!(
                    "{}: the token in `HF_TOKEN` does not open it, or its terms are not accepted",
                    address.label
                )
            } else {
                format!("{}: if it asks for a login, set `HF_TOKEN`", address.label)
            };
            return Broken::Lasting(Failed::with_hint(reason, hint));
        }
        _ => return Broken::Lasting(Failed::source(reason)),
    }
    let wait = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(|seconds: u64| Duration::from_secs(seconds.min(60)));
    Broken::Passing {
        reason,
        wait,
        unreachable: false,
    }
}

fn passing(reason: &str) -> Broken {
    Broken::Passing {
        reason: reason.to_owned(),
        wait: None,
        unreachable: false,
    }
}

/// The client's error in one line, without the address (it may carry a key).
fn broken(error: reqwest::Error) -> Broken {
    let error = error.without_url();
    let mut root: &dyn std::error::Error = &error;
    while let Some(deeper) = root.source() {
        root = deeper;
    }
    let what = if error.is_connect() {
        "cannot connect"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "connection lost"
    };
    let reason = match error.source() {
        Some(_) => format!("{what}: {root}"),
        None => what.to_owned(),
    };
    if error.is_builder() || error.is_redirect() {
        return Broken::Lasting(Failed::source(reason));
    }
    Broken::Passing {
        reason,
        wait: None,
        unreachable: error.is_connect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        for (value, expected) in [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 5-9/*", Some((5, None))),
            ("bytes */10", None),
            ("chunks 5-9/10", None),
            ("", None),
        ] {
            assert_eq!(content_range(value), expected, "{value}");
        }
    }
}
