//! `tale report`: makes the report of a run again, or shows several runs side by side.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Global, Outcome, output};
use crate::report::{self, Summary};

#[derive(Args)]
pub(super) struct ReportArgs {
    /// Run directories
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Print each run beside the paper's own figures, in Markdown
    #[arg(long)]
    paper: bool,
}

pub(super) fn report(args: &ReportArgs, global: &Global) -> Outcome {
    let summaries: Vec<Summary> = args
        .runs
        .iter()
        .map(|dir| report::write(dir))
        .collect::<Result<_, _>>()?;
    if global.json {
        output::json(&summaries);
        return Ok(Exit::Done);
    }
    if args.paper {
        for summary in &summaries {
            output::line(&report::beside_paper(summary));
        }
        let estimators = report::estimators_across(&args.runs)?;
        if !estimators.is_empty() {
            output::line(&report::estimators_beside_paper(&estimators));
        }
        return Ok(Exit::Done);
    }
    output::line(&report::terminal(&summaries, None));
    let estimators = report::estimators_across(&args.runs)?;
    if !estimators.is_empty() {
        output::line(&report::estimators_markdown(&estimators));
    }
    for (summary, dir) in summaries.iter().zip(&args.runs) {
        if let Some(savings) = report::savings(summary) {
            output::line(&format!("{}: {savings}", summary.name));
        }
        for search in &summary.searches {
            output::line(&search.sentence());
        }
        for note in report::notes(summary) {
            output::line(&note);
        }
        output::line(&format!("report: {}", dir.join("report.html").display()));
    }
    Ok(Exit::Done)
}
