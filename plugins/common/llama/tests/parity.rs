//! Logits and greedy text against Transformers, one architecture a test.
//!
//! `parity/make.py` made the models (tiny, random weights) and what is expected of them.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    reason = "clippy knows tests only by their attribute; the texts are short"
)]

use std::path::Path;

use tale_llama::{Cache, Device, Drawing, Llama, Piece, Request, Tokens, generate};
use tale_weights::Model;
use tch::{Kind, Tensor, no_grad};

/// Largest difference of a logit. Both sides compute in `f32` and differ in the order of sums only;
/// logits are around 1.
const TOLERANCE: f64 = 1e-4;

fn logits(model: &Llama, tokens: &[i64]) -> Tensor {
    let tokens = Tokens {
        ids: Tensor::from_slice(tokens).unsqueeze(0),
        positions: Tensor::arange(tokens.len() as i64, (Kind::Int64, Device::Cpu)).unsqueeze(0),
        mask: None,
    };
    no_grad(|| model.logits(&model.hidden(&tokens, None)).squeeze_dim(0))
}

fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/parity")
        .join(name);
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |key: &str| serde_json::from_value::<Vec<i64>>(expected[key].clone()).unwrap();
    let model = Llama::load(&Model::open(&folder).unwrap(), Device::Cpu).unwrap();

    let found = logits(&model, &list("prompt"));
    let mut largest: f64 = 0.0;
    for (row, values) in expected["rows"].as_object().unwrap() {
        let values: Vec<f32> = serde_json::from_value(values.clone()).unwrap();
        let difference = found.get(row.parse().unwrap()) - Tensor::from_slice(&values);
        largest = largest.max(difference.abs().max().double_value(&[]));
    }
    let sum = found.abs().sum(Kind::Double).double_value(&[]);
    let expected_sum = expected["sum_of_absolutes"].as_f64().unwrap();
    println!("{name}: largest difference {largest:.1e}, sums {sum} and {expected_sum}");
    assert!(largest < TOLERANCE, "{largest}");
    assert!((sum / expected_sum - 1.0).abs() < 1e-5);

    let tokens: Vec<u32> = list("greedy")
        .iter()
        .map(|&id| id.try_into().unwrap())
        .collect();
    let (prompt, text) = tokens.split_at(tokens.len() - 64);
    through_the_cache(&model, prompt, text);

    let greedy = list("greedy");
    for length in greedy.len() - 64..greedy.len() {
        let next = logits(&model, &greedy[..length])
            .get(-1)
            .argmax(-1, false)
            .int64_value(&[]);
        assert_eq!(next, greedy[length], "token {length}");
    }
}

/// The same greedy text over keys and values that are kept: in pieces, beside others, after a start
/// that is shared.
fn through_the_cache(model: &Llama, prompt: &[u32], text: &[u32]) {
    let whole = |prompts: &[Vec<u32>], batch| {
        let request = Request {
            prompts,
            ends: &[],
            max_tokens: text.len(),
            batch,
            drawing: Drawing::GREEDY,
        };
        generate(model, None, &request, || true)
    };
    let alone = whole(&[prompt.to_vec()], 1);
    assert_eq!(alone[0].tokens, text, "alone");
    // Texts of other lengths, which begin alike; more than are computed together.
    let prompts: Vec<Vec<u32>> = [&text[..0], &text[..3], &text[..9], &text[..1], &text[..30]]
        .map(|more| [prompt, more].concat())
        .to_vec();
    for batch in [5, 2] {
        for (prompt, answer) in prompts.iter().zip(whole(&prompts, batch)) {
            let done = prompt.len() - prompts[0].len();
            let length = text.len() - done;
            assert_eq!(answer.tokens[..length], text[done..], "beside others");
        }
    }
    let mut cache = Cache::new(model, 3, 512);
    for piece in prompt.chunks(3) {
        let piece = Piece {
            lane: 2,
            tokens: piece,
            wants_logits: true,
        };
        let logits = model.extend(&mut cache, &[piece], None);
        assert_eq!(logits.size()[0], 1);
        if cache.length(2) == prompt.len() {
            let next = logits.get(0).argmax(-1, false).int64_value(&[]);
            assert_eq!(next, i64::from(text[0]), "in pieces");
        }
    }
}

#[test]
fn llama_2_is_transformers_llama_2() {
    check("llama2");
}

#[test]
fn llama_3_with_scaled_angles_and_grouped_heads_is_transformers_llama_3() {
    check("llama3");
}

#[test]
fn smollm2_with_tied_embeddings_is_transformers_smollm2() {
    check("smollm2");
}

#[test]
fn qwen2_with_biases_is_transformers_qwen2() {
    check("qwen2");
}
