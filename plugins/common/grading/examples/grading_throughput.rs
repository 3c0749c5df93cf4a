//! Grades a JSONL file and times it: the Rust half of the comparison with math-verify.
//!
//! Each line holds `kind`, `gold` and either `completion` or `answer`, optionally `choices` and
//! `question`. Only the grading is timed, on one thread; reading the file is not.
//!
//! ```text
//! cargo run --release --example grading_throughput -- FILE [ROUNDS] [--verdicts]
//! ```
//! Figures go to stderr; with `--verdicts` a line per input goes to stdout.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use serde::Deserialize;
use tale_grading::{AnswerKind, GradeRequest, Verdict, grade};

#[derive(Deserialize)]
struct Line {
    kind: AnswerKind,
    gold: String,
    #[serde(alias = "answer")]
    completion: String,
    #[serde(default)]
    choices: usize,
    question: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments
        .first()
        .ok_or("usage: throughput FILE [ROUNDS] [--verdicts]")?;
    let rounds: u32 = arguments
        .get(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(1)
        .max(1);
    let lines = std::fs::read_to_string(path)?
        .lines()
        .map(serde_json::from_str::<Line>)
        .collect::<Result<Vec<_>, _>>()?;
    let request = |line: &Line| {
        grade(&GradeRequest {
            kind: line.kind,
            completion: &line.completion,
            gold: &line.gold,
            choices: line.choices,
            question: line.question.as_deref(),
        })
    };
    let mut slowest = (std::time::Duration::ZERO, 0);
    let start = Instant::now();
    let mut grades = Vec::new();
    for _ in 0..rounds {
        grades.clear();
        for (number, line) in lines.iter().enumerate() {
            let before = Instant::now();
            grades.push(request(line));
            slowest = slowest.max((before.elapsed(), number + 1));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let graded = f64::from(rounds) * f64::from(u32::try_from(lines.len())?);
    let count = |verdict| {
        grades
            .iter()
            .filter(|grade| grade.verdict == verdict)
            .count()
    };
    writeln!(
        std::io::stderr(),
        "{graded} grades in {seconds:.3} s: {:.0} a second, slowest {:.3} ms (line {}); \
         {} correct, {} wrong, {} undecided",
        graded / seconds,
        slowest.0.as_secs_f64() * 1e3,
        slowest.1,
        count(Verdict::Correct),
        count(Verdict::Wrong),
        count(Verdict::Undecided),
    )?;
    if arguments.iter().any(|argument| argument == "--verdicts") {
        let mut out = std::io::stdout().lock();
        for grade in &grades {
            serde_json::to_writer(&mut out, grade)?;
            writeln!(out)?;
        }
    }
    Ok(())
}
