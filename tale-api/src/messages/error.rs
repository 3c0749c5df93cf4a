//! The error that crosses the boundary: a kind to decide by, and words for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of a call over the boundary.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the terms that decide what happens next.
///
/// Retry, exit code and the journal's `error` column go by the kind, never by matching text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller sent something this component can never accept; a retry would fail again.
    InvalidInput,
    /// The component's options do not fit its schema or each other.
    InvalidOptions,
    /// A file, model or record that was named does not exist.
    NotFound,
    /// A file exists but its content is not what it should be.
    InvalidData,
    /// Prompt and `max_tokens` do not fit the model's context.
    ContextLength,
    /// The provider does not accept the credentials.
    Unauthorized,
    /// The account's money or quota is used up; waiting seconds does not help.
    QuotaExhausted,
    /// The provider asks to slow down; `retry_after_s` says for how long, where it is known.
    RateLimited,
    /// Not reachable or failing at the moment; a later try may succeed.
    Unavailable,
    /// No answer within the time allowed.
    Timeout,
    /// The caller dropped the call.
    Cancelled,
    /// This component has no such method or capability.
    Unsupported,
    /// The other side broke the boundary's protocol: no JSON, a wrong shape, a reply too large.
    Protocol,
    /// The component panicked; the process lives on.
    Panicked,
    /// Memory, disk or a device ran out.
    ResourceExhausted,
    /// A fault of the component itself.
    Internal,
    /// A kind that a newer peer knows and this one does not.
    #[serde(other)]
    Unknown,
}

impl ErrorKind {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable | Self::Timeout)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidInput => "invalid input",
            Self::InvalidOptions => "invalid options",
            Self::NotFound => "not found",
            Self::InvalidData => "invalid data",
            Self::ContextLength => "context length",
            Self::Unauthorized => "unauthorized",
            Self::QuotaExhausted => "quota exhausted",
            Self::RateLimited => "rate limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "time-out",
            Self::Cancelled => "cancelled",
            Self::Unsupported => "unsupported",
            Self::Protocol => "protocol",
            Self::Panicked => "panicked",
            Self::ResourceExhausted => "resource exhausted",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
        })
    }
}

/// An error of a component: what failed, where, and how to mend it.
///
/// # Examples
/// ```
/// use tale_api::{Error, ErrorKind};
/// let e = Error::new(ErrorKind::RateLimited, "HTTP 429").hint("lower `concurrency`").retry_after_s(2.0);
/// assert!(e.kind.is_retryable());
/// assert_eq!(e.to_string(), "HTTP 429");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Error {
    /// What to decide by.
    pub kind: ErrorKind,
    /// What failed, in lower case, without a full stop, values in backticks. Never a secret.
    pub message: String,
    /// How to mend it, if there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Seconds the provider asks to wait before the next try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<f64>,
    /// The method or step that failed, for instance `generate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Where: pairs such as `("plugin", "llama-cpp")`, `("line", "17")`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<(String, String)>,
    /// The chain of causes, outermost first, as text: an error value cannot cross the boundary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            retry_after_s: None,
            operation: None,
            context: Vec::new(),
            causes: Vec::new(),
        }
    }

    /// Says how to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says how many seconds to wait before another try.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: f64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Names the method or step that failed; the innermost name is kept.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.operation.get_or_insert_with(|| operation.into());
        self
    }

    /// Adds a pair that says where.
    #[must_use]
    pub fn context(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.context.push((key.into(), value.into()));
        self
    }

    /// Records `cause` and everything beneath it.
    #[must_use]
    pub fn caused_by(mut self, cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(cause);
        while let Some(e) = next {
            self.causes.push(e.to_string());
            next = e.source();
        }
        self
    }

    /// The value of the first context pair named `key`.
    #[must_use]
    pub fn context_value(&self, key: &str) -> Option<&str> {
        self.context
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
