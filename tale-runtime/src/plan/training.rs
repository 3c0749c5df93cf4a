//! What a training needs: trainers, the model to train, and how the trained one is asked.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tale_api::{ComponentKind, TrainMethod};
use tale_plugin_standard::Method;

use super::{At, ComponentPlan, LlmPlan, Plan, Resolver, files};
use crate::{
    diagnostics::Diagnostic,
    manifest::{
        AdapterForm, EstimatorSpec, EvaluateSpec, Manifest, OneOrMany, Overlap, Task,
        TrainingMethod,
    },
};

/// The mark of an LLM's option that takes an adapter, and the key of the schema beside it that says
/// what it takes: `{"form": "peft" | "gguf", "value": …}` as in `[post_train.adapter]`.
const MARK: &str = "adapter";
const TAKES: &str = "x-tale-adapter";

/// What in a value stands for the adapter's place.
const PATH: &str = "{path}";

/// A training and what comes before and after it.
#[derive(Clone, Debug)]
pub struct TrainingPlan {
    /// What trains, in order.
    pub trainers: Vec<TrainerPlan>,
    /// The model to train.
    pub base: PathBuf,
    /// How the model takes an adapter; absent where nobody asks the trained one.
    pub adapter: Option<AdapterPlan>,
    /// The fewest pairs worth a training.
    pub min_pairs: u64,
    /// What happens to a question that is both held out and searched.
    pub overlap: Overlap,
}

/// A trainer to be created.
#[derive(Clone, Debug)]
pub struct TrainerPlan {
    /// Its name in results and folders.
    pub label: String,
    /// What it does with the pairs.
    pub method: TrainMethod,
    /// The component.
    pub component: ComponentPlan,
}

impl TrainerPlan {
    /// The method under which the trained model stands in results.
    #[must_use]
    pub fn result(&self) -> String {
        format!("tale-pt-{}", self.label)
    }
}

/// How a model is given an adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterPlan {
    /// The option of the model's plugin.
    pub option: String,
    /// The format it takes.
    pub form: AdapterForm,
    /// The option's value, the adapter's place left open.
    value: Value,
}

impl AdapterPlan {
    /// The option's value for the adapter at `path`.
    #[must_use]
    pub fn value(&self, path: &Path) -> Value {
        filled(&self.value, &path.display().to_string())
    }
}

fn filled(value: &Value, path: &str) -> Value {
    match value {
        Value::String(text) => Value::from(text.replace(PATH, path)),
        Value::Array(items) => items.iter().map(|item| filled(item, path)).collect(),
        Value::Object(table) => {
            let table = table.iter().map(|(k, v)| (k.clone(), filled(v, path)));
            Value::Object(table.collect())
        }
        other => other.clone(),
    }
}

impl Plan {
    /// The search of this plan, as a run of its own.
    #[must_use]
    pub fn search_stage(&self) -> Self {
        self.stage(Task::Search)
    }

    /// The untrained model on the held-out questions, as a run of its own.
    #[must_use]
    pub fn base_stage(&self) -> Self {
        let mut plan = self.stage(Task::Evaluate);
        plan.datasets.clone_from(&self.held_out);
        if let Some(held_out) = &self.manifest.held_out {
            plan.manifest.dataset = held_out.clone();
        }
        // What is secret goes by where it stands.
        plan.secrets.retain(|path| path[0] != "dataset");
        for path in plan.secrets.iter_mut().filter(|p| p[0] == "held_out") {
            "dataset".clone_into(&mut path[0]);
        }
        plan
    }

    /// The model with the adapter at `path` on the held-out questions, with no budget in the prompt,
    /// as a run of its own.
    #[must_use]
    pub fn trained_stage(&self, adapter: &AdapterPlan, trainer: &TrainerPlan, path: &Path) -> Self {
        let mut plan = self.base_stage();
        plan.methods = vec![Method::VanillaCot];
        plan.manifest.evaluate.methods = vec![Method::VanillaCot.to_string()];
        plan.estimator = None;
        plan.manifest.estimator = EstimatorSpec::default();
        let value = adapter.value(path);
        for (llm, spec) in plan.llms.iter_mut().zip(plan.manifest.llm.as_mut_slice()) {
            llm.label = format!("{} + {}", llm.label, trainer.label);
            spec.name = Some(llm.label.clone());
            spec.options.insert(adapter.option.clone(), value.clone());
            if let Value::Object(options) = &mut llm.component.options {
                options.insert(adapter.option.clone(), value.clone());
            }
        }
        plan
    }

    fn stage(&self, task: Task) -> Self {
        let mut plan = self.clone();
        plan.manifest.task = task;
        plan.manifest.held_out = None;
        plan.manifest.trainer = None;
        plan.manifest.post_train = None;
        plan.held_out = Vec::new();
        plan.training = None;
        if task == Task::Evaluate {
            plan.manifest.search = None;
            plan.manifest.feasibility = None;
            plan.feasibility = None;
        } else {
            // What a search does not read must not tell one from another.
            plan.estimator = None;
            plan.methods = Vec::new();
            plan.manifest.estimator = EstimatorSpec::default();
            plan.manifest.evaluate = EvaluateSpec {
                prompts: self.manifest.evaluate.prompts.clone(),
                ..EvaluateSpec::default()
            };
        }
        plan
    }
}

