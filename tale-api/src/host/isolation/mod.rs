//! Plugins in a process of their own.
//!
//! Within one process nothing helps against a wild pointer, `abort` or `exit`. A plugin that is
//! loaded by [`Plugin::isolated`](super::Plugin::isolated) runs in a child instead, and the functions
//! of the two tables travel as frames over the child's stdin and stdout (`docs/abi.md`, section 8).
//! What kills the child costs the calls under way, each of which fails with an error that names
//! plugin, method and how the child ended; the next call starts a new child and creates the
//! component again.
//!
//! ```text
//!   Remade ──► Remote… ──► Connection ══ table ══ Link ──frames──► child ── table ── plugin
//!   (creates again)        (as in process)        (one child at a time)
//! ```
//! [`Connection`](crate::peer::Connection) is the same as for a plugin in this process; what differs
//! is who plays its peer. Numbers that a child hands out carry the number of that child in their
//! high bits, so none of a dead child can be taken for one of the next.

mod child;
mod component;
mod frame;
mod link;
mod queue;
mod running;
mod table;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub use child::serve;
pub(super) use component::{Maker, Remade};
pub(super) use link::{Link, of_child};

/// How a plugin gets a process of its own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Isolation {
    /// The program that becomes the child, which must call [`serve`] and nothing else.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// After so many children in a row that ended without having answered a single call, no other is
    /// started. Default: 5.
    pub most_failures: u32,
    /// How long a child may take to say that it is well after a call was not answered in time;
    /// after that it is killed. Default: 10 seconds.
    pub patience: Duration,
}

impl Isolation {
    /// A child that is `program` with `arguments`, and every default.
    pub fn new(program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            most_failures: 5,
            patience: Duration::from_secs(10),
        }
    }
}

/// The host's first frame.
#[derive(Serialize, Deserialize)]
struct Greeting {
    path: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default)]
    allow_writable_by_others: bool,
    start_within_s: f64,
    /// What the plugin's start is told.
    host_info: serde_json::Value,
}

/// The child's first frame: the digest of what it loaded, or why it did not.
#[derive(Serialize, Deserialize)]
struct Welcome {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}
