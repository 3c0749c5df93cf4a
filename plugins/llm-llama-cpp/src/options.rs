//! What a manifest can set, and the checks that need no file.
//!
//! `options.schema.json` says the same to editors and to the runtime; a test holds the two together.

use std::path::PathBuf;

use serde::Deserialize;
use tale_api::Result;
use tale_local_llm::options::{invalid, within};

/// The options of the component `llama-cpp`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The GGUF file; relative to the manifest's folder. The runtime fills it in for a model that
    /// its catalogue knows.
    pub path: PathBuf,
    /// The name under which results appear. Absent: the file's own name of the model.
    #[serde(default)]
    pub model: Option<String>,
    /// Sequences computed together; more requests wait in order.
    #[serde(default = "defaults::slots")]
    pub slots: u32,
    /// Tokens of prompt and completion that one slot holds. Absent: 2048, or what the model was
    /// trained on if that is less.
    #[serde(default)]
    pub context: Option<u32>,
    /// Threads that compute. Absent: the physical cores this process may use.
    #[serde(default)]
    pub threads: Option<u32>,
    /// The most prompt tokens evaluated in one step, before every generating slot gets its next token.
    #[serde(default = "defaults::batch")]
    pub batch: u32,
    /// Layers kept on a GPU, where the build has one.
    #[serde(default)]
    pub gpu_layers: u32,
    /// An adapter to apply; llama.cpp's own GGUF form.
    #[serde(default)]
    pub lora: Vec<Lora>,
    /// Flash attention.
    #[serde(default)]
    pub flash_attention: Switch,
    /// How keys and values are stored.
    #[serde(default)]
    pub kv_type: KvType,
    /// The seed of requests that bring none. Absent: the run's.
    #[serde(default)]
    pub seed: Option<u64>,
    /// A Jinja template in place of the file's own.
    #[serde(default)]
    pub chat_template: Option<String>,
    /// What a template's `strftime_now` takes for today, `YYYY-MM-DD`. Absent: today in UTC, so that
    /// a prompt may change overnight if the template writes the date.
    #[serde(default)]
    pub date: Option<String>,
    /// Whether a prompt that begins like an earlier one is evaluated only from where it differs.
    #[serde(default = "defaults::yes")]
    pub prefix_cache: bool,
    /// Whether a request's answer must not depend on what is computed beside it. Costs nothing while
    /// 8, 12, 16 … slots are busy; fewer are as slow as the next of these, except with `slots = 1`.
    #[serde(default = "defaults::yes")]
    pub reproducible: bool,
}

/// A LoRA adapter and its weight.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// The GGUF file; relative to the manifest's folder.
    pub path: PathBuf,
    /// Multiplies the adapter's contribution.
    #[serde(default = "defaults::scale")]
    pub scale: f32,
}

/// On, off, or whatever the engine finds best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    /// The engine decides.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// How keys and values are stored: smaller is slower on a CPU, and less exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    #[default]
    F16,
    /// 16-bit floating point with the exponent of 32 bits.
    Bf16,
    /// 8-bit blocks.
    Q8_0,
    /// 4-bit blocks.
    Q4_0,
}

mod defaults {
    pub(super) fn slots() -> u32 {
        8
    }
    pub(super) fn batch() -> u32 {
        256
    }
    pub(super) fn scale() -> f32 {
        1.0
    }
    pub(super) fn yes() -> bool {
        true
    }
}

/// The most slots: llama.cpp's own bound on sequences in one context.
pub(crate) const MAX_SLOTS: u32 = 256;

impl Options {
    /// Checks what can be checked without opening a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`](tale_api::ErrorKind::InvalidOptions) naming the option and its bounds.
    pub fn check(&self) -> Result<()> {
        within("slots", self.slots, 1, MAX_SLOTS)?;
        within("batch", self.batch, 32, 8192)?;
        if let Some(context) = self.context {
            within("context", context, 16, 1 << 24)?;
        }
        if let Some(threads) = self.threads {
            within("threads", threads, 1, 512)?;
        }
        if self.lora.len() > 1 {
            return Err(invalid(format!(
                "`lora` names {} adapters, one can be applied",
                self.lora.len()
            ))
            .hint("merge them with llama.cpp's `llama-export-lora`"));
        }
        if let Some(bad) = self.lora.iter().find(|l| !l.scale.is_finite()) {
            return Err(invalid(format!(
                "`lora.scale` is {}, no finite number",
                bad.scale
            )));
        }
        if self.flash_attention == Switch::Off
            && matches!(self.kv_type, KvType::Q8_0 | KvType::Q4_0)
        {
            return Err(invalid("a quantised `kv_type` needs `flash_attention`")
                .hint("leave `flash_attention` at \"auto\", or use `kv_type = \"f16\"`"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: serde_json::Value) -> Result<Options, String> {
        let options: Options = serde_json::from_value(json).map_err(|e| e.to_string())?;
        options.check().map_err(|e| e.message)?;
        Ok(options)
    }

    #[test]
    fn only_the_path_is_needed() {
        let options = parse(serde_json::json!({"path": "m.gguf"})).unwrap();
        assert_eq!(
            (options.slots, options.batch, options.prefix_cache),
            (8, 256, true)
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (json, named) in [
            (serde_json::json!({"path": "m", "slots": 0}), "`slots` is 0"),
            (serde_json::json!({"path": "m", "batch": 1}), "`batch` is 1"),
            (
                serde_json::json!({"path": "m", "treads": 2}),
                "unknown field `treads`",
            ),
            (
                serde_json::json!({"path": "m", "kv_type": "q8_0", "flash_attention": "off"}),
                "quantised",
            ),
            (
                serde_json::json!({"path": "m", "lora": [{"path": "a"}, {"path": "b"}]}),
                "2 adapters",
            ),
            (serde_json::json!({"slots": 2}), "missing field `path`"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_schema_names_exactly_these_options() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("options.schema.json")).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        // An unknown field makes serde list the ones it knows.
        let error = parse(serde_json::json!({"path": "m", "?": 1})).unwrap_err();
        let listed = error.split("expected one of").nth(1).unwrap();
        let known: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
        let mut named: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut sorted = known.clone();
        named.sort_unstable();
        sorted.sort_unstable();
        assert_eq!(named, sorted);
    }
}
