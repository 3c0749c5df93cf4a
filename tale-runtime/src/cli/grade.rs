//! `tale grade`: judges a file of answers.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::{Deserialize, Serialize};
use tale_grading::{AnswerKind, GradeRequest, Verdict};

use super::{Exit, Failure, Global, Outcome, output};
use crate::diagnostics::{Diagnostic, Place};

#[derive(Args)]
pub(super) struct GradeArgs {
    /// JSONL with `id`, `gold`, and `completion` or `prediction`; optional `kind`, `question`,
    /// `choices`; `-` is stdin
    file: PathBuf,
    /// Kind of answer where a line names none: number, choice, math or text
    #[arg(long, default_value = "number", value_parser = parse_kind)]
    kind: AnswerKind,
}

fn parse_kind(text: &str) -> Result<AnswerKind, String> {
    text.parse()
        .map_err(|_| "known are number, choice, math, text".to_owned())
}

/// Bytes of one line at most; more is no answer.
const LINE_LIMIT: u64 = 64 << 20;

#[derive(Deserialize)]
struct Answered {
    id: serde_json::Value,
    gold: serde_json::Value,
    completion: Option<String>,
    prediction: Option<String>,
    kind: Option<AnswerKind>,
    question: Option<String>,
    #[serde(default)]
    choices: usize,
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
    let name = args.file.display().to_string();
    let mut reader: Box<dyn BufRead> = if args.file == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = File::open(&args.file).map_err(|e| {
            let problem = Diagnostic::error(format!("cannot read `{name}`"));
            Failure::usage(problem.cause(e.to_string()))
        })?;
        Box::new(BufReader::new(file))
    };
    let (mut right, mut wrong, mut undecided) = (0_u64, 0_u64, 0_u64);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader
            .by_ref()
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut line)?
            == 0
        {
            break;
        }
        // A file from Windows begins with a byte order mark.
        let text = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line);
        if text.trim_ascii().is_empty() {
            continue;
        }
        let answered: Answered =
            serde_json::from_slice(text).map_err(|e| bad_line(&name, number, &e.to_string()))?;
        let graded = judge(args.kind, &answered).map_err(|e| bad_line(&name, number, e))?;
        match graded.correct {
            Some(true) => right += 1,
            Some(false) => wrong += 1,
            None => undecided += 1,
        }
        output::json_line(&graded);
    }
    if !global.quiet {
        let total = right + wrong + undecided;
        output::note(&format!(
            "{total} answers: {right} right, {wrong} wrong, {undecided} undecided"
        ));
    }
    Ok(Exit::Done)
}

fn judge(default: AnswerKind, answered: &Answered) -> Result<Graded<'_>, &'static str> {
    let gold = match &answered.gold {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return Err("`gold` must be a text or a number"),
    };
    let completion = answered
        .completion
        .as_deref()
        .or(answered.prediction.as_deref())
        .ok_or("neither `completion` nor `prediction`")?;
    let grade = tale_grading::grade(&GradeRequest {
        kind: answered.kind.unwrap_or(default),
        completion,
        gold: &gold,
        choices: answered.choices,
        question: answered.question.as_deref(),
    });
    let correct = match grade.verdict {
        Verdict::Correct => Some(true),
        Verdict::Wrong => Some(false),
        Verdict::Undecided => None,
    };
    Ok(Graded {
        id: &answered.id,
        answer: grade.answer,
        correct,
        reason: grade.reason,
    })
}

fn bad_line(name: &str, line: usize, why: &str) -> Failure {
    let problem = Diagnostic::at(Place::line(name, line), "this line is no answer").cause(why);
    Failure {
        code: 1,
        diagnostics: problem.into(),
    }
}