impl Resolver<'_> {
    /// The training of a task that has one. What is wrong is told, and `None` given.
    pub(super) fn training(
        &mut self,
        manifest: &Manifest,
        llms: &[LlmPlan],
        secrets: &mut Vec<Vec<String>>,
    ) -> Option<TrainingPlan> {
        if !manifest.trains() {
            return None;
        }
        let spec = manifest.post_train.clone().unwrap_or_default();
        let mut trainers = Vec::new();
        for (i, trainer) in manifest
            .trainer
            .iter()
            .flat_map(OneOrMany::iter)
            .enumerate()
        {
            let at = At {
                kind: ComponentKind::Trainer,
                table: vec!["trainer".into(), i.to_string()],
                plugin: &trainer.plugin,
                options: &trainer.options,
                lifted: Vec::new(),
                prompts: None,
            };
            if let Some(component) = self.component(manifest, &at, secrets) {
                trainers.push(TrainerPlan {
                    label: trainer.label().to_owned(),
                    method: match trainer.method() {
                        TrainingMethod::Sft => TrainMethod::Sft,
                        TrainingMethod::Dpo => TrainMethod::Dpo,
                    },
                    component,
                });
            }
        }
        let adapter = if manifest.task == Task::PostTrain {
            Some(self.adapter(manifest, llms.first()?)?)
        } else {
            None
        };
        Some(TrainingPlan {
            trainers,
            base: self.base(spec.base.as_deref(), llms.first()?)?,
            adapter,
            min_pairs: spec.min_pairs,
            overlap: spec.overlap,
        })
    }

    /// The file of the model to train.
    fn base(&mut self, given: Option<&str>, llm: &LlmPlan) -> Option<PathBuf> {
        let key = ["post_train", "base"];
        if let Some(given) = given {
            let place = self.source().at(&key);
            return match files::model(&self.source().base_dir().join(given), given) {
                Ok(path) => Some(path),
                Err(problem) => {
                    self.problems.push(problem.place(place));
                    None
                }
            };
        }
        let options = &llm.component.options;
        let schema = &llm.component.located.component.options;
        let path = super::marks::model_file(schema).and_then(|name| options.get(name)?.as_str());
        if let Some(path) = path {
            return Some(self.source().base_dir().join(path));
        }
        let message = format!("what is to be trained for `{}` is not said", llm.label);
        let problem = Diagnostic::at(self.source().at(&key[..1]), message);
        self.problems.push(problem.help(
            "set `base` in `[post_train]`: the model's folder or file, or a name of `tale model \
             list`",
        ));
        None
    }

    /// How the model takes an adapter: as the manifest says, else as its plugin does.
    fn adapter(&mut self, manifest: &Manifest, llm: &LlmPlan) -> Option<AdapterPlan> {
        let schema = &llm.component.located.component.options;
        let given = manifest
            .post_train
            .as_ref()
            .and_then(|s| s.adapter.as_ref());
        if let Some(given) = given {
            let known = schema.get("properties").and_then(Value::as_object);
            if !known.is_some_and(|known| known.contains_key(&given.option)) {
                let place = self.source().at(&["post_train", "adapter", "option"]);
                let message = format!("`{}` has no option `{}`", llm.label, given.option);
                let plugin = &manifest.llm.as_slice()[0].plugin;
                let help = format!("`tale plugin inspect {plugin}` shows what it has");
                self.problems
                    .push(Diagnostic::at(place, message).help(help));
                return None;
            }
            return Some(AdapterPlan {
                option: given.option.clone(),
                form: given.form,
                value: given.value.clone().unwrap_or_else(|| PATH.into()),
            });
        }
        if let Some(adapter) = declared(schema) {
            return Some(adapter);
        }
        let spec = &manifest.llm.as_slice()[0];
        let place = self.source().at(&["llm", "0", "plugin"]);
        let message = format!(
            "the plugin `{}` does not say how it takes an adapter",
            spec.plugin
        );
        self.problems.push(Diagnostic::at(place, message).help(
            "name its option in `[post_train.adapter]`, or use a plugin that loads adapters; \
             `task = \"train\"` trains and asks no trained model",
        ));
        None
    }
}

/// What a plugin's schema says of adapters.
fn declared(schema: &Value) -> Option<AdapterPlan> {
    let properties = schema.get("properties")?.as_object()?;
    let (option, property) = properties
        .iter()
        .find(|(option, _)| super::marks::is_marked(schema, option, MARK))?;
    let empty = Map::new();
    let takes = property
        .get(TAKES)
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let form = match takes.get("form").and_then(Value::as_str) {
        Some("gguf") => AdapterForm::Gguf,
        _ => AdapterForm::Peft,
    };
    Some(AdapterPlan {
        option: option.clone(),
        form,
        value: takes.get("value").cloned().unwrap_or_else(|| PATH.into()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_says_how_a_model_takes_an_adapter() {
        let schema = json!({"properties": {
            "threads": {"type": "integer"},
            "lora": {"type": "array", "x-tale": "adapter",
                     "x-tale-adapter": {"form": "gguf", "value": [{"path": "{path}", "scale": 1}]}},
        }});
        let adapter = declared(&schema).unwrap();
        assert_eq!(
            (adapter.option.as_str(), adapter.form),
            ("lora", AdapterForm::Gguf)
        );
        let value = adapter.value(Path::new("/a/adapter.gguf"));
        assert_eq!(value, json!([{"path": "/a/adapter.gguf", "scale": 1}]));

        let bare = json!({"properties": {"adapter": {"type": "string", "x-tale": "adapter"}}});
        let adapter = declared(&bare).unwrap();
        assert_eq!(adapter.form, AdapterForm::Peft);
        assert_eq!(adapter.value(Path::new("/a")), json!("/a"));
        assert_eq!(declared(&json!({"properties": {"lora": {}}})), None);
    }
}
