//! `tale run` of a manifest that trains.

use std::{path::Path, sync::Arc};

use tale_api::TrainEvent;

use super::{
    Exit, Failure, Global, Outcome, interrupted, output,
    run::{RunArgs, cap_reached, forecast_line, not_opened, show, taken},
    train::told,
};
use crate::{
    billing::Purse,
    diagnostics::Diagnostic,
    pipeline::Observer,
    plan::Plan,
    post_train::{
        self, Ended, PostTrain, PostTrainError, PreviewError, StagePlan, Stop, Watch, explained,
    },
    progress,
    registry::Registry,
    run_dir,
};

/// Tells people on stderr, or nobody.
struct People {
    is_quiet: bool,
    shows_notes: bool,
}

impl Watch for People {
    fn stage(&self, text: &str) {
        if self.shows_notes {
            output::note(text);
        }
    }

    fn observer(&self, purse: &Arc<Purse>) -> Arc<dyn Observer> {
        if self.is_quiet {
            Arc::new(progress::Silent)
        } else {
            progress::for_people(purse)
        }
    }

    fn training(&self) -> Arc<dyn Fn(TrainEvent) + Send + Sync> {
        let is_quiet = self.is_quiet;
        Arc::new(move |event| {
            if let (false, Some(text)) = (is_quiet, told(&event)) {
                output::note(&text);
            }
        })
    }
}

pub(super) async fn run(
    args: &RunArgs,
    global: &Global,
    plan: &Plan,
    registry: &Registry,
) -> Outcome {
    let dir = args.out(plan);
    if args.fresh
        && let Some(aside) = run_dir::move_aside(&dir)?
        && !global.quiet
    {
        output::note(&format!("the earlier run was moved to {}", aside.display()));
    }
    let watch = People {
        is_quiet: global.quiet,
        shows_notes: !global.quiet,
    };
    let work = PostTrain {
        plan,
        registry,
        dir: &dir,
        watch: &watch,
        stop: Stop::on(interrupted()),
    };
    let (ended, summary) = work.run().await.map_err(failure)?;
    if let Some(summary) = &summary {
        show(global, &dir, summary);
    }
    Ok(match ended {
        Ended::Complete => Exit::Done,
        Ended::SomeFailed(n) => {
            if !global.quiet {
                output::note(&format!(
                    "{n} calls failed; the same command tries them again (`samples.jsonl` and \
                     `search.jsonl` in the stages' folders say why)"
                ));
            }
            Exit::SomeFailed
        }
        Ended::Interrupted => {
            let again = args.manifest().display();
            output::note(&format!(
                "interrupted; `tale run {again}` goes on from here"
            ));
            Exit::Interrupted
        }
        Ended::CapReached(e) => {
            output::note(&cap_reached(args, &e));
            Exit::CapReached
        }
    })
}

/// What went wrong, with what mends it.
fn failure(e: PostTrainError) -> Failure {
    match e {
        PostTrainError::Adopt(e) => taken(e),
        PostTrainError::Open(e) => not_opened(e),
        PostTrainError::Load(diagnostic) => Failure::usage(diagnostic),
        PostTrainError::OtherTask { .. } => {
            Failure::usage(Diagnostic::error(e.to_string()).help(
                "give this run another folder with `--out DIR`, or start over with `--fresh`",
            ))
        }
        PostTrainError::Overlap(ref shared) => {
            let mut problem = Diagnostic::error(e.to_string());
            for [searched, held_out] in &shared.some {
                problem = problem.cause(format!("{searched} is {held_out}"));
            }
            Failure::usage(problem.help(
                "choose other questions with `path`, `offset` or `limit` of `[dataset]` and \
                 `[held_out]`; `overlap = \"drop\"` in `[post_train]` leaves them out of the pairs",
            ))
        }
        PostTrainError::FewPairs { ref skipped, .. } => {
            let mut problem = Diagnostic::error(e.to_string());
            for (reason, n) in skipped {
                problem = problem.cause(format!("{n} questions: {}", explained(reason)));
            }
            let problem = problem.help(
                "search more questions (`limit` of `[dataset]`) or ones that the model can answer, \
                 or raise `max_tokens`; the search is kept",
            );
            Failure {
                code: 1,
                diagnostics: problem.into(),
            }
        }
        PostTrainError::NoAdapter { .. } => Failure {
            code: 1,
            diagnostics: Diagnostic::error(e.to_string())
                .help("say in `[post_train.adapter]` in which `form` the model takes it")
                .into(),
        },
        e => e.into(),
    }
}

pub(super) async fn dry_run(
    plan: &Plan,
    registry: &Registry,
    dir: &Path,
    global: &Global,
) -> Outcome {
    let stages = post_train::stages(plan, registry, dir)
        .await
        .map_err(|e| match e {
            PreviewError::Run(e) => failure(e),
            e => e.into(),
        })?;
    let preview = plan.search_stage().preview(registry).await?;
    let resolved = plan.manifest.resolved_toml(&plan.secrets);
    if global.json {
        output::json(&serde_json::json!({
            "manifest": resolved, "prompts": preview.prompts, "stages": stages,
        }));
        return Ok(Exit::Done);
    }
    super::run::show_preview(&resolved, &preview.prompts);
    output::line("\n# Stages");
    for stage in &stages {
        output::line(&stage_line(stage));
        // Of a stage that has begun, the most that it can still be.
        for forecast in stage.forecast.iter().filter(|_| stage.state != "done") {
            output::line(&format!("    {}", forecast_line(forecast)));
        }
    }
    Ok(Exit::Done)
}

fn stage_line(stage: &StagePlan) -> String {
    let place = match &stage.folder {
        Some(folder) => folder.display().to_string(),
        None => "named once the pairs are known".to_owned(),
    };
    format!("{}: {} ({place})", stage.stage, stage.state)
}
