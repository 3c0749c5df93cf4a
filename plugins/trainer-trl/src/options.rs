//! What a manifest can set, and the checks that need no file.
//!
//! Options that the plugin `tch` has too mean the same and have the same defaults; tests hold the
//! schemas of both together.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tale_api::{Error, ErrorKind, Result, TrainMethod};
use tale_training::{Schedule, TooLong};

/// The options of both components; what is absent takes the method's default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerate_config: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerate_args: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grad_norm: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projections: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub too_long: Option<TooLong>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_checkpointing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
}

/// What the base model computes in; the adapter is `f32` in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// `bf16` on a card, `f32` on a CPU.
    Auto,
    /// `bf16` everywhere.
    Bf16,
    /// `f32` everywhere.
    F32,
}

/// Options with every default in its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Settings {
    pub(crate) method: TrainMethod,
    pub(crate) python: String,
    pub(crate) accelerate_config: Option<PathBuf>,
    pub(crate) accelerate_args: Vec<String>,
    pub(crate) processes: Option<u32>,
    pub(crate) precision: Precision,
    /// Pairs that a process computes at a time.
    pub(crate) micro_batch: usize,
    pub(crate) device: String,
    pub(crate) threads: Option<u32>,
    pub(crate) epochs: u32,
    /// Pairs of an optimiser step, over all processes.
    pub(crate) batch: usize,
    pub(crate) learning_rate: f64,
    pub(crate) weight_decay: f64,
    pub(crate) schedule: Schedule,
    pub(crate) warmup: f64,
    /// Zero: no clipping.
    pub(crate) max_grad_norm: f64,
    pub(crate) rank: usize,
    pub(crate) alpha: f64,
    pub(crate) projections: Vec<String>,
    pub(crate) max_length: Option<usize>,
    pub(crate) too_long: TooLong,
    pub(crate) activation_checkpointing: bool,
    pub(crate) checkpoint_steps: u64,
    pub(crate) reference: bool,
    pub(crate) beta: f64,
}

impl Settings {
    /// The defaults of `tch`, which are the paper's; see there for the source of each.
    pub(crate) fn new(method: TrainMethod, options: Options) -> Result<Self> {
        let is_dpo = method == TrainMethod::Dpo;
        if !is_dpo && (options.reference.is_some() || options.beta.is_some()) {
            return Err(invalid("`reference` and `beta` are options of `trl-dpo`"));
        }
        let by_method = |sft: f64, dpo: f64| if is_dpo { dpo } else { sft };
        let reference = options.reference.unwrap_or(false);
        let settings = Self {
            method,
            python: options.python.unwrap_or_else(|| "python3".to_owned()),
            accelerate_config: options.accelerate_config,
            accelerate_args: options.accelerate_args.unwrap_or_default(),
            processes: options.processes,
            precision: options.precision.unwrap_or(Precision::Auto),
            micro_batch: options.micro_batch.unwrap_or(4),
            device: options.device.unwrap_or_else(|| "auto".to_owned()),
            threads: options.threads,
            epochs: options.epochs.unwrap_or(if is_dpo { 2 } else { 3 }),
            batch: options.batch.unwrap_or(16),
            learning_rate: options.learning_rate.unwrap_or(by_method(1e-4, 3e-5)),
            weight_decay: options.weight_decay.unwrap_or(by_method(0.01, 0.001)),
            schedule: options.schedule.unwrap_or(Schedule::Linear),
            warmup: options.warmup.unwrap_or(0.0),
            max_grad_norm: options.max_grad_norm.unwrap_or(by_method(1.0, 5.0)),
            rank: options.rank.unwrap_or(8),
            alpha: options.alpha.unwrap_or(32.0),
            projections: options
                .projections
                .unwrap_or_else(|| ["q_proj", "v_proj"].map(str::to_owned).to_vec()),
            max_length: options.max_length,
            too_long: options.too_long.unwrap_or(TooLong::Drop),
            activation_checkpointing: options.activation_checkpointing.unwrap_or(false),
            checkpoint_steps: options.checkpoint_steps.unwrap_or(20),
            reference,
            beta: options.beta.unwrap_or(if reference { 0.5 } else { 1.0 }),
        };
        settings.checked()
    }

