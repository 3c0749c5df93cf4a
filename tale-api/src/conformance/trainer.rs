//! Rules for trainers. They need a short training in the sample.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Fault, Subject, Verdict, fail, rules, skip};
use crate::{
    messages::{ErrorKind, TrainEvent, TrainJob},
    traits::Events,
};

rules! {
    "TRA-01" "pairs that do not exist are refused as not found or invalid data" => no_pairs;
    "TRA-02" "a training that was dropped goes on and ends" => resumed;
    "TRA-03" "steps are reported in order, and the adapter exists" => steps;
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
