//! What is asked of a trainer (TALE-PT), what it reports on the way and at the end.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// How the pairs are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrainMethod {
    /// Supervised fine-tuning on the chosen answers.
    #[default]
    Sft,
    /// Direct preference optimisation of chosen over rejected answers.
    Dpo,
}

/// A job for [`Trainer::train`](crate::Trainer::train).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainJob {
    /// The base model: a folder or a file.
    pub base_model: PathBuf,
    /// JSONL of training pairs: `prompt` (messages, without any budget), `chosen`, `rejected`.
    pub pairs: PathBuf,
    /// What to do with them.
    pub method: TrainMethod,
    /// Hyperparameters beyond the component's options, by name.
    #[serde(default)]
    pub hyperparameters: BTreeMap<String, serde_json::Value>,
    /// Where checkpoints, metrics and the adapter go. A job on a folder that holds a checkpoint of
    /// the same job goes on from there.
    pub output_dir: PathBuf,
    /// Seed of shuffling, initialisation and dropout.
    pub seed: u64,
}

/// A checkpoint on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRef {
    /// Optimiser steps done.
    pub step: u64,
    /// Where it lies.
    pub path: PathBuf,
}

/// What a trainer reports while it works, in order of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrainEvent {
    /// An optimiser step is done.
    Step {
        /// Steps done, from 1.
        step: u64,
        /// Steps in all.
        total_steps: u64,
        /// Mean loss of the step.
        loss: f64,
        /// Tokens trained on per second.
        tokens_per_s: f64,
        /// Further metrics by name.
        #[serde(default)]
        metrics: BTreeMap<String, f64>,
    },
    /// A checkpoint was written and can be resumed from.
    Checkpoint {
        /// Where.
        checkpoint: CheckpointRef,
    },
    /// An event that this version does not know; to be ignored.
    #[serde(other)]
    Unknown,
}

/// The result of a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// The adapter, in PEFT's format.
    pub adapter: PathBuf,
    /// Optimiser steps done.
    pub steps: u64,
    /// Pairs used.
    pub pairs: u64,
    /// Pairs left out, by reason.
    #[serde(default)]
    pub skipped: BTreeMap<String, u64>,
    /// Final metrics by name.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}
