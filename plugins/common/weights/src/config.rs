//! What a model's file says of its shape.

use std::path::Path;

use serde_json::Value as Json;
use tale_api::{Error, ErrorKind, Result};

use crate::{
    error::invalid,
    gguf::{Gguf, Value},
};

/// The families that are computed alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama 2 and 3, and what took their form (SmolLM2, …).
    Llama,
    /// Qwen2 and Qwen2.5: biases on queries, keys and values.
    Qwen2,
}

impl Architecture {
    /// As configurations and GGUF files call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
        }
    }

    fn read(name: &str, path: &Path) -> Result<Self> {
        match name {
            "llama" => Ok(Self::Llama),
            "qwen2" => Ok(Self::Qwen2),
            other => Err(Error::new(
                ErrorKind::Unsupported,
                format!("`{}` is of the architecture `{other}`", path.display()),
            )
            .hint("`llama` (Llama 2 and 3, SmolLM2) and `qwen2` (Qwen2, Qwen2.5) can be computed")),
        }
    }
}

/// How the angles of rotary positions are stretched.
#[derive(Clone, Debug, PartialEq)]
pub enum Rope {
    /// Not at all.
    Plain,
    /// Positions divided by a factor.
    Linear(f64),
    /// Llama 3.1's: low frequencies divided, high ones kept, a ramp between.
    Llama3 {
        /// Divides low frequencies.
        factor: f64,
        /// Wavelengths above `original` / `low` are low.
        low: f64,
        /// Wavelengths below `original` / `high` are high.
        high: f64,
        /// The context before stretching.
        original: f64,
    },
    /// A divisor for each frequency, as GGUF files have them.
    Divisors(Vec<f32>),
}

/// The shape of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The family.
    pub architecture: Architecture,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Width between the projections of the feed-forward part.
    pub intermediate: usize,
    /// Added under the root of a norm.
    pub norm_eps: f64,
    /// Base of the rotary angles.
    pub theta: f64,
    /// Their stretching.
    pub rope: Rope,
    /// Whether the vocabulary projection is the embedding.
    pub is_tied: bool,
    /// Tokens of a context.
    pub context: usize,
}

