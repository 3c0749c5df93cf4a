//! The five traits. Each is `async`, object-safe, `Send + Sync`, and used behind an `Arc`.
//!
//! A method may be called from any thread and while other calls of the same object are under way.
//! Dropping a method's future cancels the call: what it held is freed, and nothing it would have
//! answered is recorded.

mod dataset;
mod estimator;
mod events;
mod feasibility;
mod llm;
mod trainer;

pub use dataset::Dataset;
pub use estimator::Estimator;
pub use events::Events;
pub use feasibility::Feasibility;
pub use llm::Llm;
pub use trainer::Trainer;
