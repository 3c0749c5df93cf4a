//! Profiles: what a server does differently, read from `data/profiles.toml`.

use std::{collections::BTreeMap, sync::OnceLock};

use serde::Deserialize;

use crate::options::ThinkTags;

/// What a server does differently; `data/profiles.toml` explains each key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a list of independent quirks, by name"
)]
pub(crate) struct Profile {
    #[serde(default)]
    pub hosts: Vec<String>,
    pub key_env: Option<String>,
    #[serde(default)]
    pub needs_key: bool,
    #[serde(default)]
    pub probe: bool,
    #[serde(default = "yes")]
    pub include_usage: bool,
    #[serde(default = "max_tokens")]
    pub max_tokens: String,
    pub seed: Option<String>,
    pub top_k: Option<String>,
    pub repetition_penalty: Option<String>,
    pub service_tier: Option<String>,
    #[serde(default = "system")]
    pub system_role: String,
    #[serde(default)]
    pub reasoning: Limiting,
    #[serde(default)]
    pub think_tags: ThinkTags,
    #[serde(default = "yes")]
    pub names_model: bool,
    pub gbnf: Option<String>,
    pub json_schema: Option<String>,
    #[serde(default)]
    pub model_rules: bool,
    #[serde(default)]
    pub batch: bool,
}

/// How a server lets hidden reasoning be limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Limiting {
    /// Not at all.
    #[default]
    None,
    /// `reasoning_effort`.
    Effort,
    /// `reasoning_effort`; no reasoning at all through the chat template's `enable_thinking`.
    EffortOrOff,
    /// No reasoning at all through the chat template's `enable_thinking`; nothing else.
    Template,
    /// `reasoning = { effort }` or `reasoning = { max_tokens }`.
    ReasoningObject,
    /// `thinking = { type, budget_tokens }`.
    ThinkingBudget,
    /// `thinking = { type }`, on or off only.
    ThinkingSwitch,
}

fn yes() -> bool {
    true
}

fn max_tokens() -> String {
    "max_tokens".to_owned()
}

fn system() -> String {
    "system".to_owned()
}

/// All profiles by name.
pub(crate) fn all() -> &'static BTreeMap<String, Profile> {
    static ALL: OnceLock<BTreeMap<String, Profile>> = OnceLock::new();
    ALL.get_or_init(|| {
        toml::from_str(include_str!("../data/profiles.toml"))
            .expect("the file is part of this crate, and a test reads it")
    })
}

/// The name of the profile for a base URL's `host:port`.
pub(crate) fn guess(authority: &str) -> &'static str {
    let found = all()
        .iter()
        .find(|(_, profile)| profile.hosts.iter().any(|host| is_host(authority, host)));
    found.map_or("generic", |(name, _)| name)
}

/// Whether `host:port` ends with the port, or has the host as its name or its name's end.
fn is_host(authority: &str, host: &str) -> bool {
    if host.starts_with(':') {
        return authority.ends_with(host);
    }
    let name = authority
        .rsplit_once(':')
        .map_or(authority, |(name, _)| name);
    name.strip_suffix(host)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_guessed_by_host_or_port() {
        for (authority, expected) in [
            ("api.openai.com", "openai"),
            ("api.openai.com:443", "openai"),
            ("api.openai.com.evil.org", "generic"),
            ("notapi.deepseek.com", "generic"),
            ("127.0.0.1:11434", "ollama"),
            ("gpu7:8000", "vllm"),
            ("gpu7:18000", "generic"),
            ("openrouter.ai", "openrouter"),
            ("api.lingyiwanwu.com", "yi"),
            ("localhost:9", "generic"),
        ] {
            assert_eq!(guess(authority), expected, "{authority}");
        }
    }

    #[test]
    fn every_profile_of_the_docs_is_there() {
        for name in [
            "openai",
            "yi",
            "vllm",
            "sglang",
            "tgi",
            "llama-server",
            "ollama",
            "deepseek",
            "openrouter",
            "generic",
        ] {
            assert!(all().contains_key(name), "{name}");
        }
    }
}
