//! The plumbing of the boundary, the same on both sides.
//!
//! A [`Connection`] joins this side to one peer. It keeps three tables, all by number: objects that
//! the peer may call, calls that this side has made (`outgoing`), and calls of the peer that are
//! under way here (`incoming`). [`serve`] turns a call into one of a trait, [`remote`] turns a call
//! of a trait into one of the boundary; they mirror each other method by method.

mod connection;
mod functions;
mod incoming;
mod outgoing;
mod panic;
mod remote;
mod secrets;
mod serve;
mod shards;
mod wire;

#[cfg(feature = "host")]
pub use connection::PeerCounts;
pub(crate) use connection::{Connection, Side};
#[cfg(feature = "host")]
pub(crate) use connection::{Limits, LogSink};
#[cfg(feature = "host")]
pub(crate) use functions::{Functions, TableFault};
#[cfg(feature = "host")]
pub(crate) use outgoing::Target;
pub(crate) use panic::caught;
#[cfg(feature = "host")]
pub(crate) use remote::{
    RemoteDataset, RemoteEstimator, RemoteFeasibility, RemoteLlm, RemoteTrainer,
};
#[cfg(feature = "host")]
pub(crate) use secrets::Secrets;
#[cfg(feature = "host")]
pub use secrets::{secret_options, secret_paths};
pub(crate) use serve::{
    DatasetObject, EstimatorObject, FeasibilityObject, Incoming, LlmObject, Object, TrainerObject,
    json,
};
pub(crate) use wire::{Create, Created, HostInfo, Method};
