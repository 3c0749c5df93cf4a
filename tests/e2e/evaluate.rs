//! `tale run` on a model that always answers the same, and what it leaves.

use crate::support::{Place, repository};

#[test]
fn a_run_leaves_what_its_contract_names() {
    let place = Place::with_constant(10, 0);
    let ran = place.tale(&["run", "m.toml"]).code(0);
    assert!(ran.stdout.contains("vanilla-cot"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("report: runs/test/report.html"),
        "{}",
        ran.stdout
    );
    for file in [
        "manifest.toml",
        "run.sqlite",
        "samples.jsonl",
        "summary.json",
        "report.md",
        "report.html",
    ] {
        assert!(place.path("runs/test").join(file).is_file(), "no {file}");
    }
    let samples = place.lines("runs/test/samples.jsonl");
    assert_eq!(samples.len(), 30);
    for key in [
        "id",
        "llm",
        "dataset",
        "method",
        "question",
        "gold",
        "prompt",
        "completion",
        "answer",
        "correct",
        "budget",
        "input_tokens",
        "cached_input_tokens",
        "output_tokens",
        "estimate_input_tokens",
        "estimate_output_tokens",
        "cost_usd",
        "latency_s",
        "finish_reason",
        "error",
    ] {
        assert!(
            samples[0].get(key).is_some(),
            "no `{key}` in {}",
            samples[0]
        );
    }
    let tale_ep = samples
        .iter()
        .find(|s| s["method"] == "tale-ep")
        .expect("a TALE-EP sample");
    // The constant answer is also the estimate: `[[7]]`.
    assert_eq!(tale_ep["budget"], 7);
    let prompt = tale_ep["prompt"].as_str().expect("a prompt");
    assert!(prompt.contains("and use less than 7 tokens:"), "{prompt}");
    assert_eq!(tale_ep["correct"], true);
}

#[test]
fn a_summary_counts_the_estimate_and_prices_every_call() {
    let place = Place::with_constant(6, 0);
    let summary = place.tale(&["run", "m.toml", "--json"]).code(0).json();
    let rows = summary["rows"].as_array().expect("rows");
    let row = |method: &str| {
        rows.iter()
            .find(|r| r["method"] == method)
            .expect("a row")
            .clone()
    };
    let (vanilla, tale_ep) = (row("vanilla-cot"), row("tale-ep"));
    assert_eq!(
        (&vanilla["n"], &vanilla["accuracy"]),
        (&6.into(), &1.0.into())
    );
    let tokens = vanilla["output_tokens"].as_f64().expect("tokens");
    assert_eq!(tale_ep["output_tokens"].as_f64(), Some(tokens));
    assert_eq!(tale_ep["all_output_tokens"].as_f64(), Some(2.0 * tokens));
    let cost = |r: &serde_json::Value| r["expense_1e5_usd"].as_f64().expect("a cost");
    assert!(
        cost(&tale_ep) > 1.5 * cost(&vanilla),
        "{} {}",
        cost(&tale_ep),
        cost(&vanilla)
    );
    // 6 direct, 6 vanilla, 6 estimates, 6 answers under a budget.
    assert_eq!(summary["totals"]["calls"], 24);
}

#[test]
fn an_estimate_without_a_number_falls_back_as_the_manifest_says() {
    let place = Place::with_constant(4, 0);
    let set = "llm.options.constant=I cannot say";
    let only = "evaluate.methods=[\"vanilla-cot\", \"tale-ep\"]";
    place
        .tale(&["run", "m.toml", "--set", set, "--set", only])
        .code(0);
    let samples = place.lines("runs/test/samples.jsonl");
    let fallen: Vec<_> = samples
        .iter()
        .filter(|s| s["method"] == "tale-ep")
        .collect();
    assert_eq!(fallen.len(), 4);
    for sample in fallen {
        assert_eq!(sample["budget"], serde_json::Value::Null);
        assert!(
            sample["fallback"]
                .as_str()
                .is_some_and(|f| f.contains("vanilla CoT")),
            "{sample}"
        );
    }
    let summary: serde_json::Value =
        serde_json::from_str(&place.read("runs/test/summary.json")).unwrap();
    assert_eq!(summary["rows"][1]["fallbacks"], 4);
    // The fallback asks what vanilla CoT asks, and that is asked once: 4 estimates, 4 answers.
    assert_eq!(summary["totals"]["calls"], 8);

    place
        .tale(&[
            "run",
            "m.toml",
            "--set",
            set,
            "--set",
            only,
            "--out",
            "fixed",
            "--set",
            "estimator.fallback={budget=33}",
        ])
        .code(0);
    let budgets: Vec<_> = place
        .lines("fixed/samples.jsonl")
        .iter()
        .map(|s| s["budget"].clone())
        .collect();
    assert_eq!(budgets.iter().filter(|b| **b == 33).count(), 4);

    let ran = place
        .tale(&[
            "run",
            "m.toml",
            "--set",
            set,
            "--set",
            only,
            "--out",
            "skip",
            "--set",
            "estimator.fallback=skip",
        ])
        .code(3);
    assert!(
        ran.stderr.contains("4 of 8 samples failed"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_recorded_run_is_replayed_to_the_same_summary() {
    let place = Place::new();
    let recorded = repository().join("examples/data/quickstart-samples.jsonl");
    let manifest = std::fs::read_to_string(repository().join("examples/replay.toml")).unwrap();
    let data = repository().join("examples/data");
    let manifest = manifest.replace("data/", &format!("{}/", data.display()));
    place.write("replay.toml", &manifest);
    place
        .tale(&["run", "replay.toml", "--out", "again"])
        .code(0);
    let mut again = place.lines("again/samples.jsonl");
    let text = std::fs::read_to_string(recorded).unwrap();
    let mut before: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    // Fields that came since the recording have nothing to be compared with.
    for (sample, recorded) in again.iter_mut().zip(&before) {
        let sample = sample.as_object_mut().unwrap();
        sample.retain(|key, _| recorded.get(key).is_some());
    }
    for sample in again.iter_mut().chain(&mut before) {
        // A replay takes no time, and grading may have got better since the recording.
        for key in ["latency_s", "reason", "cached_input_tokens", "cost_usd"] {
            sample.as_object_mut().unwrap().remove(key);
        }
    }
    assert_eq!(again, before);
}

#[test]
fn several_models_and_data_sets_make_a_product() {
    let place = Place::with_constant(3, 0);
    let text = place
        .read("m.toml")
        .replace("[llm]\n", "[[llm]]\n")
        .replace("[dataset]\n", "[[dataset]]\n");
    let text = text
        + "name = \"a\"\n\n[[dataset]]\nplugin = \"jsonl\"\npath = \"questions.jsonl\"\nname = \"b\"\n\
           \n[[llm]]\nplugin = \"replay\"\nname = \"eight\"\noptions = { constant = \"[[8]]\" }\n";
    place.write("product.toml", &text);
    let summary = place
        .tale(&["run", "product.toml", "--json"])
        .code(0)
        .json();
    assert_eq!(summary["rows"].as_array().map(Vec::len), Some(2 * 2 * 3));
    let wrong = summary["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r["accuracy"] == 0.0)
        .count();
    assert_eq!(wrong, 6, "the model that says 8 is never right");
}

#[test]
fn a_dry_run_shows_prompts_and_a_forecast_and_does_nothing() {
    let place = Place::with_constant(12, 0);
    let ran = place.tale(&["run", "m.toml", "--dry-run"]).code(0);
    assert!(
        ran.stdout.contains("48 calls (0 answered already)"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("Q: What is 0 + 7 - 0?"),
        "{}",
        ran.stdout
    );
    assert!(!place.path("runs").exists());
}

#[test]
fn ask_answers_and_compares() {
    let place = Place::with_constant(1, 0);
    let ran = place
        .tale(&[
            "ask",
            "What is 3 + 4?",
            "--manifest",
            "m.toml",
            "--compare",
            "--gold",
            "7",
            "--json",
        ])
        .code(0)
        .json();
    assert_eq!(ran[0]["method"], "vanilla-cot");
    assert_eq!(
        (&ran[1]["method"], &ran[1]["outcome"]),
        (&"tale-ep".into(), &"correct".into())
    );
    let spoken = place
        .tale(&["ask", "What is 3 + 4?", "--manifest", "m.toml"])
        .code(0);
    assert!(
        spoken.stdout.contains("It is plainly [[7]]"),
        "{}",
        spoken.stdout
    );
}

#[test]
fn a_value_under_a_secret_name_is_not_shown() {
    // No plugin here has a secret option, but a key that is named like one must not leak either
    // when it stands in the wrong place.
    let place = Place::with_constant(1, 0);
    let ran = place
        .tale(&[
            "run",
            "m.toml",
            "--set",
            "llm.options.api_key=hunter2-very-secret",
        ])
        .code(2)
        .says(&["api_key"]);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn every_example_manifest_plans_and_renders_its_prompts() {
    let model = crate::support::model("SmolLM2-135M-Instruct.Q4_1.gguf");
    let data = repository().join("examples/data/gsm8k-test-200.jsonl");
    let zero = Place::new();
    let zero_data = zero.write(
        "zero.jsonl",
        "{\"question\": \"Tom has 3 dogs. How many?\", \"answer\": 3.0}\n",
    );
    let aqua = zero.write(
        "aqua.json",
        "{\"question\": \"2 + 2?\", \"options\": [\"A)4\", \"B)5\"], \"correct\": \"A\"}\n",
    );
    let mbpp = zero.write(
        "mbpp.jsonl",
        "{\"text\": \"Write f.\", \"code\": \"f\", \"task_id\": 1, \"test_list\": [\"assert f()\"]}\n",
    );
    let mut seen = 0;
    for entry in std::fs::read_dir(repository().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let mut args = vec![
            "run".to_owned(),
            path.display().to_string(),
            "--dry-run".to_owned(),
        ];
        if ["llama-cpp", "llama-tch"]
            .iter()
            .any(|p| text.contains(&format!("plugin = \"{p}\"")))
        {
            let Some(model) = &model else {
                eprintln!(
                    "skipped {}: `tale model fetch smollm2-135m-instruct` first",
                    path.display()
                );
                continue;
            };
            // Any model and the data at hand: what is held here is the manifest.
            args.extend(["--set".to_owned(), format!("llm.model={}", model.display())]);
        }
        let file = if text.contains("plugin = \"gsm8k-zero\"") {
            &zero_data
        } else if text.contains("name = \"aqua\"") {
            &aqua
        } else if text.contains("name = \"mbpp\"") {
            &mbpp
        } else {
            &data
        };
        args.extend([
            "--set".to_owned(),
            format!("dataset.path={}", file.display()),
        ]);
        if text.contains("[held_out]") {
            // The data at hand are both what is searched and what is held out.
            let held_out = format!("held_out.path={}", data.display());
            for set in [held_out.as_str(), "post_train.overlap=drop"] {
                args.extend(["--set".to_owned(), set.to_owned()]);
            }
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ran = zero.tale(&args).code(0);
        assert!(
            ran.stdout.contains("Let's think step by step"),
            "{}",
            ran.stdout
        );
    }
    assert!(seen >= 4, "{seen} example manifests");
}
