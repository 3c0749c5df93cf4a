//! What goes wrong in the middle of a training: the last good checkpoint is kept, and is enough.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use common::{job, train, trainer};
use serde_json::json;
use tale_api::{ErrorKind, Events, TrainEvent, TrainMethod, Trainer as _};
use tale_weights::{read_tensors, write_tensors};
use tokio::sync::Notify;

const SFT: TrainMethod = TrainMethod::Sft;

/// Every file of the checkpoints, with its bytes.
fn checkpoints(output: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in fs::read_dir(output.join("checkpoints")).unwrap().flatten() {
        if !folder.file_name().to_string_lossy().starts_with("step-") {
            continue;
        }
        for file in fs::read_dir(folder.path()).unwrap().flatten() {
            files.push((file.path(), fs::read(file.path()).unwrap()));
        }
    }
    files.sort();
    files
}

/// Turns a weight of the model into no number, or back.
fn set_weight(model: &Path, value: f32) {
    let file = model.join("model.safetensors");
    let mut tensors: Vec<_> = read_tensors(&file).unwrap().into_iter().collect();
    for (name, array) in &mut tensors {
        if name == "model.norm.weight" {
            array.values[0] = value;
        }
    }
    write_tensors(&file, &tensors).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_that_turns_no_number_leaves_the_last_checkpoint_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let trainer = trainer(SFT, json!({"checkpoint_steps": 3, "epochs": 4})).await;
    let job = job(dir.path(), SFT, 8);
    let reached = Arc::new(Notify::new());
    let signal = Arc::clone(&reached);
    let events = Events::to(move |event| {
        if matches!(event, TrainEvent::Checkpoint { .. }) {
            signal.notify_one();
            // The steps of this model take no time: wait until the call is dropped.
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    });
    tokio::select! {
        outcome = trainer.train(job.clone(), events) => panic!("it ended: {outcome:?}"),
        () = reached.notified() => {}
    }
    set_weight(&job.base_model, f32::NAN);
    let before = checkpoints(&job.output_dir);
    let error = train(&trainer, &job).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidData);
    assert!(
        error.message.starts_with("the loss of step 4 is NaN"),
        "{error}"
    );
    assert!(!before.is_empty() && checkpoints(&job.output_dir) == before);
    // And the training goes on from it once the model is itself again.
    set_weight(&job.base_model, 1.0);
    let (report, losses) = train(&trainer, &job).await.unwrap();
    assert_eq!((report.steps, losses.len()), (16, 13));
}

/// A file system of a hundred kilobytes; in a namespace of this test's own, which runs itself there.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_a_checkpoint_is_said_and_the_training_goes_on_after_it() {
    const INNER: &str = "TALE_TEST_SMALL_DISK";
    let Some(disk) = std::env::var_os(INNER).map(PathBuf::from) else {
        let dir = tempfile::tempdir().unwrap();
        let name = "a_full_disk_at_a_checkpoint_is_said_and_the_training_goes_on_after_it";
        let mounted = "mount -t tmpfs -o size=100k none \"$0\" && exec \"$@\"";
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", mounted])
            .arg(dir.path())
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(INNER, dir.path())
            .output();
        match output {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout);
                assert!(text.contains("1 passed"), "{text}");
            }
            Ok(output) if String::from_utf8_lossy(&output.stdout).contains("running") => {
                panic!(
                    "{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            other => eprintln!("SKIPPED: no file system can be mounted here ({other:?})"),
        }
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let options = json!({"checkpoint_steps": 2, "epochs": 4});
    let trainer = trainer(SFT, options).await;
    let whole = job(place.path(), SFT, 8);
    let (report, _) = train(&trainer, &whole).await.unwrap();
    let expected = fs::read(report.adapter.join("adapter_model.safetensors")).unwrap();

    let mut job = whole.clone();
    job.output_dir = disk.join("out");
    // The rest of the disk but for one checkpoint is another's.
    let size: usize = checkpoints(&whole.output_dir)
        .iter()
        .map(|(_, bytes)| bytes.len())
        .sum::<usize>()
        / 2;
    let free = 100 * 1024 - 2 * size - 16 * 1024;
    fs::write(disk.join("of-another"), vec![1; free]).unwrap();
    let error = train(&trainer, &job).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ResourceExhausted, "{error}");
    assert!(error.hint.as_ref().unwrap().contains("space") || error.message.contains("no space"));
    assert!(!checkpoints(&job.output_dir).is_empty());
    assert!(!job.output_dir.join("adapter").exists());

    let more = Command::new("mount")
        .args(["-o", "remount,size=4m"])
        .arg(&disk)
        .status()
        .unwrap();
    assert!(more.success());
    let (report, losses) = train(&trainer, &job).await.unwrap();
    assert!(losses.len() < 16, "it began anew");
    let found = fs::read(report.adapter.join("adapter_model.safetensors")).unwrap();
    assert!(found == expected);
}
