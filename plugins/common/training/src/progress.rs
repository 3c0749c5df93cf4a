//! How far a training has come.

use serde::{Deserialize, Serialize};

/// Counts that go on over an interruption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimiser steps done.
    pub step: u64,
    /// Tokens computed.
    pub tokens: u64,
    /// Seconds spent.
    pub seconds: f64,
    /// The last step's loss.
    pub loss: f64,
}
