//! A model on disk, whatever its format.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tale_api::Result;

use crate::{
    config::{Architecture, Config},
    error::{invalid, unreadable},
    gguf::Gguf,
    safetensors::Safetensors,
    tokenizer::Vocabulary,
};

/// A tensor in memory, rows first.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes; the last dimension changes fastest.
    pub shape: Vec<usize>,
    /// As many as the sizes' product.
    pub values: Vec<f32>,
}

/// An open model. Tensors are read when they are asked for.
#[derive(Debug)]
pub struct Model {
    path: PathBuf,
    config: Config,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Gguf(Gguf),
    Folder {
        shards: Vec<Safetensors>,
        /// The shard that holds a tensor.
        places: BTreeMap<String, usize>,
    },
}

impl Model {
    /// Opens a GGUF file or a Hugging Face folder and checks that it is whole.
    ///
    /// # Errors
    /// [`NotFound`](tale_api::ErrorKind::NotFound); [`InvalidData`](tale_api::ErrorKind::InvalidData):
    /// cut, a shard or a tensor missing; [`Unsupported`](tale_api::ErrorKind::Unsupported): another
    /// architecture, or a number format that is not read.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        let (config, source) = if metadata.is_dir() {
            let file = path.join("config.json");
            (
                Config::from_json(&read_json(&file)?, &file)?,
                Source::folder(path)?,
            )
        } else {
            let file = Gguf::open(path)?;
            (Config::from_gguf(&file)?, Source::Gguf(file))
        };
        let model = Self {
            path: path.to_owned(),
            config,
            source,
        };
        let last = model.config.layers - 1;
        for name in [
            "model.embed_tokens.weight".to_owned(),
            "model.norm.weight".to_owned(),
            format!("model.layers.{last}.mlp.down_proj.weight"),
        ] {
            if !model.has(&name) {
                return Err(invalid(path, format!("no tensor `{name}`"))
                    .hint("the model's files are incomplete, or of another model"));
            }
        }
        Ok(model)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its tokenizer, special tokens and chat template.
    ///
    /// # Errors
    /// [`InvalidData`](tale_api::ErrorKind::InvalidData): missing, broken, or with more tokens than
    /// the embedding has rows.
    pub fn vocabulary(&self) -> Result<Vocabulary> {
        let vocabulary = match &self.source {
            Source::Gguf(file) => Vocabulary::from_gguf(file),
            Source::Folder { .. } => Vocabulary::from_folder(&self.path),
        }?;
        let (tokens, rows) = (vocabulary.size(), self.config.vocabulary);
        if tokens > rows {
            let what = format!("the tokenizer has {tokens} tokens, the weights have {rows}");
            return Err(invalid(&self.path, what).hint("the tokenizer is another model's"));
        }
        Ok(vocabulary)
    }

    /// Whether there is a tensor of this Hugging Face name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Gguf(file) => file.has(&gguf_name(name)),
            Source::Folder { places, .. } => places.contains_key(name),
        }
    }

    /// A tensor by its Hugging Face name, which must have the shape that is expected.
    ///
    /// # Errors
    /// [`InvalidData`](tale_api::ErrorKind::InvalidData): missing, unreadable, or of another shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Array> {
        let mut array = match &self.source {
            Source::Gguf(file) => file.tensor(&gguf_name(name))?,
            Source::Folder { shards, places } => {
                let place = places
                    .get(name)
                    .ok_or_else(|| invalid(&self.path, format!("no tensor `{name}`")))?;
                shards[*place].tensor(name)?
            }
        };
        if array.shape != shape {
            let what = format!(
                "tensor `{name}` has the shape {:?}, the configuration says {shape:?}",
                array.shape
            );
            return Err(invalid(&self.path, what));
        }
        if matches!(self.source, Source::Gguf(_)) {
            self.config.reorder(name, &mut array, Config::from_ggml_row);
        }
        Ok(array)
    }
}

impl Config {
    /// Puts the rows of a Llama's query or key tensor from llama.cpp's order into Hugging Face's,
    /// or back: llama.cpp turns neighbouring rows of a head together, Hugging Face's rows lie half
    /// a head apart. Other tensors, and Qwen's, have one order.
    pub(crate) fn reorder(&self, name: &str, array: &mut Array, from: fn(usize, usize) -> usize) {
        let turned = name.contains(".q_proj.") || name.contains(".k_proj.");
        if self.architecture != Architecture::Llama || !turned {
            return;
        }
        let rows = array.shape[0];
        let width = array.values.len() / rows;
        let old = std::mem::take(&mut array.values);
        for row in 0..rows {
            let (head, inner) = (row / self.head_width, row % self.head_width);
            let source = head * self.head_width + from(inner, self.head_width);
            array
                .values
                .extend_from_slice(&old[source * width..][..width]);
        }
    }

    /// llama.cpp's row for a Hugging Face row of a head.
    pub(crate) fn from_ggml_row(row: usize, width: usize) -> usize {
        2 * (row % (width / 2)) + row / (width / 2)
    }

