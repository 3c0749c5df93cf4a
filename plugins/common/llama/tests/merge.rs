//! A model with an adapter merged into its files says what the model and the adapter say.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    reason = "clippy knows tests only by their attribute; the texts are short"
)]

use std::{collections::BTreeMap, path::Path};

use tale_llama::{Device, Llama, Lora, Tokens};
use tale_weights::{
    Array, Config, Model,
    adapter::{Adapter, Pair},
    merge::{Numbers, SHARD_BYTES, to_folder, to_gguf},
    testing::write_tiny_model,
};
use tch::{Kind, Tensor, no_grad};

/// Sums in another order, in `f32`; logits are around 1.
const TOLERANCE: f64 = 1e-4;

fn logits(model: &Llama, lora: Option<&Lora>) -> Tensor {
    let tokens = model.config().vocabulary as i64;
    let ids: Vec<i64> = (0..40).map(|i| (i * 37 + 11) % tokens).collect();
    let tokens = Tokens {
        ids: Tensor::from_slice(&ids).unsqueeze(0),
        positions: Tensor::arange(ids.len() as i64, (Kind::Int64, Device::Cpu)).unsqueeze(0),
        mask: None,
    };
    no_grad(|| model.logits(&model.hidden(&tokens, lora)).squeeze_dim(0))
}

/// An adapter of every projection, large enough to be seen.
fn adapter(config: &Config) -> Adapter {
    let mut pairs = BTreeMap::new();
    let mut value = 0.1_f32;
    let mut array = |shape: [usize; 2]| Array {
        shape: shape.to_vec(),
        values: (0..shape[0] * shape[1])
            .map(|_| {
                value = (value * 7.13 + 0.31) % 1.0;
                (value - 0.5) * 0.4
            })
            .collect(),
    };
    for layer in 0..config.layers {
        for part in Config::PROJECTIONS {
            let name = Config::projection_name(layer, part);
            let (outputs, inputs) = config.projection(&name).unwrap();
            let (a, b) = (array([4, inputs]), array([outputs, 4]));
            pairs.insert(name, Pair { a, b });
        }
    }
    Adapter {
        base: "base".to_owned(),
        rank: 4,
        alpha: 8.0,
        pairs,
    }
}

#[track_caller]
fn agree(folder: &Path, goes_to_gguf: bool) {
    let base = Model::open(folder).unwrap();
    let adapter = adapter(base.config());
    let model = Llama::load(&base, Device::Cpu).unwrap();
    let lora = Lora::load(&adapter, base.config(), Device::Cpu).unwrap();
    let (plain, wanted) = (logits(&model, None), logits(&model, Some(&lora)));
    let off = |other: &Tensor| (other - &wanted).abs().max().double_value(&[]);
    assert!(
        off(&plain) > 0.01,
        "the adapter does nothing: {}",
        off(&plain)
    );
    let dir = tempfile::tempdir().unwrap();
    let merged = dir.path().join("merged");
    let how = (Some(Numbers::F32), SHARD_BYTES);
    to_folder(&base, Some(&adapter), &merged, how, false).unwrap();
    let mut written = vec![merged];
    if goes_to_gguf {
        let file = dir.path().join("merged.gguf");
        to_gguf(&base, Some(&adapter), &file, Numbers::F32, false).unwrap();
        written.push(file);
    }
    for path in written {
        let merged = Llama::load(&Model::open(&path).unwrap(), Device::Cpu).unwrap();
        let off = off(&logits(&merged, None));
        assert!(off < TOLERANCE, "{}: {off}", path.display());
    }
}

#[test]
fn merged_files_of_a_llama_say_what_the_adapter_says() {
    agree(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/llama3"),
        false,
    );
}

#[test]
fn merged_files_of_a_qwen2_say_what_the_adapter_says() {
    let dir = tempfile::tempdir().unwrap();
    write_tiny_model(dir.path()).unwrap();
    agree(dir.path(), true);
}
