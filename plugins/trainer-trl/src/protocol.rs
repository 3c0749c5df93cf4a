//! What the script says: a JSON object a line.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

/// A message of `train.py`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Message {
    /// The model is loaded.
    Start { total_steps: u64, processes: u64 },
    /// An optimiser step is done.
    Step {
        step: u64,
        total_steps: u64,
        loss: f64,
        tokens: u64,
        seconds: f64,
        #[serde(default)]
        more: BTreeMap<String, f64>,
    },
    /// A checkpoint is whole.
    Checkpoint { step: u64, path: PathBuf },
    /// The loss is no number; as text, for JSON has no such number.
    Diverged { step: u64, loss: String },
    /// The adapter is written.
    Done { steps: u64 },
    /// A process cannot go on.
    Error { kind: Trouble, message: String },
}

/// Why a process cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trouble {
    /// No memory, of the card or of the machine.
    Memory,
    /// The disk is full.
    Disk,
    /// A module cannot be imported.
    Missing,
    /// Anything else.
    #[serde(other)]
    Failed,
}

impl Message {
    /// A line as a message; absent if it is none, for launchers and libraries print too.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_none() {
        for line in [
            &b"{'loss': 3.1}"[..],
            b"[1]",
            b"{\"type\": \"?\"}",
            b"\xff",
            b"",
        ] {
            assert_eq!(Message::parse(line), None);
        }
        let line = br#"{"type": "error", "kind": "unheard of", "message": "m"}"#;
        let expected = Message::Error {
            kind: Trouble::Failed,
            message: "m".into(),
        };
        assert_eq!(Message::parse(line), Some(expected));
    }
}
