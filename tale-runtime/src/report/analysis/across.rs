//! Estimates of one run against the searches and sweeps of another (paper A.2).

use std::{collections::HashMap, path::PathBuf};

use tale_plugin_standard::estimator::question_digest;

use super::{
    gather::is_estimated,
    ideal::{Range, Trial, ideal_range},
    quality::quality,
    searches::trial,
    training::Judged,
};
use crate::{
    report::ReportError,
    store::{Outcome, Reader, StoreError},
};

/// How good the estimates in `runs` are, where searches and sweeps among them know the question's
/// ideal budget range for the same model. Empty where the runs have no such pair.
///
/// # Errors
/// [`ReportError::Store`] if a journal cannot be read.
pub(crate) fn estimators_across(runs: &[PathBuf]) -> Result<Vec<Judged>, ReportError> {
    let readers: Vec<(String, Reader)> = runs
        .iter()
        .map(|dir| Ok((dir.display().to_string(), Reader::open(dir)?)))
        .collect::<Result<_, StoreError>>()?;
    let mut trials: HashMap<(String, String), Vec<Trial>> = HashMap::new();
    for (_, reader) in &readers {
        let searched = reader.search_cells()?;
        for (id, cell) in reader.cells()? {
            if searched.contains(&id) {
                reader.for_each_search(id, |search| {
                    let key = (cell.llm.clone(), question_digest(&search.question));
                    let tried = search.attempts.iter().filter_map(trial);
                    trials.entry(key).or_default().extend(tried);
                    Ok::<(), StoreError>(())
                })?;
            } else if !is_estimated(&cell.method) {
                // A sweep, or a fixed budget: further trials.
                reader.for_each_sample(id, |sample| {
                    let tokens = sample.call.as_ref().and_then(|c| c.output_tokens);
                    if let (Some(budget), Some(tokens)) = (sample.budget, tokens) {
                        let key = (cell.llm.clone(), question_digest(&sample.question));
                        trials.entry(key).or_default().push(Trial {
                            budget,
                            tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
                            right: sample.outcome == Outcome::Correct,
                        });
                    }
                    Ok::<(), StoreError>(())
                })?;
            }
        }
    }
    let ranges: HashMap<_, Range> = trials
        .into_iter()
        // One budget alone is no range to be in.
        .filter(|(_, list)| list.len() > 1)
        .filter_map(|(key, list)| Some((key, ideal_range(&list)?)))
        .collect();
    let mut judged = Vec::new();
    if ranges.is_empty() {
        return Ok(judged);
    }
    for (run, reader) in &readers {
        for (id, cell) in reader.cells()? {
            if !is_estimated(&cell.method) {
                continue;
            }
            let mut pairs = Vec::new();
            reader.for_each_sample(id, |sample| {
                let key = (cell.llm.clone(), question_digest(&sample.question));
                pairs.extend(sample.budget.zip(ranges.get(&key).copied()));
                Ok::<(), StoreError>(())
            })?;
            if !pairs.is_empty() {
                judged.push(Judged {
                    estimator: format!("{} of `{run}`", cell.method),
                    quality: quality(&pairs),
                });
            }
        }
    }
    Ok(judged)
}
