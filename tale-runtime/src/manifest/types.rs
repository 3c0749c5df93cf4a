//! The manifest as it is written: one struct a table, every field documented.
//!
//! These comments become the descriptions of the JSON Schema (`tale schema`), so an editor shows
//! them while a manifest is typed, and `docs/manifest.md` is held against them. Fields say unit,
//! default and source. Nothing here is checked: the schema and `check` do that before a value of
//! these types exists, so a pipeline never sees a manifest, only the plan made from one.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    CacheSpec, FeasibilitySpec, LlmSpec, PostTrainSpec, RelativeTo, SearchSpec, SweepSpec,
    TrainerSpec, schema,
};

/// What a run is: which models answer which questions, by which methods, under which seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The run's name: letters, digits, `.`, `_` and `-`. It names the run directory where `--out`
    /// does not.
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    /// What the run does. Default: `evaluate`.
    #[serde(default)]
    pub task: Task,
    /// Seed of everything drawn: sampling of models, samples of data sets, bootstrap. Default:
    /// 1024, as in the paper (A.3).
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// How many questions are asked at the same time. Memory grows with it, not with the data set.
    /// Default: 16.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1))]
    pub concurrency: u32,
    /// The most US dollars that the run may spend, over all its sessions; it ends before they are
    /// passed, and a larger sum goes on from there. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub max_cost_usd: Option<f64>,
    /// A file of prices by model, relative to the manifest's folder; goes before the built-in one.
    /// Default: the file that `TALE_PRICES` names, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PathBuf>,
    /// Folders in which plugins are looked for, relative to the manifest's folder. `--plugin-dir`
    /// and `TALE_PLUGIN_PATH` come first, the folder of the executable last. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugin_dirs: Vec<PathBuf>,
    /// What is demanded of single plugins, by their names: `[plugins.llama-cpp]`. A name that no
    /// plugin has is an error.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, PluginSpec>,
    /// Answers that runs share, so that nothing is paid for twice.
    #[serde(default, skip_serializing_if = "CacheSpec::is_default")]
    pub cache: CacheSpec,
    /// The models that answer: a table `[llm]`, or several tables `[[llm]]`. A run covers the
    /// product of models, data sets and methods.
    pub llm: OneOrMany<LlmSpec>,
    /// The data sets asked: a table `[dataset]`, or several tables `[[dataset]]`.
    pub dataset: OneOrMany<DatasetSpec>,
    /// The data sets on which `task = "post-train"` compares the trained models with the untrained
    /// one, with the keys of `[dataset]`; none of their questions may be one of `[dataset]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<OneOrMany<DatasetSpec>>,
    /// What `task = "evaluate"` compares.
    #[serde(default)]
    pub evaluate: EvaluateSpec,
    /// Who estimates the budgets of TALE-EP, and what happens where no estimate can be read.
    #[serde(default)]
    pub estimator: EstimatorSpec,
    /// How `task = "search"` looks for each question's smallest budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSpec>,
    /// Who decides whether a search may keep a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feasibility: Option<FeasibilitySpec>,
    /// Under which budgets `task = "sweep"` asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepSpec>,
    /// What trains on the pairs of the search: a table `[trainer]`, or several tables `[[trainer]]`.
    /// Default: `sft` and `dpo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer: Option<OneOrMany<TrainerSpec>>,
    /// How `task = "post-train"` goes from a search to an evaluated model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_train: Option<PostTrainSpec>,
}

impl Manifest {
    /// Writes out the tables that the task reads and the manifest leaves to their defaults. Those of
    /// other tasks stay absent, so that a resolved manifest says what its run depends on.
    pub(super) fn complete(&mut self) {
        if self.searches() {
            self.search.get_or_insert_default();
            self.feasibility.get_or_insert_default();
        }
        if self.trains() {
            let both = || OneOrMany::Many(["sft", "dpo"].map(TrainerSpec::of).to_vec());
            self.trainer.get_or_insert_with(both);
            self.post_train.get_or_insert_default();
        }
    }

    /// Whether the task trains on the pairs of a search.
    #[must_use]
    pub fn trains(&self) -> bool {
        matches!(self.task, Task::Train | Task::PostTrain)
    }

