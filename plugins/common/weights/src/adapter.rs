//! LoRA adapters in PEFT's format, and as GGUF.
//!
//! An adapter adds `alpha / rank · B A` to the weight of a projection, `A` of the shape `[rank, in]`
//! and `B` of `[out, rank]`.

use std::{collections::BTreeMap, path::Path};

use serde_json::json;
use tale_api::{Error, ErrorKind, Result};

use crate::{
    config::Config,
    error::{invalid, unwritable},
    gguf::{self, Value},
    model::{Array, gguf_name, read_json},
    safetensors::{self, Safetensors},
};

const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";
const PREFIX: &str = "base_model.model.";

/// The two matrices of a projection.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// `[rank, in]`.
    pub a: Array,
    /// `[out, rank]`.
    pub b: Array,
}

/// An adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// The base it was trained on, as people know it.
    pub base: String,
    /// Rows of `A`.
    pub rank: usize,
    /// Over `rank`, what the product is multiplied by.
    pub alpha: f64,
    /// By the projection's name, for instance `model.layers.0.self_attn.q_proj`.
    pub pairs: BTreeMap<String, Pair>,
}

impl Adapter {
    /// What the product of the matrices is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rank is small")]
        let rank = self.rank as f64;
        self.alpha / rank
    }

    /// Reads a folder in PEFT's format.
    ///
    /// # Errors
    /// [`InvalidData`](tale_api::ErrorKind::InvalidData): files missing or broken;
    /// [`Unsupported`](tale_api::ErrorKind::Unsupported): no plain LoRA.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(CONFIG);
        let config = read_json(&file)?;
        let unsupported = |what: &str| {
            Error::new(
                ErrorKind::Unsupported,
                format!("`{}`: {what}", file.display()),
            )
            .hint("adapters of plain LoRA can be read")
        };
        if config["peft_type"].as_str() != Some("LORA") {
            return Err(unsupported("`peft_type` is not LORA"));
        }
        let is_set = |key: &str| match &config[key] {
            serde_json::Value::Bool(value) => *value,
            serde_json::Value::Object(value) => !value.is_empty(),
            _ => false,
        };
        for key in [
            "use_dora",
            "use_rslora",
            "rank_pattern",
            "alpha_pattern",
            "fan_in_fan_out",
        ] {
            if is_set(key) {
                return Err(unsupported(&format!("`{key}` is set")));
            }
        }
        let rank = config["r"]
            .as_u64()
            .and_then(|r| usize::try_from(r).ok())
            .filter(|&r| r > 0);
        let rank = rank.ok_or_else(|| invalid(&file, "no rank `r`"))?;
        let alpha = config["lora_alpha"]
            .as_f64()
            .ok_or_else(|| invalid(&file, "no `lora_alpha`"))?;
        let weights = folder.join(WEIGHTS);
        let tensors = Safetensors::open(&weights)?;
        let mut pairs = BTreeMap::new();
        for name in tensors.names() {
            let Some(projection) = name.strip_suffix(".lora_A.weight") else {
                if name.ends_with(".lora_B.weight") {
                    continue;
                }
                return Err(unsupported(&format!("a tensor `{name}`")));
            };
            let pair = Pair {
                a: tensors.tensor(name)?,
                b: tensors.tensor(&format!("{projection}.lora_B.weight"))?,
            };
            if pair.a.shape.len() != 2
                || pair.b.shape.len() != 2
                || pair.a.shape[0] != rank
                || pair.b.shape[1] != rank
            {
                return Err(invalid(
                    &weights,
                    format!(
                        "`{projection}`: matrices {:?} and {:?} at rank {rank}",
                        pair.a.shape, pair.b.shape
                    ),
                ));
            }
            let projection = projection.strip_prefix(PREFIX).unwrap_or(projection);
            pairs.insert(projection.to_owned(), pair);
        }
        if pairs.is_empty() {
            return Err(invalid(&weights, "no LoRA matrices"));
        }
        let base = config["base_model_name_or_path"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok(Self {
            base,
            rank,
            alpha,
            pairs,
        })
    }

    /// Writes a folder in PEFT's format.
    ///
    /// # Errors
    /// [`ResourceExhausted`](tale_api::ErrorKind::ResourceExhausted) where the disk is full.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
        let tensors: Vec<(String, Array)> = self
            .pairs
            .iter()
            .flat_map(|(name, pair)| {
                [
                    (format!("{PREFIX}{name}.lora_A.weight"), pair.a.clone()),
                    (format!("{PREFIX}{name}.lora_B.weight"), pair.b.clone()),
                ]
            })
            .collect();
        safetensors::write(&folder.join(WEIGHTS), &tensors)?;
        let mut targets: Vec<&str> = self
            .pairs
            .keys()
            .filter_map(|name| name.rsplit('.').next())
            .collect();
        targets.sort_unstable();
        targets.dedup();
        let config = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "target_modules": targets,
        });
        let file = folder.join(CONFIG);
        std::fs::write(&file, format!("{config:#}\n")).map_err(|e| unwritable(&file, &e))
    }

    /// Writes llama.cpp's form: a GGUF file that applies to a GGUF of the same base.
    ///
    /// # Errors
    /// As [`Self::write`]; [`InvalidData`](tale_api::ErrorKind::InvalidData) for an adapter of another base.
    pub fn write_gguf(&self, base: &Config, file: &Path) -> Result<()> {
        self.check(base)?;
        let metadata = [
            ("general.type", Value::Text("adapter".into())),
            (
                "general.architecture",
                Value::Text(base.architecture.name().into()),
            ),
            ("adapter.type", Value::Text("lora".into())),
            ("adapter.lora.alpha", Value::Float(self.alpha)),
        ];
        let mut tensors = Vec::new();
        for (name, pair) in &self.pairs {
            let weight = format!("{name}.weight");
            let mut b = pair.b.clone();
            base.reorder(&weight, &mut b, Config::to_ggml_row);
            let weight = gguf_name(&weight);
            tensors.push((format!("{weight}.lora_a"), pair.a.clone()));
            tensors.push((format!("{weight}.lora_b"), b));
        }
        gguf::write(file, &metadata, &tensors)
    }

    /// Checks that the adapter fits a base.
    ///
    /// # Errors
    /// [`InvalidData`](tale_api::ErrorKind::InvalidData), naming the projection and both shapes.
    pub fn check(&self, base: &Config) -> Result<()> {
        for (name, pair) in &self.pairs {
            let (found_out, found_in) = (pair.b.shape[0], pair.a.shape[1]);
            let expected = base.projection(name);
            if expected != Some((found_out, found_in)) {
                let expected = expected.map_or("no such projection".to_owned(), |(o, i)| {
                    format!("{o} × {i}")
                });
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    format!("the adapter is of another base: `{name}` is {found_out} × {found_in} in it, and {expected} in the model"),
                )
                .hint(format!("it says that it was trained on `{}`", self.base)));
            }
        }
        Ok(())
    }
}

