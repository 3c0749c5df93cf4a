//! Estimates of one run against the searches of another (paper A.2).

use std::{collections::HashMap, path::PathBuf};

use tale_plugin_standard::estimator::question_digest;

use super::{
    gather::is_estimated,
    ideal::{Range, ideal_range},
    quality::quality,
    searches::trial,
    training::Judged,
};
use crate::{
    report::ReportError,
    store::{Reader, StoreError},
};

/// How good the estimates in `runs` are, where a search in one of them knows the question's ideal
/// budget range for the same model. Empty where the runs have no such pair.
///
/// # Errors
/// [`ReportError::Store`] if a journal cannot be read.
pub(crate) fn estimators_across(runs: &[PathBuf]) -> Result<Vec<Judged>, ReportError> {
    let readers: Vec<(String, Reader)> = runs
        .iter()
        .map(|dir| Ok((dir.display().to_string(), Reader::open(dir)?)))
        .collect::<Result<_, StoreError>>()?;
    let mut ranges: HashMap<(String, String), Range> = HashMap::new();
    for (_, reader) in &readers {
        let searched = reader.search_cells()?;
        for (id, cell) in reader
            .cells()?
            .iter()
            .filter(|(id, _)| searched.contains(id))
        {
            reader.for_each_search(*id, |search| {
                if search.vanilla().is_some_and(super::searches::is_right) {
                    let trials: Vec<_> = search.attempts.iter().filter_map(trial).collect();
                    if let Some(range) = ideal_range(&trials) {
                        let key = (cell.llm.clone(), question_digest(&search.question));
                        ranges.insert(key, range);
                    }
                }
                Ok::<(), StoreError>(())
            })?;
        }
    }
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
