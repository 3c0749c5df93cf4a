//! What a manifest can set, and the checks that need no file.
//!
//! `options.schema.json` says the same to editors and to the runtime; a test holds the two together.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use tale_api::Result;
use tale_local_llm::options::{invalid, within};

/// The options of the component `llama-tch`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// A Hugging Face folder or a GGUF file; relative to the manifest's folder. The runtime fills it
    /// in for a model that its catalogue knows.
    pub path: PathBuf,
    /// The name under which results appear. Absent: the folder's or file's.
    #[serde(default)]
    pub model: Option<String>,
    /// What computes; several devices hold a copy of the model each.
    #[serde(default)]
    pub device: Devices,
    /// Requests that a device computes together; more wait in order.
    #[serde(default = "defaults::slots")]
    pub slots: usize,
    /// Tokens of prompt and completion of one request. Absent: 2048, or what the model was made for
    /// if that is less.
    #[serde(default)]
    pub context: Option<usize>,
    /// Threads on a CPU. Absent: libtorch's choice, the physical cores.
    #[serde(default)]
    pub threads: Option<u32>,
    /// The most prompt tokens of one step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Adapters to apply; their contributions are added.
    #[serde(default)]
    pub lora: Vec<Lora>,
    /// Folders of adapters by a name of the user's.
    #[serde(default)]
    pub adapters: BTreeMap<String, PathBuf>,
    /// The seed of requests that bring none. Absent: the run's.
    #[serde(default)]
    pub seed: Option<u64>,
    /// A Jinja template in place of the model's own.
    #[serde(default)]
    pub chat_template: Option<String>,
    /// What a template's `strftime_now` takes for today, `YYYY-MM-DD`. Absent: today in UTC.
    #[serde(default)]
    pub date: Option<String>,
    /// Whether a prompt that begins like another is computed only from where it differs.
    #[serde(default = "defaults::yes")]
    pub prefix_cache: bool,
}

/// One device or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Devices {
    /// `auto`, `cpu`, `cuda`, `cuda:0`, …
    One(String),
    /// A copy of the model on each.
    Several(Vec<String>),
}

impl Default for Devices {
    fn default() -> Self {
        Self::One("auto".to_owned())
    }
}

impl Devices {
    /// Their names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// An adapter and its weight.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// A folder in PEFT's format, or one of a training that holds it; relative to the manifest's.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// In place of a path, a name of `adapters`.
    #[serde(default)]
    pub name: Option<String>,
    /// Multiplies the adapter's contribution.
    #[serde(default = "defaults::scale")]
    pub scale: f64,
}

mod defaults {
    pub(super) fn slots() -> usize {
        8
    }
    pub(super) fn batch() -> usize {
        512
    }
    pub(super) fn scale() -> f64 {
        1.0
    }
    pub(super) fn yes() -> bool {
        true
    }
}

impl Options {
    /// Checks what can be checked without opening a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`](tale_api::ErrorKind::InvalidOptions) naming the option and its bounds.
    pub fn check(&self) -> Result<()> {
        within("slots", self.slots, 1, 1024)?;
        within("batch", self.batch, 16, 65_536)?;
        within("context", self.context.unwrap_or(16), 16, 1 << 24)?;
        within("threads", self.threads.unwrap_or(1) as usize, 1, 512)?;
        if self.device.names().is_empty() {
            return Err(invalid("`device` is an empty list").hint("`device = \"auto\"` chooses"));
        }
        for lora in &self.lora {
            self.folder(lora)?;
            if !lora.scale.is_finite() {
                let scale = lora.scale;
                return Err(invalid(format!(
                    "`lora.scale` is {scale}, no finite number"
                )));
            }
        }
        Ok(())
    }

    /// Where an adapter lies, as the manifest says it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`](tale_api::ErrorKind::InvalidOptions): neither path nor name, both, or an unknown name.
    pub fn folder<'a>(&'a self, lora: &'a Lora) -> Result<&'a PathBuf> {
        match (&lora.path, &lora.name) {
            (Some(path), None) => Ok(path),
            (None, Some(name)) => self.adapters.get(name).ok_or_else(|| {
                let known: Vec<&str> = self.adapters.keys().map(String::as_str).collect();
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    format!("`{}`", known.join("`, `"))
                };
                invalid(format!(
                    "`lora.name` is `{name}`, which `adapters` does not have"
                ))
                .hint(format!(
                    "it has {known}; `adapters = {{ {name} = \"folder\" }}` adds one"
                ))
            }),
            _ => Err(invalid(
                "an adapter of `lora` needs either `path` or `name`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(json: serde_json::Value) -> Result<Options, String> {
        let options: Options = serde_json::from_value(json).map_err(|e| e.to_string())?;
        options.check().map_err(|e| e.message)?;
        Ok(options)
    }

    #[test]
    fn only_the_path_is_needed() {
        let options = parse(json!({"path": "m"})).unwrap();
        assert_eq!(
            (options.slots, options.device.names()),
            (8, &["auto".to_owned()][..])
        );
    }

    #[test]
    fn devices_are_one_or_a_list() {
        let options = parse(json!({"path": "m", "device": ["cuda:0", "cuda:1"]})).unwrap();
        assert_eq!(options.device.names(), ["cuda:0", "cuda:1"]);
    }

    #[test]
    fn an_adapter_is_found_by_name_or_by_path() {
        let options = parse(json!({
            "path": "m", "adapters": {"frugal": "trained/sft"},
            "lora": [{"name": "frugal"}, {"path": "other", "scale": 0.5}],
        }))
        .unwrap();
        let folders = options
            .lora
            .iter()
            .map(|lora| options.folder(lora).unwrap());
        assert!(folders.eq(["trained/sft", "other"].map(PathBuf::from).iter()));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (json, named) in [
            (json!({"path": "m", "slots": 0}), "`slots` is 0"),
            (json!({"path": "m", "batch": 1}), "`batch` is 1"),
            (
                json!({"path": "m", "device": []}),
                "`device` is an empty list",
            ),
            (json!({"path": "m", "treads": 2}), "unknown field `treads`"),
            (
                json!({"path": "m", "lora": [{}]}),
                "either `path` or `name`",
            ),
            (
                json!({"path": "m", "lora": [{"name": "x"}]}),
                "`lora.name` is `x`",
            ),
            (json!({"slots": 2}), "missing field `path`"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_schema_names_exactly_these_options() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("options.schema.json")).unwrap();
        // An unknown field makes serde list the ones it knows.
        let error = parse(json!({"path": "m", "?": 1})).unwrap_err();
        let listed = error.split("expected one of").nth(1).unwrap();
        let mut known: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
        let properties = schema["properties"].as_object().unwrap();
        let mut named: Vec<&str> = properties.keys().map(String::as_str).collect();
        known.sort_unstable();
        named.sort_unstable();
        assert_eq!(named, known);
    }
}
