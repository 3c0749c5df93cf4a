//! What the schema cannot say.

use std::collections::HashMap;

use super::{Manifest, Source};
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
    budgets(manifest, source, problems);
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

fn budgets(manifest: &Manifest, source: &Source, problems: &mut Diagnostics) {
    let min = manifest.estimator.min_budget;
    let Some(max) = manifest.estimator.max_budget.filter(|max| *max < min) else {
        return;
    };
    let place = source.at(&["estimator", "max_budget"]);
    let message = format!("`max_budget` ({max}) is below `min_budget` ({min})");
    problems.push(Diagnostic::at(place, message).help("no budget would lie between the two"));
}
