//! `task = "sweep"`: every question under every budget of a list (paper: Figures 1 and 2, Tables 2
//! and 8).

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::Arc,
};

use futures_util::future::try_join_all;
use tokio::task::JoinSet;

use super::{
    BudgetSource, CellProgress, Ending, MethodSetup, Observer, PipelineError,
    evaluate::Sample,
    search::{Chunk, Column, Quest, SEARCHED, Search, VANILLA},
    subject::{Subject, finish_one},
};
use crate::store::{Cell, CellId, Measure, Outcome, SearchMeasure};

/// A budget of the sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SweepPoint {
    /// So many tokens for every question.
    Budget(u32),
    /// This multiple of the output tokens of the question's vanilla answer.
    OfVanilla(f64),
    /// This multiple of the budget that a search finds for the question; questions without one are
    /// left out.
    OfSearched(f64),
}

impl SweepPoint {
    /// Its name as a method: `fixed-50`, `vanilla-x0.25`, `searched-x2`.
    #[must_use]
    pub fn method(self) -> String {
        match self {
            Self::Budget(tokens) => format!("fixed-{tokens}"),
            Self::OfVanilla(factor) => format!("vanilla-x{factor}"),
            Self::OfSearched(factor) => format!("searched-x{factor}"),
        }
    }

    /// The budget in tokens, at least 1, rounded down as the search's; none where the question has
    /// nothing to relate it to.
    #[must_use]
    pub fn budget(self, vanilla_tokens: Option<u64>, searched: Option<u32>) -> Option<u32> {
        match self {
            Self::Budget(tokens) => Some(tokens),
            Self::OfVanilla(factor) => vanilla_tokens.map(|tokens| scaled(tokens, factor)),
            Self::OfSearched(factor) => searched.map(|budget| scaled(budget.into(), factor)),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and a budget beyond u32 is as good as none"
)]
fn scaled(tokens: u64, factor: f64) -> u32 {
    ((tokens as f64 * factor).floor() as u32).max(1)
}

/// Everything a sweep needs.
pub struct Sweep {
    /// Models, data sets, prompts; its rule serves points relative to a searched budget.
    pub search: Search,
    /// The budgets.
    pub points: Vec<SweepPoint>,
}

impl Sweep {
    fn searches(&self) -> bool {
        self.points
            .iter()
            .any(|p| matches!(p, SweepPoint::OfSearched(_)))
    }
}

/// Runs a sweep until its end or until `stop` is ready.
///
/// Every question is also asked by vanilla chain of thought, to compare with. What the journal holds
/// is not asked again; the budgets of a question run side by side, with never more than
/// `concurrency` calls under way.
///
/// # Errors
/// See [`PipelineError`].
pub async fn sweep(
    sweep: &Sweep,
    observer: Arc<dyn Observer>,
    stop: impl Future<Output = ()>,
) -> Result<Ending, PipelineError> {
    let result = tokio::select! {
        result = run(sweep, &observer) => result.map(|()| Ending::Complete),
        () = stop => Ok(Ending::Interrupted),
    };
    observer.end();
    result
}

async fn run(sweep: &Sweep, observer: &Arc<dyn Observer>) -> Result<(), PipelineError> {
    let mut rows = Vec::new();
    for llm in &sweep.search.llms {
        for dataset in &sweep.search.datasets {
            let column = Column::new(&sweep.search, llm, dataset, observer).await?;
            rows.push(Row::new(sweep, column).await?);
        }
    }
    let lines: Vec<CellProgress> = rows.iter().flat_map(Row::progress).collect();
    observer.begin(&lines);
    for row in rows {
        run_row(sweep.search.concurrency, Arc::new(row)).await?;
    }
    Ok(())
}

/// One model on one data set under every budget.
struct Row {
    column: Arc<Column>,
    points: Vec<(SweepPoint, CellId, MethodSetup)>,
    searches: bool,
}

impl Row {
    async fn new(sweep: &Sweep, column: Column) -> Result<Self, PipelineError> {
        let mut points = Vec::with_capacity(sweep.points.len());
        for point in &sweep.points {
            let cell = Cell {
                llm: column.llm.label.clone(),
                dataset: column.dataset.label.clone(),
                method: point.method(),
            };
            let id = column.store.cell(cell).await?;
            let method = MethodSetup {
                reasoning: None,
                name: point.method(),
                // Another for each question; set when it is known.
                budget: BudgetSource::None,
                render: Arc::clone(&column.render),
            };
            points.push((*point, id, method));
        }
        Ok(Self {
            column: Arc::new(column),
            points,
            searches: sweep.searches(),
        })
    }

