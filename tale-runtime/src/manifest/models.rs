//! Models in a manifest: how they are asked, what is kept of their answers, what they cost.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A model that answers, and how it is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlmSpec {
    /// The component that speaks with the model, for instance `llama-cpp`; `tale plugin list` shows
    /// all.
    #[schemars(length(min = 1))]
    pub plugin: String,
    /// The label in results. Default: the model's name, or the plugin's where there is no model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub name: Option<String>,
    /// Which model: a name that the plugin knows (`tale model list`), or a path relative to the
    /// manifest's folder where the plugin takes files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub model: Option<String>,
    /// Temperature of sampling; 0 is greedy. Default: 0.1, as in the paper (A.3).
    #[serde(default = "default_temperature")]
    #[schemars(range(min = 0.0))]
    pub temperature: f64,
    /// Nucleus sampling: the smallest set of tokens whose probability reaches this, above 0, at
    /// most 1. Default: the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub top_p: Option<f64>,
    /// Only the so many most probable tokens; 0 is no limit. Default: the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Divides the logits of tokens seen already; 1 is off. Default: the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub repetition_penalty: Option<f64>,
    /// The most tokens of one answer, reasoning included. Default: 1024, as in the paper's code.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 1))]
    pub max_tokens: u32,
    /// Texts that end an answer; they are no part of it. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1)))]
    pub stop: Vec<String>,
    /// Seconds that one answer may take. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub timeout_s: Option<f64>,
    /// What tokens cost. Default: what the plugin says, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PricesSpec>,
    /// The plugin's own options; `tale plugin inspect` shows them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

impl LlmSpec {
    /// What results call it.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name
            .as_deref()
            .or(self.model.as_deref())
            .unwrap_or(&self.plugin)
    }
}

/// Answers that runs share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheSpec {
    /// Whose answers are taken and kept. Default: `auto`.
    #[serde(default)]
    pub mode: CacheMode,
    /// The file, relative to the manifest's folder. Default: `answers.sqlite` in the user's cache
    /// directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

impl CacheSpec {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a run does with the answers of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CacheMode {
    /// Takes and keeps those of remote models, and of local ones that answer the same to the same
    /// seed; not those of recorded runs, which cost nothing.
    #[default]
    Auto,
    /// Takes and keeps those of every model that can be told from others.
    On,
    /// Takes known answers and keeps no new ones.
    ReadOnly,
    /// Takes and keeps none.
    Off,
}

/// Prices in US dollars per 1,000,000 tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PricesSpec {
    /// Input tokens that no cache answered for.
    #[schemars(range(min = 0.0))]
    pub input: f64,
    /// Cached input tokens. Default: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cached_input: Option<f64>,
    /// Output tokens, reasoning included.
    #[schemars(range(min = 0.0))]
    pub output: f64,
    /// Factor on all of them for what a batch API answers, for instance 0.5. Default: answers of
    /// that class have no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub batch: Option<f64>,
    /// Prices of other classes of service, by the provider's names: `tiers.flex = { … }`. Default:
    /// none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, RatesSpec>,
}

/// Prices of one class of service in US dollars per 1,000,000 tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RatesSpec {
    /// Input tokens that no cache answered for.
    #[schemars(range(min = 0.0))]
    pub input: f64,
    /// Cached input tokens. Default: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cached_input: Option<f64>,
    /// Output tokens, reasoning included.
    #[schemars(range(min = 0.0))]
    pub output: f64,
}

fn default_temperature() -> f64 {
    0.1
}

fn default_max_tokens() -> u32 {
    1024
}
