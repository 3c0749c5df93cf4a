//! `tale run`: runs a manifest, or goes on with it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use super::{Exit, Failure, Global, Outcome, interrupted, output};
use crate::{
    diagnostics::{Diagnostic, Diagnostics, Place},
    pipeline::{self, Ending, Observer, PipelineError},
    plan::Plan,
    progress,
    registry::Registry,
    report::{self, Summary},
    run_dir,
    store::Store,
};

#[derive(Args)]
pub(super) struct RunArgs {
    /// The manifest, a TOML file
    manifest: PathBuf,
    /// Override a key of the manifest (may be given several times)
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    sets: Vec<String>,
    /// The run directory [default: runs/<name of the manifest>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Ask only the first N questions of each data set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Start over: an existing run directory is moved aside, not deleted
    #[arg(long)]
    fresh: bool,
    /// Show the plan, the first prompts and a forecast, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl RunArgs {
    fn plan(&self, global: &Global) -> Result<(Plan, Registry), Failure> {
        let mut sets = self.sets.clone();
        if let Some(limit) = self.limit {
            sets.push(format!("dataset.limit={limit}"));
        }
        Plan::read(&self.manifest, &sets, |dirs| global.registry(dirs)).map_err(Failure::usage)
    }

    fn out(&self, plan: &Plan) -> PathBuf {
        self.out.clone().unwrap_or_else(|| Path::new("runs").join(&plan.manifest.name))
    }
}

pub(super) async fn run(args: &RunArgs, global: &Global) -> Outcome {
    let (plan, registry) = args.plan(global)?;
    if args.dry_run {
        return dry_run(&plan, &registry, global).await;
    }
    let dir = args.out(&plan);
    if args.fresh
        && let Some(aside) = run_dir::move_aside(&dir)?
        && !global.quiet
    {
        output::note(&format!("the earlier run was moved to {}", aside.display()));
    }
    let store = Arc::new(Store::open(&dir)?);
    let differing = run_dir::adopt(&store, &plan).await?;
    if !differing.is_empty() {
        return Err(other_manifest(&dir, &differing));
    }
    if !global.quiet && !global.json {
        output::note(&format!("opening models and data sets of `{}`", plan.manifest.name));
    }
    let opened = tokio::select! {
        opened = plan.open(&registry, Arc::clone(&store)) => opened?,
        () = interrupted() => return Ok(Exit::Interrupted),
    };
    let changed = run_dir::adopt_digests(&store, &opened.digests).await?;
    if !changed.is_empty() {
        return Err(other_data(&dir, &changed));
    }

    let observer: Arc<dyn Observer> = if global.quiet {
        Arc::new(progress::Silent)
    } else {
        progress::for_people()
    };
    let ended = pipeline::evaluate(&opened.evaluation, observer, interrupted()).await;
    // Everything is committed and the journal free before the report reads it.
    drop(opened);
    drop(store);
    let summary = tokio::task::block_in_place(|| report::write(&dir))?;
    finish(args, global, &dir, &summary, ended)
}

fn finish(
    args: &RunArgs,
    global: &Global,
    dir: &Path,
    summary: &Summary,
    ended: Result<Ending, PipelineError>,
) -> Outcome {
    if global.json {
        output::json(summary);
    } else {
        output::line(&report::terminal(std::slice::from_ref(summary), None));
        if let Some(savings) = report::savings(summary) {
            output::line(&savings);
        }
        for note in report::notes(summary) {
            output::line(&note);
        }
        output::line(&format!("report: {}", dir.join("report.html").display()));
    }
    match ended? {
        Ending::Interrupted => {
            output::note(&format!(
                "interrupted; `tale run {}` goes on from here",
                args.manifest.display()
            ));
            Ok(Exit::Interrupted)
        }
        Ending::Complete if summary.totals.errors > 0 => {
            if !global.quiet {
                output::note(&format!(
                    "{} of {} samples failed; the same command tries them again \
                     (`samples.jsonl` says why)",
                    summary.totals.errors, summary.totals.samples
                ));
            }
            Ok(Exit::SomeFailed)
        }
        Ending::Complete => Ok(Exit::Done),
    }
}

async fn dry_run(plan: &Plan, registry: &Registry, global: &Global) -> Outcome {
    let preview = plan.preview(registry).await?;
    let resolved = plan.manifest.resolved_toml(&plan.secrets);
    if global.json {
        output::json(&serde_json::json!({ "manifest": resolved, "preview": preview }));
        return Ok(Exit::Done);
    }
    output::line(&format!("# The manifest with its defaults\n{}", resolved.trim_end()));
    for prompt in &preview.prompts {
        output::line(&format!("\n# {} · {} · question {}", prompt.dataset, prompt.method, prompt.id));
        for message in &prompt.messages {
            output::line(&format!("[{:?}]\n{}", message.role, message.content));
        }
    }
    output::line("\n# Forecast, if nothing has been answered yet");
    let number = |n: Option<u64>| n.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
    for f in &preview.forecast {
        output::line(&format!(
            "{}: {} questions, {} calls, about {} input tokens, at most {} output tokens, {}",
            f.llm,
            number(f.questions),
            number(f.calls),
            number(f.input_tokens_about),
            number(f.output_tokens_at_most),
            match f.cost_usd_at_most {
                Some(usd) => format!("at most ${usd:.4}"),
                None => "no price known".to_owned(),
            }
        ));
    }
    Ok(Exit::Done)
}

fn other_manifest(dir: &Path, differing: &[run_dir::Difference]) -> Failure {
    let mut diagnostic = Diagnostic::error(format!(
        "`{}` holds a run of another manifest",
        dir.display()
    ));
    for difference in differing {
        diagnostic = diagnostic.cause(difference.to_string());
    }
    Failure::usage(Diagnostics::from(diagnostic.help(START_OVER)))
}

fn other_data(dir: &Path, changed: &[String]) -> Failure {
    let mut diagnostic = Diagnostic::at(
        Place::file(dir.display().to_string()),
        "models or data have changed since this run began",
    );
    for label in changed {
        diagnostic = diagnostic.cause(format!("the content of {label} is another"));
    }
    Failure::usage(Diagnostics::from(diagnostic.help(START_OVER)))
}

const START_OVER: &str = "give this run another folder with `--out DIR`, or start over with \
                          `--fresh`, which moves the earlier run aside and asks everything again";
