//! Losses, gradients and ten optimiser steps against PEFT in a plain loop of `PyTorch`.
//!
//! `tests/parity/make.py` made what is expected. The numbers are `f32` on both sides; the tolerances
//! are a hundred times the differences seen, which come from the order of sums.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use tale_api::TrainMethod;
use tale_llama::{Device, Llama, Lora, Tokens, to_array};
use tale_training::{Pair, Schedule};
use tale_weights::{Model, adapter::Adapter};
use tch::{Kind, Tensor, no_grad};

use crate::{
    adamw::{self, Moments},
    gradients::accumulate,
    options::{Options, Settings},
};

#[derive(Deserialize)]
struct Expected {
    options: Options,
    pairs: Vec<Line>,
    losses: Vec<f64>,
    norms: Vec<f64>,
    adapter_logits: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
    end: BTreeMap<String, Vec<f32>>,
}

#[derive(Deserialize)]
struct Line {
    prompt: Vec<u32>,
    chosen: Vec<u32>,
    rejected: Vec<u32>,
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

fn base() -> Llama {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../common/llama/tests/parity/qwen2");
    Llama::load(&Model::open(&path).unwrap(), Device::Cpu).unwrap()
}

fn expected(name: &str) -> Expected {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The largest difference of any adapter value from PEFT's, over the largest value of its matrix.
fn difference(found: &BTreeMap<String, Vec<f32>>, expected: &BTreeMap<String, Vec<f32>>) -> f32 {
    assert_eq!(found.len(), expected.len());
    let mut largest = 0.0_f32;
    for (name, values) in expected {
        let name = name
            .replace("base_model.model.", "")
            .replace(".default.weight", "");
        let found = &found[&name];
        assert_eq!(found.len(), values.len(), "{name}");
        let scale = values.iter().fold(1e-3_f32, |most, v| most.max(v.abs()));
        for (a, b) in found.iter().zip(values) {
            largest = largest.max((a - b).abs() / scale);
        }
    }
    largest
}

fn check(file: &str, method: TrainMethod, reference: bool, change: impl Fn(&mut Options)) {
    let expected = expected(file);
    let mut options = expected.options.clone();
    options.schedule = Some(Schedule::Constant);
    options.reference = (method == TrainMethod::Dpo).then_some(reference);
    change(&mut options);
    let settings = Settings::new(method, options).unwrap();
    let pairs: Vec<Pair> = expected
        .pairs
        .iter()
        .map(|line| Pair {
            prompt: line.prompt.clone(),
            chosen: line.chosen.clone(),
            rejected: if method == TrainMethod::Dpo {
                line.rejected.clone()
            } else {
                Vec::new()
            },
        })
        .collect();
    let mut sorted: Vec<&Pair> = pairs.iter().collect();
    sorted.sort_by_key(|pair| pair.length());

    let model = base();
    let lora = Lora::load(
        &Adapter::read(&folder().join("start")).unwrap(),
        model.config(),
        Device::Cpu,
    )
    .unwrap();
    lora.require_gradients();
    let named = lora.parameters();
    let parameters: Vec<&Tensor> = named.iter().map(|(_, p)| *p).collect();
    let mut moments: Vec<Moments> = parameters.iter().map(|p| Moments::zero(p)).collect();
    let values = |of: &dyn Fn(&Tensor) -> Tensor| -> BTreeMap<String, Vec<f32>> {
        named
            .iter()
            .map(|(name, p)| (name.clone(), to_array(&of(p)).values))
            .collect()
    };
    for (index, (&loss, &norm)) in expected.losses.iter().zip(&expected.norms).enumerate() {
        let found = accumulate(
            &model,
            &lora,
            &settings,
            &sorted,
            settings.micro_batch_tokens,
        );
        assert!(
            (found.loss - loss).abs() < 2e-4 * loss.max(1.0),
            "step {index}: loss {} and {loss}",
            found.loss
        );
        if index == 0 {
            let worst = difference(&values(&Tensor::grad), &expected.gradients);
            println!("{file}: gradients differ by {worst:.1e}");
            assert!(worst < 1e-4, "{worst}");
        }
        let found = adamw::gradient_norm(&parameters);
        assert!(
            (found - norm).abs() < 1e-3 * norm.max(1.0),
            "step {index}: norm {found} and {norm}"
        );
        let scale = (settings.max_grad_norm / (found + 1e-6)).min(1.0);
        adamw::step(
            &parameters,
            &mut moments,
            index as u64 + 1,
            settings.learning_rate,
            settings.weight_decay,
            scale,
        );
    }
    let worst = difference(&values(&Tensor::detach), &expected.end);
    println!("{file}: after ten steps the adapter differs by {worst:.1e}");
    assert!(worst < 1e-2, "{worst}");
}

#[test]
fn supervised_training_is_that_of_peft_in_a_plain_loop() {
    check("sft.json", TrainMethod::Sft, false, |_| {});
}

#[test]
fn preference_training_as_printed_is_that_of_peft_in_a_plain_loop() {
    check("dpo_printed.json", TrainMethod::Dpo, false, |_| {});
}

#[test]
fn preference_training_with_a_reference_is_that_of_peft_in_a_plain_loop() {
    check("dpo_reference.json", TrainMethod::Dpo, true, |_| {});
}

#[test]
fn small_parts_and_recomputed_blocks_change_nothing() {
    for tokens in [1, 40] {
        let change = |options: &mut Options| {
            options.micro_batch_tokens = Some(tokens);
            options.activation_checkpointing = Some(tokens == 1);
        };
        check("sft.json", TrainMethod::Sft, false, change);
        check("dpo_reference.json", TrainMethod::Dpo, true, change);
    }
}

/// `cargo xtask parity` names a folder, in which PEFT then reads what is written here.
#[test]
fn an_adapter_is_written_as_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let asked = std::env::var_os("TALE_PARITY_ADAPTER").map(std::path::PathBuf::from);
    let folder_of_copy = asked.unwrap_or_else(|| dir.path().to_owned());
    let adapter = Adapter::read(&folder().join("start")).unwrap();
    adapter.write(&folder_of_copy).unwrap();
    assert_eq!(Adapter::read(&folder_of_copy).unwrap(), adapter);
}

#[test]
fn an_adapter_of_peft_gives_pefts_logits() {
    let expected = expected("sft.json");
    let model = base();
    let lora = Lora::load(
        &Adapter::read(&folder().join("start")).unwrap(),
        model.config(),
        Device::Cpu,
    )
    .unwrap();
    let prompt: Vec<i64> = expected.pairs[0]
        .prompt
        .iter()
        .map(|&id| id.into())
        .collect();
    let tokens = Tokens {
        ids: Tensor::from_slice(&prompt).unsqueeze(0),
        positions: Tensor::arange(
            i64::try_from(prompt.len()).unwrap(),
            (Kind::Int64, Device::Cpu),
        )
        .unsqueeze(0),
        mask: None,
    };
    let logits = no_grad(|| model.logits(&model.hidden(&tokens, Some(&lora))))
        .squeeze_dim(0)
        .get(-1);
    let difference = (logits - Tensor::from_slice(&expected.adapter_logits))
        .abs()
        .max()
        .double_value(&[]);
    assert!(difference < 1e-4, "{difference}");
}
