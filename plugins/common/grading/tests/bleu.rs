//! BLEU against values recorded from sacrebleu; `bleu_fixture.py` wrote `bleu_fixture.json`.

use serde::Deserialize;
use tale_grading::{bleu, sentence_bleu, tokenize_13a};

#[derive(Deserialize)]
struct Fixture {
    sentences: Vec<Sentence>,
    corpora: Vec<Corpus>,
}

#[derive(Deserialize)]
struct Sentence {
    hypothesis: String,
    references: Vec<String>,
    tokens: String,
    score: f64,
}

#[derive(Deserialize)]
struct Corpus {
    sentences: Vec<usize>,
    score: f64,
}

/// The last digits depend on the order of logarithms.
const TOLERANCE: f64 = 1e-9;

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("bleu_fixture.json")).expect("the fixture")
}

#[test]
fn sentences_score_as_in_sacrebleu() {
    for sentence in fixture().sentences {
        assert_eq!(
            tokenize_13a(&sentence.hypothesis).join(" "),
            sentence.tokens
        );
        let references: Vec<&str> = sentence.references.iter().map(String::as_str).collect();
        let score = sentence_bleu(&sentence.hypothesis, &references);
        assert!(
            (score - sentence.score).abs() < TOLERANCE,
            "{}: {score}, not {}",
            sentence.hypothesis,
            sentence.score
        );
    }
}

#[test]
fn corpora_score_as_in_sacrebleu() {
    let fixture = fixture();
    for corpus in &fixture.corpora {
        let references: Vec<(&str, Vec<&str>)> = corpus
            .sentences
            .iter()
            .map(|index| {
                let sentence = &fixture.sentences[*index];
                let references = sentence.references.iter().map(String::as_str).collect();
                (sentence.hypothesis.as_str(), references)
            })
            .collect();
        let score = bleu(references.iter().map(|(h, r)| (*h, r.as_slice())));
        assert!(
            (score - corpus.score).abs() < TOLERANCE,
            "{score}, not {}",
            corpus.score
        );
    }
}

#[test]
fn nothing_scores_nothing() {
    assert!(bleu([]).abs() < TOLERANCE);
    assert!(sentence_bleu("", &["a"]).abs() < TOLERANCE);
    assert!(sentence_bleu("a", &[]).abs() < TOLERANCE);
}
