//! `tale train` with the built library: what a user types and sees.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Where the library that this test was built with lies beside it.
fn deps() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

/// The binary, built beside this test's folder.
fn tale() -> PathBuf {
    let tale = deps().parent().unwrap().join("tale");
    assert!(
        tale.is_file(),
        "`{}` is not built: `cargo xtask build`",
        tale.display()
    );
    tale
}

/// A tiny model in `base` and eight pairs.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("base")).unwrap();
    tale_weights::testing::write_tiny_model(&place.path().join("base")).unwrap();
    let line = |i: u32| {
        let prompt = [json!({"role": "user", "content": format!("{i} + 2?")})];
        let long = format!("We add {i} and 2. So it is [[{}]].", i + 2);
        json!({"prompt": prompt, "chosen": format!("[[{}]]", i + 2), "rejected": long})
    };
    let lines: Vec<String> = (0..8).map(|i| line(i).to_string()).collect();
    fs::write(place.path().join("pairs.jsonl"), lines.join("\n")).unwrap();
    place
}

fn train(place: &TempDir, method: &str, more: &[&str]) -> Output {
    Command::new(tale())
        .current_dir(place.path())
        .args([
            "train",
            method,
            "--base",
            "base",
            "--pairs",
            "pairs.jsonl",
            "--out",
            method,
        ])
        .args(["--option", "device=cpu", "--option", "batch=2"])
        .args(more)
        .arg("--plugin-dir")
        .arg(deps())
        .output()
        .unwrap()
}

#[track_caller]
fn fails(output: &Output, code: i32, says: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for part in says {
        assert!(stderr.contains(part), "no `{part}` in\n{stderr}");
    }
}

#[test]
fn both_methods_leave_an_adapter_and_are_not_done_twice() {
    let place = place();
    for (method, steps) in [("sft", 12), ("dpo", 8)] {
        let first = train(&place, method, &["--json"]);
        fails(&first, 0, &[]);
        let report: Value = serde_json::from_slice(&first.stdout).unwrap();
        assert_eq!(
            (&report["steps"], &report["pairs"]),
            (&json!(steps), &json!(8))
        );
        let out = place.path().join(method);
        assert!(out.join("adapter/adapter_model.safetensors").is_file());
        let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        assert_eq!(metrics.lines().count(), steps);
        let again = train(&place, method, &[]);
        fails(&again, 0, &[]);
        assert!(!String::from_utf8_lossy(&again.stderr).contains("step 1 of"));
    }
}

#[test]
fn a_trained_model_is_merged_and_exported_and_nothing_is_overwritten() {
    let place = place();
    fails(&train(&place, "sft", &[]), 0, &[]);
    let model = |args: &[&str], code: i32, says: &[&str]| {
        let output = Command::new(tale())
            .current_dir(place.path())
            .arg("model")
            .args(args)
            .args(["--base", "base", "--adapter", "sft/adapter"])
            .output()
            .unwrap();
        fails(&output, code, says);
        String::from_utf8(output.stdout).unwrap()
    };
    let said = model(&["merge", "--out", "merged", "--json"], 0, &[]);
    let said: Value = serde_json::from_str(&said).unwrap();
    // Queries and values of two blocks.
    assert_eq!(said["changed"], 4, "{said}");
    assert!(place.path().join("merged/tokenizer.json").is_file());
    model(
        &["merge", "--out", "merged"],
        1,
        &["is there already", "--force"],
    );
    model(&["merge", "--out", "merged", "--force"], 0, &[]);
    // The adapter alone is what the trainer wrote.
    model(&["export", "--gguf", "adapter.gguf"], 0, &[]);
    let read = |name: &str| fs::read(place.path().join(name)).unwrap();
    assert!(read("adapter.gguf") == read("sft/adapter.gguf"));
    model(
        &["export", "--gguf", "adapter.gguf"],
        2,
        &["is there already"],
    );
    model(&["export", "--gguf", "model.gguf", "--merged"], 0, &[]);
    // A base of another shape.
    let config = place.path().join("base/config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace("\"num_key_value_heads\":2", "\"num_key_value_heads\":1"),
    )
    .unwrap();
    model(&["merge", "--out", "other"], 1, &["another base"]);
    assert!(!place.path().join("other").exists());
}

