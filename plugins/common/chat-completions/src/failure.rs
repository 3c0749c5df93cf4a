//! What a fault means: whether trying again helps, and what to say if not.

use std::{error::Error as _, time::Duration};

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;
use tale_api::{Error, ErrorKind};

use crate::limits::waiting;

/// A request that did not bring an answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub error: Error,
    pub again: Again,
    /// Whether the fault lies before the server: it was not reached.
    pub is_unreached: bool,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It would fail again.
    Never,
    /// After a little while.
    Soon,
    /// As `Soon`, but it seldom helps more than once or twice.
    Seldom,
    /// With fewer requests at a time, after the time that the server asks for if it does.
    Slower(Option<Duration>),
}

impl Failure {
    pub(crate) fn new(error: Error, again: Again) -> Self {
        Self {
            error,
            again,
            is_unreached: false,
        }
    }

    /// Whether it would fail again.
    pub(crate) fn is_lasting(&self) -> bool {
        self.again == Again::Never
    }

    pub(crate) fn soon(message: impl Into<String>) -> Self {
        Self::new(Error::new(ErrorKind::Unavailable, message), Again::Soon)
    }

    /// An answer that cannot be one: no JSON, no text, a page for people.
    pub(crate) fn no_answer(message: impl Into<String>) -> Self {
        let error = Error::new(ErrorKind::Unavailable, message)
            .hint("is `base_url` the address of chat completions? it mostly ends in `/v1`");
        Self::new(error, Again::Seldom)
    }

    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::new(Error::new(ErrorKind::Timeout, message), Again::Soon)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error, Again::Never)
    }
}

/// What is known about the request that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub model: &'a str,
    pub url: &'a str,
}

/// What a server says is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    message: String,
    code: String,
    param: String,
}

impl Said {
    fn of(body: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(body) else {
            return Self {
                message: if body.trim_start().starts_with('<') {
                    title(body)
                } else {
                    short(body)
                },
                ..Self::default()
            };
        };
        Self::of_value(&value)
    }

    /// OpenAI's form, and those of the servers that only resemble it.
    fn of_value(value: &Value) -> Self {
        let error = value.get("error").unwrap_or(value);
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if let Value::String(message) = error {
            return Self {
                message: short(message),
                ..Self::default()
            };
        }
        let message = ["message", "detail", "msg", "error"]
            .iter()
            .find_map(|key| error.get(key))
            .map(text);
        let code = |key: &str| error.get(key).map(text).unwrap_or_default();
        Self {
            message: short(&message.unwrap_or_else(|| error.to_string())),
            code: format!("{} {}", code("code"), code("type")),
            param: code("param"),
        }
    }

    fn has(&self, parts: &[&str]) -> bool {
        let all = format!("{} {}", self.code, self.message).to_ascii_lowercase();
        parts.iter().any(|part| all.contains(part))
    }
}

const OUT_OF_MONEY: &[&str] = &[
    "insufficient_quota",
    "insufficient quota",
    "exceeded your current quota",
    "billing_hard_limit",
    "insufficient balance",
    "insufficient credits",
    "billing_not_active",
    "account_deactivated",
];

const TOO_LONG: &[&str] = &[
    "context_length_exceeded",
    "maximum context length",
    "context length",
    "context size",
    "exceed_context_size",
    "too many tokens",
    "string_above_max_length",
];

const NO_MODEL: &[&str] = &[
    "model_not_found",
    "not a valid model",
    "no such model",
    "unknown model",
];

/// What a reply with another status than 200 means.
pub(crate) fn of_status(
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
    asked: Asked<'_>,
) -> Failure {
    of_said(status.as_u16(), &Said::of(body), waiting(headers), asked)
}

/// What an `error` within a reply with status 200 means.
pub(crate) fn of_error_inside(value: &Value, asked: Asked<'_>) -> Failure {
    let said = Said::of_value(value);
    let status = value["error"]["code"]
        .as_u64()
        .or_else(|| value["code"].as_u64())
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (400..600).contains(code))
        // A server that says 200 has let the request in; what broke then is its own matter.
        .unwrap_or(502);
    of_said(status, &said, None, asked)
}

