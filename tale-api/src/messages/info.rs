//! What plugins and components say of themselves.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The kinds of components a plugin can offer, one per trait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// Implements [`Llm`](crate::Llm).
    Llm,
    /// Implements [`Estimator`](crate::Estimator).
    Estimator,
    /// Implements [`Feasibility`](crate::Feasibility).
    Feasibility,
    /// Implements [`Dataset`](crate::Dataset).
    Dataset,
    /// Implements [`Trainer`](crate::Trainer).
    Trainer,
}

impl ComponentKind {
    /// The name used in manifests, messages and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Llm => "llm",
            Self::Estimator => "estimator",
            Self::Feasibility => "feasibility",
            Self::Dataset => "dataset",
            Self::Trainer => "trainer",
        }
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A component that a plugin offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// Its kind.
    pub kind: ComponentKind,
    /// The name a manifest asks for it by (`plugin = "…"`); unique within kind and plugin.
    pub name: String,
    /// One sentence for listings.
    #[serde(default)]
    pub description: String,
    /// JSON Schema (draft 2020-12) of its options, an object schema. A property marked
    /// `"secret": true` is never shown or written anywhere.
    #[serde(default = "any_options")]
    pub options: serde_json::Value,
}

fn any_options() -> serde_json::Value {
    serde_json::json!({"type": "object", "additionalProperties": false})
}

/// What a plugin's descriptor says, readable without running any of its code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginManifest {
    /// The plugin's name, for errors and listings.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What it offers.
    #[serde(default)]
    pub components: Vec<ComponentInfo>,
}

/// What a component is created with besides its options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateEnv {
    /// Relative paths in options are relative to this folder (the manifest's).
    #[serde(default)]
    pub base_dir: PathBuf,
    /// The user's cache directory for this framework; a component may keep files there.
    #[serde(default)]
    pub cache_dir: PathBuf,
    /// The run's seed. Paper A.3: 1024.
    #[serde(default)]
    pub seed: u64,
}

/// Prices in US dollars per 1,000,000 tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Input tokens that no cache answered for.
    pub input: f64,
    /// Cached input tokens; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// Output tokens, reasoning included.
    pub output: f64,
}

impl Prices {
    /// The price of `usage` in US dollars.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "token counts are far below 2^52"
    )]
    pub fn cost_usd(&self, usage: &super::Usage) -> f64 {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let fresh = usage.input_tokens - cached;
        (fresh as f64 * self.input
            + cached as f64 * self.cached_input.unwrap_or(self.input)
            + usage.output_tokens as f64 * self.output)
            / 1e6
    }
}

/// What a model can do; what is absent or `false` must not be asked of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a list of independent abilities, by name"
)]
pub struct Capabilities {
    /// The same request with the same seed gives the same text, whatever else runs.
    #[serde(default)]
    pub seed: bool,
    /// [`GenerateRequest::grammar`](crate::GenerateRequest::grammar) is obeyed.
    #[serde(default)]
    pub grammar: bool,
    /// Reasoning is given apart from the answer.
    #[serde(default)]
    pub reasoning: bool,
    /// Log-probabilities can be had.
    #[serde(default)]
    pub logprobs: bool,
    /// Calls made at the same time are computed together.
    #[serde(default)]
    pub batching: bool,
    /// [`Llm::count_tokens`](crate::Llm::count_tokens) works.
    #[serde(default)]
    pub count_tokens: bool,
    /// Seconds that a call may take by design, where that is more than an hour (a provider's batch):
    /// the host waits as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_call_s: Option<u32>,
    /// How many calls are useful at the same time; absent: as many as you like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
}

/// What a model says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LlmInfo {
    /// The model's id, as it appears in results.
    pub model: String,
    /// What tells these weights from others of the same id, for instance a file's SHA-256; part of
    /// the key under which an answer is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The most tokens of prompt and completion together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u32>,
    /// Which tokenizer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// What it costs; absent: nothing, or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// What a data set says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Its name, as it appears in results.
    pub name: String,
    /// How many questions it has, where that is known without reading it whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SPDX identifier or name of its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What tells its content from another's; a run refuses to resume over changed data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether [`Dataset::grade`](crate::Dataset::grade) judges answers by a rule of its own.
    #[serde(default)]
    pub grades: bool,
    /// The records that cannot be read and are left out, where the user asked for that; they are
    /// in no page and not in `size`. Absent: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Skipped>,
    /// So many questions in a row, from the first on, are one task that is solved if all of them
    /// are (a choice asked with its options in every rotation). Absent: each stands for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
}

/// Records that a data set leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// How many.
    pub records: u64,
    /// What is wrong with the first of them, and where it stands.
    #[serde(default)]
    pub first: String,
}
