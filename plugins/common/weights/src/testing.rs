//! A tiny model with random weights, for tests: a Hugging Face folder of half a megabyte.

use std::path::Path;

use serde_json::{Value as Json, json};
use tale_api::Result;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::{config::Config, error::unwritable, model::Array, safetensors};

/// A conversation as `ChatML`, which Qwen and SmolLM2 were trained on.
pub const CHAT_TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Writes a Qwen2 of two blocks whose tokens are bytes.
///
/// # Errors
/// A file cannot be written.
pub fn write_tiny_model(folder: &Path) -> Result<()> {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let mut vocabulary: serde_json::Map<String, Json> = alphabet
        .iter()
        .enumerate()
        .map(|(id, c)| (c.to_string(), id.into()))
        .collect();
    let mut added = Vec::new();
    for (i, content) in specials.into_iter().enumerate() {
        let id = alphabet.len() + i;
        vocabulary.insert(content.to_owned(), id.into());
        added.push(
            json!({"id": id, "content": content, "special": true, "normalized": false,
                          "single_word": false, "lstrip": false, "rstrip": false}),
        );
    }
    let size = vocabulary.len();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": vocabulary, "merges": []},
    });
    let json = json!({
        "model_type": "qwen2", "vocab_size": size, "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "tie_word_embeddings": true, "max_position_embeddings": 512,
        "hidden_act": "silu",
    });
    let settings = json!({"eos_token": "<|im_end|>", "chat_template": CHAT_TEMPLATE});
    for (name, json) in [
        ("config.json", &json),
        ("tokenizer.json", &tokenizer),
        ("tokenizer_config.json", &settings),
    ] {
        let file = folder.join(name);
        std::fs::write(&file, json.to_string()).map_err(|e| unwritable(&file, &e))?;
    }
    safetensors::write(
        &folder.join("model.safetensors"),
        &weights(&Config::from_json(&json, folder)?),
    )
}

/// Every tensor of a model, its numbers made by a linear congruence.
fn weights(config: &Config) -> Vec<(String, Array)> {
    let mut state = 1_u64;
    let mut tensor = |name: String, shape: &[usize], around: f32| {
        let count = shape.iter().product();
        let values = (0..count).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            #[expect(clippy::cast_precision_loss, reason = "24 bits are a float's own")]
            let uniform = (state >> 40) as f32 / 8_388_608.0 - 1.0;
            around + 0.2 * uniform
        });
        (
            name,
            Array {
                shape: shape.to_vec(),
                values: values.collect(),
            },
        )
    };
    let (hidden, mut tensors) = (config.hidden, Vec::new());
    tensors.push(tensor(
        "model.embed_tokens.weight".to_owned(),
        &[config.vocabulary, hidden],
        0.0,
    ));
    tensors.push(tensor("model.norm.weight".to_owned(), &[hidden], 1.0));
    for layer in 0..config.layers {
        let at = |part: &str| format!("model.layers.{layer}.{part}");
        for norm in ["input_layernorm.weight", "post_attention_layernorm.weight"] {
            tensors.push(tensor(at(norm), &[hidden], 1.0));
        }
        for part in Config::PROJECTIONS {
            let name = Config::projection_name(layer, part);
            let (outputs, inputs) = config
                .projection(&name)
                .expect("PROJECTIONS are projections");
            if ["q_proj", "k_proj", "v_proj"].contains(part) {
                tensors.push(tensor(format!("{name}.bias"), &[outputs], 0.0));
            }
            tensors.push(tensor(format!("{name}.weight"), &[outputs, inputs], 0.0));
        }
    }
    tensors
}
