//! Rules for trainers. They need a short training in the sample.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::sync::Notify;

use super::{Fault, Subject, Verdict, fail, rules, skip};
use crate::{
    messages::{ErrorKind, TrainEvent, TrainJob},
    traits::Events,
};

rules! {
    "TRA-01" "pairs that do not exist are refused as not found or invalid data" => no_pairs;
    "TRA-02" "a training that was dropped goes on and ends" => resumed;
    "TRA-03" "steps are reported in order, and the adapter exists" => steps;
    "TRA-04" "a training dropped in its middle goes on from its last checkpoint" => resumed_midway;
    "TRA-05" "a dropped training stops" => stops;
    "TRA-06" "a training after a refused one is done" => after_error;
}

fn job(subject: &Subject<'_>, folder: &str) -> Result<TrainJob, Fault> {
    let Some(job) = &subject.sample.training else {
        return skip("the sample has no training");
    };
    let mut job = job.clone();
    job.output_dir = job.output_dir.join(folder);
    Ok(job)
}

async fn no_pairs(subject: &Subject<'_>) -> Verdict {
    let mut job = job(subject, "no-pairs")?;
    job.pairs = "no/such/pairs.jsonl".into();
    match subject.trainer().await?.train(job, Events::ignored()).await {
        Err(e) if matches!(e.kind, ErrorKind::NotFound | ErrorKind::InvalidData) => Ok(()),
        Err(e) => fail(format!("refused as {}: {e}", e.kind)),
        Ok(_) => fail("trained"),
    }
}

async fn resumed(subject: &Subject<'_>) -> Verdict {
    let job = job(subject, "resumed")?;
    let trainer = subject.trainer().await?;
    let call = trainer.train(job.clone(), Events::ignored());
    // Whether it was faster than that does not matter.
    let _ = tokio::time::timeout(Duration::from_millis(20), call).await;
    let report = trainer.train(job, Events::ignored()).await?;
    if report.steps == 0 {
        return fail("no steps");
    }
    Ok(())
}

async fn steps(subject: &Subject<'_>) -> Verdict {
    let job = job(subject, "steps")?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    let events = Events::to(move |event| {
        if let TrainEvent::Step { step, .. } = event {
            heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(step);
        }
    });
    let report = subject.trainer().await?.train(job, events).await?;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if !seen.windows(2).all(|pair| pair[0] < pair[1]) {
        return fail(format!("steps came as {seen:?}"));
    }
    if !report.adapter.exists() {
        return fail(format!("no adapter at `{}`", report.adapter.display()));
    }
    Ok(())
}

/// What a training reported: steps, and the step of the last checkpoint.
#[derive(Default)]
struct Heard {
    steps: Mutex<Vec<u64>>,
    checkpoint: Mutex<Option<u64>>,
    something: Notify,
}

impl Heard {
    fn events(self: &Arc<Self>) -> Events<TrainEvent> {
        let heard = Arc::clone(self);
        Events::to(move |event| match event {
            TrainEvent::Step { step, .. } => lock(&heard.steps).push(step),
            TrainEvent::Checkpoint { checkpoint } => {
                *lock(&heard.checkpoint) = Some(checkpoint.step);
                heard.something.notify_one();
            }
            _ => {}
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops `call` once `heard` has a checkpoint; skips the rule if there is no such moment.
async fn drop_at_a_checkpoint(
    call: impl Future<Output = crate::Result<crate::TrainReport>>,
    heard: &Heard,
) -> Result<u64, Fault> {
    let call = std::pin::pin!(call);
    let checkpoint = std::pin::pin!(heard.something.notified());
    match select(call, checkpoint).await {
        Either::Left((report, _)) => {
            report?;
            if lock(&heard.checkpoint).is_none() {
                return skip("no checkpoint is reported");
            }
            skip("the training was done before it could be dropped")
        }
        Either::Right(((), _)) => Ok(lock(&heard.checkpoint).unwrap_or_default()),
    }
}

async fn resumed_midway(subject: &Subject<'_>) -> Verdict {
    let trainer = subject.trainer().await?;
    let whole = trainer
        .train(job(subject, "whole")?, Events::ignored())
        .await?;
    let job = job(subject, "midway")?;
    let first = Arc::new(Heard::default());
    let checkpoint =
        drop_at_a_checkpoint(trainer.train(job.clone(), first.events()), &first).await?;
    // Steps go on after the checkpoint only until the drop is noticed.
    subject.idle_or_uncounted().await?;
    drop(trainer);
    // Another object, as after the end of a process.
    let second = Arc::new(Heard::default());
    let report = subject.trainer().await?.train(job, second.events()).await?;
    if report.steps != whole.steps {
        return fail(format!(
            "{} steps, where an undisturbed training takes {}",
            report.steps, whole.steps
        ));
    }
    match lock(&second.steps).first() {
        Some(&step) if step <= checkpoint => fail(format!(
            "it began again at step {step}, after a checkpoint at {checkpoint}"
        )),
        _ => Ok(()),
    }
}

async fn stops(subject: &Subject<'_>) -> Verdict {
    let job = job(subject, "stops")?;
    let trainer = subject.trainer().await?;
    let heard = Arc::new(Heard::default());
    drop_at_a_checkpoint(trainer.train(job, heard.events()), &heard).await?;
    subject.idle().await
}

async fn after_error(subject: &Subject<'_>) -> Verdict {
    let trainer = subject.trainer().await?;
    let mut broken = job(subject, "after-error")?;
    broken.pairs = "no/such/pairs.jsonl".into();
    // Whether this is refused is another rule's matter.
    let _ = trainer.train(broken, Events::ignored()).await;
    trainer
        .train(job(subject, "after-error")?, Events::ignored())
        .await?;
    Ok(())
}
