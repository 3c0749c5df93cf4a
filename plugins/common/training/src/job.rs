//! What a trainer makes of its options and its job.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tale_api::{Error, ErrorKind, Result, TrainJob};

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// In a line to zero.
    Linear,
    /// In half a cosine to zero.
    Cosine,
    /// Not at all.
    Constant,
}

/// The component's options with a job's hyperparameters over them.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput): a hyperparameter that is no option, or of another type.
pub fn with_hyperparameters<O: Serialize + DeserializeOwned>(
    options: &O,
    job: &TrainJob,
) -> Result<O> {
    let merged = serde_json::to_value(options).and_then(|mut options| {
        for (name, value) in &job.hyperparameters {
            options[name] = value.clone();
        }
        serde_json::from_value(options)
    });
    merged.map_err(|e| {
        Error::new(
            ErrorKind::InvalidInput,
            "unknown or ill-typed hyperparameter",
        )
        .caused_by(&e)
    })
}

/// Tells the training thread, when it is dropped, that nobody waits for it any more.
#[derive(Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// The flag that the thread looks at.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The error of a training that nobody waits for.
#[must_use]
pub fn given_up() -> Error {
    Error::new(ErrorKind::Cancelled, "the training was given up")
}

/// The error of a loss that is no number.
#[must_use]
pub fn diverged(step: u64, loss: f64) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the loss of step {step} is {loss}"))
        .hint("the last checkpoint is as it was; lower `learning_rate`, and check the pairs and that the base model answers sensibly")
}
