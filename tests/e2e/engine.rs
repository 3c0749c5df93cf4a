//! The whole path with a real model: `tale`, the loaded llama.cpp plugin, `SmolLM2`.

use crate::support::{Place, model};

const SMOL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// A manifest `m.toml` that asks `SmolLM2` two short questions. One thread, since the tests share
/// the cores.
fn smol(questions: &[&str], max_tokens: u32, context: u32) -> Option<Place> {
    let Some(path) = model(SMOL) else {
        eprintln!("skipped: `tale model fetch smollm2-135m-instruct` first");
        return None;
    };
    let place = Place::new();
    let questions: Vec<String> = questions
        .iter()
        .map(|q| format!("{{ text = {q:?}, gold = \"2\" }}"))
        .collect();
    place.write(
        "m.toml",
        &format!(
            "name = \"smol\"\nconcurrency = 4\n[llm]\nplugin = \"llama-cpp\"\nname = \"smol\"\nmodel = \"{}\"\n\
             max_tokens = {max_tokens}\noptions = {{ threads = 1, slots = 4, context = {context} }}\n\
             [dataset]\nplugin = \"inline\"\noptions = {{ questions = [{}] }}\n",
            path.display(),
            questions.join(", ")
        ),
    );
    Some(place)
}

#[test]
fn a_real_model_answers_by_every_method() {
    let Some(place) = smol(&["What is 1 + 1?", "What is 3 - 1?"], 24, 512) else {
        return;
    };
    let summary = place.tale(&["run", "m.toml", "--json"]).code(0).json();
    let rows = summary["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!((&row["n"], &row["errors"]), (&2.into(), &0.into()), "{row}");
        assert!(row["output_tokens"].as_f64().unwrap() > 0.0, "{row}");
    }
    let samples = place.lines("runs/smol/samples.jsonl");
    // Two prompts that begin alike pay once for what they share.
    let cached: u64 = samples
        .iter()
        .filter_map(|s| s["cached_input_tokens"].as_u64())
        .sum();
    assert!(cached > 0, "no prefix was shared");
    for sample in &samples {
        let tokens = sample["output_tokens"].as_u64().unwrap();
        assert!(tokens <= 24, "{sample}");
        if tokens == 24 {
            assert_eq!(sample["finish_reason"], "length", "{sample}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_texts_beside_other_company() {
    let Some(place) = smol(&["What is 1 + 1?", "What is 3 - 1?"], 24, 512) else {
        return;
    };
    place
        .tale(&["run", "m.toml", "--no-cache", "--out", "a"])
        .code(0);
    place
        .tale(&[
            "run",
            "m.toml",
            "--no-cache",
            "--out",
            "b",
            "--set",
            "concurrency=1",
        ])
        .code(0);
    let texts = |run: &str| -> Vec<String> {
        let lines = place.lines(&format!("{run}/samples.jsonl"));
        lines.iter().map(|s| s["completion"].to_string()).collect()
    };
    assert_eq!(texts("a"), texts("b"));
}

#[test]
fn a_question_longer_than_the_context_fails_alone() {
    let long = "one and ".repeat(400);
    let Some(place) = smol(&[&long, "What is 1 + 1?"], 8, 256) else {
        return;
    };
    let ran = place
        .tale(&["run", "m.toml", "--set", "evaluate.methods=[\"direct\"]"])
        .code(3);
    assert!(
        ran.stderr.contains("1 of 2 samples failed"),
        "{}",
        ran.stderr
    );
    let failed: Vec<_> = place
        .lines("runs/smol/samples.jsonl")
        .into_iter()
        .filter(|s| !s["error"].is_null())
        .collect();
    assert_eq!(failed.len(), 1);
    let error = failed[0]["error"].to_string();
    assert!(error.contains("256"), "{error}");
}
