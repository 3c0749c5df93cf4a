//! What readers of the numbers must know of the data: records left out, questions that are one task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::column::Column;
use crate::store::{Reader, StoreError};

/// The journal's key for [`DataNote`]s by data set.
pub(crate) const META: &str = "datasets";

/// A data set as a run found it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataNote {
    /// Its questions, whether asked or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Records that could not be read and were left out.
    #[serde(default)]
    pub skipped: u64,
    /// What is wrong with the first of them, and where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_skipped: Option<String>,
    /// So many questions in a row are one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
}

/// Tasks of several questions that one method solved on one data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circular {
    /// The model's name in results.
    pub llm: String,
    /// The data set's name in results.
    pub dataset: String,
    /// The method.
    pub method: String,
    /// Tasks all of whose questions were answered and graded.
    pub tasks: u64,
    /// Those whose answers are all right.
    pub solved: u64,
}

/// The notes of a run; none in a journal from before they were kept.
pub(super) fn notes(reader: &Reader) -> Result<BTreeMap<String, DataNote>, StoreError> {
    let text = reader.meta(META)?.unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

impl Circular {
    /// Counts the tasks of a column, if its data set has tasks of several questions.
    pub(super) fn of(column: &Column, notes: &BTreeMap<String, DataNote>) -> Option<Self> {
        let group = notes.get(&column.cell.dataset)?.group.filter(|g| *g > 1)?;
        let group = u64::from(group);
        let (mut tasks, mut solved) = (0, 0);
        // Points are ordered by position, so that those of a task stand together.
        for of_task in column
            .points
            .chunk_by(|a, b| a.position / group == b.position / group)
        {
            let grades: Vec<bool> = of_task.iter().filter_map(|p| p.mostly_right()).collect();
            if grades.len() as u64 == group {
                tasks += 1;
                solved += u64::from(grades.iter().all(|right| *right));
            }
        }
        Some(Self {
            llm: column.cell.llm.clone(),
            dataset: column.cell.dataset.clone(),
            method: column.cell.method.clone(),
            tasks,
            solved,
        })
    }
}

/// Both in sentences.
pub(super) fn sentences(notes: &BTreeMap<String, DataNote>, circular: &[Circular]) -> Vec<String> {
    let left_out = notes
        .iter()
        .filter(|(_, note)| note.skipped > 0)
        .map(|(name, note)| {
            let first = note.first_skipped.as_deref().unwrap_or("unknown");
            let (n, were) = match note.skipped {
                1 => ("1 record".to_owned(), "was"),
                n => (format!("{n} records"), "were"),
            };
            format!("{name}: {n} could not be read and {were} left out; the first: {first}.")
        });
    let solved = circular.iter().filter(|c| c.tasks > 0).map(|c| {
        format!(
            "{}, {}: {} of {} tasks solved in all their rotations.",
            c.dataset, c.method, c.solved, c.tasks
        )
    });
    left_out.chain(solved).collect()
}
