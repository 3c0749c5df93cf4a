//! Both directions of the promise of `docs/abi.md`: what was built against the first tagged
//! `tale-api` works with today's host, and what is built today works with the host of that tag.
//!
//! `compat/tale-api-0.1.0.crate` is what `cargo package` made of the tag `tale-api-v0.1.0`. It is
//! unpacked and built below the target folder, once, together with a plugin and a host of its time.

#![expect(
    clippy::unwrap_used,
    reason = "a test, also where it is a helper of one"
)]

#[path = "boundary/built.rs"]
mod built;

use std::{
    env::consts,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use serde_json::{Value, json};
use tale_api::{
    ComponentKind, CreateEnv, Effort, ErrorKind, EstimateRequest, Events, GenerateRequest, Message,
    ReasoningBudget, TrainJob,
    conformance::{Sample, check},
    host::{LoadPolicy, Plugin},
};

/// What was built from the archive.
struct Old {
    plugin: PathBuf,
    host: PathBuf,
}

/// Builds the archive's plugin and host, unless that is done.
fn old() -> Old {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat");
    // …/target/PROFILE/deps/this-test
    let exe = std::env::current_exe().unwrap();
    let place = exe.ancestors().nth(3).unwrap().join("compat");
    let source = place.join("source");
    fs::create_dir_all(&source).unwrap();
    // Each test is a process of its own, and all want this.
    let lock = File::create(place.join("lock")).unwrap();
    lock.lock().unwrap();
    let archive = "tale-api-0.1.0.crate";
    if copy_if_changed(&here.join(archive), &source.join(archive)) {
        let _ = fs::remove_dir_all(source.join("tale-api-0.1.0"));
        let mut tar = Command::new("tar");
        let status = tar.arg("-xzf").arg(archive).current_dir(&source).status();
        assert!(status.unwrap().success(), "the archive does not unpack");
    }
    for file in [
        "Cargo.toml",
        "plugin/Cargo.toml",
        "plugin/src/lib.rs",
        "host/Cargo.toml",
        "host/src/main.rs",
    ] {
        copy_if_changed(&here.join(file), &source.join(file));
    }
    // The same versions of everything else as in the workspace: they are here already, so nothing is
    // fetched. Cargo prunes its copy, hence the second one to compare with.
    let locked = here.join("../../../Cargo.lock");
    if copy_if_changed(&locked, &source.join("Cargo.lock.of-the-workspace")) {
        fs::copy(&locked, source.join("Cargo.lock")).unwrap();
    }
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--target-dir"])
        .arg(place.join("target"))
        .current_dir(&source)
        .status()
        .unwrap();
    assert!(
        status.success(),
        "what was written for 0.1.0 does not build"
    );
    let built = place.join("target/debug");
    let (prefix, suffix) = (consts::DLL_PREFIX, consts::DLL_SUFFIX);
    Old {
        plugin: built.join(format!("{prefix}compat_plugin{suffix}")),
        host: built.join(format!("compat-host{}", consts::EXE_SUFFIX)),
    }
}

/// Leaves a file that is the same alone, so that cargo sees no change.
fn copy_if_changed(from: &Path, to: &Path) -> bool {
    let content = fs::read(from).unwrap();
    if fs::read(to).is_ok_and(|there| there == content) {
        return false;
    }
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, content).unwrap();
    true
}

fn loaded() -> Plugin {
    Plugin::load(&old().plugin, &LoadPolicy::default()).unwrap()
}

