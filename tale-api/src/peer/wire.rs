//! Messages of the protocol itself, around those in [`messages`](crate::messages).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::messages::{ComponentKind, CreateEnv};

/// The methods of version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[cfg_attr(
    not(feature = "host"),
    expect(dead_code, reason = "a plugin calls models only")
)]
pub(crate) enum Method {
    Create,
    Counts,
    Info,
    Generate,
    CountTokens,
    Estimate,
    IsFeasible,
    Page,
    Grade,
    Train,
}

impl Method {
    pub(crate) const COUNT: usize = 10;

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Counts => "counts",
            Self::Info => "info",
            Self::Generate => "generate",
            Self::CountTokens => "count_tokens",
            Self::Estimate => "estimate",
            Self::IsFeasible => "is_feasible",
            Self::Page => "page",
            Self::Grade => "grade",
            Self::Train => "train",
        }
    }
}

/// What the host says of itself at the start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HostInfo {
    /// `name version` of the host's copy of this crate, for logs.
    #[serde(default)]
    pub(crate) host: String,
    #[serde(default)]
    pub(crate) abi_major: u32,
    #[serde(default)]
    pub(crate) abi_minor: u32,
    /// The most detailed level that is worth sending: `off`, `error`, … `trace`.
    #[serde(default)]
    pub(crate) log_level: String,
}

/// Request of the root's `create`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Create {
    pub(crate) kind: ComponentKind,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) options: Value,
    #[serde(default)]
    pub(crate) env: CreateEnv,
}

/// Its reply.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Created {
    pub(crate) object: u64,
}

/// A request that comes with a model: `llm` is an object of the sender, usable until the call ends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WithLlm<T> {
    pub(crate) request: T,
    pub(crate) llm: u64,
}

/// Request of `count_tokens`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Text<S> {
    pub(crate) text: S,
}

/// Its reply.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) tokens: u64,
}

/// A request without content.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Nothing {}
