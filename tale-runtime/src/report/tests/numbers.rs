//! `summary.json`, `samples.jsonl`, the tables and the sentence.

use super::journal::{Journal, Sample};
use crate::{
    report::{Summary, markdown, notes, savings, terminal, write},
    store::Outcome::{self, Correct, Empty, Undecided, Ungraded, Wrong},
};

fn close(a: Option<f64>, b: f64) {
    let a = a.unwrap();
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

/// Four questions; vanilla CoT is right on two, TALE-EP on three at less than half the tokens.
fn four_questions() -> Journal {
    let mut j = Journal::new();
    j.meta(
        "plan",
        r#"{"name": "four", "task": "evaluate", "seed": 1024}"#,
    );
    let (direct, vanilla, tale) = (j.cell("direct"), j.cell("vanilla-cot"), j.cell("tale-ep"));
    for (i, (d, v, t)) in [
        (Wrong, Correct, Correct),
        (Wrong, Wrong, Correct),
        (Correct, Correct, Correct),
        (Undecided, Empty, Wrong),
    ]
    .into_iter()
    .enumerate()
    {
        let i = i as u64;
        j.add(direct, i, Sample::new(d, 5).costing(1e-6));
        j.add(vanilla, i, Sample::new(v, 200 + i).costing(4e-5));
        j.add(tale, i, Sample::new(t, 60 + i).under(50, 10).costing(1e-5));
    }
    j
}

#[test]
fn rows_hold_means_per_answered_sample() {
    let j = four_questions();
    let s = write(j.dir.path()).unwrap();
    assert_eq!(
        (s.name.as_str(), s.rows.len(), s.paired.len()),
        ("four", 3, 2)
    );
    let [direct, vanilla, tale] = &s.rows[..] else {
        panic!()
    };
    assert_eq!((direct.n, direct.undecided, vanilla.empty), (4, 1, 1));
    close(direct.accuracy, 0.25);
    close(vanilla.output_tokens, 201.5);
    close(vanilla.all_output_tokens, 201.5);
    close(tale.output_tokens, 61.5);
    close(tale.all_output_tokens, 71.5);
    // Two calls of 10⁻⁵ $ a sample.
    close(tale.expense_1e5_usd, 2.0);
    close(tale.latency_s, 1.0);
    close(tale.budget, 50.0);
    close(tale.input_tokens, 80.0);
    assert_eq!(
        (s.totals.samples, s.totals.calls, s.totals.errors),
        (12, 16, 0)
    );
    close(s.totals.cost_usd, 4.0 * (1e-6 + 4e-5 + 2e-5));
}

#[test]
fn pairs_compare_the_same_questions() {
    let j = four_questions();
    let s = write(j.dir.path()).unwrap();
    let p = s.pair("qwen", "gsm8k", "tale-ep").unwrap();
    assert_eq!((p.n, p.only_a, p.only_b, p.a_cost_more), (4, 1, 0, 0));
    close(p.accuracy_delta, 0.25);
    close(p.p_value, 1.0);
    close(p.output_tokens_ratio, 246.0 / 806.0);
    close(p.all_output_tokens_ratio, 286.0 / 806.0);
    // Four questions are too few.
    assert_eq!(p.output_tokens_ratio_ci95, None);
}

#[test]
fn a_failed_sample_is_an_error_and_nothing_else() {
    let mut j = Journal::new();
    let (vanilla, tale) = (j.cell("vanilla-cot"), j.cell("tale-ep"));
    j.add(vanilla, 0, Sample::new(Correct, 100));
    j.add(vanilla, 1, Sample::failed());
    j.add(vanilla, 2, Sample::new(Wrong, 300));
    j.add(tale, 0, Sample::failed());
    j.add(tale, 1, Sample::new(Correct, 40));
    j.add(tale, 2, Sample::new(Correct, 60));
    let s = write(j.dir.path()).unwrap();
    assert_eq!((s.rows[0].n, s.rows[0].errors), (2, 1));
    close(s.rows[0].accuracy, 0.5);
    close(s.rows[0].output_tokens, 200.0);
    // Only question 2 was answered by both.
    assert_eq!(s.paired[0].n, 1);
    close(s.paired[0].output_tokens_ratio, 0.2);
    assert_eq!(s.totals.errors, 2);
    assert_eq!(
        notes(&s)[0],
        "vanilla-cot: of 3 samples, 1 failed and counts nowhere."
    );
}

#[test]
fn questions_without_gold_count_for_tokens_only() {
    let mut j = Journal::new();
    let (vanilla, tale) = (j.cell("vanilla-cot"), j.cell("tale-ep"));
    for i in 0..5 {
        j.add(vanilla, i, Sample::new(Ungraded, 100));
        j.add(tale, i, Sample::new(Ungraded, 30).under(20, 5));
    }
    let s = write(j.dir.path()).unwrap();
    assert_eq!(
        (s.rows[0].n, s.rows[0].graded, s.rows[0].accuracy),
        (5, 0, None)
    );
    assert_eq!(
        (s.paired[0].accuracy_delta, s.paired[0].p_value),
        (None, None)
    );
    insta::assert_snapshot!(savings(&s).unwrap(), @"TALE-EP used 30% of vanilla CoT's output tokens (95% interval 30–30%), 35% with its estimates counted; the questions have no gold answers (n = 5).");
}

#[test]
fn no_price_is_null_not_zero() {
    let mut j = Journal::new();
    let direct = j.cell("direct");
    j.add(direct, 0, Sample::new(Correct, 5));
    let s = write(j.dir.path()).unwrap();
    assert_eq!((s.rows[0].expense_1e5_usd, s.totals.cost_usd), (None, None));
    let json = std::fs::read_to_string(j.dir.path().join("summary.json")).unwrap();
    assert!(json.contains("\"expense_1e5_usd\": null"));
}

#[test]
fn an_empty_run_has_a_report() {
    let j = Journal::new();
    let s = write(j.dir.path()).unwrap();
    assert_eq!((s.rows.len(), s.totals.samples), (0, 0));
    assert_eq!(s.name, j.dir.path().file_name().unwrap().to_str().unwrap());
    j.cell("vanilla-cot");
    j.cell("tale-ep");
    let s = write(j.dir.path()).unwrap();
    assert_eq!(
        (s.rows[1].n, s.rows[1].accuracy, s.paired[0].n),
        (0, None, 0)
    );
    assert_eq!(savings(&s), None);
    assert!(terminal(std::slice::from_ref(&s), Some(80)).contains("vanilla-cot"));
    assert!(markdown(&[s]).contains("| tale-ep | 0 | – |"));
}

#[test]
fn summary_and_samples_have_the_promised_fields_in_order() {
    let j = four_questions();
    let s = write(j.dir.path()).unwrap();
    let json = std::fs::read_to_string(j.dir.path().join("summary.json")).unwrap();
    let read: Summary = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (read.name, read.paired.len(), read.totals.samples),
        (s.name, 2, 12)
    );
    insta::with_settings!({filters => vec![(r"\d+\.\d+\.\d+", "[version]")]}, {
        insta::assert_snapshot!("summary", json);
    });
    let jsonl = std::fs::read_to_string(j.dir.path().join("samples.jsonl")).unwrap();
    let lines: Vec<&str> = jsonl.lines().collect();
    assert_eq!(lines.len(), 12);
    let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(lines[8]).unwrap();
    let keys: Vec<&str> = line.keys().map(String::as_str).collect();
    insta::assert_snapshot!(keys.join(" "), @"id llm dataset method question gold prompt completion answer correct budget input_tokens cached_input_tokens output_tokens estimate_input_tokens estimate_output_tokens cost_usd latency_s finish_reason error estimate_prompt estimate_completion outcome reason fallback repeat reasoning_tokens service_tier from_cache");
    insta::assert_json_snapshot!("sample", line);
    assert!(!j.dir.path().join("samples.jsonl.part").exists());
}

