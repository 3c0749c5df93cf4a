//! What users rely on: it learns, it resumes to the same weights, it refuses what cannot be.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

mod common;

use std::{fs, path::Path, sync::Arc};

use common::{job, train, trainer};
use serde_json::json;
use tale_api::{ErrorKind, Events, TrainEvent, TrainJob, TrainMethod, Trainer as _};
use tale_llama::{Device, Drawing, Llama, Lora, Request, generate};
use tale_weights::{Model, adapter::Adapter, read_tensors, write_tensors};
use tokio::sync::Notify;

const SFT: TrainMethod = TrainMethod::Sft;

async fn refused(
    method: TrainMethod,
    options: serde_json::Value,
    job: &TrainJob,
) -> tale_api::Error {
    train(&trainer(method, options).await, job)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn supervised_training_lowers_the_loss_and_leaves_what_others_read() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), SFT, 8);
    let (report, losses) = train(&trainer(SFT, json!({"epochs": 5})).await, &job)
        .await
        .unwrap();
    assert_eq!((report.steps, report.pairs, losses.len()), (20, 8, 20));
    assert!(losses[19] < 0.8 * losses[0], "{losses:?}");
    let base = Model::open(&job.base_model).unwrap();
    Adapter::read(&report.adapter)
        .unwrap()
        .check(base.config())
        .unwrap();
    assert!(job.output_dir.join("adapter.gguf").is_file());
    let metrics = fs::read_to_string(job.output_dir.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 20);
}

