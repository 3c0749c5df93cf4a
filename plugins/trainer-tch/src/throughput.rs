//! Steps of training on random numbers, for measurements: `examples/card.rs`.

use std::time::Instant;

use tale_api::{Result, TrainMethod};
use tale_llama::{Llama, Lora};
use tale_training::Pair;
use tch::Tensor;

use crate::{
    adamw::{self, Moments},
    gradients::accumulate,
    options::{Options, Settings},
    random::Random,
};

/// Supervised steps that were timed.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Tokens computed a second, prompt and answer.
    pub tokens_per_s: f64,
    /// Loss of the first step.
    pub first_loss: f64,
    /// Loss of the last step.
    pub last_loss: f64,
}

/// Times `steps` supervised steps on `sequences` random sequences of `length` tokens, the second half
/// of each the answer, `at_a_time` tokens computed together. A step before them warms up.
///
/// # Errors
/// None, for the adapter is of this model.
pub fn training(
    model: &Llama,
    (sequences, length): (usize, usize),
    at_a_time: usize,
    steps: u64,
) -> Result<Steps> {
    let options = Options {
        learning_rate: Some(1e-3),
        ..Options::default()
    };
    let settings = Settings::new(TrainMethod::Sft, options)?;
    let mut random = Random::new(1024, 0);
    let shape = (settings.rank, settings.alpha);
    let adapter = Lora::fresh(
        model.config(),
        "random",
        shape,
        &settings.projections,
        || random.uniform(),
    )?;
    let lora = Lora::load(&adapter, model.config(), model.device())?;
    lora.require_gradients();
    let vocabulary = model.config().vocabulary;
    let mut tokens = |count: usize| -> Vec<u32> {
        let draw = |_| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a number of the vocabulary, which is far below 2^24"
            )]
            let token = (random.uniform() * vocabulary as f32) as u32;
            token
        };
        (0..count).map(draw).collect()
    };
    let pairs: Vec<Pair> = (0..sequences)
        .map(|_| Pair {
            prompt: tokens(length - length / 2),
            chosen: tokens(length / 2),
            rejected: Vec::new(),
        })
        .collect();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let named = lora.parameters();
    let parameters: Vec<&Tensor> = named.iter().map(|(_, parameter)| *parameter).collect();
    let mut moments: Vec<Moments> = parameters.iter().map(|p| Moments::zero(p)).collect();
    let (mut start, mut losses) = (Instant::now(), Vec::new());
    for step in 1..=steps + 1 {
        // Reading the loss waits for the card, here and in the norm.
        losses.push(accumulate(model, &lora, &settings, &pairs, at_a_time).loss);
        adamw::gradient_norm(&parameters);
        adamw::step(
            &parameters,
            &mut moments,
            step,
            settings.learning_rate,
            settings.weight_decay,
            1.0,
        );
        if step == 1 {
            start = Instant::now();
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let computed = (steps * (sequences * length) as u64) as f64;
    Ok(Steps {
        tokens_per_s: computed / start.elapsed().as_secs_f64(),
        first_loss: losses[0],
        last_loss: losses[losses.len() - 1],
    })
}
