//! A merged model as a Hugging Face folder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use serde_json::{Map, Value as Json, json};
use tale_api::{Error, ErrorKind, Result};

use super::{Numbers, Partial, Written, change, merged, tensors};
use crate::{
    adapter::Adapter,
    config::{Architecture, Config, Rope},
    error::{unreadable, unwritable},
    model::Model,
};

/// The size that a weight file should not pass, as Transformers has it.
pub const SHARD_BYTES: u64 = 5_000_000_000;

/// The stretchings of Llama 3.1 and 3.2: all that a GGUF file's divisors can come from.
const LLAMA3_FACTORS: [f64; 2] = [8.0, 32.0];

/// A tensor to be written.
struct Planned {
    name: String,
    shape: Vec<usize>,
    /// What the file calls its number format; what is not read here is copied as it is.
    dtype: String,
    bytes: u64,
}

/// Writes the model with the adapter in it to the folder `out`, in weight files of at most `shard`
/// bytes. Weights keep their number format, or get `numbers`; those of a GGUF file, which are
/// dequantised, are `F16` by default. Tokenizer and settings are copied, or made from the GGUF.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput): `out` is there and not to be replaced, or `numbers` is
/// no format of such a folder; [`InvalidData`](ErrorKind::InvalidData): the adapter is of another
/// base; [`Unsupported`](ErrorKind::Unsupported): what the file says has no words in a folder;
/// [`ResourceExhausted`](ErrorKind::ResourceExhausted): the disk is full. Nothing is left behind.
pub fn to_folder(
    model: &Model,
    adapter: Option<&Adapter>,
    out: &Path,
    (numbers, shard): (Option<Numbers>, u64),
    replace: bool,
) -> Result<Written> {
    if numbers == Some(Numbers::Q8_0) {
        return Err(
            Error::new(ErrorKind::InvalidInput, "a Hugging Face folder has no Q8_0")
                .hint("take F32, F16 or BF16, or write a GGUF file"),
        );
    }
    if let Some(adapter) = adapter {
        adapter.check(model.config())?;
    }
    let list = planned(model, numbers);
    let partial = Partial::beside(out, replace)?;
    let folder = &partial.part;
    fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
    if model.path().is_dir() {
        copy_settings(model.path(), folder)?;
    } else {
        write_settings(model, folder, numbers.unwrap_or(Numbers::F16))?;
    }
    let shards = shards(&list, shard);
    let mut places = Map::new();
    let mut written = Written::default();
    for (i, planned) in shards.iter().enumerate() {
        let file = if shards.len() == 1 {
            "model.safetensors".to_owned()
        } else {
            format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len())
        };
        let path = folder.join(&file);
        write_shard(model, adapter, planned, &path)?;
        for tensor in *planned {
            places.insert(tensor.name.clone(), file.clone().into());
            written.tensors += 1;
            written.bytes += tensor.bytes;
            written.changed += u64::from(change(adapter, &tensor.name).is_some());
        }
    }
    if shards.len() > 1 {
        let index = json!({ "metadata": { "total_size": written.bytes }, "weight_map": places });
        put(&folder.join("model.safetensors.index.json"), &index)?;
    }
    partial.place()?;
    Ok(written)
}

/// Every tensor of the folder, those that nobody here reads among them.
fn planned(model: &Model, numbers: Option<Numbers>) -> Vec<Planned> {
    let list = match model.stored() {
        Some(stored) => stored,
        None => tensors(model)
            .into_iter()
            .map(|(name, shape)| (name, shape, "F16".to_owned()))
            .collect(),
    };
    list.into_iter()
        .map(|(name, shape, dtype)| {
            let read = Numbers::of_safetensors(&dtype);
            let written = read.map(|kept| numbers.unwrap_or(kept));
            let count: usize = shape.iter().product();
            Planned {
                bytes: match written {
                    Some(numbers) => numbers.bytes(count),
                    None => model.stored_bytes(&name),
                },
                dtype: written.map_or(dtype, |n| n.safetensors().to_owned()),
                name,
                shape,
            }
        })
        .collect()
}

/// The tensors in their order, as many in a file as it may hold, at least one.
fn shards(list: &[Planned], most: u64) -> Vec<&[Planned]> {
    let mut shards = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (i, tensor) in list.iter().enumerate() {
        if i > from && bytes + tensor.bytes > most {
            shards.push(&list[from..i]);
            (from, bytes) = (i, 0);
        }
        bytes += tensor.bytes;
    }
    shards.push(&list[from..]);
    shards
}

