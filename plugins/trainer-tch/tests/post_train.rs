//! `task = "post-train"` as a user runs it: recorded answers, the built library, a tiny model.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Where the library that this test was built with lies beside it.
fn deps() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

/// A folder with a tiny model, questions that are searched and others that are held out, recorded
/// answers to all of them, and a manifest.
struct Place(TempDir);

const LONG: &str = "We take it slowly, one step after the other, and so it is [[7]]";
const SHORT: &str = "It is [[7]]";

impl Place {
    /// `searched` questions, of which those from `right` on are answered wrongly.
    fn new(searched: usize, right: usize) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("base")).unwrap();
        tale_weights::testing::write_tiny_model(&place.path("base")).unwrap();
        let question = |i: usize| format!("What is {i} + 7 - {i}?");
        let (mut data, mut recorded) = (String::new(), String::new());
        for i in 0..searched + 5 {
            let line = json!({ "question": question(i), "answer": "7" });
            data.push_str(&format!("{line}\n"));
            for budget in [None, Some(20), Some(10), Some(5), Some(2), Some(1)] {
                let (text, tokens) = match budget {
                    None if i >= right && i < searched => ("It is [[8]]", 40),
                    None => (LONG, 40),
                    Some(20) => (SHORT, 12),
                    Some(_) => ("Perhaps [[9]]", 3),
                };
                let line = json!({
                    "question": question(i), "budget": budget, "completion": text,
                    "output_tokens": tokens, "trace": [],
                });
                recorded.push_str(&format!("{line}\n"));
            }
        }
        place.write("questions.jsonl", &data);
        place.write("model.jsonl", &recorded);
        place.write(
            "m.toml",
            &format!(
                r#"name = "trained"
task = "post-train"
concurrency = 2

[llm]
plugin = "replay"
name = "recorded"
prices = {{ input = 1.0, output = 2.0 }}
options = {{ path = "model.jsonl", log = "calls.log" }}

[dataset]
plugin = "jsonl"
name = "sums"
path = "questions.jsonl"
limit = {searched}

[held_out]
plugin = "jsonl"
name = "sums"
path = "questions.jsonl"
offset = {searched}

[evaluate]
methods = ["vanilla-cot", "fixed-20"]

[[trainer]]
plugin = "sft"
options = {{ device = "cpu", batch = 2, epochs = 2 }}

[[trainer]]
plugin = "dpo"
options = {{ device = "cpu", batch = 2, epochs = 1, reference = true }}

[post_train]
base = "base"

# The recorded model takes no adapter; a name that says which one it was given will do.
[post_train.adapter]
option = "model"
form = "peft"
value = "with {{path}}"
"#
            ),
        );
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let tale = deps().parent().unwrap().join("tale");
        assert!(
            tale.is_file(),
            "`{}` is not built: `cargo xtask build`",
            tale.display()
        );
        let mut command = Command::new(tale);
        command
            .args(args)
            .arg("--plugin-dir")
            .arg(deps())
            .current_dir(self.0.path())
            .env("TALE_CACHE_DIR", self.path("cache"))
            .env("NO_COLOR", "1")
            .env_remove("TALE_PLUGIN_PATH")
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn tale(&self, args: &[&str], code: i32) -> (String, String) {
        ended(&self.command(args).output().unwrap(), code)
    }

    /// How many times the recorded model was asked, over all runs.
    fn calls(&self) -> usize {
        let log = fs::read_to_string(self.path("calls.log"));
        log.map_or(0, |text| text.lines().count())
    }

    /// The one folder of a run that begins so.
    #[track_caller]
    fn stage(&self, run: &str, begins: &str) -> PathBuf {
        let found = self.stages(run, begins);
        assert_eq!(found.len(), 1, "{begins}: {found:?}");
        found[0].clone()
    }

    fn stages(&self, run: &str, begins: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(run)).into_iter().flatten();
        let named = |p: &PathBuf| {
            let name = p.file_name().unwrap().to_string_lossy().into_owned();
            name.rsplit_once('-')
                .is_some_and(|(label, _)| label == begins)
        };
        entries.map(|e| e.unwrap().path()).filter(named).collect()
    }

    fn summary(&self, run: &str) -> Value {
        serde_json::from_str(&self.read(&format!("{run}/summary.json"))).unwrap()
    }
}

