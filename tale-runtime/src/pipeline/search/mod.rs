//! `task = "search"`: for every question, the smallest budget under which the answer stays right.
//!
//! * [`rule`](Rule) says what is tried next, as a pure function of what has been tried.
//! * `quest` asks, judges and records for one question.
//! * [`search`] runs the questions side by side.

mod quest;
mod rule;

use std::{collections::HashMap, future::Future, sync::Arc};

use tale_api::Feasibility;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    CellProgress, DatasetSetup, Ending, LlmSetup, Observer, PipelineError, Questions, Render,
    subject::{Subject, finish_one},
};
use crate::store::{Cell, CellId, SearchMeasure, Store};

pub(super) use quest::Quest;
pub use rule::{Next, Rule, Strategy};

/// The method under which results stand beside `vanilla-cot`.
pub const SEARCHED: &str = "searched";

/// The method under which the answers stand that searches start from.
pub(super) const VANILLA: &str = "vanilla-cot";

/// A candidate budget that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The budget asked for, in tokens.
    pub budget: u32,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Whether it was accepted.
    pub feasible: bool,
}

/// Everything a search needs.
#[derive(Clone)]
pub struct Search {
    /// The models.
    pub llms: Vec<LlmSetup>,
    /// The data sets.
    pub datasets: Vec<DatasetSetup>,
    /// The prompt under a budget; without one, that of the vanilla chain of thought.
    pub render: Arc<Render>,
    /// Which budgets are tried.
    pub rule: Rule,
    /// Whether questions that vanilla CoT answers wrongly are searched, too.
    pub starts_from_wrong: bool,
    /// Which of them are kept.
    pub feasibility: Arc<dyn Feasibility>,
    /// Questions searched at the same time.
    pub concurrency: usize,
    /// The journal.
    pub store: Arc<Store>,
}

/// Runs a search until its end or until `stop` is ready.
///
/// Questions run side by side, each one's steps in order. Searches that the journal holds are not
/// made again, failed ones are tried once more, and one that was cut short finds its answers in the
/// journal and comes to the same decisions. Memory is bounded by `concurrency` and one page of
/// questions.
///
/// # Errors
/// See [`PipelineError`]. A model or rule that fails on one question is no error: the search is
/// recorded as failed and the run goes on.
pub async fn search(
    search: &Search,
    observer: Arc<dyn Observer>,
    stop: impl Future<Output = ()>,
) -> Result<Ending, PipelineError> {
    let result = tokio::select! {
        // Dropping the work cancels every call that is under way.
        result = run(search, &observer) => result.map(|()| Ending::Complete),
        () = stop => Ok(Ending::Interrupted),
    };
    observer.end();
    result
}

async fn run(search: &Search, observer: &Arc<dyn Observer>) -> Result<(), PipelineError> {
    let mut columns = Vec::new();
    for llm in &search.llms {
        for dataset in &search.datasets {
            columns.push(Column::new(search, llm, dataset, observer).await?);
        }
    }
    let lines: Vec<CellProgress> = columns.iter().map(|c| c.progress(SEARCHED)).collect();
    observer.begin(&lines);
    for column in columns {
        run_column(search.concurrency, Arc::new(column)).await?;
    }
    Ok(())
}

async fn run_column(concurrency: usize, column: Arc<Column>) -> Result<(), PipelineError> {
    let mut work: JoinSet<Result<(), PipelineError>> = JoinSet::new();
    let mut questions = column.dataset.questions().await?;
    while let Some(chunk) = Chunk::read(&column, &mut questions).await? {
        for subject in chunk.subjects {
            if let Some(measure) = chunk.searched.get(&subject.position) {
                column.observer.searched(column.searched, measure, true);
                continue;
            }
            while work.len() >= concurrency.max(1) {
                finish_one(&mut work).await?;
            }
            let quest = Quest {
                column: Arc::clone(&column),
                subject,
            };
            work.spawn(async move { quest.run().await.map(drop) });
        }
    }
    while !work.is_empty() {
        finish_one(&mut work).await?;
    }
    Ok(())
}

/// What the searches of one model on one data set share.
pub(super) struct Column {
    pub(super) llm: LlmSetup,
    pub(super) dataset: Arc<DatasetSetup>,
    pub(super) vanilla: CellId,
    pub(super) searched: CellId,
    pub(super) render: Arc<Render>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) store: Arc<Store>,
    /// A permit for each call under way.
    pub(super) gate: Arc<Semaphore>,
    rule: Rule,
    starts_from_wrong: bool,
    feasibility: Arc<dyn Feasibility>,
}

impl Column {
    pub(super) async fn new(
        search: &Search,
        llm: &LlmSetup,
        dataset: &DatasetSetup,
        observer: &Arc<dyn Observer>,
    ) -> Result<Self, PipelineError> {
        let cell = |method: &str| Cell {
            llm: llm.label.clone(),
            dataset: dataset.label.clone(),
            method: method.to_owned(),
        };
        Ok(Self {
            vanilla: search.store.cell(cell(VANILLA)).await?,
            searched: search.store.cell(cell(SEARCHED)).await?,
            llm: llm.clone(),
            dataset: Arc::new(dataset.clone()),
            render: Arc::clone(&search.render),
            observer: Arc::clone(observer),
            store: Arc::clone(&search.store),
            gate: Arc::new(Semaphore::new(search.concurrency.max(1))),
            rule: search.rule,
            starts_from_wrong: search.starts_from_wrong,
            feasibility: Arc::clone(&search.feasibility),
        })
    }

    /// The line of `method` as the work begins.
    pub(super) fn progress(&self, method: &str) -> CellProgress {
        CellProgress {
            id: if method == VANILLA {
                self.vanilla
            } else {
                self.searched
            },
            cell: Cell {
                llm: self.llm.label.clone(),
                dataset: self.dataset.label.clone(),
                method: method.to_owned(),
            },
            total: self.dataset.selection.count(self.dataset.info.size),
        }
    }
}

/// Questions whose state in the journal is looked up at once.
const LOOK_AHEAD: usize = 128;

/// Some questions and what the journal knows of their searches.
pub(super) struct Chunk {
    pub(super) subjects: Vec<Subject>,
    pub(super) searched: HashMap<u64, SearchMeasure>,
}

impl Chunk {
    /// The next questions; none when all have been read.
    pub(super) async fn read(
        column: &Column,
        questions: &mut Questions<'_>,
    ) -> Result<Option<Self>, PipelineError> {
        let mut subjects = Vec::with_capacity(LOOK_AHEAD);
        while subjects.len() < LOOK_AHEAD {
            let Some((position, question)) = questions.next().await? else {
                break;
            };
            subjects.push(Subject {
                dataset: Arc::clone(&column.dataset),
                position,
                question: Arc::new(question),
            });
        }
        let (Some(first), Some(last)) = (subjects.first(), subjects.last()) else {
            return Ok(None);
        };
        let (from, to) = (first.position, last.position + 1);
        let searched = column
            .store
            .finished_searches(column.searched, from, to)
            .await?
            .into_iter()
            .map(|m| (m.position, m))
            .collect();
        Ok(Some(Self { subjects, searched }))
    }
}

#[cfg(test)]
mod tests;
