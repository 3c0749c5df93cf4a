//! The runtime's side: inspect, load and use plugins.
//!
//! ```no_run
//! use tale_api::{CreateEnv, host::{LoadPolicy, Plugin}};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let path = "target/release/libtale_llm_llama_cpp.so".as_ref();
//! let found = Plugin::inspect(path)?;                       // runs none of the plugin's code
//! println!("{} {}", found.manifest.name, found.sha256);
//! let plugin = Plugin::load(path, &LoadPolicy::default())?;
//! let options = serde_json::json!({"model": "qwen.gguf"});
//! let llm = plugin.llm("llama-cpp", options, &CreateEnv::default()).await?;
//! println!("{}", llm.info().await?.model);
//! # Ok(())
//! # }
//! ```
//!
//! # What the host can rely on
//! * What comes back is an ordinary `Arc<dyn Trait>`. Dropping a future cancels its call; dropping
//!   the last `Arc` releases the component.
//! * Every error of a plugin carries its name as context `plugin` and the method as `operation`.
//!   A plugin that breaks the protocol gives errors of kind [`Protocol`](crate::ErrorKind::Protocol),
//!   one that does not answer, of kind [`Timeout`](crate::ErrorKind::Timeout) after the time that
//!   [`Deadlines`] grant.
//! * A library is never unloaded: its threads may run, and its tables are in use, until the
//!   process ends.
//! * What happens in the same process can do what the process can: a plugin that writes through a
//!   wild pointer or calls `abort` takes the host with it. [`Plugin::isolated`] gives it a process of
//!   its own ([`isolation`]).
//!
//! Futures have to be polled in a tokio runtime with time enabled.

mod deadlines;
mod error;
mod inspect;
pub mod isolation;
mod load;
mod log;
mod plugin;

pub use deadlines::Deadlines;
pub use error::LoadError;
pub use inspect::{AbiVersion, Inspected};
pub use isolation::Isolation;
pub use load::LoadPolicy;
pub use plugin::Plugin;

pub use crate::peer::{PeerCounts, secret_options, secret_paths};
