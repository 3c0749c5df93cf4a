//! The bill: never above the cap, never twice for the same answer, and told before.

use std::{process::Stdio, thread::sleep, time::Duration};

use crate::support::{Place, repository};

fn number(value: &serde_json::Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

/// The run's `summary.json`.
fn totals(place: &Place, run: &str) -> serde_json::Value {
    let text = place.read(&format!("{run}/summary.json"));
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    summary["totals"].clone()
}

#[test]
fn a_run_ends_before_its_cap_and_a_larger_one_goes_on() {
    let place = Place::with_constant(40, 5);
    place.tale(&["run", "m.toml", "--out", "whole"]).code(0);
    let whole = totals(&place, "whole");
    let (all, cost) = (place.calls(), number(&whole["cost_usd"]));
    assert_eq!(all, 160);
    assert_eq!(whole["cost_usd"], whole["spent_usd"]);
    let cap = cost / 2.0 + 0.005;
    place
        .tale(&["run", "m.toml", "--max-cost", &cap.to_string()])
        .code(3)
        .says(&[
            "before the cap on the cost",
            "--max-cost USD",
            "goes on from here",
        ]);
    let half = totals(&place, "runs/test");
    let spent = number(&half["spent_usd"]);
    assert!(spent > 0.0 && spent <= cap, "{spent} of {cap}");
    assert_eq!(half["errors"], 0, "what was not asked has not failed");
    let before = place.calls() - all;
    assert!(before < all);
    // The same sum again: what is spent counts, and nothing is asked.
    let again = ["run", "m.toml", "--max-cost", &spent.to_string()];
    place.tale(&again).code(3);
    assert_eq!(place.calls() - all, before);
    place.tale(&["run", "m.toml", "--max-cost", "1000"]).code(0);
    assert_eq!(place.calls(), 2 * all, "nothing is asked twice");
    let end = totals(&place, "runs/test");
    assert!((number(&end["cost_usd"]) - cost).abs() < 1e-12);
}

#[test]
fn a_cap_that_is_kept_without_prices_is_refused_before_the_first_call() {
    let place = Place::with_constant(3, 0);
    let manifest = place.read("m.toml");
    place.write("m.toml", &manifest.replace("prices = {", "# prices = {"));
    // Recorded answers bill nobody.
    place.tale(&["run", "m.toml", "--max-cost", "1"]).code(0);
    place
        .tale(&["run", "m.toml", "--max-cost=-1"])
        .code(2)
        .says(&["a sum of 0 or more"]);
}

#[test]
fn two_manifests_that_ask_the_same_pay_once() {
    let place = Place::with_constant(10, 0);
    let cached = ["--set", "cache.mode=on"];
    let run = |out: &str| {
        let mut args = vec!["run", "m.toml", "--out", out];
        args.extend(cached);
        place.tale(&args).code(0)
    };
    run("first");
    assert_eq!(place.calls(), 40);
    run("second");
    assert_eq!(place.calls(), 40, "the cache has them all");
    let (first, second) = (totals(&place, "first"), totals(&place, "second"));
    assert_eq!(
        first["cost_usd"], second["cost_usd"],
        "tables do not change"
    );
    assert!(number(&second["spent_usd"]).abs() < f64::EPSILON);
    assert_eq!(
        (&first["cached_calls"], &second["cached_calls"]),
        (&0.into(), &40.into())
    );
    let strip = |run: &str| {
        let mut lines = place.lines(&format!("{run}/samples.jsonl"));
        for line in &mut lines {
            line["from_cache"] = serde_json::Value::Null;
        }
        lines
    };
    assert_eq!(strip("first"), strip("second"));
    // What changes no answer changes no key; what does, does.
    let other = [
        "run",
        "m.toml",
        "--out",
        "slow",
        "--set",
        "llm.options.latency_ms=1",
    ];
    let args: Vec<&str> = other.into_iter().chain(cached).collect();
    place.tale(&args).code(0);
    assert_eq!(place.calls(), 40);
    place
        .tale(&["run", "m.toml", "--out", "alone", "--no-cache"])
        .code(0);
    assert_eq!(place.calls(), 80);

    let stat = place.tale(&["cache", "stat", "--json"]).code(0).json();
    assert_eq!(
        (&stat["answers"], &stat["models"][0]["answers"]),
        (&40.into(), &40.into())
    );
    let old = place.tale(&["cache", "clear", "--older-than", "1d", "--json"]);
    assert_eq!(old.code(0).json()["removed"], 0);
    let all = place.tale(&["cache", "clear", "--json"]).code(0).json();
    assert_eq!((&all["removed"], &all["left"]), (&40.into(), &0.into()));
    run("third");
    assert_eq!(place.calls(), 120);
}

#[test]
fn recorded_answers_are_kept_out_of_the_cache_unless_asked_for() {
    let place = Place::with_constant(3, 0);
    place.tale(&["run", "m.toml"]).code(0);
    let stat = place.tale(&["cache", "stat", "--json"]).code(0).json();
    assert_eq!(stat["answers"], 0);
}

#[test]
fn a_kill_in_the_middle_loses_no_answer_that_was_paid_for() {
    let place = Place::with_constant(60, 20);
    let cached = ["--set", "cache.mode=on", "--quiet"];
    let mut child = place
        .command(&["run", "m.toml", "--out", "killed"])
        .args(cached)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(500));
    child.kill().unwrap();
    child.wait().unwrap();
    let paid = if place.path("calls.log").exists() {
        place.calls()
    } else {
        0
    };
    // Another run in another folder finds all but what was under way at the kill.
    let mut args = vec!["run", "m.toml", "--out", "other"];
    args.extend(cached);
    place.tale(&args).code(0);
    let asked = place.calls() - paid;
    assert!(asked <= 240 - paid + 8, "{paid} before, {asked} after");
}