    /// Whether the task makes a search.
    #[must_use]
    pub fn searches(&self) -> bool {
        let relative = self.sweep.as_ref().map(|s| s.relative_to);
        match self.task {
            Task::Evaluate => false,
            Task::Search | Task::Train | Task::PostTrain => true,
            Task::Sweep => relative == Some(RelativeTo::Searched),
        }
    }
}

/// What a run does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Task {
    /// Asks every question by every method and grades the answers.
    #[default]
    Evaluate,
    /// Looks for the smallest budget that keeps each question's answer right.
    Search,
    /// Asks every question under every budget of a list.
    Sweep,
    /// Searches, and trains on the pairs that were found.
    Train,
    /// Searches, trains, and compares the trained models with the untrained one on other questions.
    PostTrain,
}

impl Task {
    /// The name used in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evaluate => "evaluate",
            Self::Search => "search",
            Self::Sweep => "sweep",
            Self::Train => "train",
            Self::PostTrain => "post-train",
        }
    }
}

/// A table, or an array of tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "{T}s")]
pub enum OneOrMany<T> {
    /// `[llm]`
    One(T),
    /// `[[llm]]`, at least one.
    Many(#[schemars(length(min = 1))] Vec<T>),
}

impl<T> OneOrMany<T> {
    /// All of them, in the order of the manifest. Element `i` stands at `["llm", "i"]` for
    /// [`Source::at`](super::Source::at), whichever way it was written.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    /// The elements, in the order of the manifest.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.as_slice().iter()
    }

    /// The elements, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(many) => many,
        }
    }
}

impl<'a, T> IntoIterator for &'a OneOrMany<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What is demanded of a plugin before it is loaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginSpec {
    /// SHA-256 of the library, 64 hexadecimal digits; any other file is refused. Default: any
    /// digest is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::sha256")]
    pub sha256: Option<String>,
    /// The library's file, relative to the manifest's folder, in place of a search. Default:
    /// searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Whether the library may lie in a folder that other users can write to. Default: `false`,
    /// such a library is refused.
    #[serde(default)]
    pub allow_writable_dir: bool,
    /// Seconds after which a call into the plugin is given up. Default: no limit but the call's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub timeout_s: Option<f64>,
    /// Where the plugin runs: `"none"` in this process, `"process"` in one of its own, whose end
    /// (`abort`, a wild pointer, `kill`) costs only the calls under way. Default: `"none"`.
    #[serde(default)]
    pub isolation: IsolationSpec,
}

/// Where a plugin runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IsolationSpec {
    /// In this process.
    #[default]
    None,
    /// In a process of its own.
    Process,
}

/// Questions, and which of them are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// The component that reads the questions, for instance `gsm8k` or `jsonl`.
    #[schemars(length(min = 1))]
    pub plugin: String,
    /// The label in results. Default: the plugin's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub name: Option<String>,
    /// The file or folder, relative to the manifest's folder. Default: what `tale dataset fetch`
    /// keeps in the user's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// How many questions are asked, counted from `offset`. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
    /// How many questions at the beginning are left out. Default: 0.
    #[serde(default)]
    pub offset: u64,
    /// A seeded sample in place of the questions in their order; drawn from what `offset` and
    /// `limit` leave. Default: no sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleSpec>,
    /// What happens at a question that cannot be read: `stop` ends the run, `skip` counts it as an
    /// error and goes on. Default: `stop`.
    #[serde(default)]
    pub on_error: OnError,
    /// The plugin's own options; `tale plugin inspect` shows them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

impl DatasetSpec {
    /// A data set of one question, as the plugin `inline` takes it.
    #[must_use]
    pub fn inline(question: Value) -> Self {
        Self {
            plugin: "inline".to_owned(),
            name: None,
            path: None,
            limit: None,
            offset: 0,
            sample: None,
            on_error: OnError::default(),
            options: Map::from_iter([("questions".to_owned(), Value::Array(vec![question]))]),
        }
    }

    /// What results call it.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.plugin)
    }
}

/// A sample without replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleSpec {
    /// How many questions; where there are fewer, all of them.
    #[schemars(range(min = 1))]
    pub n: u64,
    /// Seed of the draw. Default: the run's `seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What happens at a question that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The run ends with the place of the fault; it can be resumed once that is mended.
    #[default]
    Stop,
    /// The question is counted as an error, and the run goes on.
    Skip,
}