fn write_shard(
    model: &Model,
    adapter: Option<&Adapter>,
    list: &[Planned],
    path: &Path,
) -> Result<()> {
    let failed = |e: io::Error| unwritable(path, &e);
    let mut head = Map::from_iter([("__metadata__".to_owned(), json!({ "format": "pt" }))]);
    let mut at = 0;
    for t in list {
        let entry = json!({
            "dtype": t.dtype, "shape": t.shape, "data_offsets": [at, at + t.bytes],
        });
        head.insert(t.name.clone(), entry);
        at += t.bytes;
    }
    let mut head = Json::Object(head).to_string().into_bytes();
    // The numbers begin at a multiple of eight; white space ends a JSON text.
    head.resize(head.len().next_multiple_of(8), b' ');
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    out.write_all(&(head.len() as u64).to_le_bytes())
        .and_then(|()| out.write_all(&head))
        .map_err(failed)?;
    for t in list {
        let is_same =
            change(adapter, &t.name).is_none() && model.stored_as(&t.name) == Some(&t.dtype);
        if is_same || Numbers::of_safetensors(&t.dtype).is_none() {
            model.copy(&t.name, &mut out).map_err(failed)?;
            continue;
        }
        let numbers = Numbers::of_safetensors(&t.dtype).unwrap_or(Numbers::F16);
        let array = merged(model, adapter, (&t.name, &t.shape))?;
        out.write_all(&numbers.encode(&array.values))
            .map_err(failed)?;
    }
    let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
    file.sync_all().map_err(failed)
}

/// Copies what lies beside the weights: settings, tokenizer, licence.
fn copy_settings(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).map_err(|e| unreadable(from, &e))?;
    for entry in entries {
        let path = entry.map_err(|e| unreadable(from, &e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_weights = name.contains("safetensors")
            || [".bin", ".pth", ".pt", ".gguf", ".onnx", ".h5", ".msgpack"]
                .iter()
                .any(|ending| name.ends_with(ending))
            || name.ends_with(".bin.index.json");
        if path.is_file() && !is_weights && !name.starts_with('.') {
            let target = to.join(&*name);
            fs::copy(&path, &target).map_err(|e| unwritable(&target, &e))?;
        }
    }
    Ok(())
}

/// Writes what a folder says beside its weights, from what a GGUF file says.
fn write_settings(model: &Model, folder: &Path, numbers: Numbers) -> Result<()> {
    let config = model.config();
    let vocabulary = model.vocabulary()?;
    let id = |token: &str| vocabulary.id(token);
    let (class, dtype) = (
        match config.architecture {
            Architecture::Llama => "LlamaForCausalLM",
            Architecture::Qwen2 => "Qwen2ForCausalLM",
        },
        match numbers {
            Numbers::F32 => "float32",
            Numbers::BF16 => "bfloat16",
            Numbers::F16 | Numbers::Q8_0 => "float16",
        },
    );
    let mut json = json!({
        "architectures": [class],
        "model_type": config.architecture.name(),
        "vocab_size": config.vocabulary,
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.theta,
        "tie_word_embeddings": config.is_tied,
        "max_position_embeddings": config.context,
        "torch_dtype": dtype,
        "eos_token_id": vocabulary.ends,
    });
    if let Some(scaling) = scaling(config, model.path())? {
        json["rope_scaling"] = scaling;
    }
    if let Some(bos) = id(&vocabulary.bos) {
        json["bos_token_id"] = bos.into();
    }
    put(&folder.join("config.json"), &json)?;
    let generation =
        json!({ "bos_token_id": json["bos_token_id"], "eos_token_id": vocabulary.ends });
    put(&folder.join("generation_config.json"), &generation)?;
    let mut settings = BTreeMap::from([
        ("tokenizer_class", json!("PreTrainedTokenizerFast")),
        ("model_max_length", json!(config.context)),
        ("clean_up_tokenization_spaces", json!(false)),
    ]);
    for (key, token) in [
        ("bos_token", &vocabulary.bos),
        ("eos_token", &vocabulary.eos),
    ] {
        if !token.is_empty() {
            settings.insert(key, json!(token));
        }
    }
    if let Some(template) = &vocabulary.chat_template {
        settings.insert("chat_template", json!(template));
    }
    put(&folder.join("tokenizer_config.json"), &json!(settings))?;
    let file = folder.join("tokenizer.json");
    fs::write(&file, vocabulary.to_json()?).map_err(|e| unwritable(&file, &e))
}

/// The stretching of the angles, as `config.json` says it.
fn scaling(config: &Config, path: &Path) -> Result<Option<Json>> {
    Ok(match &config.rope {
        Rope::Plain => None,
        Rope::Linear(factor) => Some(json!({ "rope_type": "linear", "factor": factor })),
        Rope::Llama3 {
            factor,
            low,
            high,
            original,
        } => Some(json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low,
            "high_freq_factor": high, "original_max_position_embeddings": original,
        })),
        Rope::Divisors(_) => {
            let found = config.frequencies();
            let known = LLAMA3_FACTORS.map(|factor| Rope::Llama3 {
                factor,
                low: 1.0,
                high: 4.0,
                original: 8192.0,
            });
            for rope in known {
                let named = Config {
                    rope,
                    ..config.clone()
                };
                let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-4 * b.abs();
                if named.frequencies().iter().zip(&found).all(near) {
                    return scaling(&named, path);
                }
            }
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "`{}` has divisors of its rotary angles that no `config.json` can say",
                    path.display()
                ),
            )
            .hint("export a GGUF file, or merge into the model's Hugging Face folder"));
        }
    })
}

fn put(path: &Path, json: &Json) -> Result<()> {
    fs::write(path, format!("{json:#}\n")).map_err(|e| unwritable(path, &e))
}
