//! The options that every trainer has: their defaults, which are the paper's, and their bounds.

use serde::Serialize;
use tale_api::{Error, ErrorKind, Result, TrainMethod};

use crate::{Schedule, TooLong, Wanted};

/// Makes the options of a trainer: those that all have, then the plugin's own; what is absent takes
/// the method's default. A macro, because serde's `flatten` knows no unknown field.
#[macro_export]
macro_rules! trainer_options {
    ($(#[$about:meta])* pub struct $name:ident { $(pub $own:ident: Option<$type:ty>,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            #[serde(skip_serializing_if = "Option::is_none")]
            pub device: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub threads: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub epochs: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub batch: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub learning_rate: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub weight_decay: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub schedule: Option<$crate::Schedule>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub warmup: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub max_grad_norm: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub rank: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub alpha: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub projections: Option<Vec<String>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub max_length: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub too_long: Option<$crate::TooLong>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub activation_checkpointing: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub checkpoint_steps: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub reference: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub beta: Option<f64>,
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $own: Option<$type>,)*
        }

        impl $name {
            /// Those that all trainers have, each as it is given or by default. `dpo` is the
            /// component to which `reference` and `beta` belong.
            fn hyperparameters(
                &self,
                method: ::tale_api::TrainMethod,
                dpo: &str,
            ) -> ::tale_api::Result<$crate::Hyperparameters> {
                let mut all = $crate::Hyperparameters::of(method, self.reference.unwrap_or(false));
                if method != ::tale_api::TrainMethod::Dpo
                    && (self.reference.is_some() || self.beta.is_some())
                {
                    let what = format!("`reference` and `beta` are options of `{dpo}`");
                    return Err($crate::invalid(what));
                }
                $crate::trainer_options!(@given self, all: device, epochs, batch, learning_rate,
                    weight_decay, schedule, warmup, max_grad_norm, rank, alpha, projections,
                    too_long, activation_checkpointing, checkpoint_steps, beta);
                all.threads = self.threads;
                all.max_length = self.max_length;
                all.checked()
            }
        }
    };
    (@given $self:ident, $all:ident: $($name:ident),*) => {
        $(if let Some(given) = &$self.$name {
            $all.$name = given.clone();
        })*
    };
}

/// What every trainer trains by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hyperparameters {
    /// What is learnt from the pairs.
    pub method: TrainMethod,
    /// What computes: `auto`, `cpu`, `cuda:0`, …
    pub device: String,
    /// Threads on a CPU; absent: as many as the engine likes.
    pub threads: Option<u32>,
    /// Times that every pair is seen.
    pub epochs: u32,
    /// Pairs of an optimiser step, over all processes.
    pub batch: usize,
    /// The highest.
    pub learning_rate: f64,
    /// Of `AdamW`, decoupled.
    pub weight_decay: f64,
    /// How the learning rate falls after the warm-up.
    pub schedule: Schedule,
    /// The share of the steps in which the learning rate rises.
    pub warmup: f64,
    /// Gradients are shortened to it; zero leaves them.
    pub max_grad_norm: f64,
    /// Of the adapter's matrices.
    pub rank: usize,
    /// The adapter's contribution is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// What the adapter changes in every block.
    pub projections: Vec<String>,
    /// Tokens of prompt and answer; absent: the model's context.
    pub max_length: Option<usize>,
    /// What happens to a longer pair.
    pub too_long: TooLong,
    /// Whether blocks are computed twice so that less is kept.
    pub activation_checkpointing: bool,
    /// Steps between two checkpoints.
    pub checkpoint_steps: u64,
    /// DPO: whether the base model is compared with.
    pub reference: bool,
    /// DPO: sharpness of the preference.
    pub beta: f64,
}

impl Hyperparameters {
    /// The paper's where nothing else is said: rank 8 and alpha 32; SFT 3 epochs at 1e-4 with a decay
    /// of 0.01, DPO 2 epochs at 3e-5 with 0.001; batches of 16. Its code adds the projections, and the
    /// clipping of DPO; the clipping of SFT is that of Transformers' trainer, which the code uses. As
    /// printed (section 4.3) DPO has neither a reference model nor a β; the code's β is 0.5.
    #[must_use]
    pub fn of(method: TrainMethod, reference: bool) -> Self {
        let is_dpo = method == TrainMethod::Dpo;
        let by_method = |sft: f64, dpo: f64| if is_dpo { dpo } else { sft };
        Self {
            method,
            device: "auto".to_owned(),
            threads: None,
            epochs: if is_dpo { 2 } else { 3 },
            batch: 16,
            learning_rate: by_method(1e-4, 3e-5),
            weight_decay: by_method(0.01, 0.001),
            schedule: Schedule::Linear,
            warmup: 0.0,
            max_grad_norm: by_method(1.0, 5.0),
            rank: 8,
            alpha: 32.0,
            projections: ["q_proj", "v_proj"].map(str::to_owned).to_vec(),
            max_length: None,
            too_long: TooLong::Drop,
            activation_checkpointing: false,
            checkpoint_steps: 20,
            reference,
            beta: if reference { 0.5 } else { 1.0 },
        }
    }

    /// The pairs that are wanted.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted {
            method: self.method,
            max_length: self.max_length,
            too_long: self.too_long,
        }
    }

    /// These, if each lies in its bounds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] naming the one that does not.
    pub fn checked(self) -> Result<Self> {
        positive(&[
            ("epochs", u64::from(self.epochs)),
            ("batch", self.batch as u64),
            ("rank", self.rank as u64),
            ("projections", self.projections.len() as u64),
            ("threads", u64::from(self.threads.unwrap_or(1))),
            ("checkpoint_steps", self.checkpoint_steps),
        ])?;
        if self.max_length.is_some_and(|length| length < 2) {
            return Err(invalid("`max_length` is below 2 tokens"));
        }
        for (name, value, least, most) in [
            ("learning_rate", self.learning_rate, f64::MIN_POSITIVE, 1.0),
            ("weight_decay", self.weight_decay, 0.0, 1.0),
            ("warmup", self.warmup, 0.0, 1.0),
            ("max_grad_norm", self.max_grad_norm, 0.0, f64::MAX),
            ("alpha", self.alpha, f64::MIN_POSITIVE, f64::MAX),
            ("beta", self.beta, f64::MIN_POSITIVE, f64::MAX),
        ] {
            // NaN lies in no range.
            if !(least..=most).contains(&value) {
                return Err(invalid(format!("`{name}` is {value}, out of its range")));
            }
        }
        Ok(self)
    }
}

/// Whether all of these options are above zero.
///
/// # Errors
/// [`ErrorKind::InvalidOptions`] naming the first that is not.
pub fn positive(counts: &[(&str, u64)]) -> Result<()> {
    match counts.iter().find(|(_, count)| *count == 0) {
        Some((name, _)) => Err(invalid(format!("`{name}` is 0 or empty"))),
        None => Ok(()),
    }
}

/// An error of [`ErrorKind::InvalidOptions`].
pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOptions, message)
}
