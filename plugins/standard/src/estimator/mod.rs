//! Estimators of token budgets.

mod fixed;
mod learned;
mod none;
mod reply;
#[cfg(test)]
pub(crate) mod testing;
mod zero_shot;

pub use fixed::{Fixed, FixedOptions};
pub use learned::{
    Knn, LearnedKind, LearnedModel, LearnedOptions, ModelError, Regression, Training,
    question_digest,
};
pub use none::{NoEstimate, NoEstimateOptions};
pub use reply::{Reading, read_budget};
pub use zero_shot::{ZeroShot, ZeroShotOptions};