    /// Hugging Face's row for a row of llama.cpp's.
    pub(crate) fn to_ggml_row(row: usize, width: usize) -> usize {
        row % 2 * (width / 2) + row / 2
    }
}

impl Source {
    fn folder(path: &Path) -> Result<Self> {
        let index = path.join("model.safetensors.index.json");
        let files = if index.is_file() {
            let json = read_json(&index)?;
            let map = json["weight_map"]
                .as_object()
                .ok_or_else(|| invalid(&index, "no `weight_map`"))?;
            let mut files: Vec<String> = map
                .values()
                .filter_map(|file| file.as_str().map(str::to_owned))
                .collect();
            files.sort_unstable();
            files.dedup();
            files
        } else {
            vec!["model.safetensors".to_owned()]
        };
        let mut shards = Vec::new();
        for file in &files {
            // The index comes from elsewhere: it names files of this folder only.
            if file.contains(['/', '\\']) {
                return Err(invalid(&index, format!("a shard named `{file}`")));
            }
            let shard = Safetensors::open(&path.join(file)).map_err(|e| {
                e.hint(format!(
                    "`{}` needs {} weight files; fetch this one again",
                    path.display(),
                    files.len()
                ))
            })?;
            shards.push(shard);
        }
        let places = shards
            .iter()
            .enumerate()
            .flat_map(|(i, shard)| shard.names().map(move |name| (name.to_owned(), i)))
            .collect();
        Ok(Self::Folder { shards, places })
    }
}

/// What Hugging Face's names and those of GGUF files differ in.
const PARTS: &[(&str, &str)] = &[
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
    ("model.layers.", "blk."),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
];

impl Model {
    /// The file, where the model is one.
    pub(crate) fn gguf(&self) -> Option<&Gguf> {
        match &self.source {
            Source::Gguf(file) => Some(file),
            Source::Folder { .. } => None,
        }
    }

    /// Name, shape and number format of every tensor of a folder, shard by shard, in their order.
    pub(crate) fn stored(&self) -> Option<Vec<(String, Vec<usize>, String)>> {
        match &self.source {
            Source::Gguf(_) => None,
            Source::Folder { shards, .. } => {
                Some(shards.iter().flat_map(Safetensors::stored).collect())
            }
        }
    }

    /// The number format of a folder's tensor.
    pub(crate) fn stored_as(&self, name: &str) -> Option<&String> {
        self.shard(name)?.dtype(name)
    }

    /// The bytes of a folder's tensor.
    pub(crate) fn stored_bytes(&self, name: &str) -> u64 {
        self.shard(name).map_or(0, |shard| shard.bytes(name))
    }

    /// Copies the numbers of a folder's tensor as they are.
    pub(crate) fn copy(&self, name: &str, out: &mut impl std::io::Write) -> std::io::Result<()> {
        match self.shard(name) {
            Some(shard) => shard.copy(name, out),
            None => Err(std::io::Error::other(format!("no tensor `{name}`"))),
        }
    }

    fn shard(&self, name: &str) -> Option<&Safetensors> {
        match &self.source {
            Source::Gguf(_) => None,
            Source::Folder { shards, places } => shards.get(*places.get(name)?),
        }
    }
}

/// Hugging Face's name for a tensor of a GGUF file; the name itself where it has none.
pub(crate) fn hf_name(name: &str) -> String {
    // `output` alone is the last projection; it is a part of other names too.
    if let Some(rest) = name.strip_prefix("output.") {
        return format!("lm_head.{rest}");
    }
    let parts = PARTS.iter().filter(|(_, gguf)| *gguf != "output");
    parts.fold(name.to_owned(), |name, (hf, gguf)| name.replace(gguf, hf))
}

/// The name in a GGUF file of a tensor with a Hugging Face name; without an ending, of a projection.
#[must_use]
pub fn gguf_name(name: &str) -> String {
    PARTS
        .iter()
        .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

pub(crate) fn read_json(path: &Path) -> Result<serde_json::Value> {
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
    serde_json::from_str(&text).map_err(|e| invalid(path, "no JSON").caused_by(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_formats_match() {
        for (name, expected) in [
            ("model.embed_tokens.weight", "token_embd.weight"),
            (
                "model.layers.11.self_attn.q_proj.bias",
                "blk.11.attn_q.bias",
            ),
            (
                "model.layers.0.post_attention_layernorm.weight",
                "blk.0.ffn_norm.weight",
            ),
            ("lm_head.weight", "output.weight"),
            ("model.norm.weight", "output_norm.weight"),
            (
                "model.layers.3.self_attn.o_proj.weight",
                "blk.3.attn_output.weight",
            ),
        ] {
            assert_eq!(gguf_name(name), expected);
            assert_eq!(hf_name(expected), name);
        }
    }

    #[test]
    fn the_two_orders_of_rows_undo_each_other() {
        for row in 0..64 {
            assert_eq!(Config::to_ggml_row(Config::from_ggml_row(row, 64), 64), row);
        }
        // The second row of a head is the first of its second half.
        assert_eq!(Config::to_ggml_row(1, 64), 32);
    }
}