    fn progress(&self) -> Vec<CellProgress> {
        let base = self
            .column
            .progress(if self.searches { SEARCHED } else { VANILLA });
        let points = self.points.iter().map(|(point, id, method)| CellProgress {
            id: *id,
            cell: Cell {
                method: method.name.clone(),
                ..base.cell.clone()
            },
            // Nobody knows yet for how many questions a search finds a budget.
            total: base
                .total
                .filter(|_| !matches!(point, SweepPoint::OfSearched(_))),
        });
        [base.clone()].into_iter().chain(points).collect()
    }

    /// The cells whose samples are made here.
    fn cells(&self) -> Vec<CellId> {
        let points = self.points.iter().map(|(_, id, _)| *id);
        points.chain([self.column.vanilla]).collect()
    }
}

async fn run_row(concurrency: usize, row: Arc<Row>) -> Result<(), PipelineError> {
    let column = &row.column;
    let mut work: JoinSet<Result<(), PipelineError>> = JoinSet::new();
    let mut questions = column.dataset.questions().await?;
    while let Some(chunk) = Chunk::read(column, &mut questions).await? {
        let (Some(first), Some(last)) = (chunk.subjects.first(), chunk.subjects.last()) else {
            break;
        };
        let (from, to) = (first.position, last.position + 1);
        let finished = column.store.finished(row.cells(), from, to).await?;
        let mut done: HashMap<u64, Vec<(CellId, Measure)>> = HashMap::new();
        for (cell, measure) in finished {
            done.entry(measure.position)
                .or_default()
                .push((cell, measure));
        }
        for subject in chunk.subjects {
            while work.len() >= concurrency.max(1) {
                finish_one(&mut work).await?;
            }
            let asked = Asked {
                row: Arc::clone(&row),
                done: done.remove(&subject.position).unwrap_or_default(),
                searched: chunk.searched.get(&subject.position).copied(),
                subject,
            };
            work.spawn(asked.run());
        }
    }
    while !work.is_empty() {
        finish_one(&mut work).await?;
    }
    Ok(())
}

/// A question under every budget.
struct Asked {
    row: Arc<Row>,
    subject: Subject,
    /// The samples that the journal holds.
    done: Vec<(CellId, Measure)>,
    /// The search that the journal holds.
    searched: Option<SearchMeasure>,
}

impl Asked {
    async fn run(self) -> Result<(), PipelineError> {
        let column = &self.row.column;
        let done: HashSet<CellId> = self.done.iter().map(|(cell, _)| *cell).collect();
        for (cell, measure) in &self.done {
            column.observer.sample(*cell, measure, true);
        }
        let (mut tokens, mut budget) = (None, None);
        if self.row.searches {
            let measure = match self.searched {
                Some(measure) => {
                    column.observer.searched(column.searched, &measure, true);
                    measure
                }
                None => self.quest().run().await?,
            };
            (tokens, budget) = (measure.vanilla_tokens, measure.budget);
        }
        if tokens.is_none() {
            tokens = self.vanilla().await?;
        }
        let points = self.row.points.iter();
        let open = points.filter(|(_, cell, _)| !done.contains(cell));
        let asking = open.filter_map(|(point, cell, method)| {
            let budget = point.budget(tokens, budget)?;
            let mut method = method.clone();
            method.budget = BudgetSource::Fixed(budget);
            Some(self.ask(*cell, method))
        });
        try_join_all(asking).await.map(drop)
    }

    fn quest(&self) -> Quest {
        Quest {
            column: Arc::clone(&self.row.column),
            subject: self.subject.clone(),
        }
    }

    /// Tokens of the vanilla answer, which is asked for if need be; none where the model failed or
    /// nobody can count.
    async fn vanilla(&self) -> Result<Option<u64>, PipelineError> {
        let column = &self.row.column;
        let known = self.done.iter().find(|(cell, _)| *cell == column.vanilla);
        let measure = match known {
            Some((_, measure)) => *measure,
            None if self.row.searches => return Ok(None),
            None => {
                let method = MethodSetup {
                    reasoning: None,
                    name: VANILLA.to_owned(),
                    budget: BudgetSource::None,
                    render: Arc::clone(&column.render),
                };
                self.ask(column.vanilla, method).await?
            }
        };
        if measure.outcome == Outcome::Failed {
            return Ok(None);
        }
        if let Some(tokens) = measure.output_tokens {
            return Ok(Some(tokens.into()));
        }
        Ok(self.quest().count_vanilla().await)
    }

    async fn ask(&self, cell: CellId, method: MethodSetup) -> Result<Measure, PipelineError> {
        let column = &self.row.column;
        let _permit = column.gate.acquire().await;
        let sample = Sample {
            cell,
            subject: self.subject.clone(),
            repeat: 0,
            method,
            llm: column.llm.clone(),
            estimator: None,
            store: Arc::clone(&column.store),
            observer: Arc::clone(&column.observer),
        };
        sample.make().await
    }
}
