//! What a GGUF file says of a tokenizer, from a Hugging Face folder.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value as Json;
use tale_api::{Error, ErrorKind, Result};

use crate::{error::invalid, model::read_json, tokenizer};

/// A byte-level tokenizer as llama.cpp takes it.
pub(super) struct Tokens {
    /// `tokenizer.ggml.pre`.
    pub(super) pre: &'static str,
    /// By id; as many as the embedding has rows.
    pub(super) texts: Vec<String>,
    /// 1 normal, 3 control, 4 of a user, 5 unused.
    pub(super) kinds: Vec<i32>,
    pub(super) merges: Vec<String>,
    /// Whether a text begins with the token `bos`.
    pub(super) adds_bos: bool,
}

/// Reads `tokenizer.json` of a folder whose embedding has `rows` rows.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where llama.cpp would read texts in another way than the
/// file says.
pub(super) fn read(folder: &Path, rows: usize, bos: &str) -> Result<Tokens> {
    let file = folder.join("tokenizer.json");
    let json = read_json(&file)?;
    let unsupported =
        |what: &str| {
            Error::new(
            ErrorKind::Unsupported,
            format!("`{}`: {what}, which no GGUF file can say here", file.display()),
        )
        .hint(
            "byte-level tokenizers of Qwen2, Llama 3, SmolLM2 and GPT-2 can be exported; take a \
             GGUF file of the model as `--base`",
        )
        };
    let model = &json["model"];
    if model["type"].as_str() != Some("BPE") || model["byte_fallback"].as_bool() == Some(true) {
        return Err(unsupported("its model is no byte-level BPE"));
    }
    let pre = tokenizer::pre_of(&json["pre_tokenizer"])
        .ok_or_else(|| unsupported("it cuts texts in a way of its own"))?;
    if (model["ignore_merges"].as_bool() == Some(true)) != (pre == "llama-bpe") {
        return Err(unsupported("`ignore_merges` is not that of its kind"));
    }
    let mut by_id: BTreeMap<usize, (String, i32)> = BTreeMap::new();
    let vocabulary = model["vocab"].as_object();
    let vocabulary = vocabulary.ok_or_else(|| invalid(&file, "no `model.vocab`"))?;
    for (token, id) in vocabulary {
        let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
        let id = id.ok_or_else(|| invalid(&file, format!("no id of `{token}`")))?;
        by_id.insert(id, (token.clone(), 1));
    }
    for added in json["added_tokens"].as_array().into_iter().flatten() {
        let id = added["id"].as_u64().and_then(|id| usize::try_from(id).ok());
        let (Some(id), Some(token)) = (id, added["content"].as_str()) else {
            return Err(invalid(&file, "an added token without id or content"));
        };
        let kind = if added["special"].as_bool() == Some(true) {
            3
        } else {
            4
        };
        by_id.insert(id, (token.to_owned(), kind));
    }
    let (mut texts, mut kinds) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    for id in 0..rows {
        // Rows of the embedding that no token has, as models round their number up.
        let (token, kind) = by_id
            .remove(&id)
            .unwrap_or_else(|| (format!("[PAD{id}]"), 5));
        texts.push(token);
        kinds.push(kind);
    }
    if let Some((id, (token, _))) = by_id.first_key_value() {
        let what = format!("token `{token}` has the id {id}, the weights have {rows} rows");
        return Err(invalid(&file, what).hint("the tokenizer is another model's"));
    }
    let mut merges = Vec::new();
    for merge in model["merges"].as_array().into_iter().flatten() {
        // A text with a blank between, or, since version 0.20 of the library, a pair.
        let text = match merge {
            Json::String(text) => text.clone(),
            Json::Array(pair) => {
                let pair: Vec<&str> = pair.iter().filter_map(Json::as_str).collect();
                pair.join(" ")
            }
            _ => return Err(invalid(&file, "a merge that is no pair")),
        };
        merges.push(text);
    }
    let settings = folder.join("tokenizer_config.json");
    let settings = if settings.is_file() {
        read_json(&settings)?
    } else {
        Json::Null
    };
    let processed = json["post_processor"].to_string();
    let adds_bos = settings["add_bos_token"]
        .as_bool()
        .unwrap_or(!bos.is_empty() && processed.contains(&format!("\"{bos}\"")));
    Ok(Tokens {
        pre,
        texts,
        kinds,
        merges,
        adds_bos,
    })
}
