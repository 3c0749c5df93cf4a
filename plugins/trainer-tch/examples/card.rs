//! Tokens a second of a model's shape with random weights, so that nothing is fetched:
//! `card SHAPE DEVICE [--batches 1,16,64,256] [--prompt 128] [--tokens 128] [--length 512]
//! [--sequences 16] [--at-a-time 8192] [--steps 4]`; SHAPE is `llama-3.1-8b`, `smollm2-135m` or `tiny`.
//! `card smoke DEVICE` compares a device with the CPU on a tiny model and lets it learn.
//!
//! A line of JSON a measurement on stdout. `benches/cuda.sh` runs this on a card.

use std::{path::Path, str::FromStr, time::Instant};

use serde_json::json;
use tale_api::{Error, ErrorKind, Result};
use tale_llama::{Device, Drawing, Llama, Request, Tokens, device, generate};
use tale_trainer_tch::throughput::training;
use tale_weights::{Architecture, Config, Model, Rope};
use tch::{Kind, Tensor, no_grad};

/// Shapes as the models' own `config.json` have them.
fn shape(name: &str) -> Result<Config> {
    let of = |(vocabulary, hidden, intermediate): (usize, usize, usize),
              layers: usize,
              (heads, kv_heads): (usize, usize),
              is_tied: bool| Config {
        architecture: Architecture::Llama,
        vocabulary,
        hidden,
        layers,
        heads,
        kv_heads,
        head_width: hidden / heads,
        intermediate,
        norm_eps: 1e-5,
        theta: 500_000.0,
        rope: Rope::Plain,
        is_tied,
        context: 8192,
    };
    match name {
        "llama-3.1-8b" => Ok(of((128_256, 4096, 14_336), 32, (32, 8), false)),
        "smollm2-135m" => Ok(of((49_152, 576, 1536), 30, (9, 3), true)),
        "tiny" => Ok(of((512, 64, 128), 2, (4, 2), true)),
        _ => Err(wrong(format!(
            "no shape `{name}`: it is `llama-3.1-8b`, `smollm2-135m` or `tiny`"
        ))),
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// What was given after SHAPE and DEVICE.
struct Arguments(Vec<String>);

impl Arguments {
    fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        let at = self.0.iter().position(|argument| argument == name);
        at.and_then(|at| self.0.get(at + 1))
            .map_or(default, String::as_str)
    }

    fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.text(name, "") {
            "" => Ok(default),
            text => text
                .parse()
                .map_err(|_| wrong(format!("`{name} {text}` is no number"))),
        }
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(what), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err(wrong("usage: card SHAPE|smoke DEVICE [OPTIONS]".into()));
    };
    let arguments = Arguments(arguments.collect());
    let device = device(&name)?;
    if what == "smoke" {
        return smoke(device, &name);
    }
    let start = Instant::now();
    let model = Llama::random(shape(&what)?, device)?;
    eprintln!(
        "{what} on {name}: made in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let (prompt, tokens) = (
        arguments.number("--prompt", 128)?,
        arguments.number("--tokens", 128)?,
    );
    for batch in arguments.text("--batches", "1,16,64,256").split(',') {
        let batch = batch
            .parse()
            .map_err(|_| wrong(format!("`--batches` has `{batch}`")))?;
        let (per_s, first_s) = generation(&model, batch, prompt, tokens);
        println!(
            "{}",
            json!({"what": "generation", "shape": what, "device": name, "batch": batch, "prompt": prompt,
                   "tokens": tokens, "tokens_per_s": per_s, "prompts_s": first_s})
        );
    }
    let (sequences, length) = (
        arguments.number("--sequences", 16)?,
        arguments.number("--length", 512)?,
    );
    let at_a_time = arguments.number("--at-a-time", 8192)?;
    let steps = arguments.number("--steps", 4)?;
    let timed = training(&model, (sequences, length), at_a_time, steps)?;
    println!(
        "{}",
        json!({"what": "training", "shape": what, "device": name, "sequences": sequences, "length": length,
               "at_a_time": at_a_time, "tokens_per_s": timed.tokens_per_s, "loss": timed.last_loss})
    );
    Ok(())
}

/// Tokens decoded a second, and the seconds that the prompts take.
///
/// Twice, with one token and with all: the difference is decoding alone.
fn generation(model: &Llama, batch: usize, prompt: usize, tokens: usize) -> (f64, f64) {
    #[expect(clippy::cast_possible_truncation, reason = "remainders are small")]
    let prompts: Vec<Vec<u32>> = (0..batch)
        .map(|row| {
            (0..prompt)
                .map(|i| ((7919 * row + 31 * i) % 500) as u32)
                .collect()
        })
        .collect();
    let timed = |max_tokens: usize| {
        let request = Request {
            prompts: &prompts,
            // Nothing ends an answer before its last token.
            ends: &[],
            max_tokens,
            batch,
            drawing: Drawing::GREEDY,
        };
        let start = Instant::now();
        let answers = no_grad(|| generate(model, None, &request, || true));
        let made: usize = answers.iter().map(|answer| answer.tokens.len()).sum();
        (start.elapsed().as_secs_f64(), made)
    };
    timed(2);
    let (first_s, first) = timed(1);
    let (all_s, all) = timed(tokens.max(2));
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let made = (all - first) as f64;
    (made / (all_s - first_s).max(1e-9), first_s)
}

/// Logits as on the CPU, within what `bf16` rounds; texts; and a loss that falls.
fn smoke(device: Device, name: &str) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../common/llama/tests/parity/qwen2");
    let logits = |device: Device| -> Result<Tensor> {
        let model = Llama::load(&Model::open(&folder)?, device)?;
        let length = 64;
        let tokens = Tokens {
            ids: (Tensor::arange(length, (Kind::Int64, device)) * 7)
                .remainder(96)
                .unsqueeze(0),
            positions: Tensor::arange(length, (Kind::Int64, device)).unsqueeze(0),
            mask: None,
        };
        let logits = no_grad(|| model.logits(&model.hidden(&tokens, None)));
        Ok(logits.to_device(Device::Cpu))
    };
    let (expected, found) = (logits(Device::Cpu)?, logits(device)?);
    let largest = |tensor: &Tensor| tensor.abs().max().double_value(&[]);
    let difference = largest(&(&found - &expected)) / largest(&expected);
    let model = Llama::random(shape("tiny")?, device)?;
    let mut prompts = Vec::new();
    for row in 0..4_u32 {
        prompts.push((0..20 + row).map(|i| (7 * i + row) % 500).collect());
    }
    let request = Request {
        prompts: &prompts,
        ends: &[],
        max_tokens: 16,
        batch: 4,
        drawing: Drawing::GREEDY,
    };
    let answers = no_grad(|| generate(&model, None, &request, || true));
    let answered = answers.iter().all(|answer| answer.tokens.len() == 16);
    let timed = training(&model, (4, 64), 4096, 30)?;
    let learns = timed.last_loss.is_finite() && timed.last_loss < timed.first_loss;
    println!(
        "{}",
        json!({"what": "smoke", "device": name, "logits_differ": difference, "answered": answered,
               "first_loss": timed.first_loss, "last_loss": timed.last_loss})
    );
    // NaN is not smaller.
    if difference < 0.1 && answered && learns {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::Internal,
            format!("`{name}` does not compute as it should"),
        ))
    }
}
