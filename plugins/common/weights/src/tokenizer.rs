//! A model's tokenizer, special tokens and chat template.

use std::{path::Path, str::FromStr as _};

use serde_json::{Value as Json, json};
use tale_api::{Error, ErrorKind, Result};
use tokenizers::Tokenizer;

use crate::{
    error::{invalid, unreadable},
    gguf::{Gguf, Value},
    model::read_json,
};

/// Text to tokens and back, and what stands around a conversation.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    /// The tokens that end an answer; the first is the one that a trained answer ends with.
    pub ends: Vec<u32>,
    /// What a chat template sees as `bos_token`.
    pub bos: String,
    /// What a chat template sees as `eos_token`.
    pub eos: String,
    /// The chat template, in Jinja.
    pub chat_template: Option<String>,
}

impl Vocabulary {
    /// From a Hugging Face folder: `tokenizer.json` and what the other files say of special tokens.
    pub(crate) fn from_folder(folder: &Path) -> Result<Self> {
        let file = folder.join("tokenizer.json");
        let text = std::fs::read(&file).map_err(|e| unreadable(&file, &e))?;
        let tokenizer = Tokenizer::from_bytes(text).map_err(|e| broken(&file, e.as_ref()))?;
        let read = |name: &str| {
            let file = folder.join(name);
            if file.is_file() {
                read_json(&file)
            } else {
                Ok(Json::Null)
            }
        };
        let settings = read("tokenizer_config.json")?;
        // A special token is a text, or an object with one.
        let special = |key: &str| {
            let value = &settings[key];
            value
                .as_str()
                .or_else(|| value["content"].as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let eos = special("eos_token");
        let mut ends: Vec<u32> = tokenizer.token_to_id(&eos).into_iter().collect();
        for config in [read("generation_config.json")?, read("config.json")?] {
            let ids = match &config["eos_token_id"] {
                Json::Array(ids) => ids.clone(),
                id => vec![id.clone()],
            };
            ends.extend(ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()));
        }
        let jinja = folder.join("chat_template.jinja");
        let chat_template = if jinja.is_file() {
            Some(std::fs::read_to_string(&jinja).map_err(|e| unreadable(&jinja, &e))?)
        } else {
            template(&settings["chat_template"])
        };
        Self {
            tokenizer,
            ends,
            bos: special("bos_token"),
            eos,
            chat_template,
        }
        .checked(&file)
    }

    /// From a GGUF file's metadata.
    pub(crate) fn from_gguf(file: &Gguf) -> Result<Self> {
        let path = file.path();
        let json = tokenizer_json(file)?;
        let tokenizer =
            Tokenizer::from_str(&json.to_string()).map_err(|e| broken(path, e.as_ref()))?;
        let id = |key: &str| {
            let id = file
                .value(&format!("tokenizer.ggml.{key}_token_id"))?
                .as_usize()?;
            u32::try_from(id).ok()
        };
        let text = |id: Option<u32>| {
            id.and_then(|id| tokenizer.id_to_token(id))
                .unwrap_or_default()
        };
        let (eos, bos) = (text(id("eos")), text(id("bos")));
        let mut ends: Vec<u32> = ["eos", "eot", "eom"].into_iter().filter_map(id).collect();
        // As llama.cpp does: these end an answer whatever the metadata says.
        ends.extend(
            ["<|im_end|>", "<|eot_id|>", "<|endoftext|>"]
                .into_iter()
                .filter_map(|t| tokenizer.token_to_id(t)),
        );
        let chat_template = file
            .value("tokenizer.chat_template")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Self {
            tokenizer,
            ends,
            bos,
            eos,
            chat_template,
        }
        .checked(path)
    }

    fn checked(mut self, path: &Path) -> Result<Self> {
        let mut seen = Vec::new();
        self.ends.retain(|id| {
            !seen.contains(id) && {
                seen.push(*id);
                true
            }
        });
        if self.ends.is_empty() {
            return Err(invalid(
                path,
                "no token is said to end an answer (`eos_token`)",
            ));
        }
        Ok(self)
    }

    /// The number of tokens, special ones among them.
    #[must_use]
    pub fn size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The id of a token.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Tokens of `text`; special tokens written in it are recognised, none are added.
    ///
    /// # Errors
    /// [`Internal`](tale_api::ErrorKind::Internal): the tokenizer failed.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|e| failed(e.as_ref()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `tokens`, without special ones. A character of which only some bytes are there
    /// is shown as U+FFFD.
    ///
    /// # Errors
    /// [`Internal`](tale_api::ErrorKind::Internal): the tokenizer failed.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.tokenizer
            .decode(tokens, true)
            .map_err(|e| failed(e.as_ref()))
    }