impl Config {
    /// From a folder's `config.json`.
    pub(crate) fn from_json(json: &Json, path: &Path) -> Result<Self> {
        let missing = |key: &str| invalid(path, format!("no number `{key}`"));
        let size = |key: &str| {
            json[key]
                .as_u64()
                .and_then(|value| usize::try_from(value).ok())
                .filter(|&size| size > 0)
        };
        let need = |key: &str| size(key).ok_or_else(|| missing(key));
        let architecture =
            Architecture::read(json["model_type"].as_str().unwrap_or_default(), path)?;
        for key in ["mlp_bias", "use_sliding_window"] {
            if json[key].as_bool() == Some(true) {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("`{}`: `{key}` is not computed", path.display()),
                ));
            }
        }
        if json["hidden_act"].as_str().is_some_and(|act| act != "silu") {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "`{}`: only `hidden_act` = `silu` is computed",
                    path.display()
                ),
            ));
        }
        let (hidden, heads) = (need("hidden_size")?, need("num_attention_heads")?);
        // Transformers 5 keeps the angles in `rope_parameters`, older ones in two keys.
        let rope = [&json["rope_parameters"], &json["rope_scaling"]]
            .into_iter()
            .find(|value| value.is_object())
            .unwrap_or(&Json::Null);
        let config = Self {
            architecture,
            vocabulary: need("vocab_size")?,
            hidden,
            layers: need("num_hidden_layers")?,
            heads,
            kv_heads: size("num_key_value_heads").unwrap_or(heads),
            head_width: size("head_dim").unwrap_or(hidden / heads),
            intermediate: need("intermediate_size")?,
            norm_eps: json["rms_norm_eps"]
                .as_f64()
                .ok_or_else(|| missing("rms_norm_eps"))?,
            theta: rope["rope_theta"]
                .as_f64()
                .or_else(|| json["rope_theta"].as_f64())
                .unwrap_or(10_000.0),
            rope: Rope::from_json(rope, path)?,
            is_tied: json["tie_word_embeddings"].as_bool().unwrap_or(false),
            context: need("max_position_embeddings")?,
        };
        config.checked(path)
    }

    /// From a GGUF file's metadata.
    pub(crate) fn from_gguf(file: &Gguf) -> Result<Self> {
        let path = file.path();
        let name = file
            .value("general.architecture")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let architecture = Architecture::read(name, path)?;
        let get = |key: &str| file.value(&format!("{name}.{key}"));
        let size = |key: &str| get(key).and_then(Value::as_usize).filter(|&size| size > 0);
        let need =
            |key: &str| size(key).ok_or_else(|| invalid(path, format!("no number `{name}.{key}`")));
        let (hidden, heads) = (need("embedding_length")?, need("attention.head_count")?);
        let rope = if file.has("rope_freqs.weight") {
            Rope::Divisors(file.tensor("rope_freqs.weight")?.values)
        } else {
            match get("rope.scaling.type").and_then(Value::as_str) {
                None | Some("none") => Rope::Plain,
                Some("linear") => Rope::Linear(
                    get("rope.scaling.factor")
                        .and_then(Value::as_f64)
                        .unwrap_or(1.0),
                ),
                Some(other) => return Err(unknown_rope(other, path)),
            }
        };
        let tokens = file
            .value("tokenizer.ggml.tokens")
            .and_then(Value::as_list)
            .map(<[Value]>::len);
        let config = Self {
            architecture,
            vocabulary: size("vocab_size")
                .or(tokens)
                .ok_or_else(|| invalid(path, "no vocabulary"))?,
            hidden,
            layers: need("block_count")?,
            heads,
            kv_heads: size("attention.head_count_kv").unwrap_or(heads),
            head_width: size("attention.key_length").unwrap_or(hidden / heads),
            intermediate: need("feed_forward_length")?,
            norm_eps: get("attention.layer_norm_rms_epsilon")
                .and_then(Value::as_f64)
                .ok_or_else(|| {
                    invalid(
                        path,
                        format!("no number `{name}.attention.layer_norm_rms_epsilon`"),
                    )
                })?,
            theta: get("rope.freq_base")
                .and_then(Value::as_f64)
                .unwrap_or(10_000.0),
            rope,
            is_tied: !file.has("output.weight"),
            context: need("context_length")?,
        };
        config.checked(path)
    }

    fn checked(self, path: &Path) -> Result<Self> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            let what = format!(
                "{} query heads over {} key heads",
                self.heads, self.kv_heads
            );
            return Err(invalid(path, what));
        }
        if !self.head_width.is_multiple_of(2) {
            return Err(invalid(
                path,
                format!("heads of the odd width {}", self.head_width),
            ));
        }
        Ok(self)
    }

    /// The angle that each pair of a head turns by a position: `head_width / 2` of them.
    #[must_use]
    pub fn frequencies(&self) -> Vec<f64> {
        let width = self.head_width;
        #[expect(clippy::cast_precision_loss, reason = "a head's width is small")]
        let plain = (0..width / 2).map(|i| self.theta.powf(-2.0 * i as f64 / width as f64));
        match &self.rope {
            Rope::Plain => plain.collect(),
            Rope::Linear(factor) => plain.map(|f| f / factor).collect(),
            Rope::Divisors(divisors) => plain
                .zip(divisors)
                .map(|(f, d)| f / f64::from(*d))
                .collect(),
            Rope::Llama3 {
                factor,
                low,
                high,
                original,
            } => plain
                .map(|f| {
                    let wavelength = std::f64::consts::TAU / f;
                    // 0 where the wavelength is long, 1 where it is short.
                    let keep = ((original / wavelength - low) / (high - low)).clamp(0.0, 1.0);
                    keep * f + (1.0 - keep) * f / factor
                })
                .collect(),
        }
    }
}

impl Rope {
    fn from_json(json: &Json, path: &Path) -> Result<Self> {
        let number = |key: &str| {
            json[key]
                .as_f64()
                .ok_or_else(|| invalid(path, format!("rope scaling has no number `{key}`")))
        };
        match json["rope_type"].as_str().or_else(|| json["type"].as_str()) {
            None | Some("default") => Ok(Self::Plain),
            Some("linear") => Ok(Self::Linear(number("factor")?)),
            Some("llama3") => Ok(Self::Llama3 {
                factor: number("factor")?,
                low: number("low_freq_factor")?,
                high: number("high_freq_factor")?,
                original: number("original_max_position_embeddings")?,
            }),
            Some(other) => Err(unknown_rope(other, path)),
        }
    }
}

fn unknown_rope(kind: &str, path: &Path) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("`{}`: rope scaling of the kind `{kind}`", path.display()),
    )
    .hint("`linear` and `llama3` can be computed")
}
