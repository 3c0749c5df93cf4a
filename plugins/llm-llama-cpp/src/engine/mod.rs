//! The engine: one thread that owns model and context and computes for all requests together.
//!
//! A request enters through a bounded channel, waits for a slot (a sequence of the context), has its
//! prompt evaluated and then takes part in every step until it ends. A step is one call of
//! `llama_decode` over the next token of every generating slot and a piece of the prompts that are
//! being evaluated. The thread ends when the [`Engine`] is dropped.

mod cache;
mod grammar;
mod prefix;
mod rows;
mod slot;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use llama_cpp_2::{model::LlamaModel, token::LlamaToken};
use tale_api::{Error, ErrorKind, Result};
use tale_local_llm::{Drawing, Ticket, died};
use tokio::sync::{mpsc, oneshot};

use crate::{
    gguf::Header,
    options::{KvType, Switch},
};

/// How the engine is set up; every value is checked and final.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) lora: Option<(PathBuf, f32)>,
    pub(crate) slots: u32,
    pub(crate) context: Option<u32>,
    pub(crate) threads: u32,
    pub(crate) batch: u32,
    pub(crate) gpu_layers: u32,
    pub(crate) flash_attention: Switch,
    pub(crate) kv_type: KvType,
    pub(crate) prefix_cache: bool,
    pub(crate) reproducible: bool,
}

/// One request, ready to compute.
pub(crate) struct Job {
    pub(crate) prompt: Vec<LlamaToken>,
    pub(crate) drawing: Drawing,
    pub(crate) grammar: Option<String>,
    pub(crate) ticket: Ticket,
    /// Of the bits of all logits that were drawn from: tests compare computations by it.
    #[cfg(test)]
    pub(crate) fingerprint: Arc<AtomicU64>,
}

/// Counts since the engine started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) steps: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) generated_tokens: AtomicU64,
    pub(crate) copies: AtomicU64,
    pub(crate) sampling_ns: AtomicU64,
    pub(crate) decoding_ns: AtomicU64,
}

/// What the engine says once it is ready.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) model: Arc<LlamaModel>,
    pub(crate) header: Header,
    /// Tokens of one slot.
    pub(crate) context: u32,
    /// Whether the same request with the same seed has the same answer, whatever else runs.
    pub(crate) reproducible: bool,
}

/// The running engine.
#[derive(Debug)]
pub(crate) struct Engine {
    jobs: Option<mpsc::Sender<Job>>,
    stop: Arc<AtomicBool>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

/// Requests that wait in the channel; with those that the thread holds, a bound on memory.
const WAITING: usize = 64;

impl Engine {
    /// Loads the model and starts the thread.
    ///
    /// # Errors
    /// Those of [`crate::model::load`], and [`ErrorKind::ResourceExhausted`] if there is no memory
    /// for the context.
    pub(crate) async fn start(config: Config) -> Result<(Self, Ready)> {
        let (jobs, receiver) = mpsc::channel(WAITING);
        let (ready, is_ready) = oneshot::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(Counters::default());
        let shared = (Arc::clone(&stop), Arc::clone(&counters));
        let thread = std::thread::Builder::new()
            .name("tale-llama-cpp".into())
            .spawn(move || worker::run(&config, receiver, ready, &shared.0, &shared.1))
            .map_err(|e| {
                Error::new(
                    ErrorKind::ResourceExhausted,
                    "cannot start the engine's thread",
                )
                .caused_by(&e)
            })?;
        // From here on a drop of this future joins the thread, which is then done soon.
        let engine = Self {
            jobs: Some(jobs),
            stop,
            counters,
            thread: Some(thread),
        };
        match is_ready.await {
            Ok(Ok(ready)) => Ok((engine, ready)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(died()),
        }
    }

    /// Hands `job` over; waits while too many wait already.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the thread has died.
    pub(crate) async fn submit(&self, job: Job) -> Result<()> {
        let jobs = self.jobs.as_ref().ok_or_else(died)?;
        jobs.send(job).await.map_err(|_| died())
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        // Ending the process while the thread computes would pull llama.cpp's state from under it;
        // it looks at `stop` between steps, so this takes a step at most.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread panicked");
        }
    }
}