#[track_caller]
fn ended(output: &Output, code: i32) -> (String, String) {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "\n{out}\n---\n{err}");
    (out, err)
}

/// Without what differs from run to run: times, and where the run lies.
fn lasting(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| {
                !["latency_s", "seconds", "tokens_per_s", "adapter"].contains(&key.as_str())
            });
            fields.values_mut().for_each(lasting);
        }
        Value::Array(items) => items.iter_mut().for_each(lasting),
        _ => {}
    }
}

#[test]
fn one_manifest_searches_trains_and_compares_and_does_nothing_twice() {
    let place = Place::new(6, 4);
    let (out, err) = place.tale(&["run", "m.toml"], 0);
    assert!(
        out.contains("tale-pt-sft") && out.contains("tale-pt-dpo"),
        "{out}"
    );
    assert!(err.contains("pairs: 4 in"), "{err}");
    // Search: 4 × 3 and 2 × 1. Base: 5 × 2. Trained: 5 each.
    assert_eq!(place.calls(), 14 + 10 + 10);

    let summary = place.summary("runs/trained");
    let methods: Vec<&str> = summary["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["method"].as_str().unwrap())
        .collect();
    assert_eq!(
        methods,
        ["vanilla-cot", "fixed-20", "tale-pt-sft", "tale-pt-dpo"]
    );
    for row in summary["rows"].as_array().unwrap() {
        assert_eq!(
            (&row["n"], &row["llm"]),
            (&json!(5), &json!("recorded")),
            "{row}"
        );
    }
    assert_eq!(summary["paired"].as_array().unwrap().len(), 3);
    let about = &summary["post_train"];
    assert_eq!(about["search"]["pairs"], 4);
    assert_eq!(about["search"]["skipped"], json!({ "vanilla-wrong": 2 }));
    let sft = &about["trainings"][0];
    assert_eq!(
        (&sft["report"]["pairs"], &sft["report"]["steps"]),
        (&json!(4), &json!(4))
    );
    assert!(sft["first_loss"].as_f64().unwrap() > 0.0, "{sft}");
    // The model was asked with the adapter, and with no budget in the prompt.
    let adapter = place.stage("runs/trained", "sft").join("adapter");
    assert!(adapter.join("adapter_model.safetensors").is_file());
    let stage = place.stage("runs/trained", "evaluate-sft");
    let manifest = fs::read_to_string(stage.join("manifest.toml")).unwrap();
    assert!(
        manifest.contains(&format!("with {}", adapter.display())),
        "{manifest}"
    );
    let samples = place.read("runs/trained/samples.jsonl");
    let trained: Vec<Value> = samples
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .filter(|l: &Value| l["method"] == "tale-pt-sft")
        .collect();
    assert_eq!(trained.len(), 5);
    for sample in &trained {
        let prompt = sample["prompt"].as_str().unwrap();
        assert!(!prompt.contains("less than"), "{prompt}");
    }
    for pair in place
        .read(&format!(
            "runs/trained/{}",
            about["search"]["pairs_file"].as_str().unwrap()
        ))
        .lines()
    {
        let pair: Value = serde_json::from_str(pair).unwrap();
        assert_eq!(
            (&pair["chosen"], &pair["rejected"]),
            (&json!(SHORT), &json!(LONG))
        );
    }
    let report = place.read("runs/trained/report.md");
    for part in [
        "paper's Table 5",
        "paper's Table 6",
        "What it took to train",
        "TALE-PT-DPO",
    ] {
        assert!(report.contains(part), "no `{part}` in\n{report}");
    }
    assert!(
        place
            .read("runs/trained/report.html")
            .contains("Post-training")
    );

    // Again: nothing is asked, nothing trained, and the report is the same.
    let (_, err) = place.tale(&["run", "m.toml"], 0);
    assert!(!err.contains("step 1 of"), "{err}");
    assert_eq!(place.calls(), 34);
    assert_eq!(place.summary("runs/trained"), summary);
    let (out, _) = place.tale(&["report", "runs/trained", "--json"], 0);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()[0], summary);
}

