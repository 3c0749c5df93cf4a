//! What users rely on, with a stand-in for Python: what is missing is said, a training resumes, no
//! process is left behind, and what the processes say or do is told as it is.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

mod common;

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{fake_python, job, train, trainer};
use serde_json::{Value, json};
use tale_api::{Error, ErrorKind, Events, TrainEvent, TrainMethod, Trainer as _};
use tale_weights::adapter::Adapter;
use tokio::sync::Notify;

const SFT: TrainMethod = TrainMethod::Sft;

/// The error of a training with a Python of this mode.
async fn fails(dir: &Path, mode: &str) -> Error {
    let python = fake_python(dir, mode);
    let trainer = trainer(SFT, &python, json!({"checkpoint_steps": 3}))
        .await
        .unwrap();
    train(&trainer, &job(dir, SFT, 8)).await.unwrap_err()
}

fn steps_in_metrics(output: &Path) -> Vec<u64> {
    let text = fs::read_to_string(output.join("metrics.jsonl")).unwrap();
    let step = |line: &str| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64();
    text.lines().map(|line| step(line).unwrap()).collect()
}

#[tokio::test]
async fn what_is_missing_is_said_with_the_command_that_installs_it() {
    let dir = tempfile::tempdir().unwrap();
    let python = fake_python(dir.path(), "");
    for (mode, says) in [
        ("lacking", "(3.11.7) has no `trl`"),
        ("old", "has trl 0.9.6, and 1.16 or a later 1.x is needed"),
        ("broken", "fails to look for packages"),
        ("babbling", "does not answer as Python does"),
    ] {
        fs::write(dir.path().join("mode"), mode).unwrap();
        let error = trainer(SFT, &python, json!({})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains(says), "{error}");
        let hint = error.hint.unwrap();
        let command = format!("{} -m pip install torch==", python.display());
        assert!(hint.contains(&command), "{hint}");
    }
    let error = trainer(SFT, Path::new("no-such-python"), json!({})).await;
    let error = error.unwrap_err();
    assert!(
        error.message.contains("`no-such-python` cannot be started"),
        "{error}"
    );
}

#[tokio::test]
async fn an_adapter_comes_back_under_the_names_that_every_trainer_uses() {
    let dir = tempfile::tempdir().unwrap();
    let python = fake_python(dir.path(), "well");
    let job = job(dir.path(), SFT, 8);
    let trainer = trainer(SFT, &python, json!({"threads": 3})).await.unwrap();
    let (report, losses) = train(&trainer, &job).await.unwrap();
    assert_eq!((report.steps, report.pairs, losses.len()), (8, 8, 8));
    assert_eq!(report.adapter, job.output_dir.join("adapter"));
    let adapter = Adapter::read(&report.adapter).unwrap();
    assert_eq!(adapter.base, job.base_model.to_string_lossy());
    assert!(job.output_dir.join("adapter.gguf").is_file());
    assert_eq!(
        steps_in_metrics(&job.output_dir),
        (1..=8).collect::<Vec<_>>()
    );
    assert!(
        (report.metrics["tokens"] - 800.0).abs() < 1e-9,
        "{report:?}"
    );
    let arguments = fs::read_to_string(dir.path().join("arguments")).unwrap();
    assert!(
        arguments.starts_with("-m accelerate.commands.launch --cpu --num_processes 1 /"),
        "{arguments}"
    );
    // What is done is not done again.
    fs::write(dir.path().join("mode"), "crash").unwrap();
    let (again, losses) = train(&trainer, &job).await.unwrap();
    assert_eq!((again, losses), (report, vec![]));
}

#[tokio::test]
async fn accelerate_is_told_what_the_options_say() {
    let dir = tempfile::tempdir().unwrap();
    let python = fake_python(dir.path(), "well");
    let file = dir.path().join("fsdp.yaml");
    fs::write(&file, "").unwrap();
    for (i, (options, expected)) in [
        (
            json!({"device": "auto", "accelerate_config": file, "processes": 4, "accelerate_args": ["--main_process_port", "0"]}),
            format!("--config_file {} --num_processes 4 --main_process_port 0 ", file.display()),
        ),
        (json!({"device": "cuda:1"}), "--num_processes 1 ".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let mut job = job(dir.path(), SFT, 4);
        job.output_dir = dir.path().join(format!("out{i}"));
        let trainer = trainer(SFT, &python, options).await.unwrap();
        train(&trainer, &job).await.unwrap();
        let arguments = fs::read_to_string(dir.path().join("arguments")).unwrap();
        let rest = arguments.strip_prefix("-m accelerate.commands.launch ").unwrap();
        assert!(rest.starts_with(&expected), "{rest}");
    }
}

#[tokio::test]
async fn the_script_gets_tokens_that_end_with_the_end_of_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let python = fake_python(dir.path(), "well");
    let job = job(dir.path(), TrainMethod::Dpo, 3);
    let trainer = trainer(TrainMethod::Dpo, &python, json!({})).await.unwrap();
    train(&trainer, &job).await.unwrap();
    let text = fs::read_to_string(job.output_dir.join("trl/pairs.jsonl")).unwrap();
    let task = fs::read_to_string(job.output_dir.join("trl/job.json")).unwrap();
    let task: Value = serde_json::from_str(&task).unwrap();
    assert_eq!(
        (&task["reference"], &task["beta"]),
        (&json!(false), &json!(1.0))
    );
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let pair: Value = serde_json::from_str(line).unwrap();
        for answer in ["chosen", "rejected"] {
            assert_eq!(pair[answer].as_array().unwrap().last(), Some(&task["end"]));
        }
        assert_ne!(
            pair["prompt"].as_array().unwrap().last(),
            Some(&task["end"])
        );
    }
}

