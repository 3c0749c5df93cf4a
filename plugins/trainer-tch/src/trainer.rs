//! The component: options in, a thread that trains, a report out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tale_api::{
    CreateEnv, Error, ErrorKind, Events, Result, TrainEvent, TrainJob, TrainMethod, TrainReport,
    Trainer, async_trait,
};

use crate::{
    options::{Options, Settings},
    training,
};

/// Trains LoRA adapters on libtorch.
#[derive(Debug)]
pub struct TchTrainer {
    method: TrainMethod,
    options: Options,
}

#[expect(
    clippy::unused_async,
    reason = "components are created by async functions"
)]
impl TchTrainer {
    /// Supervised fine-tuning on the chosen answers.
    ///
    /// # Errors
    /// [`InvalidOptions`](ErrorKind::InvalidOptions): a value out of its range.
    pub async fn sft(options: Options, _env: CreateEnv) -> Result<Self> {
        Self::new(TrainMethod::Sft, options)
    }

    /// Direct preference optimisation of the chosen answers over the rejected ones.
    ///
    /// # Errors
    /// As [`Self::sft`].
    pub async fn dpo(options: Options, _env: CreateEnv) -> Result<Self> {
        Self::new(TrainMethod::Dpo, options)
    }

    fn new(method: TrainMethod, options: Options) -> Result<Self> {
        Settings::new(method, options.clone())?;
        Ok(Self { method, options })
    }

    /// The options with a job's hyperparameters over them.
    fn settings(&self, job: &TrainJob) -> Result<Settings> {
        if job.method != self.method {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "a job of {:?} for the trainer of {:?}",
                    job.method, self.method
                ),
            ));
        }
        let merged = serde_json::to_value(&self.options).and_then(|mut options| {
            for (name, value) in &job.hyperparameters {
                options[name] = value.clone();
            }
            serde_json::from_value(options)
        });
        let options = merged.map_err(|e| {
            Error::new(
                ErrorKind::InvalidInput,
                "unknown or ill-typed hyperparameter",
            )
            .caused_by(&e)
        })?;
        Settings::new(self.method, options)
    }
}

/// Tells the training thread that nobody waits for it any more.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Trainer for TchTrainer {
    async fn train(&self, job: TrainJob, events: Events<TrainEvent>) -> Result<TrainReport> {
        let settings = self.settings(&job)?;
        let cancel = Cancel(Arc::new(AtomicBool::new(false)));
        let cancelled = Arc::clone(&cancel.0);
        let work = tokio::task::spawn_blocking(move || {
            training::run(&settings, &job, &events, &cancelled)
        });
        match work.await {
            Ok(outcome) => outcome.map_err(|e| e.operation("train")),
            // The panic is the plugin's own, and its name and message belong into the error.
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(e) => Err(
                Error::new(ErrorKind::Internal, "the training ended without an outcome")
                    .caused_by(&e),
            ),
        }
    }
}
