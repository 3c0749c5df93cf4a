//! A tiny model with random weights, and requests that several tests use.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

use std::path::Path;

use serde_json::{Value, json};
use tale_api::{CreateEnv, GenerateRequest, Message, Result, Sampling};
use tale_llm_llama_tch::LlamaTch;
use tale_weights::{Array, Model, adapter::Adapter, testing::write_tiny_model};
use tempfile::TempDir;

/// A folder with a model in `base`.
pub(crate) fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("base")).unwrap();
    write_tiny_model(&place.path().join("base")).unwrap();
    place
}

/// A component for the model of `place`, with options over those that tests share.
pub(crate) async fn create(place: &TempDir, options: Value) -> Result<LlamaTch> {
    let mut all = json!({"path": "base", "device": "cpu", "threads": 1, "context": 256});
    for (name, value) in options.as_object().unwrap() {
        all[name] = value.clone();
    }
    let env = CreateEnv {
        seed: 1024,
        base_dir: place.path().to_owned(),
        ..CreateEnv::default()
    };
    LlamaTch::create(serde_json::from_value(all).unwrap(), env).await
}

/// Asks `question` at temperature 0 for at most `max_tokens`.
pub(crate) fn ask(question: &str, max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        messages: vec![Message::user(question)],
        sampling: Sampling {
            temperature: Some(0.0),
            ..Sampling::default()
        },
        max_tokens: Some(max_tokens),
        ..GenerateRequest::default()
    }
}

/// The same at temperature 1 with a seed.
pub(crate) fn draw(question: &str, max_tokens: u32, seed: u64) -> GenerateRequest {
    let mut request = ask(question, max_tokens);
    request.sampling.temperature = Some(1.0);
    request.seed = Some(seed);
    request
}

/// Writes an adapter that changes the model of `place` very much.
pub(crate) fn write_adapter(place: &Path, to: &Path, wrong_width: bool) {
    let model = Model::open(&place.join("base")).unwrap();
    let mut state = 1.0_f32;
    let mut next = move || {
        state = (state * 16.7 + 0.3).fract();
        state - 0.5
    };
    let mut array = |rows: usize, columns: usize| Array {
        shape: vec![rows, columns],
        values: (0..rows * columns).map(|_| next()).collect(),
    };
    let mut adapter = Adapter {
        base: "some/base".to_owned(),
        rank: 4,
        alpha: 8.0,
        pairs: std::collections::BTreeMap::new(),
    };
    for name in [
        "self_attn.q_proj",
        "self_attn.v_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ] {
        let name = format!("model.layers.1.{name}");
        let (outputs, inputs) = model.config().projection(&name).unwrap();
        let inputs = inputs + usize::from(wrong_width);
        let pair = tale_weights::adapter::Pair {
            a: array(4, inputs),
            b: array(outputs, 4),
        };
        adapter.pairs.insert(name, pair);
    }
    adapter.write(to).unwrap();
}
