//! `tale run` with the built library: what a user types and sees.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

mod common;

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;
use tempfile::TempDir;

/// Where the library that this test was built with lies beside it.
fn deps() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

/// Runs `tale`, which is built beside this test's folder; gives its exit code, stdout and stderr.
fn tale(place: &TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    let tale = deps().parent().unwrap().join("tale");
    assert!(
        tale.is_file(),
        "`{}` is not built: `cargo xtask build`",
        tale.display()
    );
    let output = Command::new(tale)
        .current_dir(place.path())
        .args(arguments)
        .arg("--plugin-dir")
        .arg(deps())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A tiny model and a manifest that asks it three questions by three methods.
fn manifest() -> TempDir {
    let place = common::place();
    fs::write(
        place.path().join("m.toml"),
        r#"
            name = "tiny"
            concurrency = 3
            [llm]
            plugin = "llama-tch"
            model = "base"
            max_tokens = 12
            options = { device = "cpu", threads = 1, context = 512 }
            [dataset]
            plugin = "inline"
            options = { questions = [{ text = "1 + 1?", gold = "2" }, { text = "3 - 1?", gold = "2" }, { text = "2 * 1?", gold = "2" }] }
        "#,
    )
    .unwrap();
    place
}

#[test]
fn a_run_answers_every_question_by_every_method() {
    let place = manifest();
    let (code, stdout, stderr) = tale(&place, &["run", "m.toml", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    let rows = summary["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!((&row["n"], &row["errors"]), (&3.into(), &0.into()), "{row}");
    }
    let samples = fs::read_to_string(place.path().join("runs/tiny/samples.jsonl")).unwrap();
    let samples: Vec<Value> = samples
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(samples.len(), 9);
    assert!(
        samples
            .iter()
            .all(|s| s["output_tokens"].as_u64().unwrap() <= 12)
    );
}

#[test]
fn an_option_that_is_wrong_is_named_with_a_way_out() {
    let place = manifest();
    for (out, set, says) in [
        ("a", "llm.options.device=\"cuda:99\"", "cuda:99"),
        ("b", "llm.options.slot=2", "slots"),
        ("c", "llm.model=\"nowhere\"", "tale model list"),
        ("d", "llm.options.lora=[{ name = \"sft\" }]", "`adapters`"),
    ] {
        // A folder for each: a run that failed is still a run of its manifest.
        let (code, _, stderr) = tale(&place, &["run", "m.toml", "--set", set, "--out", out]);
        assert!(code.is_some_and(|code| code > 0), "{set}: {stderr}");
        assert!(stderr.contains(says), "{set}: {stderr}");
    }
}
