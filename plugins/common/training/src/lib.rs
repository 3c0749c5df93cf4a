//! What trainers share, whatever computes: their options, the pairs as tokens, the metrics of each step, and the
//! output folder that belongs to one job.
//!
//! Two trainers on the same pairs see the same tokens and leave the same files, because both go
//! through here.

mod folder;
mod hyperparameters;
mod job;
mod metrics;
mod pairs;
mod progress;
mod tensorboard;
#[cfg(feature = "testing")]
pub mod testing;

pub use folder::{Begun, Lock, begin, keep_report, write_adapter};
pub use hyperparameters::{Hyperparameters, invalid, positive};
pub use job::{Cancel, Schedule, diverged, given_up, with_hyperparameters};
pub use metrics::{Line, Metrics, unwritable};
pub use pairs::{Pair, Pairs, TooLong, Wanted, read_for, template};
pub use progress::Progress;
