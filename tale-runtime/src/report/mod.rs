//! From a journal to what people read: `summary.json`, `samples.jsonl`, `search.jsonl`, `report.md`,
//! `report.html` and `figures/*.svg`.
//!
//! The report sees a run through [`Reader`] and nothing else, so that it can be made again at any
//! time, from a run that was interrupted, or by a newer `tale`. A data set of a million questions is
//! read one sample at a time; what pairing and figures need is kept in 24 bytes a sample.

mod analysis;
mod column;
pub(crate) mod data;
mod figures;
mod files;
mod findings;
mod html;
mod markdown;
mod paper;
pub(crate) mod plan;
pub mod post_train;
mod samples;
mod savings;
mod search;
mod stats;
mod summary;
mod table;
mod words;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

pub use analysis::{
    AlphaStep, Analysis, BudgetStep, Curves, Example, IdealRanges, Interval, OracleBound, Scores,
    SearchFindings, Share,
};
pub(crate) use analysis::{
    across::estimators_across,
    gather::is_estimated,
    ideal::Trial,
    sheets::estimators_markdown,
    training::{Judged, Searched, held_out, held_out_median, searched},
};
pub use data::{Circular, DataNote};
pub use paper::beside_paper;
pub(crate) use paper::estimators_beside_paper;
pub use savings::savings;
pub use search::SearchNumbers;
pub use stats::{Ratio, mcnemar_exact, ratio, wilson95};
pub use summary::{BASELINE, MethodRow, Paired, Summary, Totals};
pub use table::{markdown, notes, paired_markdown, terminal};

use crate::store::{Reader, StoreError};
use figures::Figure;
use findings::Findings;

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The journal could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the report could not be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Writes every file of the report into `run_dir`, from the journal there, and returns the numbers.
///
/// Each file is replaced as a whole. Blocking: for a million questions it takes some seconds.
///
/// # Errors
/// [`ReportError::Store`] if `run_dir` is no run, [`ReportError::Write`] if a file cannot be
/// written.
///
/// # Panics
/// Never: what could fail is the writing of numbers and names as JSON.
pub fn write(run_dir: &Path) -> Result<Summary, ReportError> {
    let reader = Reader::open(run_dir)?;
    let mut findings = Findings::read(&reader)?;
    if findings.summary.name.is_empty() {
        findings.summary.name = folder_name(run_dir);
    }
    let figures = draw(&findings);
    samples::write(&reader, &run_dir.join("samples.jsonl"))?;
    search::write(&reader, &run_dir.join("search.jsonl"))?;
    let json =
        serde_json::to_string_pretty(&findings.summary).expect("numbers and names are valid JSON");
    files::replace_with(&run_dir.join("summary.json"), &(json + "\n"))?;
    write_figures(&run_dir.join("figures"), &figures)?;
    files::replace_with(
        &run_dir.join("report.md"),
        &markdown::text(&findings, &figures),
    )?;
    html::write(&reader, &findings, &figures, &run_dir.join("report.html"))?;
    Ok(findings.summary)
}

/// The figures of each group.
fn draw(findings: &Findings) -> Vec<Vec<Figure>> {
    let groups = &findings.groups;
    groups
        .iter()
        .enumerate()
        .map(|(i, group)| {
            let ours = |r: &&MethodRow| r.llm == group.llm && r.dataset == group.dataset;
            let rows: Vec<&MethodRow> = findings.summary.rows.iter().filter(ours).collect();
            // A number, since names of models hold slashes and worse.
            let prefix = if groups.len() > 1 {
                format!("{}-", i + 1)
            } else {
                String::new()
            };
            figures::of(group, &rows, &prefix)
        })
        .collect()
}

fn write_figures(dir: &Path, figures: &[Vec<Figure>]) -> Result<(), ReportError> {
    let failed = |source| ReportError::Write {
        path: dir.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut written = HashSet::new();
    for figure in figures.iter().flatten() {
        let path = dir.join(format!("{}.svg", figure.file));
        files::replace_with(&path, &figure.svg)?;
        written.insert(path);
    }
    // Figures of an earlier report of this run, which had other columns.
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "svg") && !written.contains(&path) {
            std::fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}

/// The numbers of a run. Its name is empty where the journal does not say it.
///
/// # Errors
/// [`ReportError::Store`] if the journal cannot be read.
pub fn summarise(reader: &Reader) -> Result<Summary, ReportError> {
    Ok(Findings::read(reader)?.summary)
}

fn folder_name(dir: &Path) -> String {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    whole
        .file_name()
        .map_or_else(|| "run".to_owned(), |n| n.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