    /// The tokenizer as `tokenizer.json` has it.
    ///
    /// # Errors
    /// [`Internal`](tale_api::ErrorKind::Internal): the tokenizer failed.
    pub fn to_json(&self) -> Result<String> {
        self.tokenizer
            .to_string(true)
            .map_err(|e| failed(e.as_ref()))
    }
}

/// A template, or the one named `default` of several.
fn template(json: &Json) -> Option<String> {
    let text = json.as_str().or_else(|| {
        let named = json.as_array()?;
        named.iter().find(|t| t["name"] == "default")?["template"].as_str()
    });
    text.map(str::to_owned)
}

/// How a byte-level tokenizer cuts a text before it merges: `tokenizer.ggml.pre`.
///
/// The expressions are those of the models' own `tokenizer.json`.
fn pre_tokenizer(pre: &str) -> Option<Json> {
    let split = |digits: &str| {
        let regex = format!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        );
        json!([
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        ])
    };
    let steps = match pre {
        "qwen2" => split(""),
        "llama-bpe" | "llama3" | "llama-v3" => split("{1,3}"),
        "smollm" => json!([
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
        ]),
        "gpt-2" | "default" => json!([
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
        ]),
        _ => return None,
    };
    Some(json!({"type": "Sequence", "pretokenizers": steps}))
}

/// The name that [`pre_tokenizer`] has for what a `tokenizer.json` says.
pub(crate) fn pre_of(json: &Json) -> Option<&'static str> {
    let steps = |json: &Json| -> Vec<Json> {
        let list = json["pretokenizers"].as_array();
        let list = list.map_or(std::slice::from_ref(json), Vec::as_slice);
        // What is left out changes offsets, not tokens.
        let plain = |step: &Json| match step["type"].as_str() {
            Some("ByteLevel") => json!([step["add_prefix_space"], step["use_regex"]]),
            Some("Digits") => json!(["digits", step["individual_digits"]]),
            _ => json!([step["pattern"], step["behavior"], step["invert"]]),
        };
        list.iter().map(plain).collect()
    };
    let wanted = steps(json);
    let known = ["qwen2", "llama-bpe", "smollm", "gpt-2"];
    known
        .into_iter()
        .find(|pre| pre_tokenizer(pre).is_some_and(|known| steps(&known) == wanted))
}

/// `tokenizer.json` of a GGUF file with a byte-level vocabulary.
fn tokenizer_json(file: &Gguf) -> Result<Json> {
    let path = file.path();
    let text = |key: &str| file.value(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, pre) = (text("tokenizer.ggml.model"), text("tokenizer.ggml.pre"));
    let pre_tokenizer = pre_tokenizer(pre).filter(|_| kind == "gpt2").ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            format!("`{}` has a tokenizer of the kind `{kind}`/`{pre}`", path.display()),
        )
        .hint("`gpt2` with `qwen2`, `llama-bpe`, `smollm` or `gpt-2` can be read from GGUF; take the model's Hugging Face folder")
    })?;
    let list = |key: &str| {
        let values = file.value(key).and_then(Value::as_list);
        values.ok_or_else(|| invalid(path, format!("no list `{key}`")))
    };
    let tokens: Vec<&str> = list("tokenizer.ggml.tokens")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let merges: Vec<&str> = list("tokenizer.ggml.merges")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let kinds = file
        .value("tokenizer.ggml.token_type")
        .and_then(Value::as_list)
        .unwrap_or_default();
    // 3 is a control token, 4 one that a user defined.
    let added: Vec<Json> = kinds
        .iter()
        .zip(&tokens)
        .enumerate()
        .filter(|(_, (kind, _))| matches!(kind, Value::Integer(3 | 4)))
        .map(|(id, (kind, content))| {
            json!({"id": id, "content": content, "special": *kind == Value::Integer(3), "normalized": false,
                   "single_word": false, "lstrip": false, "rstrip": false})
        })
        .collect();
    let vocabulary: serde_json::Map<String, Json> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| ((*token).to_owned(), id.into()))
        .collect();
    let normalizer = if pre == "qwen2" {
        json!({"type": "NFC"})
    } else {
        Json::Null
    };
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": pre.starts_with("llama"), "vocab": vocabulary, "merges": merges,
        },
    }))
}

fn broken(path: &Path, cause: &(dyn std::error::Error + 'static)) -> Error {
    invalid(path, "the tokenizer cannot be read").caused_by(cause)
}

fn failed(cause: &(dyn std::error::Error + 'static)) -> Error {
    Error::new(ErrorKind::Internal, "the tokenizer failed").caused_by(cause)
}