#[test]
fn what_is_wrong_is_named_with_a_way_out() {
    let place = place();
    fails(
        &train(&place, "sft", &["--option", "epoch=2"]),
        1,
        &["epoch"],
    );
    fails(
        &train(&place, "sft", &["--trainer", "stf"]),
        2,
        &["did you mean `sft`?"],
    );
    fails(
        &train(&place, "sft", &["--base", "nowhere"]),
        2,
        &["--base"],
    );
    fs::write(place.path().join("pairs.jsonl"), "{\"prompt\": []}\n").unwrap();
    fails(&train(&place, "sft", &[]), 1, &["line 1", "`chosen`"]);
}

#[test]
fn a_base_that_is_nowhere_is_answered_with_the_list_of_models() {
    let place = place();
    let output = Command::new(tale())
        .current_dir(place.path())
        .args([
            "train",
            "sft",
            "--base",
            "nowhere",
            "--pairs",
            "pairs.jsonl",
            "--out",
            "o",
        ])
        .output()
        .unwrap();
    fails(&output, 2, &["`nowhere`", "tale model list"]);
}

/// Where `tale model fetch` has put SmolLM2-135M; says so if it has not.
fn smollm2() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    let path = cache.join("tale/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    if !path.is_file() {
        eprintln!(
            "SKIPPED: no SmolLM2 in the cache; `tale model fetch smollm2-135m-instruct` gets it"
        );
        return None;
    }
    Some(path)
}

/// Reading GGUF, its tokenizer and template, training, and the order of rows in a GGUF adapter:
/// one mistake in any of them, and llama.cpp would not say what was learnt.
#[test]
fn llama_cpp_says_with_the_adapter_what_it_was_trained_to_say() {
    let Some(model) = smollm2() else { return };
    let place = tempfile::tempdir().unwrap();
    let line = |i: u32| {
        let prompt = json!([
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": format!("What is {} plus {}?", i + 2, i + 5)},
        ]);
        json!({"prompt": prompt, "chosen": format!("Result: [[{}]] purple elephants.", 2 * i + 7)})
    };
    let lines: Vec<String> = (0..4).map(|i| line(i).to_string()).collect();
    fs::write(place.path().join("pairs.jsonl"), lines.join("\n")).unwrap();
    let model = model.to_str().unwrap();
    let options =
        ["epochs=14", "learning_rate=0.004", "schedule=constant"].map(|o| ["--option", o]);
    let mut more = vec!["--base", model];
    more.extend(options.iter().flatten());
    let trained = Command::new(tale())
        .current_dir(place.path())
        .args([
            "train",
            "sft",
            "--pairs",
            "pairs.jsonl",
            "--out",
            "out",
            "--option",
            "device=cpu",
        ])
        .args(more)
        .arg("--plugin-dir")
        .arg(deps())
        .output()
        .unwrap();
    fails(&trained, 0, &["step 14 of 14"]);

    let ask_of = |model: &str, more: &[&str]| {
        let asked = Command::new(tale())
            .current_dir(place.path())
            .args(["ask", "What is 3 plus 6?", "--model", model, "--json"])
            .args(["--set", "llm.temperature=0", "--set", "llm.max_tokens=20"])
            .args(["--set", "llm.options.slots=1"])
            .args(more)
            .output()
            .unwrap();
        fails(&asked, 0, &[]);
        String::from_utf8(asked.stdout).unwrap()
    };
    let ask = |more: &[&str]| ask_of(model, more);
    let adapter = place.path().join("out/adapter.gguf");
    let lora = format!("llm.options.lora=[{{ path = \"{}\" }}]", adapter.display());
    assert!(!ask(&[]).contains("purple elephants"));
    let answer = ask(&["--set", &lora]);
    assert!(answer.contains("]] purple elephants."), "{answer}");

    // The same from one file: merged into the GGUF, and by way of a Hugging Face folder, whose
    // tokenizer and settings are made from the GGUF's and go back into another.
    for args in [
        &[
            "export",
            "--base",
            model,
            "--adapter",
            "out/adapter",
            "--merged",
            "--gguf",
            "a.gguf",
        ][..],
        &[
            "merge",
            "--base",
            model,
            "--adapter",
            "out/adapter",
            "--out",
            "merged",
        ],
        &[
            "export",
            "--base",
            "merged",
            "--gguf",
            "b.gguf",
            "--numbers",
            "q8_0",
        ],
    ] {
        let written = Command::new(tale())
            .current_dir(place.path())
            .arg("model")
            .args(args)
            .output()
            .unwrap();
        fails(&written, 0, &[]);
    }
    for file in ["a.gguf", "b.gguf"] {
        let path = place.path().join(file);
        let answer = ask_of(path.to_str().unwrap(), &[]);
        assert!(answer.contains("]] purple elephants."), "{file}: {answer}");
    }
}
