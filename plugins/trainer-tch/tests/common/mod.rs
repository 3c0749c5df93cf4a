//! A tiny model and a file of pairs, made anew for each test.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

use tale_api::{
    CreateEnv, Events, Result, TrainEvent, TrainJob, TrainMethod, TrainReport, Trainer as _,
};
use tale_trainer_tch::TchTrainer;

pub(crate) use tale_training::testing::job;

/// A component with options over those that tests share.
pub(crate) async fn trainer(method: TrainMethod, options: serde_json::Value) -> TchTrainer {
    let mut all = serde_json::json!({"device": "cpu", "threads": 1, "batch": 2, "epochs": 2, "learning_rate": 0.01});
    for (name, value) in options.as_object().unwrap() {
        all[name] = value.clone();
    }
    let (options, env) = (serde_json::from_value(all).unwrap(), CreateEnv::default());
    let created = match method {
        TrainMethod::Dpo => TchTrainer::dpo(options, env).await,
        _ => TchTrainer::sft(options, env).await,
    };
    created.unwrap()
}

/// Trains and gives the losses with the report.
pub(crate) async fn train(trainer: &TchTrainer, job: &TrainJob) -> Result<(TrainReport, Vec<f64>)> {
    let losses = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = std::sync::Arc::clone(&losses);
    let events = Events::to(move |event| {
        if let TrainEvent::Step { loss, .. } = event {
            heard.lock().unwrap().push(loss);
        }
    });
    let report = trainer.train(job.clone(), events).await?;
    let losses = losses.lock().unwrap().clone();
    Ok((report, losses))
}
