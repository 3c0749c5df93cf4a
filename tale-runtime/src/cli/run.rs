//! `tale run`: runs a manifest, or goes on with it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use super::{Exit, Failure, Global, Outcome, interrupted, output, post_train};
use crate::{
    diagnostics::Diagnostic,
    manifest::{Change, Task},
    pipeline::{Ending, Observer, PipelineError},
    plan::{Forecast, OpenError, Outlook, Plan, PromptPreview},
    progress,
    registry::Registry,
    report::{self, Summary},
    run_dir::{self, AdoptError},
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
    pub(super) fresh: bool,
    /// Show the plan, the first prompts and a forecast, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// End the run before it has cost more than so many US dollars, earlier sessions counted
    #[arg(long, value_name = "USD", value_parser = dollars)]
    max_cost: Option<f64>,
    /// Neither take nor keep answers of other runs
    #[arg(long)]
    no_cache: bool,
}

fn dollars(text: &str) -> Result<f64, String> {
    let usd: f64 = text
        .trim_start_matches('$')
        .parse()
        .map_err(|_| "no number")?;
    if usd >= 0.0 && usd.is_finite() {
        Ok(usd)
    } else {
        Err("a sum of 0 or more".to_owned())
    }
}

impl RunArgs {
    fn plan(&self, global: &Global) -> Result<(Plan, Registry), Failure> {
        let mut sets = self.sets.clone();
        if let Some(limit) = self.limit {
            sets.push(format!("dataset.limit={limit}"));
        }
        if let Some(usd) = self.max_cost {
            // With a point, since a TOML number without one is no fraction.
            sets.push(format!("max_cost_usd={usd:?}"));
        }
        if self.no_cache {
            sets.push("cache.mode=off".to_owned());
        }
        let (plan, registry) = Plan::read(&self.manifest, &sets, |dirs| global.registry(dirs))
            .map_err(Failure::usage)?;
        if !plan.warnings.is_empty() {
            output::failure(&plan.warnings, global.json);
        }
        Ok((plan, registry))
    }

    pub(super) fn manifest(&self) -> &Path {
        &self.manifest
    }

    pub(super) fn out(&self, plan: &Plan) -> PathBuf {
        self.out
            .clone()
            .unwrap_or_else(|| Path::new("runs").join(&plan.manifest.name))
    }
}

pub(super) async fn run(args: &RunArgs, global: &Global) -> Outcome {
    let (plan, registry) = args.plan(global)?;
    if args.dry_run {
        return dry_run(args, &plan, &registry, global).await;
    }
    if plan.manifest.trains() {
        return post_train::run(args, global, &plan, &registry).await;
    }
    let dir = args.out(&plan);
    if args.fresh
        && let Some(aside) = run_dir::move_aside(&dir)?
        && !global.quiet
    {
        output::note(&format!("the earlier run was moved to {}", aside.display()));
    }
    let store = Arc::new(Store::open(&dir)?);
    run_dir::adopt(&store, &plan).await.map_err(taken)?;
    if !global.quiet && !global.json {
        output::note(&format!(
            "opening models and data sets of `{}`",
            plan.manifest.name
        ));
    }
    let opened = tokio::select! {
        opened = plan.open(&registry, Arc::clone(&store)) => opened.map_err(not_opened)?,
        () = interrupted() => return Ok(Exit::Interrupted),
    };
    run_dir::adopt_digests(&store, &opened.digests)
        .await
        .map_err(taken)?;

    let observer: Arc<dyn Observer> = if global.quiet {
        Arc::new(progress::Silent)
    } else {
        progress::for_people(&opened.purse)
    };
    let ended = opened.work.run(observer, interrupted()).await;
    // Everything is committed and the journal free before the report reads it.
    drop(opened);
    drop(store);
    let summary = tokio::task::block_in_place(|| report::write(&dir));
    match (ended, summary) {
        (Ok(ended), summary) => Ok(finish(args, global, &dir, &summary?, ended)),
        (Err(e), Ok(summary)) if e.is_cap_reached() => {
            show(global, &dir, &summary);
            output::note(&cap_reached(args, &e));
            Ok(Exit::CapReached)
        }
        // What ended the run matters more than a report that fails for the same reason.
        (Err(e), Err(_)) => Err(e.into()),
        (Err(e), Ok(summary)) => {
            show(global, &dir, &summary);
            Err(e.into())
        }
    }
}

/// What ended the run, and how it goes on.
pub(super) fn cap_reached(args: &RunArgs, e: &PipelineError) -> String {
    let cause = std::error::Error::source(e).map_or_else(|| e.to_string(), ToString::to_string);
    format!(
        "stopped before the cap on the cost: {cause} (all sessions of this run counted); \
         `tale run {} --max-cost USD` with a larger sum goes on from here",
        args.manifest.display()
    )
}

/// A component that could not be created; where the manifest asks for what cannot be, that is a
/// matter of usage.
pub(super) fn not_opened(e: OpenError) -> Failure {
    if !e.is_of_the_manifest() {
        return e.into();
    }
    let diagnostic = Diagnostic::from_error(&e);
    Failure::usage(match e.hint() {
        Some(hint) => diagnostic.help(hint),
        None => diagnostic,
    })
}

/// The numbers so far, and where the report is.
pub(super) fn show(global: &Global, dir: &Path, summary: &Summary) {
    if global.json {
        output::json(summary);
        return;
    }
    output::line(&report::terminal(std::slice::from_ref(summary), None));
    if let Some(savings) = report::savings(summary) {
        output::line(&savings);
    }
    for search in &summary.searches {
        output::line(&search.sentence());
    }
    for note in report::notes(summary) {
        output::line(&note);
    }
    output::line(&format!("report: {}", dir.join("report.html").display()));
}