impl Config {
    /// The projections of a block that an adapter can change.
    pub const PROJECTIONS: &[&str] = &[
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ];

    /// The name of a block's projection, one of [`PROJECTIONS`](Self::PROJECTIONS).
    #[must_use]
    pub fn projection_name(layer: usize, projection: &str) -> String {
        let part = if projection.starts_with(['g', 'u', 'd']) {
            "mlp"
        } else {
            "self_attn"
        };
        format!("model.layers.{layer}.{part}.{projection}")
    }

    /// Outputs and inputs of a projection, by a name such as `model.layers.0.self_attn.q_proj`.
    #[must_use]
    pub fn projection(&self, name: &str) -> Option<(usize, usize)> {
        let rest = name.strip_prefix("model.layers.")?;
        let (layer, projection) = rest.split_once('.')?;
        if layer.parse::<usize>().ok()? >= self.layers {
            return None;
        }
        let (queries, keys) = (
            self.heads * self.head_width,
            self.kv_heads * self.head_width,
        );
        Some(match projection {
            "self_attn.q_proj" => (queries, self.hidden),
            "self_attn.k_proj" | "self_attn.v_proj" => (keys, self.hidden),
            "self_attn.o_proj" => (self.hidden, queries),
            "mlp.gate_proj" | "mlp.up_proj" => (self.intermediate, self.hidden),
            "mlp.down_proj" => (self.hidden, self.intermediate),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_of_another_base_is_refused_with_both_shapes() {
        let json = json!({
            "model_type": "qwen2", "vocab_size": 99, "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 512,
            "tie_word_embeddings": true, "hidden_act": "silu",
        });
        let base = Config::from_json(&json, Path::new("config.json")).unwrap();
        let adapter = |name: &str, (outputs, inputs): (usize, usize)| {
            let matrix = |shape: [usize; 2]| Array {
                shape: shape.to_vec(),
                values: vec![0.0; shape[0] * shape[1]],
            };
            let pair = Pair {
                a: matrix([4, inputs]),
                b: matrix([outputs, 4]),
            };
            Adapter {
                base: "Llama-3.1-8B-Instruct".to_owned(),
                rank: 4,
                alpha: 8.0,
                pairs: BTreeMap::from([(name.to_owned(), pair)]),
            }
        };
        let fits = adapter("model.layers.1.self_attn.v_proj", (16, 32));
        fits.check(&base).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for (name, shape, says) in [
            (
                "model.layers.1.self_attn.v_proj",
                (1024, 4096),
                "is 1024 × 4096 in it, and 16 × 32 in the model",
            ),
            (
                "model.layers.31.self_attn.v_proj",
                (16, 32),
                "no such projection in the model",
            ),
        ] {
            let other = adapter(name, shape);
            let error = other.check(&base).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidData);
            assert!(error.message.contains(says), "{error}");
            assert!(error.hint.unwrap().contains("Llama-3.1-8B-Instruct"));
            // Nor is it written as one of this base.
            let file = dir.path().join("adapter.gguf");
            other.write_gguf(&base, &file).unwrap_err();
            assert!(!file.exists());
        }
    }
}
