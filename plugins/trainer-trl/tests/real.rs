//! The real TRL on a tiny model: `TALE_TRL_PYTHON` names a Python that has it, as `cargo xtask parity`
//! does; without it these tests say that they are skipped.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

mod common;

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use common::{job, train, trainer};
use serde_json::{Value, json};
use tale_api::{
    CreateEnv, Events, TrainEvent, TrainJob, TrainMethod, Trainer as _,
    host::{LoadPolicy, Plugin},
};
use tale_weights::{Model, adapter::Adapter};
use tokio::sync::Notify;

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("TALE_TRL_PYTHON").map(PathBuf::from);
    if python.is_none() {
        eprintln!("SKIPPED: `cargo xtask parity` runs this with TRL");
    }
    python
}

/// The losses of the same job with the trainer of the plugin `tch`; absent where it is not built.
async fn losses_of_tch(job: &TrainJob, component: &str, options: Value) -> Option<Vec<f64>> {
    let library = std::env::current_exe()
        .unwrap()
        .with_file_name("libtale_trainer_tch.so");
    if !library.is_file() {
        eprintln!("SKIPPED: the comparison with `tch`, which is not built");
        return None;
    }
    let plugin = Plugin::load(&library, &LoadPolicy::default()).unwrap();
    let trainer = plugin
        .trainer(component, options, &CreateEnv::default())
        .await
        .unwrap();
    let losses = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&losses);
    let events = Events::to(move |event| {
        if let TrainEvent::Step { loss, .. } = event {
            heard.lock().unwrap().push(loss);
        }
    });
    let mut job = job.clone();
    job.output_dir = job.output_dir.with_file_name("tch");
    trainer.train(job, events).await.unwrap();
    let losses = losses.lock().unwrap().clone();
    Some(losses)
}

/// Options of both plugins. All pairs are one batch, so that their order changes nothing.
fn shared(more: &Value) -> Value {
    let mut options = json!({
        "device": "cpu", "threads": 1, "batch": 8, "epochs": 6, "learning_rate": 0.01, "rank": 4,
        "alpha": 8, "projections": ["q_proj", "v_proj", "down_proj"], "checkpoint_steps": 4,
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    options
}

async fn learns(method: TrainMethod, component: &str, more: Value, least: f64) {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), method, 8);
    let options = shared(&more);
    let ours = trainer(method, &python, options.clone()).await.unwrap();
    let (report, losses) = train(&ours, &job).await.unwrap();
    println!("trl-{component} {more}: losses {losses:.5?}");
    assert_eq!((report.steps, report.pairs, losses.len()), (6, 8, 6));
    assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    assert!(losses[5] < least * losses[0], "{losses:?}");
    let base = Model::open(&job.base_model).unwrap();
    let adapter = Adapter::read(&report.adapter).unwrap();
    adapter.check(base.config()).unwrap();
    assert_eq!((adapter.rank, adapter.pairs.len()), (4, 6));
    assert!(job.output_dir.join("adapter.gguf").is_file());
    let metrics = fs::read_to_string(job.output_dir.join("metrics.jsonl")).unwrap();
    let first: Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    for name in [
        "loss",
        "tokens_per_s",
        "left_s",
        "learning_rate",
        "gradient_norm",
    ] {
        assert!(first[name].as_f64().unwrap() > 0.0, "{name}: {first}");
    }
    // A fresh adapter changes nothing, so both begin with the loss of the base model on the same
    // tokens; then each goes from its own random numbers.
    if let Some(theirs) = losses_of_tch(&job, component, options).await {
        println!("{component} of tch: losses {theirs:.5?}");
        let difference = (losses[0] - theirs[0]).abs();
        println!("first losses differ by {difference:.1e}");
        assert!(
            difference < 1e-4 * theirs[0].max(1.0),
            "{losses:?} and {theirs:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn supervised_training_learns_and_begins_where_tch_begins() {
    learns(TrainMethod::Sft, "sft", json!({}), 0.9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preference_training_as_printed_learns_and_begins_where_tch_begins() {
    learns(TrainMethod::Dpo, "dpo", json!({"beta": 0.02}), 0.95).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preference_training_with_a_reference_learns_and_begins_where_tch_begins() {
    learns(TrainMethod::Dpo, "dpo", json!({"reference": true}), 0.9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_was_given_up_goes_on_to_the_same_adapter() {
    let Some(python) = python() else { return };
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = shared(&json!({"batch": 4, "epochs": 3, "checkpoint_steps": 2}));
    let trainer = trainer(TrainMethod::Sft, &python, options).await.unwrap();
    let (report, _) = train(&trainer, &job(whole.path(), TrainMethod::Sft, 8))
        .await
        .unwrap();
    let expected = Adapter::read(&report.adapter).unwrap();

    let job = job(cut.path(), TrainMethod::Sft, 8);
    let reached = Arc::new(Notify::new());
    let signal = Arc::clone(&reached);
    let events = Events::to(move |event| {
        if matches!(event, TrainEvent::Checkpoint { .. }) {
            signal.notify_one();
        }
    });
    tokio::select! {
        outcome = trainer.train(job.clone(), events) => panic!("it ended: {outcome:?}"),
        () = reached.notified() => {}
    }
    let (report, losses) = train(&trainer, &job).await.unwrap();
    assert!(losses.len() < 6, "it began anew");
    let found = Adapter::read(&report.adapter).unwrap();
    let mut largest = 0.0_f32;
    for (name, pair) in &expected.pairs {
        for (a, b) in [
            (&pair.a, &found.pairs[name].a),
            (&pair.b, &found.pairs[name].b),
        ] {
            for (x, y) in a.values.iter().zip(&b.values) {
                largest = largest.max((x - y).abs());
            }
        }
    }
    println!("resumed and uninterrupted adapters differ by {largest:.1e}");
    assert!(largest < 1e-6);
}

/// Two processes under the launcher that starts one a card: batches are shared, and the workers are
/// in sessions of their own.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_batch() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), TrainMethod::Sft, 8);
    let config = dir.path().join("two.yaml");
    fs::write(
        &config,
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nnum_machines: 1\nnum_processes: 2\nmixed_precision: 'no'\nmain_process_port: 0\n",
    )
    .unwrap();
    let options = shared(&json!({"device": "auto", "accelerate_config": config, "epochs": 3}));
    let two = trainer(TrainMethod::Sft, &python, options).await.unwrap();
    let (report, losses) = train(&two, &job).await.unwrap();
    println!("two processes: losses {losses:.5?}");
    assert_eq!((report.steps, losses.len()), (3, 3));
    if let Some(theirs) = losses_of_tch(&job, "sft", shared(&json!({"epochs": 3}))).await {
        let difference = (losses[0] - theirs[0]).abs();
        assert!(
            difference < 1e-4 * theirs[0].max(1.0),
            "{losses:?} and {theirs:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_gives_no_numbers_names_the_step() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), TrainMethod::Sft, 8);
    let file = job.base_model.join("model.safetensors");
    let mut tensors: Vec<_> = tale_weights::read_tensors(&file)
        .unwrap()
        .into_iter()
        .collect();
    for (name, array) in &mut tensors {
        if name == "model.norm.weight" {
            array.values[0] = f32::NAN;
        }
    }
    tale_weights::write_tensors(&file, &tensors).unwrap();
    let trainer = trainer(TrainMethod::Sft, &python, shared(&json!({})))
        .await
        .unwrap();
    let error = train(&trainer, &job).await.unwrap_err();
    assert!(
        error.message.starts_with("the loss of step 1 is NaN"),
        "{error}"
    );
}
