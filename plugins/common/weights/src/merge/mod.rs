//! From a base and an adapter to one model on disk, a tensor at a time.
//!
//! * [`to_folder`]: a Hugging Face folder.
//! * [`to_gguf`]: a GGUF file, with or without an adapter.

mod folder;
mod gguf;
mod numbers;
mod tokens;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tale_api::{Error, ErrorKind, Result};

use crate::{
    adapter::{Adapter, Pair},
    config::Config,
    error::unwritable,
    model::{Array, Model},
};

pub use folder::{SHARD_BYTES, to_folder};
pub use gguf::to_gguf;
pub use numbers::Numbers;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Tensors in all.
    pub tensors: u64,
    /// Those that the adapter changed.
    pub changed: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Adds `scale · B A` to a weight of the shape `[out, in]`.
fn add(weight: &mut Array, pair: &Pair, scale: f64) {
    let (rank, inputs) = (pair.a.shape[0], pair.a.shape[1]);
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    let scale = scale as f32;
    let rows = weight.values.chunks_exact_mut(inputs);
    for (row, b) in rows.zip(pair.b.values.chunks_exact(rank)) {
        for (b, a) in b.iter().zip(pair.a.values.chunks_exact(inputs)) {
            let factor = scale * b;
            for (w, a) in row.iter_mut().zip(a) {
                *w += factor * a;
            }
        }
    }
}

/// The matrices of the weight of that Hugging Face name.
fn change<'a>(adapter: Option<&'a Adapter>, name: &str) -> Option<(&'a Pair, f64)> {
    let adapter = adapter?;
    let pair = adapter.pairs.get(name.strip_suffix(".weight")?)?;
    Some((pair, adapter.scale()))
}

/// A tensor of the model with the adapter in it.
fn merged(
    model: &Model,
    adapter: Option<&Adapter>,
    (name, shape): (&str, &[usize]),
) -> Result<Array> {
    let mut array = model.tensor(name, shape)?;
    if let Some((pair, scale)) = change(adapter, name) {
        add(&mut array, pair, scale);
    }
    Ok(array)
}

/// Every tensor of the model by its Hugging Face name, with its shape, in the order of the blocks.
fn tensors(model: &Model) -> Vec<(String, Vec<usize>)> {
    let config = model.config();
    let mut list = vec![(
        "model.embed_tokens.weight".to_owned(),
        vec![config.vocabulary, config.hidden],
    )];
    for layer in 0..config.layers {
        let at = |part: &str| format!("model.layers.{layer}.{part}");
        for norm in ["input_layernorm.weight", "post_attention_layernorm.weight"] {
            list.push((at(norm), vec![config.hidden]));
        }
        for part in Config::PROJECTIONS {
            let name = Config::projection_name(layer, part);
            let (outputs, inputs) = config
                .projection(&name)
                .expect("PROJECTIONS are projections");
            list.push((format!("{name}.weight"), vec![outputs, inputs]));
            list.push((format!("{name}.bias"), vec![outputs]));
        }
    }
    list.push(("model.norm.weight".to_owned(), vec![config.hidden]));
    list.push((
        "lm_head.weight".to_owned(),
        vec![config.vocabulary, config.hidden],
    ));
    // Biases, and a projection of its own, are only some models'.
    list.retain(|(name, _)| model.has(name) || !is_optional(name));
    if config.is_tied {
        list.retain(|(name, _)| name != "lm_head.weight");
    }
    list
}

fn is_optional(name: &str) -> bool {
    name.rsplit('.').next() == Some("bias") || name == "lm_head.weight"
}

/// A file or folder under way: it gets its name once it is whole, and is gone if it never is.
struct Partial {
    part: PathBuf,
    whole: PathBuf,
    is_placed: bool,
}

impl Partial {
    /// Beside `whole`, which must not be there unless `replace`.
    fn beside(whole: &Path, replace: bool) -> Result<Self> {
        if whole.exists() && !replace {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`{}` is there already", whole.display()),
            )
            .hint("name another place, or replace it with `--force`"));
        }
        let mut name = whole.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = whole.with_file_name(name);
        // What an earlier attempt left when it was killed.
        let _ = fs::remove_dir_all(&part).or_else(|_| fs::remove_file(&part));
        if let Some(parent) = whole.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|e| unwritable(parent, &e))?;
        }
        Ok(Self {
            part,
            whole: whole.to_owned(),
            is_placed: false,
        })
    }

    fn place(mut self) -> Result<()> {
        self.replace().map_err(|e| unwritable(&self.whole, &e))?;
        self.is_placed = true;
        Ok(())
    }

    fn replace(&self) -> io::Result<()> {
        if self.whole.is_dir() {
            // Only what looks like a model: a mistyped path must not cost a home.
            if !self.whole.join("config.json").is_file() {
                return Err(io::Error::other("it is a folder, and no model's"));
            }
            fs::remove_dir_all(&self.whole)?;
        }
        fs::rename(&self.part, &self.whole)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_placed {
            let _ = fs::remove_dir_all(&self.part).or_else(|_| fs::remove_file(&self.part));
        }
    }
}

#[cfg(test)]
mod tests;