fn of_said(status: u16, said: &Said, wait: Option<Duration>, asked: Asked<'_>) -> Failure {
    let Asked { model, url } = asked;
    let message = if said.message.is_empty() {
        format!("the server answers {status}")
    } else {
        format!("the server answers {status}: {}", said.message)
    };
    let last = |kind, hint: String| Failure::from(Error::new(kind, message.clone()).hint(hint));
    let again = |kind, again| Failure::new(Error::new(kind, message.clone()), again);
    let no_model = || {
        last(
            ErrorKind::InvalidOptions,
            format!("the server at {url} has no model `{model}`, or not for this key"),
        )
    };
    if status != 404 && said.has(OUT_OF_MONEY) || status == 402 {
        return last(
            ErrorKind::QuotaExhausted,
            "the account's money or quota is used up; once it is filled, the same command goes on"
                .to_owned(),
        );
    }
    match status {
        401 => last(
            ErrorKind::Unauthorized,
            "the key is not accepted: is it the right one for this server, and still valid?"
                .to_owned(),
        ),
        403 => last(
            ErrorKind::Unauthorized,
            "the key may not do this: model, project or country may be closed to it".to_owned(),
        ),
        404 if said.has(NO_MODEL) || said.has(&["model"]) && said.has(&["exist", "not found"]) => {
            no_model()
        }
        400 | 422 if said.has(NO_MODEL) => no_model(),
        404 | 405 => last(
            ErrorKind::InvalidOptions,
            format!("nothing answers at {url}; `base_url` mostly ends in `/v1`"),
        ),
        300..=399 => last(
            ErrorKind::InvalidOptions,
            format!("{url} sends elsewhere; give the final address as `base_url`"),
        ),
        413 => last(
            ErrorKind::ContextLength,
            "the prompt is too long for this server".to_owned(),
        ),
        400 | 422 if said.has(TOO_LONG) => last(
            ErrorKind::ContextLength,
            "prompt and `max_tokens` do not fit the model's context".to_owned(),
        ),
        400 | 422
            if said.has(&[
                "unsupported_parameter",
                "unsupported_value",
                "unknown_parameter",
            ]) =>
        {
            last(
                ErrorKind::InvalidOptions,
                format!(
                    "`{model}` does not take `{}`: leave it out of the manifest, or choose another `profile`",
                    said.param
                ),
            )
        }
        408 | 425 => again(ErrorKind::Timeout, Again::Soon),
        429 => {
            let mut failure = again(ErrorKind::RateLimited, Again::Slower(wait));
            failure.error = failure
                .error
                .hint("lower `concurrency`, or set `rpm` and `tpm` to your limits");
            failure.error.retry_after_s = wait.map(|w| w.as_secs_f64());
            failure
        }
        501 | 505 => last(
            ErrorKind::Unsupported,
            format!("{url} is no server of chat completions"),
        ),
        503 | 529 => again(ErrorKind::Unavailable, Again::Slower(wait)),
        409 | 500.. => again(ErrorKind::Unavailable, Again::Soon),
        _ => last(
            ErrorKind::InvalidInput,
            "the request is refused; the message says why".to_owned(),
        ),
    }
}

/// What it means that no reply came, or not all of it.
pub(crate) fn of_transport(e: reqwest::Error, url: &str) -> Failure {
    let is_connect = e.is_connect();
    let e = e.without_url();
    let mut causes = Vec::new();
    let mut next = e.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    let all = causes.join("; ").to_ascii_lowercase();
    let with = |mut error: Error, again| {
        error.causes.clone_from(&causes);
        Failure {
            error,
            again,
            is_unreached: is_connect,
        }
    };
    if all.contains("certificate") {
        let error = Error::new(
            ErrorKind::InvalidOptions,
            format!("the certificate of {url} is not accepted"),
        )
        .hint("expired, or of an authority that this machine does not know: `ca_file` names a PEM file with it");
        return with(error, Again::Never);
    }
    if is_connect {
        let what = if all.contains("dns") || all.contains("lookup") {
            "cannot find the server of"
        } else {
            "cannot connect to"
        };
        let hint = if all.contains("too many open files") {
            "too many open files: lower `concurrency`, or raise `ulimit -n`"
        } else {
            "is there a network, is the server running, is `base_url` right? a proxy goes into `proxy` or `HTTPS_PROXY`"
        };
        let error = Error::new(ErrorKind::Unavailable, format!("{what} {url}")).hint(hint);
        return with(error, Again::Soon);
    }
    if e.is_timeout() {
        let error = Error::new(ErrorKind::Timeout, format!("no answer from {url} in time"));
        return with(error, Again::Soon);
    }
    let message = if e.is_body() || e.is_decode() {
        "the answer breaks off"
    } else {
        "the connection breaks"
    };
    with(Error::new(ErrorKind::Unavailable, message), Again::Soon)
}

/// The title of a page.
fn title(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let rest = html.get(start + 7..)?;
        rest.get(..lower.get(start + 7..)?.find('<')?)
    });
    match title {
        Some(title) => format!("a web page, `{}`", short(title.trim())),
        None => "a web page".to_owned(),
    }
}

/// A text of somebody else's, on one line and not for ever.
fn short(text: &str) -> String {
    const MOST: usize = 400;
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
