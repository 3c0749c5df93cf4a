//! The component: options in, processes that train, a report out.

use std::path::PathBuf;

use tale_api::{
    CreateEnv, Error, ErrorKind, Events, Result, TrainEvent, TrainJob, TrainMethod, TrainReport,
    Trainer, async_trait,
};
use tale_training::{Cancel, with_hyperparameters};

use crate::{
    options::{Options, Settings},
    python::Python,
    training,
};

/// Trains LoRA adapters with TRL.
#[derive(Debug)]
pub struct TrlTrainer {
    method: TrainMethod,
    options: Options,
    base_dir: PathBuf,
    python: Python,
}

impl TrlTrainer {
    /// Supervised fine-tuning on the chosen answers.
    ///
    /// # Errors
    /// [`InvalidOptions`](ErrorKind::InvalidOptions): a value out of its range;
    /// [`Unavailable`](ErrorKind::Unavailable): Python or a package is missing. It is said here, for
    /// a search of hours may come before the training.
    pub async fn sft(options: Options, env: CreateEnv) -> Result<Self> {
        Self::new(TrainMethod::Sft, options, env).await
    }

    /// Direct preference optimisation of the chosen answers over the rejected ones.
    ///
    /// # Errors
    /// As [`Self::sft`].
    pub async fn dpo(options: Options, env: CreateEnv) -> Result<Self> {
        Self::new(TrainMethod::Dpo, options, env).await
    }

    async fn new(method: TrainMethod, options: Options, env: CreateEnv) -> Result<Self> {
        let settings = Settings::new(method, options.clone())?;
        let base_dir = env.base_dir.clone();
        let find = move || Python::find(&settings.python, &env.base_dir);
        let python = blocking(find).await?;
        Ok(Self {
            method,
            options,
            base_dir,
            python,
        })
    }
}

#[async_trait]
impl Trainer for TrlTrainer {
    async fn train(&self, job: TrainJob, events: Events<TrainEvent>) -> Result<TrainReport> {
        if job.method != self.method {
            let what = format!(
                "a job of {:?} for the trainer of {:?}",
                job.method, self.method
            );
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        let settings = Settings::new(self.method, with_hyperparameters(&self.options, &job)?)?
            .relative_to(&self.base_dir)?;
        let python = self.python.clone();
        // Lives as long as somebody waits.
        let cancel = Cancel::default();
        let cancelled = cancel.flag();
        let work = move || training::run(&python, &settings, &job, &events, &cancelled);
        blocking(work).await.map_err(|e| e.operation("train"))
    }
}

/// Runs what waits for processes on a thread where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        // The panic is the plugin's own, and its name and message belong into the error.
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(e) => {
            let what = "the thread of the training ended without an outcome";
            Err(Error::new(ErrorKind::Internal, what).caused_by(&e))
        }
    }
}