#[test]
fn a_failed_sample_has_a_line_that_says_why() {
    let mut j = Journal::new();
    let cell = j.cell("vanilla-cot");
    j.add(cell, 0, Sample::failed());
    write(j.dir.path()).unwrap();
    let jsonl = std::fs::read_to_string(j.dir.path().join("samples.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&jsonl).unwrap();
    assert_eq!(line["error"], "unavailable: connection refused");
    assert_eq!(
        (&line["correct"], &line["completion"], &line["latency_s"]),
        (
            &serde_json::Value::Null,
            &serde_json::Value::Null,
            &serde_json::Value::Null
        )
    );
}

#[test]
fn table_fits_the_terminal() {
    let j = four_questions();
    let s = write(j.dir.path()).unwrap();
    insta::assert_snapshot!("table_wide", terminal(std::slice::from_ref(&s), Some(120)));
    for width in [40, 60, 80, 100] {
        let text = terminal(std::slice::from_ref(&s), Some(width));
        let widest = text.lines().map(|l| l.chars().count()).max().unwrap();
        // Method, n, accuracy and tokens stay, whatever the width.
        assert!(
            widest <= usize::from(width).max(48),
            "{widest} > {width}\n{text}"
        );
        assert!(text.contains("output tokens"));
    }
    insta::assert_snapshot!("table_markdown", markdown(std::slice::from_ref(&s)));
    let mut other = s.clone();
    other.name = "five".into();
    insta::assert_snapshot!("table_two_runs", terminal(&[s, other], Some(120)));
}

fn pair(tale: &[(Outcome, u64, u64)], vanilla: &[(Outcome, u64)]) -> Summary {
    let mut j = Journal::new();
    let (v, t) = (j.cell("vanilla-cot"), j.cell("tale-ep"));
    for (i, &(outcome, tokens)) in vanilla.iter().enumerate() {
        j.add(v, i as u64, Sample::new(outcome, tokens));
    }
    for (i, &(outcome, tokens, estimate)) in tale.iter().enumerate() {
        j.add(
            t,
            i as u64,
            Sample::new(outcome, tokens).under(50, estimate),
        );
    }
    write(j.dir.path()).unwrap()
}

#[test]
fn the_sentence_is_true_when_tale_saved() {
    let s = pair(
        &[
            (Correct, 60, 12),
            (Correct, 80, 12),
            (Wrong, 90, 12),
            (Wrong, 70, 12),
        ]
        .repeat(6),
        &[(Correct, 200), (Correct, 220), (Correct, 180), (Wrong, 240)].repeat(6),
    );
    insta::assert_snapshot!(savings(&s).unwrap(), @"TALE-EP used 36% of vanilla CoT's output tokens (95% interval 33–39%), 41% with its estimates counted, at 50.0% against 75.0% accuracy (difference significant, p = 0.031, n = 24).");
}

#[test]
fn the_sentence_claims_no_interval_for_four_questions() {
    let s = pair(
        &[
            (Correct, 60, 12),
            (Correct, 80, 12),
            (Wrong, 90, 12),
            (Correct, 70, 12),
        ],
        &[(Correct, 200), (Correct, 220), (Correct, 180), (Wrong, 240)],
    );
    insta::assert_snapshot!(savings(&s).unwrap(), @"TALE-EP used 36% of vanilla CoT's output tokens (too few questions for an interval), 41% with its estimates counted, at the same accuracy of 75.0% (n = 4).");
}

#[test]
fn the_sentence_is_true_when_estimates_eat_the_savings() {
    let s = pair(&[(Correct, 60, 90); 6], &[(Correct, 100); 6]);
    insta::assert_snapshot!(savings(&s).unwrap(), @"TALE-EP used 60% of vanilla CoT's output tokens (95% interval 60–60%), but 150% with its estimates counted (they cost more than they saved), at the same accuracy of 100.0% (n = 6).");
}

#[test]
fn the_sentence_is_true_when_tale_cost_more() {
    let s = pair(&[(Wrong, 250, 12); 8], &[(Correct, 100); 8]);
    insta::assert_snapshot!(savings(&s).unwrap(), @"TALE-EP cost more than vanilla CoT: 250% of its output tokens (95% interval 250–250%), 262% with its estimates counted, at 0.0% against 100.0% accuracy (difference significant, p = 0.008, n = 8).");
}

#[test]
fn the_sentence_hedges_what_chance_can_do() {
    let s = pair(
        &[(Correct, 20, 0), (Correct, 400, 0), (Correct, 90, 0)].repeat(2),
        &[(Correct, 300), (Correct, 200), (Correct, 100)].repeat(2),
    );
    insta::assert_snapshot!(savings(&s).unwrap(), @"TALE-EP used 85% of vanilla CoT's output tokens (95% interval 19–178%, which is no clear difference), at the same accuracy of 100.0% (n = 6).");
}

#[test]
fn fallbacks_are_said() {
    let mut j = Journal::new();
    let (v, t) = (j.cell("vanilla-cot"), j.cell("tale-ep"));
    for i in 0..4 {
        j.add(v, i, Sample::new(Correct, 100));
        let sample = Sample::new(Correct, 100).under(50, 12);
        let fallback = (i == 0).then_some("vanilla-cot");
        j.add(
            t,
            i,
            Sample {
                fallback,
                budget: None,
                ..sample
            },
        );
    }
    let s = write(j.dir.path()).unwrap();
    assert_eq!(
        notes(&s),
        ["tale-ep: of 4 samples, 1 budget came by the fallback."]
    );
    assert!(
        savings(&s)
            .unwrap()
            .contains("1 of 4 budgets could not be read")
    );
}

#[test]
fn several_models_are_never_mixed() {
    let mut j = Journal::new();
    for (llm, tokens) in [("qwen", 50), ("smol", 150)] {
        let (v, t) = (
            j.cell_of(llm, "gsm8k", "vanilla-cot"),
            j.cell_of(llm, "gsm8k", "tale-ep"),
        );
        j.add(v, 0, Sample::new(Correct, 100));
        j.add(t, 0, Sample::new(Correct, tokens));
    }
    let s = write(j.dir.path()).unwrap();
    close(
        s.pair("qwen", "gsm8k", "tale-ep")
            .unwrap()
            .output_tokens_ratio,
        0.5,
    );
    close(
        s.pair("smol", "gsm8k", "tale-ep")
            .unwrap()
            .output_tokens_ratio,
        1.5,
    );
    assert_eq!(savings(&s).unwrap().lines().count(), 2);
}