/// What an evaluation compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSpec {
    /// The ways of asking: `direct` (no reasoning), `vanilla-cot` (chain of thought), `tale-ep`
    /// (an estimated budget in the prompt; `tale-ep@<alpha>` with a factor of its own on the
    /// estimate), `fixed-<b>` (a budget of b tokens for every question), the comparison methods
    /// `chain-of-draft`, `ccot-<n>`, `concise-cot`, `word-limit-<n>`, `token-limit-<n>`,
    /// `step-limit-<n>` and `tale-one`, for models whose provider limits hidden reasoning
    /// `effort-minimal`, `effort-low`, `effort-medium`, `effort-high` and `thinking-<n>` (at most n
    /// tokens of reasoning), and the templates of `prompts` by their names.
    /// Default: `direct`, `vanilla-cot` and `tale-ep`.
    #[serde(default = "default_methods")]
    #[schemars(schema_with = "schema::methods")]
    pub methods: Vec<String>,
    /// Answers to each question by each method, each under a seed of its own (`seed`, `seed` + 1,
    /// …). Default: 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1000))]
    pub repeats: u32,
    /// What an estimator reads. Default: `question`.
    #[serde(default)]
    pub estimate_on: EstimateOn,
    /// A file of prompt templates in place of the built-in ones, relative to the manifest's folder.
    /// Default: the paper's prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<PathBuf>,
}

impl Default for EvaluateSpec {
    fn default() -> Self {
        Self {
            methods: default_methods(),
            repeats: one(),
            estimate_on: EstimateOn::default(),
            prompts: None,
        }
    }
}

/// What an estimator reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EstimateOn {
    /// The bare question, as the paper's text has it.
    #[default]
    Question,
    /// The prompt as it would be sent, with its line on the answer's format, as the paper's code
    /// does on GSM8K and cloze questions.
    FullPrompt,
}

/// Who estimates budgets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EstimatorSpec {
    /// The component that estimates. Default: `zero-shot`, the paper's: the answering model is
    /// asked first.
    #[serde(default = "default_estimator")]
    #[schemars(length(min = 1))]
    pub plugin: String,
    /// Estimates are multiplied by this, then rounded to whole tokens. Default: 1, as in the paper.
    #[serde(default = "default_alpha")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub alpha: f64,
    /// What is done with the budget: `prompt` names it in the prompt, as in the paper; `provider`
    /// asks the provider to limit the hidden reasoning to it; `both`. Default: `prompt`.
    #[serde(default, skip_serializing_if = "Apply::is_default")]
    pub apply: Apply,
    /// What happens at a question whose estimate cannot be read; each is counted in the summary.
    /// Default: `vanilla-cot`.
    #[serde(default)]
    pub fallback: Fallback,
    /// Smaller budgets are raised to this many tokens. Default: 1.
    #[serde(default = "default_min_budget")]
    #[schemars(range(min = 1))]
    pub min_budget: u32,
    /// Larger budgets are lowered to this many tokens. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_budget: Option<u32>,
    /// The plugin's own options; `tale plugin inspect` shows them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

impl Default for EstimatorSpec {
    fn default() -> Self {
        Self {
            plugin: default_estimator(),
            alpha: default_alpha(),
            apply: Apply::default(),
            fallback: Fallback::default(),
            min_budget: default_min_budget(),
            max_budget: None,
            options: Map::new(),
        }
    }
}

/// What is done with an estimated budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Apply {
    /// The prompt names it (the paper's TALE-EP).
    #[default]
    Prompt,
    /// The provider is asked to limit the hidden reasoning to it; the prompt is that of
    /// `vanilla-cot`.
    Provider,
    /// Both.
    Both,
}

impl Apply {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What stands in for an estimate that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// The question is asked without a budget, as `vanilla-cot` asks it.
    #[default]
    VanillaCot,
    /// The question is counted as an error of the method.
    Skip,
    /// The question is asked under this budget, in tokens: `{ budget = 100 }`.
    Budget(#[schemars(range(min = 1))] u32),
}

fn one() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_one(n: &u32) -> bool {
    *n == 1
}

fn default_seed() -> u64 {
    1024
}

fn default_concurrency() -> u32 {
    16
}

fn default_methods() -> Vec<String> {
    ["direct", "vanilla-cot", "tale-ep"]
        .map(String::from)
        .to_vec()
}

fn default_estimator() -> String {
    "zero-shot".to_owned()
}

fn default_alpha() -> f64 {
    1.0
}

fn default_min_budget() -> u32 {
    1
}
