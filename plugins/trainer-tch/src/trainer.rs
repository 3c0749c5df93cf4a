//! The component: options in, a thread that trains, a report out.

use std::path::PathBuf;

use tale_api::{
    CreateEnv, Error, ErrorKind, Events, Result, TrainEvent, TrainJob, TrainMethod, TrainReport,
    Trainer, async_trait,
};
use tale_training::{Cancel, with_hyperparameters};

use crate::{
    options::{Options, Settings},
    training,
};

/// Trains LoRA adapters on libtorch.
#[derive(Debug)]
pub struct TchTrainer {
    method: TrainMethod,
    options: Options,
    /// What paths among the options are relative to.
    base_dir: PathBuf,
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
    pub async fn sft(options: Options, env: CreateEnv) -> Result<Self> {
        Self::new(TrainMethod::Sft, options, env)
    }

    /// Direct preference optimisation of the chosen answers over the rejected ones.
    ///
    /// # Errors
    /// As [`Self::sft`].
    pub async fn dpo(options: Options, env: CreateEnv) -> Result<Self> {
        Self::new(TrainMethod::Dpo, options, env)
    }

    fn new(method: TrainMethod, options: Options, env: CreateEnv) -> Result<Self> {
        Settings::new(method, options.clone())?;
        Ok(Self {
            method,
            options,
            base_dir: env.base_dir,
        })
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
        let options = with_hyperparameters(&self.options, job)?;
        let mut settings = Settings::new(self.method, options)?;
        settings.eval_questions = settings.eval_questions.map(|path| self.base_dir.join(path));
        Ok(settings)
    }
}

#[async_trait]
impl Trainer for TchTrainer {
    async fn train(&self, job: TrainJob, events: Events<TrainEvent>) -> Result<TrainReport> {
        let settings = self.settings(&job)?;
        // Lives as long as somebody waits.
        let cancel = Cancel::default();
        let cancelled = cancel.flag();
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
