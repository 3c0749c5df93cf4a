//! What a manifest can set, and the checks that need no file.
//!
//! Options that the plugin `tch` has too mean the same and have the same defaults: both have them from
//! `tale-training`, and a test holds the schemas together.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tale_api::{Error, ErrorKind, Result, TrainMethod};
use tale_training::{Hyperparameters, invalid, positive, trainer_options};

trainer_options! {
    /// The options of both components; what is absent takes the method's default.
    pub struct Options {
        pub python: Option<String>,
        pub accelerate_config: Option<PathBuf>,
        pub accelerate_args: Option<Vec<String>>,
        pub processes: Option<u32>,
        pub precision: Option<Precision>,
        pub micro_batch: Option<usize>,
    }
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
    #[serde(flatten)]
    pub(crate) common: Hyperparameters,
    pub(crate) python: String,
    pub(crate) accelerate_config: Option<PathBuf>,
    pub(crate) accelerate_args: Vec<String>,
    pub(crate) processes: Option<u32>,
    pub(crate) precision: Precision,
    /// Pairs that a process computes at a time.
    pub(crate) micro_batch: usize,
}

impl Deref for Settings {
    type Target = Hyperparameters;

    fn deref(&self) -> &Hyperparameters {
        &self.common
    }
}

impl Settings {
    /// The schema of the method's options.
    pub(crate) fn schema(&self) -> &'static str {
        match self.method {
            TrainMethod::Dpo => include_str!("dpo.schema.json"),
            _ => include_str!("sft.schema.json"),
        }
    }

    /// # Errors
    /// [`ErrorKind::InvalidOptions`] naming what cannot be.
    pub(crate) fn new(method: TrainMethod, options: Options) -> Result<Self> {
        let settings = Self {
            common: options.hyperparameters(method, "trl-dpo")?,
            python: options.python.unwrap_or_else(|| "python3".to_owned()),
            accelerate_config: options.accelerate_config,
            accelerate_args: options.accelerate_args.unwrap_or_default(),
            processes: options.processes,
            precision: options.precision.unwrap_or(Precision::Auto),
            micro_batch: options.micro_batch.unwrap_or(4),
        };
        settings.checked()
    }

    fn checked(self) -> Result<Self> {
        positive(&[
            ("micro_batch", self.micro_batch as u64),
            ("processes", u64::from(self.processes.unwrap_or(1))),
            ("python", self.python.len() as u64),
        ])?;
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
                    let about = property.as_object_mut().unwrap();
                    about.remove("description");
                    // The device decides here how a step is shared, and so the order of the pairs.
                    about.remove("x-tale");
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
