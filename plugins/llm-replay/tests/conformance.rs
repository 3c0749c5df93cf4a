//! The built library against the suite that every plugin passes.

use std::fs;

use serde_json::json;
use tale_api::{
    ComponentKind, CreateEnv, Events, GenerateRequest, Message,
    conformance::{Sample, check, library},
    host::Plugin,
};

fn plugin() -> Plugin {
    library("tale-llm-replay").expect("the library of this package loads")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loaded_library_keeps_every_rule() {
    // With a recorded run the suite's own prompts would all be unknown, so the constant answers.
    let options =
        json!({"constant": "one two three four [[5]]", "stream": "words", "per_token_ms": 2});
    let report = check(
        &plugin(),
        ComponentKind::Llm,
        "replay",
        &Sample::new(options),
    )
    .await;
    println!("{report}");
    assert!(report.is_passed(), "{report}");
}

#[tokio::test]
async fn the_loaded_library_answers_from_a_recorded_run() {
    let folder = tempfile::tempdir().unwrap();
    let line = json!({"llm": "m", "prompt": "2+2?", "completion": "[[4]]", "input_tokens": 5, "output_tokens": 3});
    fs::write(folder.path().join("samples.jsonl"), line.to_string()).unwrap();
    let env = CreateEnv {
        base_dir: folder.path().to_owned(),
        ..CreateEnv::default()
    };
    let llm = plugin()
        .llm("replay", json!({"path": "samples.jsonl"}), &env)
        .await
        .unwrap();
    let request = GenerateRequest::new(vec![Message::user("2+2?")]);
    assert_eq!(
        llm.generate(request, Events::ignored()).await.unwrap().text,
        "[[4]]"
    );
}
