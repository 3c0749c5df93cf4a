//! A LoRA adapter as tensors.

use std::collections::BTreeMap;

use tale_api::{Error, ErrorKind, Result};
use tale_weights::{
    Array, Config,
    adapter::{Adapter, Pair},
};
use tch::{Device, Kind, Tensor};

use crate::tensors::{to_array, to_tensor};

/// The matrices of a projection: `x Aᵀ Bᵀ` is added, times the scale.
#[derive(Debug)]
pub(crate) struct Matrices {
    /// R × in
    pub(crate) a: Tensor,
    /// out × R
    pub(crate) b: Tensor,
}

/// An adapter on a device. Its matrices are `f32` whatever the model computes in: an optimiser's
/// steps are too small for `bf16`.
#[derive(Debug)]
pub struct Lora {
    base: String,
    rank: usize,
    alpha: f64,
    pub(crate) scale: f64,
    /// By name, which is also the order of [`Self::parameters`].
    pub(crate) matrices: BTreeMap<String, Matrices>,
}

impl Lora {
    /// A new adapter on the named projections of every block: `B` is zero, so it changes nothing yet;
    /// `A` is uniform within ±1/√in, as PEFT draws it.
    ///
    /// # Errors
    /// [`InvalidOptions`](tale_api::ErrorKind::InvalidOptions): an unknown projection.
    pub fn fresh(
        config: &Config,
        base: &str,
        (rank, alpha): (usize, f64),
        projections: &[String],
        mut uniform: impl FnMut() -> f32,
    ) -> Result<Adapter> {
        let mut pairs = BTreeMap::new();
        for projection in projections {
            if !Config::PROJECTIONS.contains(&projection.as_str()) {
                let known = Config::PROJECTIONS.join("`, `");
                return Err(Error::new(
                    ErrorKind::InvalidOptions,
                    format!("no projection `{projection}`"),
                )
                .hint(format!("`projections` takes `{known}`")));
            }
        }
        for layer in 0..config.layers {
            for projection in projections {
                let name = Config::projection_name(layer, projection);
                let Some((outputs, inputs)) = config.projection(&name) else {
                    continue;
                };
                #[expect(clippy::cast_precision_loss, reason = "widths are small")]
                let bound = 1.0 / (inputs as f32).sqrt();
                let a = (0..rank * inputs)
                    .map(|_| (2.0 * uniform() - 1.0) * bound)
                    .collect();
                let pair = Pair {
                    a: Array {
                        shape: vec![rank, inputs],
                        values: a,
                    },
                    b: Array {
                        shape: vec![outputs, rank],
                        values: vec![0.0; outputs * rank],
                    },
                };
                pairs.insert(name, pair);
            }
        }
        Ok(Adapter {
            base: base.to_owned(),
            rank,
            alpha,
            pairs,
        })
    }

    /// Puts an adapter on a device.
    ///
    /// # Errors
    /// [`InvalidData`](tale_api::ErrorKind::InvalidData): it is of another base.
    pub fn load(adapter: &Adapter, config: &Config, device: Device) -> Result<Self> {
        adapter.check(config)?;
        let matrices = adapter.pairs.iter().map(|(name, pair)| {
            let [a, b] = [&pair.a, &pair.b].map(|array| to_tensor(array, Kind::Float, device));
            (name.clone(), Matrices { a, b })
        });
        Ok(Self {
            base: adapter.base.clone(),
            rank: adapter.rank,
            alpha: adapter.alpha,
            scale: adapter.scale(),
            matrices: matrices.collect(),
        })
    }

    /// The adapter as it is now, for a file.
    #[must_use]
    pub fn to_adapter(&self) -> Adapter {
        let pairs = self.matrices.iter().map(|(name, m)| {
            (
                name.clone(),
                Pair {
                    a: to_array(&m.a),
                    b: to_array(&m.b),
                },
            )
        });
        Adapter {
            base: self.base.clone(),
            rank: self.rank,
            alpha: self.alpha,
            pairs: pairs.collect(),
        }
    }

    /// All matrices with their names, `A` before `B`, projections in the order of their names.
    #[must_use]
    pub fn parameters(&self) -> Vec<(String, &Tensor)> {
        self.matrices
            .iter()
            .flat_map(|(name, m)| {
                [
                    (format!("{name}.lora_A"), &m.a),
                    (format!("{name}.lora_B"), &m.b),
                ]
            })
            .collect()
    }

    /// Lets gradients gather at the matrices.
    pub fn require_gradients(&self) {
        for (_, tensor) in self.parameters() {
            let _ = tensor.set_requires_grad(true);
        }
    }
}
