//! One optimiser step's loss and gradients.
//!
//! Shapes: B sequences, T tokens, E hidden width, N targets, P pairs.
//!
//! The loss depends on the model only through the log-likelihoods of the targets, whose gradient by
//! the hidden states is known in closed form (`tale_llama::token_scores`). So the backward pass
//! begins at the hidden states: ∂L/∂h = ∂L/∂log p · ∂log p/∂h, and no logits are kept.

use tale_api::TrainMethod;
use tale_llama::{Llama, Lora, token_scores};
use tch::{Kind, Tensor, no_grad};

use tale_training::Pair;

use crate::{
    batch::{Part, parts},
    options::Settings,
};

/// Sums over what has been computed of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// The batch's loss, once all of its parts are in.
    pub(crate) loss: f64,
    /// DPO: pairs of which the chosen answer is preferred, over all.
    pub(crate) accuracy: f64,
    /// DPO: by how much, on average.
    pub(crate) margin: f64,
    /// Tokens computed, without filling.
    pub(crate) tokens: u64,
}

/// Adds the gradients of a batch's loss to the adapter's.
pub(crate) fn accumulate(
    model: &Llama,
    lora: &Lora,
    settings: &Settings,
    pairs: &[&Pair],
    micro_batch_tokens: usize,
) -> Outcome {
    let targets: usize = pairs.iter().map(|pair| pair.targets()).sum();
    let mut total = Outcome::default();
    for part in parts(pairs, micro_batch_tokens) {
        let tensors = Part::new(&part, model.device());
        #[expect(clippy::cast_precision_loss, reason = "a batch has few targets")]
        match settings.method {
            TrainMethod::Dpo => preference(
                model,
                lora,
                settings,
                &tensors,
                pairs.len() as f64,
                &mut total,
            ),
            _ => likelihood(model, lora, settings, &tensors, targets as f64, &mut total),
        }
        total.tokens += part.iter().map(|pair| pair.length() as u64).sum::<u64>();
    }
    total
}

/// L = −1/N Σ log pₙ over all targets of the batch: prompt and filling are no targets, and the token
/// that ends an answer is one.
fn likelihood(
    model: &Llama,
    lora: &Lora,
    settings: &Settings,
    part: &Part,
    targets: f64,
    total: &mut Outcome,
) {
    backward(model, lora, settings, part, |log_likelihood| {
        total.loss -= log_likelihood.sum(Kind::Double).double_value(&[]) / targets;
        log_likelihood.full_like(-1.0 / targets) // N
    });
}

/// L = −1/P Σ log σ(β m), m = s(y) − s(y′), s the summed log-likelihood of an answer; with a
/// reference, s less the base model's.
fn preference(
    model: &Llama,
    lora: &Lora,
    settings: &Settings,
    part: &Part,
    pairs: f64,
    total: &mut Outcome,
) {
    let margins = |log_likelihood: &Tensor| {
        let sums = Tensor::zeros([2 * part.pairs], (Kind::Float, model.device()));
        let sums = sums
            .index_add(0, &part.answers, log_likelihood)
            .view([-1, 2]); // P 2
        sums.select(1, 0) - sums.select(1, 1) // P
    };
    // The base model is the one without the adapter.
    let reference = settings.reference.then(|| {
        no_grad(|| {
            let hidden = model.hidden(&part.tokens, None);
            margins(
                &token_scores(model, &targeted(&hidden, part), &part.targets, false).log_likelihood,
            )
        })
    });
    backward(model, lora, settings, part, |log_likelihood| {
        let mut margin = margins(log_likelihood);
        if let Some(reference) = &reference {
            margin -= reference;
        }
        let z = margin * settings.beta; // P
        total.loss -= z.log_sigmoid().sum(Kind::Double).double_value(&[]) / pairs;
        total.accuracy += z.gt(0.0).sum(Kind::Double).double_value(&[]) / pairs;
        total.margin += z.sum(Kind::Double).double_value(&[]) / pairs;
        let slope = (-&z).sigmoid() * (-settings.beta / pairs); // P: ∂L/∂m
        let both = Tensor::stack(&[&slope, &-&slope], 1).view(-1); // 2P, an entry an answer
        both.index_select(0, &part.answers) // N
    });
}

/// Hidden states that predict targets: B × T × E to N × E.
fn targeted(hidden: &Tensor, part: &Part) -> Tensor {
    hidden.flatten(0, 1).index_select(0, &part.rows)
}

/// Adds to the adapter's gradients those of a loss of which `slopes` gives ∂L/∂log p (N) at the
/// log-likelihoods of the targets (N).
fn backward(
    model: &Llama,
    lora: &Lora,
    settings: &Settings,
    part: &Part,
    slopes: impl FnOnce(&Tensor) -> Tensor,
) {
    let end = |x: &Tensor| {
        let hidden = targeted(&model.normed(x), part); // N E
        let scores = token_scores(model, &hidden, &part.targets, true);
        let gradient = scores.gradient.expect("it was asked for"); // N E
        let weights = slopes(&scores.log_likelihood).unsqueeze(-1); // N 1
        // A scalar with the gradient that is wanted.
        (hidden * (gradient * weights).to_kind(x.kind()))
            .sum(Kind::Float)
            .backward();
    };
    let tokens = &part.tokens;
    if !settings.activation_checkpointing {
        let x = (0..model.depth()).fold(model.embed(tokens), |x, layer| {
            model.block(layer, &x, tokens, Some(lora))
        });
        end(&x);
        return;
    }
    // Only what each block reads is kept; inside, everything is computed again when it is needed.
    let mut inputs = no_grad(|| {
        (0..model.depth()).fold(vec![model.embed(tokens)], |mut inputs, layer| {
            let x = model.block(layer, &inputs[layer], tokens, Some(lora));
            inputs.push(x);
            inputs
        })
    });
    let leaf = |x: Tensor| x.detach().set_requires_grad(true);
    let mut x = leaf(inputs.pop().expect("the last block's output is there")); // B T E
    end(&x);
    for (layer, input) in inputs.into_iter().enumerate().rev() {
        let gradient = x.grad(); // B T E
        x = leaf(input);
        let output = model.block(layer, &x, tokens, Some(lora));
        (output * gradient).sum(Kind::Float).backward();
    }
}