#[test]
fn a_changed_stage_makes_new_folders_and_the_others_are_found_again() {
    let place = Place::new(4, 4);
    place.tale(&["run", "m.toml", "--quiet"], 0);
    let calls = place.calls();
    let set = "trainer.1.options.epochs=2";
    let (_, err) = place.tale(&["run", "m.toml", "--set", set], 0);
    // Only the changed model is trained and asked again.
    assert_eq!(place.calls(), calls + 5, "{err}");
    assert_eq!(place.stages("runs/trained", "dpo").len(), 2);
    assert_eq!(place.stages("runs/trained", "evaluate-dpo").len(), 2);
    for same in ["search", "evaluate-base", "sft", "evaluate-sft"] {
        assert_eq!(place.stages("runs/trained", same).len(), 1, "{same}");
    }
    assert_eq!(
        place.summary("runs/trained")["post_train"]["trainings"][1]["report"]["steps"],
        4
    );
    // What changes no adapter makes no new training.
    place.tale(
        &[
            "run",
            "m.toml",
            "--set",
            set,
            "--set",
            "trainer.0.options.threads=1",
        ],
        0,
    );
    assert_eq!(place.stages("runs/trained", "sft").len(), 1);
    // And back: all of it is there.
    place.tale(&["run", "m.toml"], 0);
    assert_eq!(place.calls(), calls + 5);
    assert_eq!(
        place.summary("runs/trained")["post_train"]["trainings"][1]["report"]["steps"],
        2
    );
}

#[test]
fn killed_anywhere_the_same_command_goes_on_to_the_same_end() {
    let place = Place::new(6, 6);
    // Answers take time and trainings many steps, so that a kill finds something under way.
    let slow = [
        "--set",
        "llm.options.latency_ms=30",
        "--set",
        "trainer.0.options.epochs=40",
        "--set",
        "trainer.0.options.checkpoint_steps=5",
        "--set",
        "trainer.1.options.epochs=20",
        "--set",
        "trainer.1.options.checkpoint_steps=5",
    ];
    let args = |out: &'static str| {
        let mut args = vec!["run", "m.toml", "--quiet", "--no-cache", "--out", out];
        args.extend(slow);
        args
    };
    place.tale(&args("whole"), 0);
    let whole = place.calls();
    let (mut kills, mut reached) = (0, std::collections::BTreeSet::new());
    for round in 0..100 {
        let mut child = place
            .command(&args("killed"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let limit = Instant::now() + Duration::from_millis(150 + 90 * (round % 7));
        while Instant::now() < limit && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(5));
        }
        if child.try_wait().unwrap().is_none() && kills < 12 {
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            for stage in ["search", "evaluate-base", "sft", "dpo", "evaluate-dpo"] {
                if !place.stages("killed", stage).is_empty() {
                    reached.insert(stage);
                }
            }
            continue;
        }
        assert!(child.wait().unwrap().success());
        break;
    }
    assert!(kills >= 3, "{kills} kills, in {reached:?}");
    // What was under way at a kill is asked again, at most two calls each time.
    let asked = place.calls() - whole;
    assert!(
        (whole..=whole + 2 * kills).contains(&asked),
        "{asked} calls, {whole} without kills"
    );
    let summary = |run: &str| {
        let mut summary = place.summary(run);
        lasting(&mut summary);
        summary
    };
    assert_eq!(summary("killed"), summary("whole"));
    for adapter in ["sft", "dpo"] {
        let weights = |run: &str| {
            let folder: &Path = &place.stage(run, adapter);
            fs::read(folder.join("adapter/adapter_model.safetensors")).unwrap()
        };
        assert!(
            weights("killed") == weights("whole"),
            "{adapter} has other weights"
        );
    }
}

