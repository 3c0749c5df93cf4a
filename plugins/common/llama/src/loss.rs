//! The log-likelihood of given tokens, with its gradient.
//!
//! Shapes: N targets, E hidden width, V vocabulary, C targets of a chunk.
//!
//! The vocabulary projection of a small model is a large part of a step. It is frozen, and a token's
//! log-likelihood depends on the hidden state of its own position alone, so no graph through it is
//! kept: log pₙ = zₙ[yₙ] − log Σ exp zₙ with z = h Wᵀ has the gradient ∂ log pₙ/∂hₙ = W[yₙ] − softmax(zₙ) W.
//! A loss that weighs tokens differently (DPO) scales the rows afterwards.

use tch::{Kind, Tensor, no_grad};

use crate::model::Llama;

/// Of each target its log-likelihood and the gradient by its hidden state.
#[derive(Debug)]
pub struct TokenScores {
    /// N, `f32`
    pub log_likelihood: Tensor,
    /// N × E in the model's kind; absent if it was not asked for.
    pub gradient: Option<Tensor>,
}

/// Logits computed at a time: 64 Mi numbers are 256 MB.
const CHUNK: i64 = 64 << 20;

/// Scores targets (N) after hidden states (N × E).
#[must_use]
pub fn token_scores(
    model: &Llama,
    hidden: &Tensor,
    targets: &Tensor,
    with_gradient: bool,
) -> TokenScores {
    no_grad(|| {
        let head = model.head(); // V E
        let rows = (CHUNK / head.size()[0]).max(1);
        let (mut scores, mut gradients) = (Vec::new(), Vec::new());
        for (h, y) in hidden
            .detach()
            .split(rows, 0)
            .iter()
            .zip(targets.split(rows, 0))
        {
            let logp = h.matmul(&head.tr()).log_softmax(-1, Kind::Float); // C V
            scores.push(logp.gather(1, &y.unsqueeze(1), false).squeeze_dim(1)); // C
            if with_gradient {
                let mut p = logp; // C V, made softmax in its own memory
                let p = p.exp_().to_kind(head.kind());
                gradients.push(head.index_select(0, &y) - p.matmul(head)); // C E
            }
        }
        TokenScores {
            log_likelihood: Tensor::cat(&scores, 0), // N
            gradient: with_gradient.then(|| Tensor::cat(&gradients, 0)), // N E
        }
    })
}
