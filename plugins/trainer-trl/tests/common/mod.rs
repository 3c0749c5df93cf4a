//! A tiny model, a file of pairs, and a stand-in for Python, made anew for each test.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tale_api::{
    CreateEnv, Events, Result, TrainEvent, TrainJob, TrainMethod, TrainReport, Trainer as _,
};
use tale_trainer_trl::TrlTrainer;
use tale_weights::{
    Array,
    adapter::{Adapter, Pair},
};

pub(crate) use tale_training::testing::job;

/// The stand-in for Python in `dir`, with what its training leaves; `mode` is how it behaves.
pub(crate) fn fake_python(dir: &Path, mode: &str) -> PathBuf {
    let python = dir.join("python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_python.sh");
    // Linked, not copied: a file that was just written cannot be executed while another thread's
    // child still has it open.
    if !python.exists() {
        std::os::unix::fs::symlink(script, &python).unwrap();
    }
    fs::write(dir.join("mode"), mode).unwrap();
    let matrix = |shape: [usize; 2]| Array {
        shape: shape.to_vec(),
        values: vec![0.5; shape[0] * shape[1]],
    };
    let pair = Pair {
        a: matrix([2, 32]),
        b: matrix([32, 2]),
    };
    let adapter = Adapter {
        base: "somewhere".to_owned(),
        rank: 2,
        alpha: 4.0,
        pairs: BTreeMap::from([("model.layers.0.self_attn.q_proj".to_owned(), pair)]),
    };
    adapter.write(&dir.join("adapter")).unwrap();
    python
}

/// A component with options over those that tests share.
pub(crate) async fn trainer(
    method: TrainMethod,
    python: &Path,
    options: serde_json::Value,
) -> Result<TrlTrainer> {
    let mut all = serde_json::json!({"python": python, "device": "cpu", "batch": 2, "epochs": 2});
    for (name, value) in options.as_object().unwrap() {
        all[name] = value.clone();
    }
    let (options, env) = (serde_json::from_value(all).unwrap(), CreateEnv::default());
    match method {
        TrainMethod::Dpo => TrlTrainer::dpo(options, env).await,
        _ => TrlTrainer::sft(options, env).await,
    }
}

/// Trains and gives the losses with the report.
pub(crate) async fn train(trainer: &TrlTrainer, job: &TrainJob) -> Result<(TrainReport, Vec<f64>)> {
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