#[tokio::test]
async fn a_gguf_base_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let python = fake_python(dir.path(), "well");
    let mut job = job(dir.path(), SFT, 4);
    job.base_model = dir.path().join("model.gguf");
    fs::write(&job.base_model, "GGUF").unwrap();
    let trainer = trainer(SFT, &python, json!({})).await.unwrap();
    let error = train(&trainer, &job).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.hint.unwrap().contains("take a GGUF file"));
}

#[tokio::test]
async fn lines_that_are_no_messages_go_to_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let python = fake_python(dir.path(), "garbage");
    let job = job(dir.path(), SFT, 8);
    let trainer = trainer(SFT, &python, json!({})).await.unwrap();
    let (report, _) = train(&trainer, &job).await.unwrap();
    assert_eq!(report.steps, 8);
    let log = fs::read(job.output_dir.join("trl/log.txt")).unwrap();
    assert!(log.len() > 3_000_000 && log.starts_with(b"{\"type\": \"step\", \"step\": 1\n"));
}

#[tokio::test]
async fn an_end_without_a_result_shows_the_last_lines() {
    let dir = tempfile::tempdir().unwrap();
    let error = fails(dir.path(), "crash").await;
    assert_eq!(error.kind, ErrorKind::Internal);
    for part in ["signal: 9", "RuntimeError: the stars are wrong"] {
        assert!(error.message.contains(part), "{error}");
    }
    assert!(error.hint.unwrap().contains("trl/log.txt"));

    let dir = tempfile::tempdir().unwrap();
    let error = fails(dir.path(), "silent").await;
    assert!(error.message.ends_with("and wrote nothing"), "{error}");

    // It says that it is done, and there is no adapter.
    let dir = tempfile::tempdir().unwrap();
    let error = fails(dir.path(), "lying").await;
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn want_of_memory_or_disk_is_said_with_what_to_lower() {
    for (mode, part) in [
        ("memory", "`micro_batch`"),
        ("disk", "the last checkpoint is kept"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = fails(dir.path(), mode).await;
        assert_eq!(error.kind, ErrorKind::ResourceExhausted);
        assert!(error.hint.unwrap().contains(part));
    }
}

#[tokio::test]
async fn a_loss_that_is_no_number_names_the_step_and_keeps_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let error = fails(dir.path(), "diverging").await;
    assert_eq!(error.kind, ErrorKind::InvalidData);
    assert!(
        error.message.starts_with("the loss of step 4 is NaN"),
        "{error}"
    );
    let checkpoints = dir.path().join("out/trl/checkpoints");
    assert!(checkpoints.join("checkpoint-3/tale.json").is_file());
    assert!(!dir.path().join("out/adapter").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_was_given_up_goes_on_from_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let python = fake_python(dir.path(), "well");
    let options = json!({"checkpoint_steps": 3, "epochs": 4});
    let trainer = trainer(SFT, &python, options).await.unwrap();
    let job = job(dir.path(), SFT, 8);
    let reached = Arc::new(Notify::new());
    let signal = Arc::clone(&reached);
    let events = Events::to(move |event| {
        if matches!(event, TrainEvent::Step { step: 5, .. }) {
            signal.notify_one();
        }
    });
    tokio::select! {
        outcome = trainer.train(job.clone(), events) => panic!("it ended: {outcome:?}"),
        () = reached.notified() => {}
    }
    let (report, losses) = train(&trainer, &job).await.unwrap();
    assert_eq!(report.steps, 16);
    assert!((10..=13).contains(&losses.len()), "{losses:?}");
    assert_eq!(
        steps_in_metrics(&job.output_dir),
        (1..=16).collect::<Vec<_>>()
    );
    assert!(
        (report.metrics["tokens"] - 1600.0).abs() < 1e-9,
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_outlives_a_training_that_was_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let python = fake_python(dir.path(), "workers");
    let trainer = trainer(SFT, &python, json!({"epochs": 1000}))
        .await
        .unwrap();
    let reached = Arc::new(Notify::new());
    let signal = Arc::clone(&reached);
    let events = Events::to(move |event| {
        if matches!(event, TrainEvent::Step { step: 3, .. }) {
            signal.notify_one();
        }
    });
    tokio::select! {
        outcome = trainer.train(job(dir.path(), SFT, 8), events) => panic!("it ended: {outcome:?}"),
        () = reached.notified() => {}
    }
    let worker = dir.path().join("worker");
    let start = Instant::now();
    // The worker is in another session: only the end of its input reaches it.
    while fs::read_to_string(&worker).unwrap().trim() != "ended" {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the worker lives"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = dir.path().join("out/metrics.jsonl");
    let length = || fs::metadata(&metrics).unwrap().len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = length();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(before, length());
}

#[tokio::test]
async fn another_training_in_the_folder_is_refused_with_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let python = fake_python(dir.path(), "well");
    let job = job(dir.path(), SFT, 4);
    let first = trainer(SFT, &python, json!({})).await.unwrap();
    train(&first, &job).await.unwrap();
    let other = trainer(SFT, &python, json!({"rank": 4, "threads": 1}))
        .await
        .unwrap();
    let error = train(&other, &job).await.unwrap_err();
    assert!(
        error.message.ends_with("another training: `rank`"),
        "{error}"
    );
}