#[tokio::test]
async fn preference_training_comes_to_prefer_the_chosen_answers() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), TrainMethod::Dpo, 8);
    let options = json!({"reference": true, "epochs": 5});
    let (_, losses) = train(&trainer(TrainMethod::Dpo, options).await, &job)
        .await
        .unwrap();
    // Before the first step the adapter changes nothing: both models are one, and -ln σ(0) = ln 2.
    assert!(
        (losses[0] - std::f64::consts::LN_2).abs() < 1e-4,
        "{losses:?}"
    );
    assert!(losses[19] < 0.5 * losses[0], "{losses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_was_given_up_ends_with_the_same_weights() {
    for method in [SFT, TrainMethod::Dpo] {
        let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = json!({"checkpoint_steps": 3, "epochs": 4});
        let trainer = trainer(method, options).await;
        let (report, losses) = train(&trainer, &job(whole.path(), method, 7))
            .await
            .unwrap();
        let expected = fs::read(report.adapter.join("adapter_model.safetensors")).unwrap();
        assert_eq!(losses.len(), 16);

        let job = job(cut.path(), method, 7);
        // After the step of a checkpoint, and between two.
        for stop in [3, 8] {
            let reached = Arc::new(Notify::new());
            let signal = Arc::clone(&reached);
            let events = Events::to(move |event| {
                if matches!(event, TrainEvent::Step { step, .. } if step == stop) {
                    signal.notify_one();
                    // The steps of this model take no time: wait until the call is dropped.
                    std::thread::sleep(std::time::Duration::from_millis(500));
                }
            });
            tokio::select! {
                outcome = trainer.train(job.clone(), events) => panic!("it ended: {outcome:?}"),
                () = reached.notified() => {}
            }
        }
        let (report, losses) = train(&trainer, &job).await.unwrap();
        assert!(losses.len() < 16, "it began anew");
        let found = fs::read(report.adapter.join("adapter_model.safetensors")).unwrap();
        assert!(found == expected, "{method:?}");
        let metrics = fs::read_to_string(job.output_dir.join("metrics.jsonl")).unwrap();
        let steps: Vec<u64> = metrics
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["step"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert_eq!(steps, (1..=16).collect::<Vec<_>>());
    }
}

/// The likeliest answer of the base with an adapter.
fn answer(base: &Path, adapter: &Path, question: &str, max_tokens: usize) -> String {
    let model = Model::open(base).unwrap();
    let vocabulary = model.vocabulary().unwrap();
    let prompt = format!("<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n");
    let llama = Llama::load(&model, Device::Cpu).unwrap();
    let lora = Lora::load(
        &Adapter::read(adapter).unwrap(),
        model.config(),
        Device::Cpu,
    )
    .unwrap();
    let request = Request {
        prompts: &[vocabulary.encode(&prompt).unwrap()],
        ends: &vocabulary.ends,
        max_tokens,
        batch: 1,
        drawing: Drawing::GREEDY,
    };
    let answers = generate(&llama, Some(&lora), &request, || true);
    vocabulary.decode(&answers[0].tokens).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluation_grades_the_model_as_trained_so_far_and_changes_nothing() {
    let (plain, watched) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = json!({"epochs": 3, "checkpoint_steps": 4});
    let (without, _) = train(
        &trainer(SFT, options.clone()).await,
        &job(plain.path(), SFT, 8),
    )
    .await
    .unwrap();

    // What the trained model will say to the first question is known; the second's gold is not said.
    let job = job(watched.path(), SFT, 8);
    let said = answer(&job.base_model, &without.adapter, "3 + 1?", 12);
    let questions = watched.path().join("held-out.jsonl");
    let lines = [
        json!({"prompt": "3 + 1?", "gold": said, "kind": "text"}),
        json!({"messages": [{"role": "user", "content": "4 + 4?"}], "gold": "8"}),
    ];
    fs::write(&questions, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let mut options = options;
    options["eval_questions"] = questions.to_str().unwrap().into();
    options["eval_every"] = 5.into();
    options["eval_max_tokens"] = 12.into();
    let trainer = trainer(SFT, options).await;

    // Given up after the first evaluation, and resumed.
    let reached = Arc::new(Notify::new());
    let signal = Arc::clone(&reached);
    let events = Events::to(move |event| {
        if let TrainEvent::Step {
            step: 6, metrics, ..
        } = event
        {
            assert!(!metrics.contains_key("eval_accuracy"));
            signal.notify_one();
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    });
    tokio::select! {
        outcome = trainer.train(job.clone(), events) => panic!("it ended: {outcome:?}"),
        () = reached.notified() => {}
    }
    let (report, _) = train(&trainer, &job).await.unwrap();
    let weights = |folder: &Path| fs::read(folder.join("adapter_model.safetensors")).unwrap();
    assert!(weights(&report.adapter) == weights(&without.adapter));
    assert_eq!(report.metrics["eval_accuracy"].to_bits(), 0.5_f64.to_bits());
    assert!(report.metrics["base_output_tokens"] <= 12.0);

    let metrics = fs::read_to_string(job.output_dir.join("metrics.jsonl")).unwrap();
    let lines = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    for (step, line) in (1..).zip(lines) {
        assert_eq!(
            line["eval_output_tokens"].is_number(),
            [5, 10, 12].contains(&step),
            "{line}"
        );
        assert_eq!(line["base_accuracy"].is_number(), step == 1, "{line}");
    }
}

#[tokio::test]
async fn questions_that_cannot_be_asked_are_named_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), SFT, 4);
    let file = dir.path().join("held-out.jsonl");
    let options = json!({"eval_questions": file.to_str().unwrap()});
    let error = refused(SFT, options.clone(), &job).await;
    assert_eq!(error.kind, ErrorKind::NotFound);
    for (text, line) in [
        (
            "{\"prompt\": \"1?\", \"gold\": \"1\"}\n{\"prompt\": \"2?\"}",
            Some("2"),
        ),
        (
            "{\"prompt\": \"1?\", \"gold\": \"1\", \"kind\": \"poem\"}",
            Some("1"),
        ),
        ("", None),
    ] {
        fs::write(&file, text).unwrap();
        let error = refused(SFT, options.clone(), &job).await;
        assert_eq!(error.kind, ErrorKind::InvalidData);
        assert_eq!(error.context_value("line"), line);
    }
    let long = json!({"prompt": "word ".repeat(100), "gold": "1"});
    fs::write(&file, long.to_string()).unwrap();
    let error = refused(SFT, options, &job).await;
    assert!(
        error
            .hint
            .as_deref()
            .unwrap_or_default()
            .contains("eval_max_tokens"),
        "{error}"
    );
}

#[tokio::test]
async fn a_training_that_is_done_is_not_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), SFT, 4);
    let trainer = trainer(SFT, json!({})).await;
    let (first, _) = train(&trainer, &job).await.unwrap();
    let (second, losses) = train(&trainer, &job).await.unwrap();
    assert_eq!(
        (&first.adapter, first.steps, losses),
        (&second.adapter, second.steps, vec![])
    );
    // A number that was read from JSON may differ in its last bit.
    for (name, value) in first.metrics {
        assert!(
            (second.metrics[&name] / value - 1.0).abs() < 1e-12,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_folder_of_another_training_is_refused_with_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), SFT, 4);
    train(&trainer(SFT, json!({})).await, &job).await.unwrap();
    let error = refused(SFT, json!({"rank": 4}), &job).await;
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(
        error.message.ends_with("another training: `rank`"),
        "{error}"
    );
}

