//! `tale grade`: judges files of answers, and compares two judgements.

mod answers;
mod compare;
mod grader;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tale_grading::AnswerKind;

use super::{Exit, Global, Outcome, output, usage};
use answers::{Answer, Answers};
use compare::Comparison;
use grader::{Grader, Judged};

#[derive(Args)]
pub(super) struct GradeArgs {
    /// JSONL with `id`, `gold`, and `completion` or `prediction`; optional `kind`, `question`,
    /// `choices`; a run directory stands for its `samples.jsonl`; `-` is stdin
    file: PathBuf,
    /// Kind of answer where a line names none: number, choice, math or text [default: choice where
    /// the gold answer is a single capital letter, else number]
    #[arg(long, value_parser = parse_kind)]
    kind: Option<AnswerKind>,
    /// Who judges: tale; reference (the rule of the paper's code, numbers only); exact (the same
    /// text); recorded (the `correct` that stands in the file)
    #[arg(long, default_value = "tale")]
    grader: Grader,
    /// Judge these answers, too, and list where the two differ: the answers of another file or run
    /// to the same questions, told apart by id (and model, data set and method, where both have
    /// these)
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Who judges the other side; without `--against` the same answers are judged by both
    #[arg(long, value_name = "GRADER")]
    against_grader: Option<Grader>,
}

fn parse_kind(text: &str) -> Result<AnswerKind, String> {
    text.parse()
        .map_err(|_| "known are number, choice, math, text".to_owned())
}

#[derive(Serialize)]
struct Graded<'a> {
    id: &'a serde_json::Value,
    answer: Option<String>,
    /// `null` where the grader could not tell.
    correct: Option<bool>,
    reason: String,
}

pub(super) fn grade(args: &GradeArgs, global: &Global) -> Outcome {
    if args.against.is_some() || args.against_grader.is_some() {
        return compare(args, global);
    }
    let (mut right, mut wrong, mut undecided) = (0_u64, 0_u64, 0_u64);
    // Answer and gold of every text: BLEU is one of a corpus, no mean of its parts.
    let mut texts: Vec<(String, String)> = Vec::new();
    for answer in Answers::open(&args.file)? {
        let answer = answer?;
        let Some(Judged {
            answer: found,
            correct,
            reason,
        }) = args.grader.judge(&answer, args.kind)
        else {
            continue;
        };
        if answer.kind(args.kind) == AnswerKind::Text {
            let gold = answer.gold().unwrap_or_default();
            texts.push((found.clone().unwrap_or_default(), gold));
        }
        match correct {
            Some(true) => right += 1,
            Some(false) => wrong += 1,
            None => undecided += 1,
        }
        output::json_line(&Graded {
            id: &answer.id,
            answer: found,
            correct,
            reason,
        });
    }
    if !global.quiet {
        let total = right + wrong + undecided;
        output::note(&format!(
            "{total} answers: {right} right, {wrong} wrong, {undecided} undecided"
        ));
        if !texts.is_empty() {
            let golds: Vec<[&str; 1]> = texts.iter().map(|(_, gold)| [gold.as_str()]).collect();
            let pairs = texts.iter().zip(&golds);
            let score = tale_grading::bleu(pairs.map(|((text, _), gold)| (&**text, &gold[..])));
            output::note(&format!("BLEU of {} texts: {score:.2}", texts.len()));
        }
    }
    Ok(Exit::Done)
}

fn compare(args: &GradeArgs, global: &Global) -> Outcome {
    let other = args.against.as_ref().unwrap_or(&args.file);
    if other.as_os_str() == "-" {
        return Err(usage(
            "stdin can be read once only",
            "give the answers that are compared as files",
        ));
    }
    let other_grader = args.against_grader.unwrap_or(args.grader);
    let mut comparison = Comparison::new(global.json);
    // One side is held in memory by id, with its verdicts only.
    for answer in Answers::open(other)? {
        let answer = answer?;
        if let Some(judged) = other_grader.judge(&answer, args.kind) {
            comparison.other(&answer, judged)?;
        }
    }
    for answer in Answers::open(&args.file)? {
        let answer = answer?;
        if let Some(judged) = args.grader.judge(&answer, args.kind)
            && let Some(difference) = comparison.pair(&answer, args.kind, judged)
            && !global.json
        {
            output::json_line(&difference);
        }
    }
    let totals = comparison.totals();
    if totals.pairs == 0 {
        return Err(usage(
            format!("no answer of `{}` has a counterpart", args.file.display()),
            "answers are paired by `id`; runs also by model, data set and method",
        ));
    }
    if global.json {
        output::json(&totals);
    } else if !global.quiet {
        for line in totals.lines() {
            output::note(&line);
        }
    }
    Ok(Exit::Done)
}
