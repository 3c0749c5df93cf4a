//! A model, with an adapter in it or not, as a GGUF file.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use tale_api::{Error, ErrorKind, Result};

use super::{Numbers, Partial, Written, add, change, merged, tensors, tokens};
use crate::{
    adapter::Adapter,
    config::{Config, Rope},
    error::unwritable,
    gguf::{ALIGNMENT, Gguf, head},
    model::{Array, Model, gguf_name, hf_name},
};

/// Writes the model with the adapter in it to the file `out`.
///
/// Of a GGUF base, metadata and unchanged tensors are copied bit for bit, and changed tensors are
/// written as `numbers`. Of a Hugging Face folder, all matrices are.
///
/// # Errors
/// As [`to_folder`](super::to_folder).
pub fn to_gguf(
    model: &Model,
    adapter: Option<&Adapter>,
    out: &Path,
    numbers: Numbers,
    replace: bool,
) -> Result<Written> {
    if let Some(adapter) = adapter {
        adapter.check(model.config())?;
    }
    let partial = Partial::beside(out, replace)?;
    let written = match model.gguf() {
        Some(base) => from_gguf(model, base, adapter, numbers, &partial.part)?,
        None => from_folder(model, adapter, numbers, &partial.part)?,
    };
    partial.place()?;
    Ok(written)
}

/// The format in which a tensor is written: vectors stay exact, as llama.cpp wants them.
fn kept(numbers: Numbers, shape: &[usize]) -> Numbers {
    match shape {
        [_, width] if numbers.fits(*width) => numbers,
        [_, _] => Numbers::F16,
        _ => Numbers::F32,
    }
}

fn from_gguf(
    model: &Model,
    base: &Gguf,
    adapter: Option<&Adapter>,
    numbers: Numbers,
    path: &Path,
) -> Result<Written> {
    let failed = |e: io::Error| unwritable(path, &e);
    let alignment = base.alignment();
    let names = base.names_in_order();
    let mut table = Vec::new();
    let mut written = Written::default();
    let mut at = 0_u64;
    for name in &names {
        let (shape, kind, bytes) = base.stored(name);
        let (kind, bytes) = if change(adapter, &hf_name(name)).is_some() {
            written.changed += 1;
            let numbers = kept(numbers, shape);
            (numbers.ggml(), numbers.bytes(shape.iter().product()))
        } else {
            (kind, bytes)
        };
        head::entry(&mut table, name, shape, kind, at);
        written.tensors += 1;
        written.bytes += bytes;
        at = (at + bytes).next_multiple_of(alignment);
    }
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    let mut begin = Vec::new();
    head::begin(&mut begin, names.len() as u64, base.pairs());
    out.write_all(&begin).map_err(failed)?;
    base.copy_metadata(&mut out).map_err(failed)?;
    out.write_all(&table).map_err(failed)?;
    let mut at = begin.len() as u64 + base.metadata_bytes() + table.len() as u64;
    for name in &names {
        pad(&mut out, &mut at, alignment).map_err(failed)?;
        let hf = hf_name(name);
        if let Some((pair, scale)) = change(adapter, &hf) {
            let shape = base.stored(name).0.to_vec();
            let mut array = model.tensor(&hf, &shape)?;
            add(&mut array, pair, scale);
            model.config().reorder(&hf, &mut array, Config::to_ggml_row);
            let bytes = kept(numbers, &shape).encode(&array.values);
            out.write_all(&bytes).map_err(failed)?;
            at += bytes.len() as u64;
        } else {
            at += base.copy(name, &mut out).map_err(failed)?;
        }
    }
    pad(&mut out, &mut at, alignment).map_err(failed)?;
    sync(out).map_err(failed)?;
    Ok(written)
}

fn from_folder(
    model: &Model,
    adapter: Option<&Adapter>,
    numbers: Numbers,
    path: &Path,
) -> Result<Written> {
    let failed = |e: io::Error| unwritable(path, &e);
    let config = model.config();
    let (mut pairs, count) = metadata(model, numbers)?;
    let list = tensors(model);
    let divisors = divisors(config);
    let mut table = Vec::new();
    let mut written = Written::default();
    let mut at = 0_u64;
    let mut plan = |name: &str, shape: &[usize], numbers: Numbers| {
        let bytes = numbers.bytes(shape.iter().product());
        head::entry(&mut table, name, shape, numbers.ggml(), at);
        written.tensors += 1;
        written.bytes += bytes;
        at = (at + bytes).next_multiple_of(ALIGNMENT);
    };
    for (name, shape) in &list {
        plan(&gguf_name(name), shape, kept(numbers, shape));
    }
    if let Some(divisors) = &divisors {
        plan("rope_freqs.weight", &divisors.shape, Numbers::F32);
    }
    written.changed = list
        .iter()
        .filter(|(name, _)| change(adapter, name).is_some())
        .count() as u64;
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    let mut begin = Vec::new();
    head::begin(&mut begin, written.tensors, count);
    begin.append(&mut pairs);
    begin.append(&mut table);
    out.write_all(&begin).map_err(failed)?;
    let mut at = begin.len() as u64;
    for (name, shape) in &list {
        pad(&mut out, &mut at, ALIGNMENT).map_err(failed)?;
        let mut array = merged(model, adapter, (name, shape))?;
        config.reorder(name, &mut array, Config::to_ggml_row);
        let bytes = kept(numbers, shape).encode(&array.values);
        out.write_all(&bytes).map_err(failed)?;
        at += bytes.len() as u64;
    }
    if let Some(divisors) = &divisors {
        pad(&mut out, &mut at, ALIGNMENT).map_err(failed)?;
        let bytes = Numbers::F32.encode(&divisors.values);
        out.write_all(&bytes).map_err(failed)?;
        at += bytes.len() as u64;
    }
    pad(&mut out, &mut at, ALIGNMENT).map_err(failed)?;
    sync(out).map_err(failed)?;
    Ok(written)
}

