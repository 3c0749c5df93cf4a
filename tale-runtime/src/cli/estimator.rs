//! `tale estimator`: trains estimators that ask no model.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use tale_plugin_standard::estimator::{LearnedKind, LearnedModel, Training, question_digest};

use super::{Exit, Global, Outcome, output};
use crate::{
    diagnostics::Diagnostic,
    report::{
        Judged, Searched, Trial, estimators_markdown, held_out, held_out_median, is_estimated,
        searched,
    },
};

#[derive(Subcommand)]
pub(super) enum EstimatorCommand {
    /// Train an estimator on searched budgets, and judge it on questions it was not trained on
    Train(TrainArgs),
}

#[derive(Args)]
pub(super) struct TrainArgs {
    /// `search.jsonl` of runs with `task = "search"`
    #[arg(required = true, value_name = "SEARCH.JSONL")]
    searches: Vec<PathBuf>,
    /// What to train
    #[arg(long, value_enum, default_value_t = Kind::Regression)]
    kind: Kind,
    /// The model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Parts that take turns in being held out
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=1000))]
    folds: u16,
    /// Weight of the penalty (regression)
    #[arg(long, default_value_t = 1.0)]
    lambda: f64,
    /// Neighbours asked (knn)
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    k: u16,
    /// `samples.jsonl` of runs on the same questions: estimates of TALE-EP are compared with, answers
    /// under other budgets (a sweep) widen the ideal budget ranges
    #[arg(long, value_name = "SAMPLES.JSONL")]
    against: Vec<PathBuf>,
    /// Write the comparison to a Markdown file too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Regression,
    Knn,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a Path,
    kind: LearnedKind,
    /// Questions it was trained on.
    questions: usize,
    /// Searches without a right vanilla answer, from which nothing is learned.
    left_out: usize,
    folds: u16,
    estimators: &'a [Judged],
}

pub(super) fn estimator(command: &EstimatorCommand, global: &Global) -> Outcome {
    match command {
        EstimatorCommand::Train(args) => train(args, global),
    }
}

fn train(args: &TrainArgs, global: &Global) -> Outcome {
    let (mut questions, mut left_out) = (Vec::new(), 0);
    for path in &args.searches {
        read_lines(path, |line| {
            let question = searched(line)?;
            left_out += usize::from(question.is_none());
            questions.extend(question);
            Ok(())
        })?;
    }
    let folds = usize::from(args.folds);
    if questions.len() < folds {
        let message = format!(
            "{} searches with a right vanilla answer are too few for {folds} folds",
            questions.len()
        );
        return Err(Diagnostic::error(message)
            .help("search more questions, or a set that the model answers more often")
            .into());
    }
    let mut samples = Vec::new();
    for path in &args.against {
        samples.push((path, Samples::read(path)?));
    }
    for question in &mut questions {
        let digest = question_digest(&question.question);
        for (_, samples) in &samples {
            question.widen(samples.trials.get(&digest).map_or(&[], Vec::as_slice));
        }
    }
    let how = Training {
        kind: match args.kind {
            Kind::Regression => LearnedKind::Regression,
            Kind::Knn => LearnedKind::Knn,
        },
        lambda: args.lambda.max(0.0),
        k: args.k.into(),
    };
    let mut estimators = vec![
        Judged::new(
            format!("{}, held out in {folds} parts", how.kind.as_str()),
            &questions,
            held_out(&questions, how, folds).into_iter().map(Some),
        ),
        Judged::new(
            "the median budget of the other parts".to_owned(),
            &questions,
            held_out_median(&questions, folds).into_iter().map(Some),
        ),
    ];
    for (path, samples) in &samples {
        estimators.extend(samples.judged(path, &questions));
    }
    let list: Vec<(&str, u32)> = questions
        .iter()
        .map(|q| (q.question.as_str(), q.budget))
        .collect();
    let Some(model) = LearnedModel::train(&list, how) else {
        unreachable!("there are at least two questions");
    };
    write(&args.out, &model.to_json())?;
    let table = estimators_markdown(&estimators);
    if let Some(path) = &args.markdown {
        write(path, &table)?;
    }
    if global.json {
        output::json(&Report {
            model: &args.out,
            kind: how.kind,
            questions: model.questions(),
            left_out,
            folds: args.folds,
            estimators: &estimators,
        });
    } else {
        output::line(&table);
        output::line(&format!(
            "{}: a {} of {} questions; {left_out} searches without a right vanilla answer were left out",
            args.out.display(),
            how.kind.as_str(),
            model.questions(),
        ));
    }
    Ok(Exit::Done)
}

/// What a `samples.jsonl` says of questions, by their digests.
#[derive(Default)]
struct Samples {
    /// Estimates, by method.
    estimates: BTreeMap<String, HashMap<String, u32>>,
    /// Answers under budgets that no estimator chose.
    trials: HashMap<String, Vec<Trial>>,
}

impl Samples {
    fn read(path: &Path) -> Result<Self, Diagnostic> {
        #[derive(Deserialize)]
        struct Sample {
            method: String,
            question: String,
            budget: Option<u32>,
            output_tokens: Option<u32>,
            correct: Option<bool>,
        }
        let mut samples = Self::default();
        read_lines(path, |line| {
            let sample: Sample = serde_json::from_str(line)?;
            let Some(budget) = sample.budget else {
                return Ok(());
            };
            let digest = question_digest(&sample.question);
            if is_estimated(&sample.method) {
                let method = samples.estimates.entry(sample.method).or_default();
                method.insert(digest, budget);
            } else if let (Some(tokens), Some(right)) = (sample.output_tokens, sample.correct) {
                samples.trials.entry(digest).or_default().push(Trial {
                    budget,
                    tokens,
                    right,
                });
            }
            Ok(())
        })?;
        Ok(samples)
    }

    fn judged(&self, path: &Path, questions: &[Searched]) -> Vec<Judged> {
        let judge = |(method, budgets): (&String, &HashMap<String, u32>)| {
            let estimates = questions
                .iter()
                .map(|q| budgets.get(&question_digest(&q.question)).copied());
            let name = format!("{method} of `{}`", path.display());
            Judged::new(name, questions, estimates)
        };
        self.estimates.iter().map(judge).collect()
    }
}

/// Hands every line of a JSONL file that holds anything to `visit`.
fn read_lines(
    path: &Path,
    mut visit: impl FnMut(&str) -> Result<(), serde_json::Error>,
) -> Result<(), Diagnostic> {
    let file = std::fs::File::open(path).map_err(|e| {
        Diagnostic::error(format!("cannot read `{}`", path.display())).cause(e.to_string())
    })?;
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let line = line.map_err(|e| {
            Diagnostic::error(format!("cannot read `{}`", path.display())).cause(e.to_string())
        })?;
        if line.trim().is_empty() {
            continue;
        }
        visit(&line).map_err(|e| {
            Diagnostic::error(format!(
                "line {number} of `{}` is not what it should be",
                path.display()
            ))
            .cause(e.to_string())
            .help("`tale run` of a search writes `search.jsonl`, of an evaluation `samples.jsonl`")
        })?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Diagnostic> {
    std::fs::write(path, text).map_err(|e| {
        Diagnostic::error(format!("cannot write `{}`", path.display())).cause(e.to_string())
    })
}