#[test]
fn every_repeat_is_an_answer_of_its_own() {
    let place = Place::with_constant(5, 0);
    let repeats = [
        "--set",
        "evaluate.repeats=3",
        "--set",
        "evaluate.methods=[\"vanilla-cot\"]",
    ];
    let mut args = vec!["run", "m.toml"];
    args.extend(repeats);
    let summary = {
        let mut json = args.clone();
        json.push("--json");
        place.tale(&json).code(0).json()
    };
    assert_eq!(place.calls(), 15);
    let row = &summary["rows"][0];
    assert_eq!((&row["n"], &row["questions"]), (&15.into(), &5.into()));
    assert_eq!(row["any_correct"], 1.0);
    let samples = place.lines("runs/test/samples.jsonl");
    let repeats: Vec<u64> = samples
        .iter()
        .filter_map(|s| s["repeat"].as_u64())
        .collect();
    assert_eq!(repeats, [0, 1, 2].repeat(5));
    // More may be asked for later; what is there stays.
    place
        .tale(&[
            "run",
            "m.toml",
            "--set",
            "evaluate.repeats=4",
            "--set",
            "evaluate.methods=[\"vanilla-cot\"]",
        ])
        .code(0);
    assert_eq!(place.calls(), 20);
}

#[test]
fn a_limit_on_reasoning_needs_a_model_that_takes_one() {
    let place = Place::with_constant(2, 0);
    place
        .tale(&[
            "run",
            "m.toml",
            "--set",
            "evaluate.methods=[\"effort-low\"]",
        ])
        .code(2)
        .says(&["effort-low", "takes no limit on its reasoning"]);
    place
        .tale(&[
            "run",
            "m.toml",
            "--out",
            "other",
            "--set",
            "estimator.apply=provider",
        ])
        .code(2)
        .says(&["tale-ep"]);
    assert!(!place.path("calls.log").exists() || place.calls() == 0);
}

#[test]
fn a_run_of_the_first_journal_version_goes_on_without_a_call() {
    let place = Place::new();
    place.write(
        "q.jsonl",
        "{\"question\": \"What is 0 + 7 - 0?\", \"answer\": \"7\"}\n{\"question\": \"What is 1 + 7 - 1?\", \"answer\": \"8\"}\n",
    );
    place.write(
        "m.toml",
        "name = \"v1\"\n[llm]\nplugin = \"replay\"\nname = \"seven\"\n\
         prices = { input = 1.0, output = 2.0 }\n[llm.options]\nconstant = \"It is plainly [[7]]\"\n\
         [dataset]\nplugin = \"jsonl\"\npath = \"q.jsonl\"\n\
         [evaluate]\nmethods = [\"vanilla-cot\", \"tale-ep\"]\n",
    );
    std::fs::create_dir_all(place.path("runs/v1")).unwrap();
    let sql = repository().join("tale-runtime/src/store/fixtures/journal-v1.sql");
    let db = rusqlite::Connection::open(place.path("runs/v1/run.sqlite")).unwrap();
    db.execute_batch(&std::fs::read_to_string(sql).unwrap())
        .unwrap();
    drop(db);
    let summary = place.tale(&["run", "m.toml", "--json"]).code(0).json();
    assert_eq!(summary["totals"]["calls"], 6, "as many as there were");
    assert_eq!(summary["rows"][1]["n"], 2);
}

#[test]
fn a_dry_run_counts_what_is_still_to_be_paid() {
    let place = Place::with_constant(10, 0);
    let look = || {
        place
            .tale(&["run", "m.toml", "--dry-run", "--json"])
            .code(0)
            .json()
    };
    let before = look()["preview"]["outlook"][0].clone();
    assert_eq!(
        (&before["calls"], &before["answered"]),
        (&40.into(), &0.into())
    );
    assert_eq!(before["cost_usd_expected"], serde_json::Value::Null);
    assert_eq!(before["prices"], "prices of the manifest");
    let most = number(&before["cost_usd_at_most"]);
    place.tale(&["run", "m.toml", "--limit", "5"]).code(0);
    assert_eq!(place.calls(), 20, "a dry run asks nothing");
    let after = look()["preview"]["outlook"][0].clone();
    assert_eq!(
        (&after["calls"], &after["answered"]),
        (&20.into(), &20.into())
    );
    let expected = number(&after["cost_usd_expected"]);
    assert!(expected > 0.0 && expected < most / 2.0, "{after}");
    let told = place.tale(&["run", "m.toml", "--dry-run"]).code(0);
    assert!(told.stdout.contains("20 calls"), "{}", told.stdout);
}
