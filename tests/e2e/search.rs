//! `task = "search"` and `task = "sweep"` on recorded models whose answers depend on the budget.

use std::{collections::HashSet, time::Instant};

use serde_json::{Value, json};

use crate::support::{Place, library};

/// What a model says to question `i` under a budget, and in how many tokens.
pub(crate) type Model<'a> = &'a dyn Fn(usize, Option<u32>) -> (&'static str, u64);

const RIGHT: &str = "Well, then. [[7]]";
const WRONG: &str = "Hardly. [[8]]";

/// `n` questions whose answer is 7, a model that answers as `model` says, and a manifest `s.toml`
/// that searches.
pub(crate) fn place(n: usize, budgets: &[u32], model: Model<'_>) -> Place {
    let place = Place::with_constant(n, 0);
    let mut recorded = String::new();
    for i in 0..n {
        let question = format!("What is {i} + 7 - {i}?");
        for budget in budgets.iter().copied().map(Some).chain([None]) {
            let (text, tokens) = model(i, budget);
            let line = json!({
                "question": question, "budget": budget, "completion": text,
                "output_tokens": tokens, "trace": [],
            });
            recorded.push_str(&format!("{line}\n"));
        }
    }
    place.write("model.jsonl", &recorded);
    place.write(
        "s.toml",
        r#"name = "searched"
task = "search"
concurrency = 8

[llm]
plugin = "replay"
name = "recorded"
prices = { input = 1.0, output = 2.0 }
[llm.options]
path = "model.jsonl"
log = "calls.log"

[dataset]
plugin = "jsonl"
path = "questions.jsonl"
"#,
    );
    place
}

/// Every budget that halving from `from` asks.
pub(crate) fn halves(from: u32) -> Vec<u32> {
    std::iter::successors(Some(from / 2), |b| Some(b / 2))
        .take_while(|b| *b > 0)
        .collect()
}

/// Obeys, is right down to a budget of 25, and on question 0 only without a budget; question 1 is
/// beyond it, question 2 gets longer answers under budgets.
pub(crate) fn typical(i: usize, budget: Option<u32>) -> (&'static str, u64) {
    match (i, budget) {
        (1, _) => (WRONG, 200),
        (_, None) => (RIGHT, 200),
        (0, Some(b)) => (WRONG, b.into()),
        (2, Some(b)) => (RIGHT, 200 + u64::from(b)),
        (_, Some(b)) => (if b >= 25 { RIGHT } else { WRONG }, b.into()),
    }
}

fn by_id(lines: &[Value], i: usize) -> &Value {
    let question = format!("What is {i} + 7 - {i}?");
    let found = lines.iter().find(|l| l["question"] == question.as_str());
    found.unwrap_or_else(|| panic!("no line for `{question}`"))
}

fn budgets(line: &Value) -> Vec<u64> {
    let trace = line["trace"].as_array().expect("a trace");
    trace
        .iter()
        .map(|s| s["budget"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_search_halves_until_refused_and_leaves_what_its_contract_names() {
    let place = place(6, &halves(200), &typical);
    let ran = place.tale(&["run", "s.toml"]).code(0);
    assert!(
        ran.stdout.contains("6 questions searched"),
        "{}",
        ran.stdout
    );
    let lines = place.lines("runs/searched/search.jsonl");
    assert_eq!(lines.len(), 6);
    let line = by_id(&lines, 4);
    assert_eq!(line["vanilla"]["output_tokens"], 200);
    assert_eq!(line["vanilla"]["correct"], true);
    assert_eq!(budgets(line), [100, 50, 25, 12]);
    let last = &line["trace"][3];
    assert_eq!(
        (&last["correct"], &last["feasible"], &last["reason"]),
        (&json!(false), &json!(false), &json!("wrong answer"))
    );
    assert_eq!(
        (&line["budget"], &line["output_tokens"]),
        (&json!(25), &json!(25))
    );
    assert_eq!(
        (&line["completion"], &line["calls"]),
        (&json!(RIGHT), &json!(5))
    );
    assert_eq!(line["gold"], "7");

    let refused = by_id(&lines, 0);
    assert_eq!(refused["ending"], "no-shorter-budget");
    assert_eq!(
        (
            &refused["budget"],
            &refused["output_tokens"],
            &refused["calls"]
        ),
        (&Value::Null, &json!(200), &json!(2))
    );
    let wrong = by_id(&lines, 1);
    assert_eq!(wrong["ending"], "vanilla-wrong");
    assert_eq!(
        (&wrong["output_tokens"], &wrong["calls"]),
        (&Value::Null, &json!(1))
    );
    assert_eq!(by_id(&lines, 2)["trace"][0]["correct"], true);
    assert_eq!(by_id(&lines, 2)["ending"], "no-shorter-budget");

    // Exactly the calls that the algorithm needs: 3 × 5, 2 × 2, 1.
    assert_eq!(place.calls(), 20);
    let summary: Value = serde_json::from_str(&place.read("runs/searched/summary.json")).unwrap();
    let search = &summary["searches"][0];
    assert_eq!(search["endings"]["found"], 3);
    assert_eq!(search["calls"], 20);
    assert_eq!(search["vanilla_output_tokens"], 200.0);
    let row = |method: &str| {
        let rows = summary["rows"].as_array().unwrap();
        rows.iter().find(|r| r["method"] == method).unwrap().clone()
    };
    assert_eq!(
        (&row("vanilla-cot")["n"], &row("searched")["n"]),
        (&json!(6), &json!(5))
    );
    assert_eq!(
        row("searched")["output_tokens"],
        f64::from(3 * 25 + 2 * 200) / 5.0
    );
}

#[test]
fn a_finished_search_asks_nothing_and_an_evaluation_beside_it_shares_its_calls() {
    let place = place(6, &halves(200), &typical);
    place.tale(&["run", "s.toml"]).code(0);
    let before = place.read("runs/searched/search.jsonl");
    place.tale(&["run", "s.toml"]).code(0);
    assert_eq!(place.calls(), 20);
    // Vanilla CoT is asked byte for byte as the search asks it, `fixed-50` as its candidate of 50:
    // only questions whose search stopped before 50 are asked.
    let sets = [
        "--set",
        "task=evaluate",
        "--set",
        "evaluate.methods=[\"vanilla-cot\", \"fixed-50\"]",
    ];
    let args: Vec<&str> = ["run", "s.toml"].into_iter().chain(sets).collect();
    place.tale(&args).code(0);
    assert_eq!(place.calls(), 20 + 3);
    assert_eq!(place.read("runs/searched/search.jsonl"), before);
}

#[test]
fn a_search_killed_again_and_again_repeats_no_finished_call_and_ends_the_same() {
    let place = place(40, &halves(200), &typical);
    place.tale(&["run", "s.toml", "--out", "whole"]).code(0);
    let whole = place.calls();
    let slow = [
        "run",
        "s.toml",
        "--out",
        "killed",
        "--quiet",
        "--set",
        "llm.options.latency_ms=12",
    ];
    let mut kills = 0;
    for round in 0..100_u64 {
        let mut child = place
            .command(&slow)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        if kills < 6 {
            std::thread::sleep(std::time::Duration::from_millis(30 + (round * 37) % 140));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
                child.wait().unwrap();
                continue;
            }
        }
        assert!(child.wait().unwrap().success());
        break;
    }
    assert_eq!(kills, 6);
    let asked = place.calls() - whole;
    assert!(
        (whole..=whole + 6 * 8).contains(&asked),
        "{asked} of {whole}"
    );
    assert_eq!(
        place.lines("killed/search.jsonl"),
        place.lines("whole/search.jsonl")
    );
}

#[test]
fn a_sweep_asks_every_factor_of_vanilla_and_shares_equal_budgets() {
    let place = place(4, &[200, 100, 50, 6], &|_, b| {
        (RIGHT, b.map_or(200, u64::from))
    });
    let sweep = [
        "run",
        "s.toml",
        "--set",
        "task=sweep",
        "--set",
        "sweep={ factors = [1, 0.5, 0.25, 0.03125, 0.0301] }",
    ];
    place.tale(&sweep).code(0);
    let samples = place.lines("runs/searched/samples.jsonl");
    assert_eq!(samples.len(), 4 * 6);
    let of = |method: &str| {
        let found = samples.iter().filter(|s| s["method"] == method);
        found.map(|s| s["budget"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("vanilla-cot"), vec![Value::Null; 4]);
    assert_eq!(of("vanilla-x0.25"), vec![json!(50); 4]);
    // 200/32 = 6.25 and 6.02 are both 6, which is asked once.
    assert_eq!(of("vanilla-x0.03125"), vec![json!(6); 4]);
    assert_eq!(of("vanilla-x0.0301"), vec![json!(6); 4]);
    assert_eq!(place.calls(), 4 * 5);
    place.tale(&sweep).code(0);
    assert_eq!(place.calls(), 4 * 5);
}

#[test]
fn a_sweep_around_the_searched_budget_searches_first_and_leaves_out_what_has_none() {
    let place = place(6, &[100, 50, 25, 12, 6], &typical);
    let sweep = [
        "run",
        "s.toml",
        "--set",
        "task=sweep",
        "--set",
        "sweep={ relative_to = \"searched\", factors = [0.25, 0.5, 1, 2, 4] }",
    ];
    place.tale(&sweep).code(0);
    // The search's 20, and of the three with a budget of 25 only 6 is new: 12, 25, 50 and 100 were
    // asked by the search.
    assert_eq!(place.calls(), 20 + 3);
    let samples = place.lines("runs/searched/samples.jsonl");
    let of = |method: &str| samples.iter().filter(|s| s["method"] == method).count();
    assert_eq!(
        (of("searched-x1"), of("searched-x0.25"), of("searched")),
        (3, 3, 5)
    );
    assert_eq!(place.lines("runs/searched/search.jsonl").len(), 6);
    // A search of the same run finds everything done.
    place.tale(&["run", "s.toml"]).code(0);
    assert_eq!(place.calls(), 23);
}

#[test]
fn an_absolute_sweep_asks_what_fixed_budgets_ask() {
    let place = place(3, &[10, 50], &|_, b| (RIGHT, b.map_or(200, u64::from)));
    let sweep = [
        "run",
        "s.toml",
        "--set",
        "task=sweep",
        "--set",
        "sweep.budgets=[10, 50]",
    ];
    place.tale(&sweep).code(0);
    assert_eq!(place.calls(), 9);
    let samples = place.lines("runs/searched/samples.jsonl");
    let methods: HashSet<_> = samples
        .iter()
        .map(|s| s["method"].as_str().unwrap())
        .collect();
    assert_eq!(
        methods,
        HashSet::from(["vanilla-cot", "fixed-10", "fixed-50"])
    );
}

#[test]
fn a_rule_that_errs_on_one_question_in_ten_costs_these_and_no_others() {
    let place = place(40, &halves(200), &|_, b| (RIGHT, b.map_or(200, u64::from)));
    let manifest = place.read("s.toml")
        + &format!(
            "\n[feasibility]\nplugin = \"greedy\"\n\
             options = {{ fails_on = \"0 + 7\", unless = \"mended\" }}\n\
             [plugins.greedy]\npath = {:?}\n",
            library("test-hostile")
        );
    place.write("s.toml", &manifest);
    let ran = place.tale(&["run", "s.toml"]).code(3);
    assert!(ran.stderr.contains("samples failed"), "{}", ran.stderr);
    let lines = place.lines("runs/searched/search.jsonl");
    assert_eq!(lines.len(), 40, "no question is lost");
    let failed: Vec<_> = lines.iter().filter(|l| l["ending"] == "failed").collect();
    assert_eq!(failed.len(), 4);
    for line in &failed {
        assert_eq!(line["error"], "internal: cannot decide this one");
        assert_eq!(line["trace"][0]["feasible"], Value::Null);
    }
    // Vanilla and 100, 50, 25, 12, 6, 3, 1 for 36 questions; vanilla and 100 for 4.
    assert_eq!(place.calls(), 36 * 8 + 4 * 2);
    place.write("mended", "");
    place.tale(&["run", "s.toml"]).code(0);
    assert_eq!(place.calls(), 40 * 8);
    let lines = place.lines("runs/searched/search.jsonl");
    assert!(
        lines
            .iter()
            .all(|l| l["budget"] == 1 && l["error"].is_null())
    );
}

#[test]
fn a_recorded_search_is_replayed_to_the_same_search() {
    let place = place(6, &halves(200), &typical);
    place.tale(&["run", "s.toml"]).code(0);
    let recorded = place.path("runs/searched/search.jsonl");
    let path = format!("llm.options.path={:?}", recorded.display().to_string());
    place
        .tale(&["run", "s.toml", "--out", "again", "--set", &path])
        .code(0);
    assert_eq!(
        place.read("again/search.jsonl"),
        place.read("runs/searched/search.jsonl")
    );
}

#[test]
fn pairs_are_exported_without_a_budget_and_the_rest_is_counted() {
    let place = place(6, &halves(200), &typical);
    // Answers must differ to make a pair.
    let text = place.read("model.jsonl").replace(
        "\"budget\":null,\"completion\":\"Well",
        "\"budget\":null,\"completion\":\"Well, well",
    );
    place.write("model.jsonl", &text);
    place.tale(&["run", "s.toml"]).code(0);
    let ran = place
        .tale(&["export", "runs/searched", "--format", "dpo"])
        .code(0)
        .says(&[
            "3 pairs",
            "1 questions without one: vanilla-wrong",
            "2 questions without one: no-shorter-budget",
        ]);
    let pairs: Vec<Value> = ran
        .stdout
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(pairs.len(), 3);
    for pair in &pairs {
        let prompt = pair["prompt"].as_array().unwrap();
        assert_eq!(prompt[0]["content"], "You are a helpful assistant.");
        let asked = prompt[1]["content"].as_str().unwrap();
        assert!(asked.ends_with("Let's think step by step:\n"), "{asked}");
        assert_eq!(pair["chosen"], RIGHT);
        assert!(pair["rejected"].as_str().unwrap().starts_with("Well, well"));
        assert_eq!(
            (&pair["budget"], &pair["chosen_tokens"]),
            (&json!(25), &json!(25))
        );
    }
    let ran = place
        .tale(&[
            "export",
            "runs/searched",
            "--format",
            "openai",
            "--out",
            "p.jsonl",
            "--json",
        ])
        .code(0)
        .json();
    assert_eq!(
        (&ran["pairs"], &ran["skipped"]["vanilla-wrong"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(
        place.lines("p.jsonl")[0]["messages"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    place.tale(&["run", "m.toml"]).code(0);
    place
        .tale(&["export", "runs/test", "--format", "dpo"])
        .code(2)
        .says(&["holds no search", "task = \"search\""]);
}

#[test]
fn a_dry_run_of_a_search_says_how_many_calls_it_may_take() {
    let place = place(6, &[], &typical);
    let ran = place.tale(&["run", "s.toml", "--dry-run"]).code(0);
    // 1,024 tokens can be halved ten times.
    assert!(
        ran.stdout.contains("6 questions, 6 to 66 calls"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("less than 100 tokens"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_sweep_without_budgets_and_a_rule_that_nothing_reads_are_faults() {
    let place = place(1, &[], &typical);
    place
        .tale(&["run", "s.toml", "--set", "task=sweep"])
        .code(2)
        .says(&[
            "a sweep needs a table `[sweep]`",
            "factors = [0.25, 0.5, 1]",
        ]);
    place
        .tale(&["run", "s.toml", "--set", "search.refine.min_gain=4"])
        .code(2)
        .says(&["only `strategy = \"refine\"` reads `refine`"]);
    place
        .tale(&["run", "s.toml", "--set", "feasibility.plugin=gready"])
        .code(2)
        .says(&["greedy"]);
}

#[test]
fn the_wall_time_of_a_search_is_that_of_its_calls() {
    const LATENCY: f64 = 0.1;
    let place = place(300, &halves(200), &|i, b| match b {
        None => (RIGHT, 200),
        // Traces of two to seven steps, so that questions end at all times.
        Some(b) => (
            if b >= 200 >> (i % 6 + 1) {
                RIGHT
            } else {
                WRONG
            },
            b.into(),
        ),
    });
    let sets = [
        "--set",
        "llm.options.latency_ms=100",
        "--set",
        "concurrency=64",
    ];
    let args: Vec<&str> = ["run", "s.toml", "--quiet"]
        .into_iter()
        .chain(sets)
        .collect();
    let start = Instant::now();
    place.tale(&args).code(0);
    let wall = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "some thousand calls")]
    let ideal = place.calls() as f64 * LATENCY / 64.0;
    // What is measured on a quiet machine stands in docs/results; a busy one gets some slack here.
    assert!(
        wall < 1.5 * ideal + 1.0,
        "{wall:.2} s, ideally {ideal:.2} s"
    );
}
