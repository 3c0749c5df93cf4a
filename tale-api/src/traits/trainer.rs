//! A trainer (TALE-PT).

use async_trait::async_trait;

use super::Events;
use crate::messages::{Result, TrainEvent, TrainJob, TrainReport};

/// Post-trains a model on the pairs that a budget search found.
#[async_trait]
pub trait Trainer: Send + Sync {
    /// Trains, or goes on with a training that was interrupted in the same `output_dir`.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidData`](crate::ErrorKind::InvalidData): no usable pairs, or a broken
    ///   line, with `file` and `line`.
    /// * [`ErrorKind::ResourceExhausted`](crate::ErrorKind::ResourceExhausted): memory or disk; the
    ///   hint names what to lower.
    ///
    /// # Cancellation
    /// Dropping the future stops after the current step; the last checkpoint stays usable.
    async fn train(&self, job: TrainJob, events: Events<TrainEvent>) -> Result<TrainReport>;
}
