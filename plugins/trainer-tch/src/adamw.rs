//! `AdamW`: Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).

use tch::{Tensor, no_grad};

const BETAS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;

/// The moments of one parameter.
#[derive(Debug)]
pub(crate) struct Moments {
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
}

impl Moments {
    pub(crate) fn zero(parameter: &Tensor) -> Self {
        Self {
            first: parameter.zeros_like(),
            second: parameter.zeros_like(),
        }
    }
}

/// The norm of all gradients together; parameters without one count as zero.
pub(crate) fn gradient_norm(parameters: &[&Tensor]) -> f64 {
    let squares = parameters
        .iter()
        .map(|p| p.grad())
        .filter(Tensor::defined)
        .map(|g| {
            let norm = g.norm().double_value(&[]);
            norm * norm
        });
    squares.sum::<f64>().sqrt()
}

/// Step `step` (from 1) with gradients multiplied by `scale`; they are gone afterwards.
///
/// θ ← θ − lr·wd·θ − lr · m̂ / (√v̂ + ε), with m̂ and v̂ the moments over 1 − βᵗ.
pub(crate) fn step(
    parameters: &[&Tensor],
    moments: &mut [Moments],
    step: u64,
    rate: f64,
    decay: f64,
    scale: f64,
) {
    let power = |beta: f64| beta.powf(f64::from(u32::try_from(step).unwrap_or(u32::MAX)));
    let (rest1, rest2) = (1.0 - power(BETAS.0), 1.0 - power(BETAS.1));
    no_grad(|| {
        for (&parameter, Moments { first, second }) in parameters.iter().zip(moments) {
            let mut gradient = parameter.grad();
            if !gradient.defined() {
                continue;
            }
            let _ = gradient.g_mul_scalar_(scale);
            let _ = first.lerp_(&gradient, 1.0 - BETAS.0);
            let _ = second.g_mul_scalar_(BETAS.1);
            let _ = second.g_add_(&(gradient.square() * (1.0 - BETAS.1)));
            let mut parameter = parameter.shallow_clone();
            let _ = parameter.g_mul_scalar_(1.0 - rate * decay);
            let root = second.sqrt() / rest2.sqrt() + EPS;
            let update = &*first / root;
            let _ = parameter.g_sub_(&(update * (rate / rest1)));
            let _ = gradient.zero_();
        }
    });
}
