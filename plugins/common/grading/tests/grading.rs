//! The cases of `grading_cases.jsonl`, each with its class and its origin.

use serde::Deserialize;
use tale_grading::{AnswerKind, GradeRequest, Hints, Verdict, equivalent, gold, grade};

#[derive(Deserialize)]
struct Case {
    kind: AnswerKind,
    class: String,
    gold: String,
    completion: String,
    #[serde(default)]
    choices: usize,
    question: Option<String>,
    expected: Verdict,
    origin: String,
}

fn cases() -> Vec<Case> {
    include_str!("grading_cases.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of the data file"))
        .collect()
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

#[test]
fn every_case_gets_its_verdict() {
    let mut faults = Vec::new();
    for (number, case) in cases().iter().enumerate() {
        let result = grade(&GradeRequest {
            kind: case.kind,
            completion: &case.completion,
            gold: &case.gold,
            choices: case.choices,
            question: case.question.as_deref(),
        });
        if result.verdict != case.expected {
            faults.push(format!(
                "line {}: gold `{}`, completion `{}`: {} ({}), not {}; {} ({})",
                number + 1,
                short(&case.gold),
                short(&case.completion),
                result.verdict,
                result.reason,
                case.expected,
                case.class,
                case.origin,
            ));
        }
        assert!(!result.reason.is_empty() && !result.reason.contains('\n'));
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn each_class_has_cases_and_each_case_an_origin() {
    let cases = cases();
    assert!(cases.len() > 500, "{}", cases.len());
    assert!(
        cases
            .iter()
            .all(|case| !case.origin.is_empty() && !case.class.is_empty())
    );
}

#[test]
fn equality_is_symmetric_and_reflexive_on_the_cases() {
    for case in cases() {
        let gold = gold(case.kind, &case.gold);
        let hints = case
            .question
            .as_deref()
            .map(Hints::from_question)
            .unwrap_or_default();
        let there = equivalent(case.kind, &gold, &case.completion, hints);
        let back = equivalent(case.kind, &case.completion, &gold, hints);
        assert_eq!(
            there.0,
            back.0,
            "{} and {}",
            short(&gold),
            short(&case.completion)
        );
        for text in [&gold, &case.completion] {
            assert_eq!(
                equivalent(case.kind, text, text, hints).0,
                Verdict::Correct,
                "{}",
                short(text)
            );
        }
    }
}

#[test]
fn a_question_that_asks_for_a_percentage_makes_50_percent_equal_50() {
    let grade_with = |question| {
        let request = GradeRequest {
            kind: AnswerKind::Number,
            completion: "[[50%]]",
            gold: "50",
            choices: 0,
            question,
        };
        grade(&request).verdict
    };
    assert_eq!(
        grade_with(Some("What percentage of them is red?")),
        Verdict::Correct
    );
    assert_eq!(
        grade_with(Some("How many of them are red?")),
        Verdict::Wrong
    );
    assert_eq!(grade_with(None), Verdict::Wrong);
}

#[test]
fn a_grade_is_one_json_line() {
    let request = GradeRequest {
        kind: AnswerKind::Text,
        completion: "a\nb",
        gold: "c",
        choices: 0,
        question: None,
    };
    let line = serde_json::to_string(&grade(&request)).unwrap();
    assert_eq!(
        line,
        r#"{"answer":"a\nb","verdict":"wrong","reason":"different texts"}"#
    );
}
