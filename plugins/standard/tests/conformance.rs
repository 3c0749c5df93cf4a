//! Every component against the suite that every plugin passes.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tale_api::{
    ComponentKind::{self, Dataset, Estimator, Feasibility},
    conformance::{Sample, check},
    host::Plugin,
};
use tale_plugin_standard::estimator::{
    LearnedKind::{self, Knn, Regression},
    LearnedModel, Training,
};

/// A model file that has learned from two questions.
fn model(dir: &tempfile::TempDir, kind: LearnedKind) -> PathBuf {
    let how = Training {
        kind,
        ..Training::default()
    };
    let questions = [
        ("2 apples. How many?", 20),
        ("3 pears and 4 plums. How many?", 45),
    ];
    let model = LearnedModel::train(&questions, how).expect("there are questions");
    let path = dir.path().join(format!("{}.json", kind.as_str()));
    std::fs::write(&path, model.to_json()).expect("a temporary file can be written");
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_component_keeps_every_rule() {
    let plugin = Plugin::linked(&tale_plugin_standard::PLUGIN).unwrap();
    let gsm8k = "gsm8k-test-200.jsonl";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zero.jsonl");
    let lines = "{\"question\": \"2 apples. How many?\", \"answer\": 2.0}\n".repeat(30);
    std::fs::write(&path, lines.trim_end()).unwrap();
    let questions = json!([{"text": "2+2?", "gold": "4"}, {"text": "3+3?", "gold": "6"}]);
    let folder = published();
    let mathbench = folder.path().join("mathbench_v1");
    let choices = json!({"path": mathbench, "levels": ["middle"], "circular": true});
    let at = |name: &str| json!({"path": folder.path().join(name)});
    let table = json!({"path": gsm8k, "gold_after": "####"});
    let cases: Vec<(ComponentKind, &str, Value)> = vec![
        (Dataset, "gsm8k", json!({"path": gsm8k})),
        (Dataset, "gsm8k-zero", json!({"path": path})),
        (Dataset, "inline", json!({"questions": questions})),
        (Dataset, "mathbench", choices),
        (Dataset, "gpqa", at("gpqa.csv")),
        (Dataset, "mbpp", at("mbpp.jsonl")),
        (Dataset, "code-summary", at("summaries.jsonl")),
        (Dataset, "empathetic-dialogues", at("dialogues.csv")),
        (Dataset, "table", table.clone()),
        (Dataset, "jsonl", table),
        (Estimator, "zero-shot", json!({})),
        (Estimator, "fixed", json!({"budget": 50})),
        (Estimator, "none", json!({})),
        (
            Estimator,
            "regression",
            json!({"path": model(&dir, Regression)}),
        ),
        (Estimator, "knn", json!({"path": model(&dir, Knn)})),
        (Feasibility, "greedy", json!({})),
        (Feasibility, "correct", json!({})),
        (Feasibility, "majority", json!({})),
    ];
    let offered: Vec<_> = plugin
        .manifest()
        .components
        .iter()
        .map(|c| (c.kind, c.name.as_str()))
        .collect();
    let checked: Vec<_> = cases.iter().map(|(kind, name, _)| (*kind, *name)).collect();
    assert_eq!(checked, offered, "a component without a case here");
    for (kind, name, options) in cases {
        let mut sample = Sample::new(options);
        sample.env.base_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data");
        let report = check(&plugin, kind, name, &sample).await;
        println!("{report}");
        assert!(report.is_passed(), "{report}");
    }
}

/// Small files in the published layouts.
fn published() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, head: &str, line: &dyn Fn(usize) -> String| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("room for a folder");
        let lines: Vec<String> = (1..=30).map(line).collect();
        std::fs::write(path, format!("{head}{}\n", lines.join("\n"))).expect("room for a file");
    };
    for language in ["en", "cn"] {
        write(
            &format!("mathbench_v1/middle/single_choice_{language}.jsonl"),
            "",
            &|n| {
                format!(r#"{{"question": "q{n}", "options": ["a", "b", "c", "d"], "answer": "C"}}"#)
            },
        );
    }
    write(
        "gpqa.csv",
        "Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\n",
        &|n| {
            format!(
                "rec{n},\"Which, of these?\nTell.\",right,wrong,wronger,\"the \"\"wrongest\"\"\""
            )
        },
    );
    write("mbpp.jsonl", "", &|n| {
        format!(
            r#"{{"task_id": {n}, "text": "t", "code": "def f(): pass", "test_list": ["assert f()"]}}"#
        )
    });
    write("summaries.jsonl", "", &|_| {
        r#"{"language": "go", "code_tokens": ["func", "F"], "docstring_tokens": ["Does", "F"]}"#
            .to_owned()
    });
    write("dialogues.csv", "conv_id,utterance_idx,utterance\n", &|n| {
        format!("hit:{},{},I am \"sad\"_comma_ so", n.div_ceil(3), n % 3)
    });
    folder
}