#[test]
fn a_plugin_of_the_first_tag_says_its_version_of_the_protocol() {
    let found = Plugin::inspect(&old().plugin).unwrap();
    assert_eq!(found.abi.to_string(), "1.0");
    assert_eq!(found.manifest.version, "0.3.7");
    assert_eq!(found.manifest.components.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_of_the_first_tag_keeps_every_rule_of_today() {
    let plugin = loaded();
    let dir = tempfile::tempdir().unwrap();
    let pairs = dir.path().join("pairs.jsonl");
    fs::write(&pairs, "{}\n".repeat(40)).unwrap();
    let mut training = Sample::new(json!({}));
    training.training = Some(TrainJob {
        pairs,
        output_dir: dir.path().join("out"),
        ..TrainJob::default()
    });
    for (kind, name, sample) in [
        (
            ComponentKind::Llm,
            "echo",
            Sample::new(json!({"delay_ms": 1})),
        ),
        (ComponentKind::Estimator, "asking", Sample::new(json!({}))),
        (ComponentKind::Feasibility, "greedy", Sample::new(json!({}))),
        (ComponentKind::Dataset, "counting", Sample::new(json!({}))),
        (ComponentKind::Trainer, "stepping", training),
    ] {
        let report = check(&plugin, kind, name, &sample).await;
        assert!(report.is_passed(), "{report}");
    }
}

#[tokio::test]
async fn a_plugin_of_the_first_tag_ignores_what_a_request_has_got_since() {
    let llm = loaded()
        .llm("echo", json!({}), &CreateEnv::default())
        .await
        .unwrap();
    let mut request = GenerateRequest::new(vec![Message::user("three words here")]);
    request.reasoning = Some(ReasoningBudget {
        effort: Some(Effort::Low),
        max_tokens: Some(9),
    });
    let completion = llm
        .generate(request.clone(), Events::ignored())
        .await
        .unwrap();
    assert_eq!(completion.text, "three words here");
    assert_eq!(completion.service_tier, None);
    request.stop = vec!["panic".to_owned()];
    let error = llm.generate(request, Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Panicked);
    assert!(error.message.contains("as it was asked to"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_estimator_of_the_first_tag_asks_a_model_of_today() {
    let estimator = loaded()
        .estimator("asking", json!({}), &CreateEnv::default())
        .await
        .unwrap();
    // Its answer holds all that a later version may add.
    let later = built::plugin()
        .llm(
            "raw",
            json!({"mode": "of-a-later-version"}),
            &CreateEnv::default(),
        )
        .await
        .unwrap();
    for _ in 0..50 {
        let request = EstimateRequest {
            text: "x".to_owned(),
            ..EstimateRequest::default()
        };
        let estimate = estimator
            .estimate(request, Arc::clone(&later))
            .await
            .unwrap();
        assert_eq!(estimate.budget, Some(7));
        assert_eq!(estimate.raw.as_deref(), Some("hello"));
    }
}

/// Runs the host of the first tag, which must exit well.
fn with_the_old_host(arguments: &[&str]) -> String {
    let output = Command::new(old().host).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}\n{errors}");
    text
}

#[test]
fn a_plugin_of_today_keeps_every_rule_of_the_first_tag_on_its_host() {
    let library = built::hostile();
    let library = library.to_str().unwrap();
    for (kind, name, options) in [
        ("llm", "echo", r#"{"delay_ms": 1}"#),
        ("estimator", "asking", "{}"),
        ("feasibility", "greedy", "{}"),
        ("dataset", "counting", r#"{"size": 400}"#),
        // Without a training, three of its rules are skipped there.
        ("trainer", "stepping", "{}"),
    ] {
        let report = with_the_old_host(&["check", library, kind, name, options]);
        assert!(report.contains(" 0 failed"), "{report}");
    }
}

#[test]
fn a_host_of_the_first_tag_ignores_what_a_plugin_of_a_later_version_adds() {
    let library = built::hostile();
    let options = r#"{"mode": "of-a-later-version"}"#;
    let found = with_the_old_host(&["ask", library.to_str().unwrap(), "raw", options]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["completion"]["text"], "hello");
    assert_eq!(found["completion"]["finish_reason"], "other");
    assert_eq!(found["completion"]["usage"]["output_tokens"], 7);
    assert_eq!(found["info"]["model"], "later");
    assert_eq!(found["info"]["capabilities"]["seed"], true);
    assert_eq!(found["info"]["capabilities"].get("telepathy"), None);
    let kinds: Vec<_> = found["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["type"])
        .collect();
    // What it does not know is handed on as unknown, and the delta among it is heard.
    assert_eq!(kinds, ["unknown", "unknown", "delta"]);
    assert_eq!(found["counted"], json!({"Err": "unsupported"}));
}