#[test]
fn an_interrupt_in_the_search_ends_with_130_and_goes_on() {
    let place = Place::new(6, 6);
    let child = place
        .command(&["run", "m.toml", "--set", "llm.options.latency_ms=400"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while place.calls() < 2 && Instant::now() < limit {
        sleep(Duration::from_millis(10));
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let (_, err) = ended(&child.wait_with_output().unwrap(), 130);
    assert!(err.contains("goes on from here"), "{err}");
    let asked = place.calls();
    place.tale(&["run", "m.toml", "--set", "llm.options.latency_ms=400"], 0);
    // Two calls at most were under way.
    assert!(place.calls() <= 18 + 20 + 2, "{asked}, {}", place.calls());
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_asked() {
    let place = Place::new(4, 4);
    let refused = |sets: &[&str], code: i32, says: &[&str]| {
        let mut args = vec!["run", "m.toml"];
        args.extend(sets.iter().flat_map(|set| ["--set", set]));
        let (_, err) = place.tale(&args, code);
        for part in says {
            assert!(err.contains(part), "no `{part}` in\n{err}");
        }
        assert_eq!(place.calls(), 0, "{err}");
    };
    refused(
        &["held_out.offset=3"],
        2,
        &["1 of the questions", "`overlap = \"drop\"`"],
    );
    refused(&["trainer.0.plugin=stf"], 2, &["did you mean `sft`?"]);
    refused(&["trainer.0.options.epoch=1"], 2, &["`epoch`", "`epochs`"]);
    refused(
        &["post_train.base=nowhere"],
        2,
        &["`nowhere`", "tale model list"],
    );
    refused(
        &["post_train.adapter.option=lore"],
        2,
        &["no option `lore`"],
    );
    refused(
        &["evaluate.methods=[\"direct\"]"],
        2,
        &["compared with `vanilla-cot`"],
    );
    refused(&["trainer.1.plugin=sft"], 2, &["label `sft`"]);
    let (out, _) = place.tale(&["run", "m.toml", "--dry-run"], 0);
    for stage in [
        "search: open",
        "evaluation of tale-pt-dpo: open",
        "10 calls",
    ] {
        assert!(out.contains(stage), "no `{stage}` in\n{out}");
    }
    assert!(!place.path("runs").exists());
}

#[test]
fn questions_that_are_held_out_can_be_left_out_of_the_pairs() {
    let place = Place::new(4, 4);
    let sets = [
        "--set",
        "held_out.offset=3",
        "--set",
        "post_train.overlap=drop",
    ];
    let mut args = vec!["run", "m.toml"];
    args.extend(sets);
    place.tale(&args, 0);
    let about = &place.summary("runs/trained")["post_train"]["search"];
    assert_eq!(about["pairs"], 3);
    assert_eq!(about["skipped"], json!({ "held-out": 1 }));
}

#[test]
fn too_few_pairs_say_why_and_keep_the_search() {
    let place = Place::new(4, 1);
    let (_, err) = place.tale(&["run", "m.toml", "--set", "post_train.min_pairs=3"], 1);
    for part in [
        "1 training pairs",
        "3 questions: the vanilla answer is wrong",
        "`limit`",
    ] {
        assert!(err.contains(part), "no `{part}` in\n{err}");
    }
    let calls = place.calls();
    place.tale(&["run", "m.toml"], 0);
    // Only the evaluations.
    assert_eq!(place.calls(), calls + 20);
    let none = Place::new(4, 0);
    let (_, err) = none.tale(&["run", "m.toml"], 1);
    assert!(err.contains("gave 0 training pairs"), "{err}");
}

#[test]
fn training_alone_needs_no_held_out_questions() {
    let place = Place::new(4, 4);
    let text = place
        .read("m.toml")
        .replace("task = \"post-train\"", "task = \"train\"");
    let (before, after) = text.split_once("[held_out]").unwrap();
    let after = after.split_once("[evaluate]").unwrap().1;
    place.write("t.toml", &format!("{before}[evaluate]{after}"));
    place.tale(&["run", "t.toml"], 0);
    assert!(
        place
            .stage("runs/trained", "sft")
            .join("adapter.gguf")
            .is_file()
    );
    assert!(place.stages("runs/trained", "evaluate-base").is_empty());
    let report = place.read("runs/trained/report.md");
    assert!(report.contains("What it took to train"), "{report}");
}

#[test]
fn the_cap_on_the_cost_counts_all_stages() {
    let place = Place::new(4, 4);
    // A call costs at most 2 × 1024 tokens' output and its prompt: the search fits, the rest not.
    let (_, err) = place.tale(&["run", "m.toml", "--max-cost", "0.0025"], 3);
    assert!(err.contains("stopped before the cap"), "{err}");
    let calls = place.calls();
    place.tale(&["run", "m.toml", "--max-cost", "1"], 0);
    assert!(place.calls() > calls);
}

#[test]
fn a_folder_of_another_task_is_refused() {
    let place = Place::new(4, 4);
    let evaluate = ["run", "m.toml", "--out", "r", "--set", "task=evaluate"];
    place.tale(&evaluate, 0);
    let (_, err) = place.tale(&["run", "m.toml", "--out", "r"], 2);
    assert!(
        err.contains("another task") && err.contains("--fresh"),
        "{err}"
    );
}