fn finish(args: &RunArgs, global: &Global, dir: &Path, summary: &Summary, ended: Ending) -> Exit {
    show(global, dir, summary);
    match ended {
        Ending::Interrupted => {
            output::note(&format!(
                "interrupted; `tale run {}` goes on from here",
                args.manifest.display()
            ));
            Exit::Interrupted
        }
        Ending::Complete if summary.totals.errors > 0 => {
            if !global.quiet {
                output::note(&format!(
                    "{} of {} samples failed; the same command tries them again \
                     (`samples.jsonl` says why)",
                    summary.totals.errors, summary.totals.samples
                ));
            }
            Exit::SomeFailed
        }
        Ending::Complete => Exit::Done,
    }
}

async fn dry_run(args: &RunArgs, plan: &Plan, registry: &Registry, global: &Global) -> Outcome {
    for variable in plan.missing_variables() {
        output::note(&format!(
            "environment variable `{variable}` is not set: a real run would end before its first call"
        ));
    }
    if plan.manifest.trains() {
        return post_train::dry_run(plan, registry, &args.out(plan), global).await;
    }
    let mut preview = plan.preview(registry).await?;
    if plan.manifest.task == Task::Evaluate {
        preview.outlook = plan.outlook(registry, &args.out(plan)).await?;
    }
    let resolved = plan.manifest.resolved_toml(&plan.secrets);
    if global.json {
        output::json(&serde_json::json!({ "manifest": resolved, "preview": preview }));
        return Ok(Exit::Done);
    }
    show_preview(&resolved, &preview.prompts);
    if !preview.outlook.is_empty() {
        output::line("\n# Forecast, less what is answered already");
        for outlook in &preview.outlook {
            output::line(&outlook_line(outlook));
        }
        return Ok(Exit::Done);
    }
    output::line("\n# Forecast, if nothing has been answered yet");
    for forecast in &preview.forecast {
        output::line(&forecast_line(forecast));
    }
    Ok(Exit::Done)
}

/// The manifest and the prompts of the first questions.
pub(super) fn show_preview(resolved: &str, prompts: &[PromptPreview]) {
    output::line(&format!(
        "# The manifest with its defaults\n{}",
        resolved.trim_end()
    ));
    for prompt in prompts {
        output::line(&format!(
            "\n# {} · {} · question {}",
            prompt.dataset, prompt.method, prompt.id
        ));
        for message in &prompt.messages {
            output::line(&format!("[{:?}]\n{}", message.role, message.content));
        }
    }
}

/// What one model would be asked.
pub(super) fn forecast_line(f: &Forecast) -> String {
    let number = |n: Option<u64>| n.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
    format!(
        "{}: {} questions, {} calls, about {} input tokens, at most {} output tokens, {}",
        f.llm,
        number(f.questions),
        match (f.calls_at_least, f.calls) {
            (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
            (_, most) => number(most),
        },
        number(f.input_tokens_about),
        number(f.output_tokens_at_most),
        match f.cost_usd_at_most {
            Some(usd) => format!("at most ${usd:.4}"),
            None => "no price known".to_owned(),
        }
    )
}

fn outlook_line(o: &Outlook) -> String {
    let usd = |usd: f64| format!("${usd:.4}");
    let mut parts = vec![format!(
        "{} calls ({} answered already)",
        o.calls, o.answered
    )];
    let by = if o.counted {
        ""
    } else {
        ", at four characters each"
    };
    parts.push(format!("about {} input tokens{by}", o.input_tokens));
    parts.push(match o.output_tokens_expected {
        Some(expected) => format!(
            "about {expected} output tokens, as answers were so far, at most {}",
            o.output_tokens_at_most
        ),
        None => format!("at most {} output tokens", o.output_tokens_at_most),
    });
    parts.push(match (o.cost_usd_expected, o.cost_usd_at_most) {
        (Some(expected), Some(most)) => {
            format!("about {}, at most {}", usd(expected), usd(most))
        }
        (None, Some(most)) => format!("at most {}", usd(most)),
        (_, None) => "no price known".to_owned(),
    });
    if let Some(prices) = &o.prices {
        parts.push(prices.clone());
    }
    if o.sampled {
        parts.push("from a sample of the questions".to_owned());
    }
    format!("{}: {}", o.llm, parts.join("; "))
}

/// A run directory that belongs to another run: a matter of usage, told key by key.
pub(super) fn taken(e: AdoptError) -> Failure {
    let causes: Vec<String> = match &e {
        AdoptError::OtherManifest { changes, .. } => changes.iter().map(describe).collect(),
        AdoptError::OtherData { labels, .. } => labels
            .iter()
            .map(|label| format!("the content of {label} is another"))
            .collect(),
        _ => return e.into(),
    };
    let diagnostic = causes
        .into_iter()
        .fold(Diagnostic::error(e.to_string()), Diagnostic::cause);
    Failure::usage(diagnostic.help(
        "give this run another folder with `--out DIR`, or start over with `--fresh`, which moves \
         the earlier run aside and asks everything again",
    ))
}

fn describe(change: &Change) -> String {
    let show = |value: &Option<serde_json::Value>| match value {
        Some(value) => value.to_string(),
        None => "absent".to_owned(),
    };
    format!(
        "`{}` was {}, now {}",
        change.key,
        show(&change.before),
        show(&change.after)
    )
}
