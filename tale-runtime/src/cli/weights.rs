//! `tale model merge|export`: a trained model as files that other programs load.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use tale_weights::{
    Model,
    adapter::Adapter,
    merge::{self, Numbers, SHARD_BYTES, Written},
};

use super::{Exit, Failure, Global, Outcome, output, usage};
use crate::plan::files;

#[derive(Args)]
pub(super) struct MergeArgs {
    /// The model: a Hugging Face folder, a GGUF file, or a name of `tale model list`
    #[arg(long, value_name = "MODEL")]
    base: PathBuf,
    /// The adapter, a folder in PEFT's format (`adapter` in a training's folder)
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// The Hugging Face folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The weights' number format [default: the base's, f16 for a GGUF]
    #[arg(long, value_enum, value_name = "FORMAT")]
    numbers: Option<FolderNumbers>,
    /// Megabytes of a weight file at most
    #[arg(long, value_name = "MB", default_value_t = SHARD_BYTES / 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    shard: u64,
    /// Replace what is there
    #[arg(long)]
    force: bool,
}

#[derive(Args)]
pub(super) struct ExportArgs {
    /// The GGUF file to write
    #[arg(long, value_name = "FILE")]
    gguf: PathBuf,
    /// The model: a Hugging Face folder, a GGUF file, or a name of `tale model list`
    #[arg(long, value_name = "MODEL")]
    base: PathBuf,
    /// An adapter, a folder in PEFT's format: alone it becomes an adapter for llama.cpp
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Write the whole model with the adapter in it
    #[arg(long, requires = "adapter")]
    merged: bool,
    /// The number format of matrices; what a GGUF base has and no adapter changes is copied as it is
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = GgufNumbers::F16)]
    numbers: GgufNumbers,
    /// Replace what is there
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FolderNumbers {
    F32,
    F16,
    Bf16,
}

#[derive(Clone, Copy, ValueEnum)]
enum GgufNumbers {
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8,
}

pub(super) fn merge(args: &MergeArgs, global: &Global) -> Outcome {
    let (model, adapter) = (open(&args.base)?, Adapter::read(&args.adapter)?);
    let numbers = args.numbers.map(|numbers| match numbers {
        FolderNumbers::F32 => Numbers::F32,
        FolderNumbers::F16 => Numbers::F16,
        FolderNumbers::Bf16 => Numbers::BF16,
    });
    let how = (numbers, args.shard.saturating_mul(1_000_000));
    let written = merge::to_folder(&model, Some(&adapter), &args.out, how, args.force)?;
    tell(&args.out, &written, global);
    Ok(Exit::Done)
}

pub(super) fn export(args: &ExportArgs, global: &Global) -> Outcome {
    let model = open(&args.base)?;
    let adapter = match &args.adapter {
        Some(folder) => Some(Adapter::read(folder)?),
        None => None,
    };
    let numbers = match args.numbers {
        GgufNumbers::F32 => Numbers::F32,
        GgufNumbers::F16 => Numbers::F16,
        GgufNumbers::Bf16 => Numbers::BF16,
        GgufNumbers::Q8 => Numbers::Q8_0,
    };
    let written = match &adapter {
        Some(adapter) if !args.merged => {
            if args.gguf.exists() && !args.force {
                return Err(usage(
                    format!("`{}` is there already", args.gguf.display()),
                    "name another place, or replace it with `--force`",
                ));
            }
            adapter.write_gguf(model.config(), &args.gguf)?;
            Written {
                tensors: 2 * adapter.pairs.len() as u64,
                changed: adapter.pairs.len() as u64,
                bytes: std::fs::metadata(&args.gguf)?.len(),
            }
        }
        adapter => merge::to_gguf(&model, adapter.as_ref(), &args.gguf, numbers, args.force)?,
    };
    tell(&args.gguf, &written, global);
    Ok(Exit::Done)
}

fn open(base: &Path) -> Result<Model, Failure> {
    let path = files::model(base, &base.to_string_lossy()).map_err(Failure::usage)?;
    Ok(Model::open(&path)?)
}

fn tell(path: &Path, written: &Written, global: &Global) {
    if global.json {
        output::json(&json!({
            "path": path, "tensors": written.tensors, "changed": written.changed,
            "bytes": written.bytes,
        }));
        return;
    }
    output::line(&format!(
        "{}: {} tensors, {} of them changed, {:.1} MB",
        path.display(),
        written.tensors,
        written.changed,
        megabytes(written.bytes)
    ));
}

#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
