//! `tale train`: post-trains a model on the pairs of a search.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use tale_api::{
    ComponentKind, CreateEnv, Events, TrainEvent, TrainJob, TrainMethod, TrainReport,
    host::LoadPolicy,
};

use super::{Exit, Failure, Global, Outcome, interrupted, output, parse_options};
use crate::{plan::files, registry::Residence};

#[derive(Args)]
pub(super) struct TrainArgs {
    /// What is done with the pairs
    #[arg(value_enum)]
    method: Method,
    /// The model to train: a Hugging Face folder, a GGUF file, or a name of `tale model list`
    #[arg(long, value_name = "MODEL")]
    base: PathBuf,
    /// Training pairs, a JSON object a line with `prompt`, `chosen` and, for dpo, `rejected`
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// Where checkpoints, metrics and the adapter go; the same command again resumes
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The component that trains [default: the method's name]
    #[arg(long, value_name = "NAME")]
    trainer: Option<String>,
    /// An option of the trainer (may be given several times); `tale plugin inspect` shows them
    #[arg(long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Seed of the order of pairs and of the adapter's beginning
    #[arg(long, default_value_t = 1024)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Method {
    /// Learn the chosen answers
    Sft,
    /// Prefer the chosen answers to the rejected ones
    Dpo,
}

pub(super) async fn train(args: &TrainArgs, global: &Global) -> Outcome {
    let (name, method) = match args.method {
        Method::Sft => ("sft", TrainMethod::Sft),
        Method::Dpo => ("dpo", TrainMethod::Dpo),
    };
    let name = args.trainer.as_deref().unwrap_or(name);
    let options = parse_options(&args.options)?;
    let base = args.base.to_string_lossy();
    let base_model = files::model(&args.base, &base).map_err(Failure::usage)?;
    let registry = global.registry(&[]).map_err(Failure::usage)?;
    let located = registry
        .locate(ComponentKind::Trainer, name)
        .map_err(Failure::usage)?;
    let plugin = registry
        .load(&located, &LoadPolicy::default(), Residence::Here)
        .map_err(Failure::usage)?;
    let env = CreateEnv {
        base_dir: std::env::current_dir()?,
        seed: args.seed,
        ..CreateEnv::default()
    };
    let trainer = plugin.trainer(name, options.into(), &env).await?;
    let job = TrainJob {
        base_model,
        pairs: absolute(&args.pairs),
        method,
        hyperparameters: BTreeMap::new(),
        output_dir: absolute(&args.out),
        seed: args.seed,
    };
    let is_told = !global.quiet && !global.json;
    let events = Events::to(move |event| {
        if let (true, Some(text)) = (is_told, told(&event)) {
            output::note(&text);
        }
    });
    tokio::select! {
        report = trainer.train(job, events) => {
            show(&report?, global);
            Ok(Exit::Done)
        }
        () = interrupted() => Ok(Exit::Interrupted),
    }
}

/// Components may have another working directory in mind.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

pub(super) fn told(event: &TrainEvent) -> Option<String> {
    match event {
        TrainEvent::Step {
            step,
            total_steps,
            loss,
            tokens_per_s,
            metrics,
        } => {
            let left = metrics.get("left_s").map_or_else(String::new, |seconds| {
                let left = std::time::Duration::try_from_secs_f64(*seconds).unwrap_or_default();
                format!(", {} left", indicatif::HumanDuration(left))
            });
            Some(format!(
                "step {step} of {total_steps}: loss {loss:.4}, {tokens_per_s:.0} tokens/s{left}"
            ))
        }
        TrainEvent::Checkpoint { checkpoint } => Some(format!(
            "step {} is kept in {}",
            checkpoint.step,
            checkpoint.path.display()
        )),
        _ => None,
    }
}

fn show(report: &TrainReport, global: &Global) {
    if global.json {
        output::json(report);
        return;
    }
    output::line(&format!(
        "adapter: {}\n{} steps on {} pairs",
        report.adapter.display(),
        report.steps,
        report.pairs
    ));
    for (reason, count) in &report.skipped {
        output::line(&format!("{count} pairs: {reason}"));
    }
    for (name, value) in &report.metrics {
        output::line(&format!("{name}: {value:.4}"));
    }
}
