//! What models computed in this process share, whatever computes them: the options that all have,
//! what tells one model from another, how a token is drawn, which text may be shown, and the way of a
//! request from the caller to the engine's thread and back.
#![deny(missing_docs)]

pub mod digest;
mod draw;
pub mod options;
mod request;
mod visible;

pub use draw::{Constraint, Drawing, Sampler, Scratch};
pub use request::{Pending, Progress, Ticket, check, died, fits, receive, ticket};
pub use visible::Visible;