#[tokio::test]
async fn two_processes_do_not_train_in_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), SFT, 4);
    fs::create_dir_all(&job.output_dir).unwrap();
    let path = job.output_dir.join("lock");
    fs::write(&path, "1").unwrap();
    let file = fs::File::open(&path).unwrap();
    file.lock().unwrap();
    let error = refused(SFT, json!({}), &job).await;
    assert!(error.message.contains("process 1"), "{error}");
}

#[tokio::test]
async fn pairs_that_cannot_be_used_are_named_by_line_or_counted() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), SFT, 4);
    let good = fs::read_to_string(&job.pairs).unwrap();

    fs::write(&job.pairs, "").unwrap();
    let error = refused(SFT, json!({}), &job).await;
    assert_eq!(error.kind, ErrorKind::InvalidData);
    assert!(error.message.contains("the file is empty"), "{error}");

    let mut other = job.clone();
    other.output_dir = dir.path().join("broken");
    fs::write(&job.pairs, format!("{good}{{\"prompt\": 3}}\n")).unwrap();
    let error = refused(SFT, json!({}), &other).await;
    assert_eq!(error.context_value("line"), Some("5"));

    other.output_dir = dir.path().join("long");
    let long = json!({"prompt": [{"role": "user", "content": "?"}], "chosen": "x".repeat(600)});
    fs::write(&job.pairs, format!("{good}{long}\n")).unwrap();
    let (report, _) = train(&trainer(SFT, json!({})).await, &other).await.unwrap();
    assert_eq!(
        (report.pairs, report.skipped["longer than the limit"]),
        (4, 1)
    );

    other.output_dir = dir.path().join("cut");
    let (report, _) = train(&trainer(SFT, json!({"too_long": "cut"})).await, &other)
        .await
        .unwrap();
    assert_eq!((report.pairs, report.skipped.len()), (5, 1));
}

#[tokio::test]
async fn a_loss_that_is_no_number_stops_the_training_and_names_the_step() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), SFT, 4);
    spoil(&job.base_model);
    let error = refused(SFT, json!({}), &job).await;
    assert!(
        error.message.starts_with("the loss of step 1 is NaN"),
        "{error}"
    );
    assert!(!job.output_dir.join("adapter").exists());
}

fn spoil(model: &Path) {
    let file = model.join("model.safetensors");
    let mut tensors: Vec<_> = read_tensors(&file).unwrap().into_iter().collect();
    for (name, array) in &mut tensors {
        if name == "model.norm.weight" {
            array.values[0] = f32::NAN;
        }
    }
    write_tensors(&file, &tensors).unwrap();
}

#[tokio::test]
async fn a_base_that_is_not_whole_or_not_itself_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), SFT, 4);
    let file = job.base_model.join("model.safetensors");
    let whole = fs::read(&file).unwrap();

    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let error = refused(SFT, json!({}), &job).await;
    assert!(error.message.contains("cut"), "{error}");

    fs::remove_file(&file).unwrap();
    let error = refused(SFT, json!({}), &job).await;
    assert_eq!(error.kind, ErrorKind::NotFound);

    fs::write(&file, &whole).unwrap();
    let config = job.base_model.join("config.json");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("\"vocab_size\":259", "\"vocab_size\":200");
    fs::write(&config, text).unwrap();
    let error = refused(SFT, json!({}), &job).await;
    assert!(
        error
            .message
            .contains("the tokenizer has 259 tokens, the weights have 200"),
        "{error}"
    );
}

#[tokio::test]
async fn a_card_that_is_not_there_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), SFT, 4);
    let error = refused(SFT, json!({"device": "cuda:99"}), &job).await;
    assert_eq!(error.kind, ErrorKind::Unavailable);
}