fn pad(out: &mut impl Write, at: &mut u64, alignment: u64) -> io::Result<()> {
    let next = at.next_multiple_of(alignment);
    let missing = usize::try_from(next - *at).map_err(io::Error::other)?;
    *at = next;
    out.write_all(&vec![0; missing])
}

fn sync(out: BufWriter<File>) -> io::Result<()> {
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()
}

/// What the angles of Llama 3.1 are divided by, as a tensor of its own.
fn divisors(config: &Config) -> Option<Array> {
    if !matches!(config.rope, Rope::Llama3 { .. } | Rope::Divisors(_)) {
        return None;
    }
    let plain = Config {
        rope: Rope::Plain,
        ..config.clone()
    };
    let (plain, stretched) = (plain.frequencies(), config.frequencies());
    #[expect(clippy::cast_possible_truncation, reason = "the tensor is f32")]
    let values: Vec<f32> = plain
        .iter()
        .zip(&stretched)
        .map(|(p, s)| (p / s) as f32)
        .collect();
    Some(Array {
        shape: vec![values.len()],
        values,
    })
}

/// The metadata of a folder's model, and the number of its pairs.
fn metadata(model: &Model, numbers: Numbers) -> Result<(Vec<u8>, u64)> {
    let config = model.config();
    let vocabulary = model.vocabulary()?;
    let tokens = tokens::read(model.path(), config.vocabulary, &vocabulary.bos)?;
    let mut pairs = head::Pairs::default();
    let arch = config.architecture.name();
    let size = |n: usize| {
        u32::try_from(n).map_err(|_| Error::new(ErrorKind::InvalidData, format!("a size of {n}")))
    };
    let name = model.path().file_name().unwrap_or_default();
    pairs.text("general.architecture", arch);
    pairs.text("general.type", "model");
    pairs.text("general.name", &name.to_string_lossy());
    pairs.u32("general.quantization_version", 2);
    // llama.cpp's names for a whole file's format.
    pairs.u32(
        "general.file_type",
        match numbers {
            Numbers::F32 => 0,
            Numbers::F16 => 1,
            Numbers::Q8_0 => 7,
            Numbers::BF16 => 32,
        },
    );
    for (key, n) in [
        ("context_length", config.context),
        ("embedding_length", config.hidden),
        ("block_count", config.layers),
        ("feed_forward_length", config.intermediate),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.kv_heads),
        ("attention.key_length", config.head_width),
        ("attention.value_length", config.head_width),
        ("rope.dimension_count", config.head_width),
        ("vocab_size", config.vocabulary),
    ] {
        pairs.u32(&format!("{arch}.{key}"), size(n)?);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "llama.cpp reads single precision"
    )]
    {
        let key = format!("{arch}.attention.layer_norm_rms_epsilon");
        pairs.f32(&key, config.norm_eps as f32);
        pairs.f32(&format!("{arch}.rope.freq_base"), config.theta as f32);
        if let Rope::Linear(factor) = config.rope {
            pairs.text(&format!("{arch}.rope.scaling.type"), "linear");
            pairs.f32(&format!("{arch}.rope.scaling.factor"), factor as f32);
        }
    }
    pairs.text("tokenizer.ggml.model", "gpt2");
    pairs.text("tokenizer.ggml.pre", tokens.pre);
    pairs.texts("tokenizer.ggml.tokens", &tokens.texts);
    pairs.i32s("tokenizer.ggml.token_type", &tokens.kinds);
    pairs.texts("tokenizer.ggml.merges", &tokens.merges);
    if let Some(bos) = vocabulary.id(&vocabulary.bos) {
        pairs.u32("tokenizer.ggml.bos_token_id", bos);
    }
    if let Some(eos) = vocabulary.ends.first() {
        pairs.u32("tokenizer.ggml.eos_token_id", *eos);
    }
    pairs.bool("tokenizer.ggml.add_bos_token", tokens.adds_bos);
    if let Some(template) = &vocabulary.chat_template {
        pairs.text("tokenizer.chat_template", template);
    }
    Ok(pairs.finish())
}
