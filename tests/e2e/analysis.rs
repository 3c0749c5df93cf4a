//! What a report finds beyond its rows, and estimators that are trained.

use serde_json::json;

use crate::{
    search::{halves, place, typical},
    support::{Place, repository},
};

#[test]
fn a_recorded_run_has_scores_an_oracle_and_a_place_beside_the_paper() {
    let place = Place::new();
    let manifest = repository().join("examples/replay.toml");
    let manifest = manifest.to_str().unwrap();
    let ran = place.tale(&["run", manifest, "--out", "run", "--json"]);
    let analysis = &ran.code(0).json()["analysis"][0];
    assert_eq!(analysis["dataset"], "gsm8k");
    let methods = analysis["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 3);
    // The quickstart's own figures: direct is shortest, vanilla CoT most accurate.
    assert_eq!(methods[0]["on_front"], true);
    assert_eq!(methods[1]["on_front"], true);
    let oracle = &analysis["oracle"];
    assert_eq!(oracle["methods"], 3);
    assert!(
        oracle["accuracy"]["value"].as_f64() >= Some(4.0 / 24.0),
        "{oracle}"
    );
    assert!(analysis["budgets"][0]["used_of_asked"]["value"].is_f64());

    let paper = place.tale(&["report", "run", "--paper"]).code(0).stdout;
    for part in ["Table 3", "GSM8K, TALE-EP", "84.46%", "Not like for like"] {
        assert!(paper.contains(part), "no `{part}` in\n{paper}");
    }
    let text = place.read("run/report.md");
    assert!(text.contains("## Accuracy for its tokens"), "{text}");
    assert!(text.contains("oracle of 3"), "{text}");
}

#[test]
fn a_sweep_of_alpha_asks_for_one_estimate_a_question() {
    let place = Place::with_constant(4, 0);
    let set = "evaluate.methods=[\"tale-ep@0.5\", \"tale-ep\", \"tale-ep@2\"]";
    let ran = place
        .tale(&["run", "m.toml", "--set", set, "--json"])
        .code(0);
    let alphas = &ran.json()["analysis"][0]["alphas"];
    // The estimate is the constant answer, 7: half of it is rounded to 4.
    assert_eq!(
        alphas
            .as_array()
            .unwrap()
            .iter()
            .map(|a| (a["alpha"].clone(), a["budget"].clone()))
            .collect::<Vec<_>>(),
        [
            (json!(0.5), json!(4.0)),
            (json!(1.0), json!(7.0)),
            (json!(2.0), json!(14.0))
        ]
    );
    // Four estimates, and an answer for each of three budgets.
    assert_eq!(place.calls(), 4 + 3 * 4);
}

#[test]
fn budgets_side_by_side_make_curves() {
    let place = Place::with_constant(6, 0);
    let set = "evaluate.methods=[\"fixed-5\", \"fixed-50\", \"fixed-500\"]";
    let ran = place
        .tale(&["run", "m.toml", "--set", set, "--json"])
        .code(0);
    let analysis = &ran.json()["analysis"][0];
    assert_eq!(analysis["curves"]["n"], 6);
    // A model that always says the same is right everywhere and never elastic.
    assert_eq!(analysis["curves"]["elastic"]["of"], 0);
    assert_eq!(analysis["curves"]["monotone_somewhere"], json!(null));
    assert_eq!(analysis["budgets"].as_array().unwrap().len(), 3);
    assert!(place.path("runs/test/figures/elasticity.svg").is_file());
}

/// Searches of questions whose budget follows their length, one of them without a right answer.
fn searches() -> String {
    let mut lines = String::new();
    for i in 1..=40_u32 {
        let budget = 20 * i;
        let line = json!({
            "id": i.to_string(),
            "question": format!("What is {i} + 7 - {i}? {}", "Think of apples. ".repeat(i as usize)),
            "gold": "7",
            "vanilla": {"output_tokens": 3 * budget, "correct": i != 40},
            "trace": [
                {"budget": budget, "output_tokens": budget, "correct": true, "feasible": true, "reason": ""},
                {"budget": budget / 2, "output_tokens": 2 * budget, "correct": false, "feasible": false, "reason": ""}
            ],
            "budget": budget, "output_tokens": budget, "completion": "[[7]]", "calls": 3
        });
        lines.push_str(&format!("{line}\n"));
    }
    lines
}

#[test]
fn a_trained_estimator_is_judged_on_what_it_has_not_seen_and_used_without_a_call() {
    let place = Place::with_constant(3, 0);
    place.write("search.jsonl", &searches());
    let train = |kind: &str| {
        let args = [
            "estimator",
            "train",
            "search.jsonl",
            "--kind",
            kind,
            "--out",
            "model.json",
            "--json",
        ];
        place.tale(&args).code(0).json()
    };
    for kind in ["knn", "regression"] {
        let report = train(kind);
        assert_eq!(
            (&report["questions"], &report["left_out"]),
            (&json!(39), &json!(1))
        );
        let error = |i: usize| report["estimators"][i]["mean_abs_error"].as_f64().unwrap();
        assert_eq!(report["estimators"][1]["n"], 39);
        if kind == "regression" {
            // Length decides here, so a line through it beats the median.
            assert!(error(0) < error(1), "{report}");
        }
    }
    let estimator = "estimator={ plugin = \"regression\", options = { path = \"model.json\" } }";
    let methods = "evaluate.methods=[\"tale-ep\"]";
    place
        .tale(&["run", "m.toml", "--set", estimator, "--set", methods])
        .code(0);
    // An answer a question, and no call for an estimate.
    assert_eq!(place.calls(), 3);
    let sample = &place.lines("runs/test/samples.jsonl")[0];
    assert!(sample["budget"].as_u64().unwrap() >= 1);
    assert_eq!(sample["estimate_output_tokens"], json!(null));
    assert_eq!(sample["fallback"], json!(null));
}

#[test]
fn a_question_of_the_training_is_marked_in_an_evaluation() {
    let place = Place::with_constant(3, 0);
    let lines = searches()
        .replace(" Think of apples. ", "")
        .replace("Think of apples. ", "");
    place.write("search.jsonl", &lines);
    let args = [
        "estimator",
        "train",
        "search.jsonl",
        "--kind",
        "knn",
        "--out",
        "model.json",
    ];
    let trained = place.tale(&args).code(0);
    assert!(trained.stdout.contains("in range"), "{}", trained.stdout);
    let estimator = "estimator={ plugin = \"knn\", options = { path = \"model.json\" } }";
    place
        .tale(&[
            "run",
            "m.toml",
            "--set",
            estimator,
            "--set",
            "evaluate.methods=[\"tale-ep\"]",
        ])
        .code(0);
    let marked = place
        .lines("runs/test/samples.jsonl")
        .iter()
        .filter(|s| {
            s["fallback"]
                .as_str()
                .is_some_and(|f| f.contains("trained on this question"))
        })
        .count();
    // Questions 1 and 2 of the searches are asked here; question 0 is new.
    assert_eq!(marked, 2);
}

#[test]
fn training_says_what_is_wrong_with_its_input() {
    let place = Place::new();
    let train = |path: &str| place.tale(&["estimator", "train", path, "--out", "m.json"]);
    train("nowhere.jsonl")
        .code(1)
        .says(&["cannot read `nowhere.jsonl`"]);
    place.write("broken.jsonl", "{\"question\": 5}\n");
    train("broken.jsonl")
        .code(1)
        .says(&["line 1 of `broken.jsonl`"]);
    place.write(
        "few.jsonl",
        &searches().lines().take(2).collect::<Vec<_>>().join("\n"),
    );
    train("few.jsonl")
        .code(1)
        .says(&["2 searches with a right vanilla answer are too few"]);
    assert!(!place.path("m.json").exists());
}

/// By hand, of twelve questions: 0 and 2 find nothing shorter than 200 tokens, 1 is never right, and
/// the other nine are right down to 25 tokens and obey.
#[test]
fn a_search_is_analysed_as_by_hand() {
    let place = place(12, &halves(200), &typical);
    let analysis = place.tale(&["run", "s.toml", "--json"]).code(0).json()["analysis"][0].clone();
    let search = &analysis["search"];
    assert_eq!(search["n"], 11);
    assert_eq!(
        (&search["found"]["of"], &search["found"]["n"]),
        (&json!(9), &json!(11))
    );
    assert_eq!(search["budgets"], json!([25.0, 25.0, 25.0, 25.0, 25.0]));
    let ratio = search["kept_of_vanilla"]["value"].as_f64().unwrap();
    assert!((ratio - 625.0 / 2200.0).abs() < 1e-9, "{ratio}");
    // Nine of five calls, two of two, one of one.
    let calls = search["calls"]["value"].as_f64().unwrap();
    assert!((calls - 50.0 / 12.0).abs() < 1e-9, "{calls}");
    assert_eq!(search["ideal"], json!({"n": 11, "low": 25.0, "high": 25.0}));
    assert_eq!(
        (&search["elastic"]["of"], &search["elastic"]["n"]),
        (&json!(0), &json!(9))
    );
    assert_eq!(search["example"]["budget"], 25);
    assert_eq!(search["example"]["vanilla"], "Well, then. [[7]]");

    assert!(place.path("runs/searched/figures/searched.svg").is_file());
    let text = place.read("runs/searched/report.md");
    for part in [
        "What the searches found",
        "One question without and with its budget",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let page = place.read("runs/searched/report.html");
    assert!(page.contains("Under a budget of 25 tokens"));
}

#[test]
fn a_sweep_about_the_searched_budget_counts_monotone_samples() {
    let place = place(12, &halves(200), &typical);
    let set = "sweep={ relative_to = \"searched\", factors = [0.5, 1.0, 2.0] }";
    let ran = place.tale(&[
        "run",
        "s.toml",
        "--set",
        "task=sweep",
        "--set",
        set,
        "--json",
    ]);
    let analysis = ran.code(0).json()["analysis"][0].clone();
    let monotone = &analysis["curves"]["monotone"];
    assert_eq!(
        (&monotone["of"], &monotone["n"]),
        (&json!(9), &json!(9)),
        "{analysis}"
    );
    let budgets: Vec<_> = analysis["budgets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| (b["budget"].clone(), b["accuracy"]["of"].clone()))
        .collect();
    assert!(budgets.contains(&(json!(12.0), json!(0))), "{budgets:?}");
    assert!(budgets.contains(&(json!(50.0), json!(9))), "{budgets:?}");
    let paper = place
        .tale(&["report", "runs/searched", "--paper"])
        .code(0)
        .stdout;
    assert!(paper.contains("90.91%"), "{paper}");
}

#[test]
fn estimates_of_one_run_are_held_against_the_searches_of_another() {
    let place = place(12, &halves(200), &typical);
    place.tale(&["run", "s.toml"]).code(0);
    let set = [
        "task=evaluate",
        "name=estimated",
        "evaluate.methods=[\"tale-ep\"]",
        "estimator={ plugin = \"fixed\", options = { budget = 25 } }",
    ];
    let mut args = vec!["run", "s.toml"];
    for s in set {
        args.extend(["--set", s]);
    }
    place.tale(&args).code(0);
    let ran = place
        .tale(&["report", "runs/searched", "runs/estimated"])
        .code(0);
    // 25 is in the range of nine questions, and 175 below that of the two whose range is 200.
    assert!(
        ran.stdout
            .contains("| tale-ep of \\`runs/estimated\\` | 11 | 81.8% |"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("| 175.0 |"), "{}", ran.stdout);
    let paper = place
        .tale(&["report", "runs/searched", "runs/estimated", "--paper"])
        .code(0);
    assert!(paper.stdout.contains("109.64 tokens"), "{}", paper.stdout);
}
