//! What the schema cannot say.

use std::collections::HashMap;

use super::{Manifest, RelativeTo, SearchStrategy, Source, Task};
use crate::diagnostics::{Diagnostic, Diagnostics};

/// Adds every broken rule to `problems`.
pub(super) fn check(manifest: &Manifest, source: &Source, problems: &mut Diagnostics) {
    labels(
        source,
        "llm",
        manifest.llm.iter().map(super::LlmSpec::label),
        problems,
    );
    labels(
        source,
        "dataset",
        manifest.dataset.iter().map(super::DatasetSpec::label),
        problems,
    );
    let held_out = manifest.held_out.iter().flatten();
    labels(
        source,
        "held_out",
        held_out.map(super::DatasetSpec::label),
        problems,
    );
    let trainers = manifest.trainer.iter().flatten();
    labels(
        source,
        "trainer",
        trainers.map(super::TrainerSpec::label),
        problems,
    );
    post_train(manifest, source, problems);
    budgets(manifest, source, problems);
    sweep(manifest, source, problems);
}

/// Results go by label, so two of a kind must not share one.
fn labels<'a>(
    source: &Source,
    table: &str,
    labels: impl Iterator<Item = &'a str>,
    problems: &mut Diagnostics,
) {
    let mut first = HashMap::new();
    for (i, label) in labels.enumerate() {
        let Some(earlier) = first.insert(label, i) else {
            continue;
        };
        let i = i.to_string();
        let named = [table, &i, "name"];
        let place = if source.has(&named) {
            source.at(&named)
        } else {
            source.at(&named[..2])
        };
        let message = format!("two tables `[[{table}]]` have the label `{label}` in results");
        let problem = Diagnostic::at(place, message).help(format!(
            "give one of them another `name`; the other is {}",
            { source.at(&[table, &earlier.to_string()]) }
        ));
        problems.push(problem);
    }
}

/// What a post-training needs, and what it would not know what to do with.
fn post_train(manifest: &Manifest, source: &Source, problems: &mut Diagnostics) {
    if !manifest.trains() {
        return;
    }
    if manifest.llm.as_slice().len() > 1 {
        let message = format!("`task = \"{}\"` trains one model", manifest.task.as_str());
        let problem = Diagnostic::at(source.at(&["llm", "1"]), message);
        problems.push(problem.help("give each model a manifest of its own"));
    }
    // The name stands where a plugin's does not fit: it is part of a folder's and of a method's.
    for (i, trainer) in manifest.trainer.iter().flatten().enumerate() {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !trainer.label().chars().all(fits) {
            let place = source.at(&["trainer", &i.to_string(), "plugin"]);
            let message = format!(
                "the name `{}` fits no folder and no method",
                trainer.label()
            );
            problems.push(Diagnostic::at(place, message).help("give this trainer a `name`"));
        }
    }
    if manifest.task != Task::PostTrain {
        return;
    }
    if manifest.held_out.is_none() {
        let place = source.at(&["task"]);
        let problem = Diagnostic::at(place, "a post-training needs a table `[held_out]`");
        problems.push(problem.help(
            "name the questions on which the trained models are compared, none of them one of \
             `[dataset]`; `task = \"train\"` trains and compares nothing",
        ));
    }
    if !manifest.evaluate.methods.iter().any(|m| m == "vanilla-cot") {
        let place = source.at(&["evaluate", "methods"]);
        let problem = Diagnostic::at(place, "a post-training is compared with `vanilla-cot`");
        problems.push(problem.help("add it to `methods`"));
    }
}

fn budgets(manifest: &Manifest, source: &Source, problems: &mut Diagnostics) {
    let min = manifest.estimator.min_budget;
    let Some(max) = manifest.estimator.max_budget.filter(|max| *max < min) else {
        return;
    };
    let place = source.at(&["estimator", "max_budget"]);
    let message = format!("`max_budget` ({max}) is below `min_budget` ({min})");
    problems.push(Diagnostic::at(place, message).help("no budget would lie between the two"));
}

/// A sweep has budgets, all of one kind.
fn sweep(manifest: &Manifest, source: &Source, problems: &mut Diagnostics) {
    let example = "for instance `factors = [0.25, 0.5, 1]`, or `budgets = [25, 50, 100]`";
    let absolute = |spec: &super::SweepSpec| !spec.budgets.is_empty();
    let relative = |spec: &super::SweepSpec| !spec.factors.is_empty();
    match &manifest.sweep {
        Some(spec) if absolute(spec) && relative(spec) => {
            let problem = Diagnostic::at(
                source.at(&["sweep", "budgets"]),
                "a sweep has either `factors` or `budgets`, not both",
            );
            problems.push(problem.help("two runs in one directory hold both: `--out DIR`"));
        }
        Some(spec) if absolute(spec) && spec.relative_to == RelativeTo::Searched => {
            let place = source.at(&["sweep", "relative_to"]);
            let problem = Diagnostic::at(place, "`budgets` are relative to nothing");
            problems.push(problem.help("leave `relative_to` out, or give `factors`"));
        }
        Some(spec) if absolute(spec) || relative(spec) => {}
        Some(_) if manifest.task == Task::Sweep => {
            let problem = Diagnostic::at(source.at(&["sweep"]), "the sweep has no budgets");
            problems.push(problem.help(example));
        }
        None if manifest.task == Task::Sweep => {
            let place = source.at(&["task"]);
            let problem = Diagnostic::at(place, "a sweep needs a table `[sweep]`");
            problems.push(problem.help(example));
        }
        _ => {}
    }
    if let Some(search) = &manifest.search
        && source.has(&["search", "refine"])
        && search.strategy != SearchStrategy::Refine
    {
        let place = source.at(&["search", "refine"]);
        let problem = Diagnostic::at(place, "only `strategy = \"refine\"` reads `refine`");
        problems.push(problem.help("add `strategy = \"refine\"`, or take `refine` out"));
    }
}
