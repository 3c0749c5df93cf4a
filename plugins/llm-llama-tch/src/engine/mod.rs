//! The engine: on every device a thread that owns a copy of the model and computes for all its
//! requests together.
//!
//! A request goes to the device with the fewest, waits for a lane there, and takes part in every step
//! until it ends. A step is one pass over the next token of every lane and pieces of the prompts that
//! are new. The threads end when the [`Engine`] is dropped.

mod decoder;
mod lanes;
mod task;
mod worker;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use tale_api::{Error, ErrorKind, Result};
use tale_llama::Device;
use tale_local_llm::{Drawing, Ticket, died};
use tale_weights::{Model, Vocabulary, adapter::Adapter};
use tokio::sync::{mpsc, oneshot};

/// How the engine is set up; every value is checked and final.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) model: Model,
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) adapters: Vec<(Adapter, f64)>,
    pub(crate) slots: usize,
    pub(crate) context: usize,
    pub(crate) threads: Option<u32>,
    pub(crate) batch: usize,
    pub(crate) prefix_cache: bool,
    /// Whether prompts are computed in pieces that depend on nothing but their own length.
    pub(crate) aligned: bool,
}

/// One request, ready to compute.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) prompt: Vec<u32>,
    pub(crate) drawing: Drawing,
    pub(crate) ticket: Ticket,
    pub(crate) busy: Busy,
}

/// Counts since the engine started, over all devices.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) steps: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) generated_tokens: AtomicU64,
    pub(crate) copies: AtomicU64,
    pub(crate) retreats: AtomicU64,
    pub(crate) computing_ns: AtomicU64,
    pub(crate) drawing_ns: AtomicU64,
}

/// Counts a request at its device for as long as it exists.
#[derive(Debug)]
pub(crate) struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn at(requests: &Arc<AtomicUsize>) -> Self {
        requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(requests))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A device's thread.
#[derive(Debug)]
struct Replica {
    jobs: Option<mpsc::Sender<Job>>,
    requests: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// The running engine.
#[derive(Debug)]
pub(crate) struct Engine {
    replicas: Vec<Replica>,
    stop: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

/// Requests that wait in a channel; with those that a thread holds, a bound on memory.
const WAITING: usize = 64;

impl Engine {
    /// Loads the model onto every device and starts its thread.
    ///
    /// # Errors
    /// What is wrong with weights or adapters, and [`ErrorKind::ResourceExhausted`] for want of memory.
    pub(crate) async fn start(setup: Setup, devices: Vec<Device>) -> Result<Self> {
        let setup = Arc::new(setup);
        let mut engine = Self {
            replicas: Vec::new(),
            stop: Arc::new(AtomicBool::new(false)),
            counters: Arc::new(Counters::default()),
        };
        let mut waits = Vec::new();
        for device in devices {
            let (jobs, receiver) = mpsc::channel(WAITING);
            let (ready, is_ready) = oneshot::channel();
            let (setup, stop) = (Arc::clone(&setup), Arc::clone(&engine.stop));
            let counters = Arc::clone(&engine.counters);
            let thread = std::thread::Builder::new()
                .name("tale-llama-tch".into())
                .spawn(move || worker::run(&setup, device, receiver, ready, &stop, &counters))
                .map_err(|e| {
                    let what = "cannot start a device's thread";
                    Error::new(ErrorKind::ResourceExhausted, what).caused_by(&e)
                })?;
            engine.replicas.push(Replica {
                jobs: Some(jobs),
                requests: Arc::default(),
                thread: Some(thread),
            });
            waits.push(is_ready);
        }
        for is_ready in waits {
            is_ready.await.map_err(|_| died())??;
        }
        Ok(engine)
    }

    /// Hands a job to the device with the fewest requests; waits while too many wait there already.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the thread has died.
    pub(crate) async fn submit(&self, job: impl FnOnce(Busy) -> Job) -> Result<()> {
        let fewest = |replica: &&Replica| replica.requests.load(Ordering::Relaxed);
        let replica = self.replicas.iter().min_by_key(fewest).ok_or_else(died)?;
        let jobs = replica.jobs.as_ref().ok_or_else(died)?;
        let job = job(Busy::at(&replica.requests));
        jobs.send(job).await.map_err(|_| died())
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for replica in &mut self.replicas {
            replica.jobs = None;
        }
        // Ending the process while a thread computes would pull libtorch's state from under it; it
        // looks at `stop` between steps.
        for replica in &mut self.replicas {
            if let Some(thread) = replica.thread.take()
                && thread.join().is_err()
            {
                tracing::error!("an engine's thread panicked");
            }
        }
    }
}
