//! What a server is told.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::Fault;

/// What a server is told; every field is also an option of the binary `chat-server`.
#[derive(Clone, Debug, Parser)]
#[command(name = "chat-server", about = "A server of chat completions for tests")]
pub struct Config {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Milliseconds until an answer begins
    #[arg(long, default_value_t = 0.0)]
    pub latency_ms: f64,
    /// Milliseconds between the parts of a stream
    #[arg(long, default_value_t = 0.0)]
    pub part_ms: f64,
    /// Words in one part of a stream
    #[arg(long, default_value_t = 1)]
    pub part_words: usize,
    /// Only this key is accepted; absent: everyone, with or without
    #[arg(long)]
    pub key: Option<String>,
    /// Only these models exist; none given: all
    #[arg(long)]
    pub model: Vec<String>,
    /// The share of requests that go wrong, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    pub fault_rate: f64,
    /// What can go wrong; none given: everything
    #[arg(long, value_enum)]
    pub fault: Vec<Fault>,
    /// The same request goes wrong at most so many times in a row
    #[arg(long, default_value_t = 4)]
    pub most_in_a_row: u32,
    /// Decides answers and faults
    #[arg(long, default_value_t = 1024)]
    pub seed: u64,
    /// More requests than this at a time are refused with 429
    #[arg(long)]
    pub capacity: Option<usize>,
    /// After so many answers the account is out of money
    #[arg(long)]
    pub quota: Option<u64>,
    /// GSM8K-like JSONL (`question`, `answer`) with the right answers
    #[arg(long)]
    pub gold: Option<PathBuf>,
    /// Words of an answer without a budget, about
    #[arg(long, default_value_t = 60)]
    pub words: usize,
    /// Words of hidden reasoning before the answer
    #[arg(long, default_value_t = 0)]
    pub reasoning_words: usize,
    /// How tokens are counted
    #[arg(long, value_enum, default_value_t = Counting::Words)]
    pub counting: Counting,
    /// A file to which every request adds a line of JSON
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// Threads that serve
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Speak TLS
    #[arg(long, value_enum)]
    pub tls: Option<TlsMode>,
    /// Seconds that a batch takes
    #[arg(long, default_value_t = 0.2)]
    pub batch_s: f64,
    /// The most requests in one batch
    #[arg(long, default_value_t = 50_000)]
    pub batch_most: usize,
    /// The share of a batch's requests that fail, at their first try each
    #[arg(long, default_value_t = 0.0)]
    pub batch_failures: f64,
    /// The first batches that expire half-done
    #[arg(long, default_value_t = 0)]
    pub batch_expired: usize,
    /// Remember no requests; for load
    #[arg(long)]
    pub forget: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self::parse_from(["chat-server"])
    }
}

/// How tokens are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Counting {
    /// A word is a token: costs nothing.
    Words,
    /// As OpenAI's newer models count (`o200k_base`).
    O200k,
}

/// With which certificate TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsMode {
    /// One that is good under the server's own authority.
    Good,
    /// One that has expired.
    Expired,
}
