//! The tables of `task = "train"` and `task = "post-train"`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::schema;

/// A way of training on the pairs of the search; each gives an adapter, and a method of its own in
/// the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainerSpec {
    /// The component that trains, for instance `sft` or `dpo`; `tale plugin list` shows all.
    #[schemars(length(min = 1))]
    pub plugin: String,
    /// Its name in results, where the method is `tale-pt-<name>`, and of its folder. Default: the
    /// plugin's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::trainer")]
    pub name: Option<String>,
    /// What is done with the pairs. Default: `dpo` where the plugin's name ends so, else `sft`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<TrainingMethod>,
    /// The plugin's own options, its hyperparameters; `tale plugin inspect` shows them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

impl TrainerSpec {
    /// A trainer with its own defaults.
    pub(super) fn of(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            name: None,
            method: None,
            options: Map::new(),
        }
    }

    /// What results and folders call it.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.plugin)
    }

    /// What it does with the pairs.
    #[must_use]
    pub fn method(&self) -> TrainingMethod {
        self.method.unwrap_or(if self.plugin.ends_with("dpo") {
            TrainingMethod::Dpo
        } else {
            TrainingMethod::Sft
        })
    }
}

/// What is done with training pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrainingMethod {
    /// The chosen answers are learnt.
    Sft,
    /// The chosen answers are preferred to the rejected ones.
    Dpo,
}

/// What leads from a search to an evaluated model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostTrainSpec {
    /// The model to train: a folder or file, relative to the manifest's folder, or a name of `tale
    /// model list`. Default: the file of the `[llm]`, where its plugin takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub base: Option<String>,
    /// The fewest pairs that are worth a training; with fewer the run ends and says why questions
    /// gave none. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub min_pairs: u64,
    /// What happens where a question of `[held_out]` is also one of `[dataset]`: `refuse` ends the
    /// run before anything is asked, `drop` leaves the question out of the pairs. Default: `refuse`.
    #[serde(default)]
    pub overlap: Overlap,
    /// How an adapter is given to the `[llm]`. Default: as its plugin says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterSpec>,
}

impl Default for PostTrainSpec {
    fn default() -> Self {
        Self {
            base: None,
            min_pairs: one(),
            overlap: Overlap::default(),
            adapter: None,
        }
    }
}

/// What happens to a question that is held out and trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// The run ends.
    #[default]
    Refuse,
    /// It is left out of the pairs.
    Drop,
}

/// How a model's plugin takes an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdapterSpec {
    /// The plugin's option.
    #[schemars(length(min = 1))]
    pub option: String,
    /// What is handed over: `peft`, the folder in PEFT's format; `gguf`, the file for llama.cpp.
    pub form: AdapterForm,
    /// The option's value, in which `{path}` stands for where the adapter lies. Default:
    /// `"{path}"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// In which format an adapter is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterForm {
    /// A folder in PEFT's format.
    Peft,
    /// A GGUF file.
    Gguf,
}

fn one() -> u64 {
    1
}