    fn checked(self) -> Result<Self> {
        let counts = [
            ("epochs", self.epochs as usize),
            ("batch", self.batch),
            ("micro_batch", self.micro_batch),
            ("rank", self.rank),
            ("projections", self.projections.len()),
            ("threads", self.threads.unwrap_or(1) as usize),
            ("processes", self.processes.unwrap_or(1) as usize),
            ("python", self.python.len()),
            (
                "checkpoint_steps",
                usize::try_from(self.checkpoint_steps).unwrap_or(usize::MAX),
            ),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(invalid(format!("`{name}` is 0 or empty")));
        }
        if self.max_length.is_some_and(|length| length < 2) {
            return Err(invalid("`max_length` is below 2 tokens"));
        }
        for (name, value, least, most) in [
            ("learning_rate", self.learning_rate, f64::MIN_POSITIVE, 1.0),
            ("weight_decay", self.weight_decay, 0.0, 1.0),
            ("warmup", self.warmup, 0.0, 1.0),
            ("max_grad_norm", self.max_grad_norm, 0.0, f64::MAX),
            ("alpha", self.alpha, f64::MIN_POSITIVE, f64::MAX),
            ("beta", self.beta, f64::MIN_POSITIVE, f64::MAX),
        ] {
            // NaN lies in no range.
            if !(least..=most).contains(&value) {
                return Err(invalid(format!("`{name}` is {value}, out of its range")));
            }
        }
        if self.card().is_none() && !["auto", "cpu"].contains(&self.device.as_str()) {
            let what = format!("`device` is `{}`", self.device);
            return Err(invalid(what).hint("it is `auto`, `cpu`, or a card as in `cuda:0`"));
        }
        let is_one = self.card().is_some() || self.device == "cpu";
        if is_one && self.accelerate_config.is_some() {
            return Err(invalid(format!(
                "`device` is `{}`, and `accelerate_config` says what computes",
                self.device
            ))
            .hint("leave one of them out"));
        }
        if is_one && self.processes.is_some_and(|processes| processes > 1) {
            return Err(invalid(format!(
                "`device` is `{}`, and `processes` is more than 1",
                self.device
            ))
            .hint("`device = \"auto\"` takes every card; several processes on CPUs need an `accelerate_config`"));
        }
        Ok(self)
    }

    /// The number of the one card that is to compute.
    pub(crate) fn card(&self) -> Option<u32> {
        match self.device.as_str() {
            "cuda" => Some(0),
            name => name.strip_prefix("cuda:")?.parse().ok(),
        }
    }

    /// With the configuration of `accelerate` as a path from anywhere.
    pub(crate) fn relative_to(mut self, base_dir: &Path) -> Result<Self> {
        if let Some(file) = &mut self.accelerate_config {
            *file = base_dir.join(&*file);
            if !file.is_file() {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("no `accelerate_config` at `{}`", file.display()),
                )
                .hint("`accelerate config --config_file FILE` writes one"));
            }
        }
        Ok(self)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOptions, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value, json};

    const SCHEMAS: [(TrainMethod, &str, &str); 2] = [
        (
            TrainMethod::Sft,
            include_str!("sft.schema.json"),
            include_str!("../../trainer-tch/src/sft.schema.json"),
        ),
        (
            TrainMethod::Dpo,
            include_str!("dpo.schema.json"),
            include_str!("../../trainer-tch/src/dpo.schema.json"),
        ),
    ];

    fn settings(method: TrainMethod, json: Value) -> Result<Settings, String> {
        let options = serde_json::from_value(json).map_err(|e| e.to_string())?;
        Settings::new(method, options).map_err(|e| e.message)
    }

    fn properties(schema: &str) -> Map<String, Value> {
        let schema: Value = serde_json::from_str(schema).unwrap();
        schema["properties"].as_object().unwrap().clone()
    }

    #[test]
    fn what_both_plugins_have_means_the_same() {
        for (_, ours, theirs) in SCHEMAS {
            let (ours, theirs) = (properties(ours), properties(theirs));
            let shared: Vec<&String> = ours.keys().filter(|k| theirs.contains_key(*k)).collect();
            assert!(shared.len() >= 15, "{shared:?}");
            for name in shared {
                let bare = |schema: &Map<String, Value>| {
                    let mut property = schema[name].clone();
                    property.as_object_mut().unwrap().remove("description");
                    property
                };
                assert_eq!(bare(&ours), bare(&theirs), "{name}");
            }
        }
    }

    #[test]
    fn the_schemas_say_the_defaults_and_nothing_is_missing_in_them() {
        for (method, schema, _) in SCHEMAS {
            let found = json!(settings(method, json!({})).unwrap());
            let properties = properties(schema);
            for (name, property) in &properties {
                let found = found
                    .get(name)
                    .unwrap_or_else(|| panic!("no option {name}"));
                let Some(default) = property.get("default") else {
                    continue;
                };
                let same = match (default.as_f64(), found.as_f64()) {
                    (Some(a), Some(b)) => (a - b).abs() < 1e-12,
                    _ => default == found,
                };
                assert!(same, "{name}: {default} and {found}");
            }
            let is_named = |name: &str| {
                properties.contains_key(name)
                    || name == "method"
                    || method == TrainMethod::Sft && ["reference", "beta"].contains(&name)
            };
            let all = found.as_object().unwrap();
            assert!(all.keys().all(|name| is_named(name)), "{all:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (json, named) in [
            (json!({"batch": 0}), "`batch`"),
            (json!({"processes": 0}), "`processes`"),
            (json!({"beta": 0.1}), "options of `trl-dpo`"),
            (json!({"device": "tpu"}), "`device` is `tpu`"),
            (json!({"device": "cuda:x"}), "`device` is `cuda:x`"),
            (
                json!({"device": "cpu", "processes": 2}),
                "`processes` is more than 1",
            ),
            (
                json!({"device": "cuda:1", "accelerate_config": "a.yaml"}),
                "`accelerate_config` says what computes",
            ),
            (json!({"epoch": 1}), "unknown field `epoch`"),
        ] {
            let error = settings(TrainMethod::Sft, json).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_configuration_that_is_not_there_is_named() {
        let options = json!({"accelerate_config": "no.yaml"});
        let settings = settings(TrainMethod::Sft, options).unwrap();
        let error = settings.relative_to(Path::new("place")).unwrap_err();
        assert!(error.message.contains("place/no.yaml"), "{error}");
    }
}
