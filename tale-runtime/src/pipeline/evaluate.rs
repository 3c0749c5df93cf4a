//! `task = "evaluate"`: every question of every data set answered by every method on every model.

use std::{collections::HashMap, future::Future, sync::Arc};

use tale_api::{
    Error, ErrorKind, EstimateRequest, Estimator, Events, GenerateEvent, Llm, Message, Question,
};
use tokio::task::JoinSet;

use super::{
    BudgetRule, CellProgress, DatasetSetup, Judgement, Ledger, Observer, PipelineError,
    RecordedLlm,
    budget::Budget,
    subject::{Failure, Subject, finish_one, recorded},
};
use crate::store::{Cell, CellId, Measure, NewSample, Outcome, Store};

/// Where a method's budget comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BudgetSource {
    /// The prompt names no budget.
    None,
    /// Always the same.
    Fixed(u32),
    /// The estimator finds one for each question: TALE-EP.
    Estimated {
        /// Factor on the estimate in place of the rule's (paper A.8).
        alpha: Option<f64>,
    },
}

/// Renders the prompt of one method for a question under a budget; the error says what is wrong
/// with the template.
pub type Render = dyn Fn(&Question, Option<u32>) -> Result<Vec<Message>, String> + Send + Sync;

/// A way of asking: a name, a template and where the budget comes from.
#[derive(Clone)]
pub struct MethodSetup {
    /// Its name in results.
    pub name: String,
    /// Where its budget comes from.
    pub budget: BudgetSource,
    /// Its template.
    pub render: Arc<Render>,
}

/// The text an estimator is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EstimateOn {
    /// The bare question (the paper's text).
    Question,
    /// The vanilla chain-of-thought prompt, with its format line (what the paper's code does on
    /// some data sets).
    FullPrompt,
}

/// The estimator as a run uses it.
#[derive(Clone)]
pub struct EstimatorSetup {
    /// The estimator.
    pub estimator: Arc<dyn Estimator>,
    /// From its estimate to a budget.
    pub rule: BudgetRule,
    /// What it is shown.
    pub on: EstimateOn,
}

/// A model as a run uses it.
#[derive(Clone)]
pub struct LlmSetup {
    /// Its name in results.
    pub label: String,
    /// The model, with its journal.
    pub ledger: Arc<Ledger>,
}

/// Everything an evaluation needs.
pub struct Evaluation {
    /// The models.
    pub llms: Vec<LlmSetup>,
    /// The data sets.
    pub datasets: Vec<DatasetSetup>,
    /// The methods, in the order of the report.
    pub methods: Vec<MethodSetup>,
    /// The estimator, needed by methods whose budget is estimated.
    pub estimator: Option<EstimatorSetup>,
    /// Samples worked on at the same time.
    pub concurrency: usize,
    /// The journal.
    pub store: Arc<Store>,
}

/// How an evaluation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every sample is finished or failed.
    Complete,
    /// It was asked to stop; the rest can be resumed.
    Interrupted,
}

/// Runs an evaluation until its end or until `stop` is ready.
///
/// Samples that the journal holds are not made again; failed ones are tried once more. Memory is
/// bounded by `concurrency` and one page of questions, not by the data set.
///
/// # Errors
/// See [`PipelineError`]. A model that fails on one question is no error: the sample is recorded as
/// failed and the run goes on.
pub async fn evaluate(
    evaluation: &Evaluation,
    observer: Arc<dyn Observer>,
    stop: impl Future<Output = ()>,
) -> Result<Ending, PipelineError> {
    let result = tokio::select! {
        // Dropping the work cancels every call that is under way.
        result = run(evaluation, &observer) => result.map(|()| Ending::Complete),
        () = stop => Ok(Ending::Interrupted),
    };
    observer.end();
    result
}

async fn run(e: &Evaluation, observer: &Arc<dyn Observer>) -> Result<(), PipelineError> {
    let mut columns = Vec::new();
    for llm in &e.llms {
        for dataset in &e.datasets {
            columns.push((llm, dataset, cells(e, llm, dataset).await?));
        }
    }
    let progress: Vec<CellProgress> = columns
        .iter()
        .flat_map(|(_, _, cells)| cells.iter().cloned())
        .collect();
    observer.begin(&progress);
    for (llm, dataset, cells) in columns {
        run_dataset(e, llm, dataset, &cells, observer).await?;
    }
    Ok(())
}

async fn cells(
    e: &Evaluation,
    llm: &LlmSetup,
    dataset: &DatasetSetup,
) -> Result<Vec<CellProgress>, PipelineError> {
    let total = dataset.selection.count(dataset.info.size);
    let mut cells = Vec::with_capacity(e.methods.len());
    for method in &e.methods {
        let cell = Cell {
            llm: llm.label.clone(),
            dataset: dataset.label.clone(),
            method: method.name.clone(),
        };
        cells.push(CellProgress {
            id: e.store.cell(cell.clone()).await?,
            cell,
            total,
        });
    }
    Ok(cells)
}

/// Questions whose state in the journal is looked up at once.
const LOOK_AHEAD: usize = 128;

async fn run_dataset(
    e: &Evaluation,
    llm: &LlmSetup,
    dataset: &DatasetSetup,
    cells: &[CellProgress],
    observer: &Arc<dyn Observer>,
) -> Result<(), PipelineError> {
    let ids: Vec<CellId> = cells.iter().map(|c| c.id).collect();
    let dataset = Arc::new(dataset.clone());
    let mut questions = dataset.questions().await?;
    let mut work: JoinSet<Result<(), PipelineError>> = JoinSet::new();
    loop {
        let mut chunk = Vec::with_capacity(LOOK_AHEAD);
        while chunk.len() < LOOK_AHEAD {
            match questions.next().await? {
                Some((position, question)) => chunk.push((position, Arc::new(question))),
                None => break,
            }
        }
        let (Some((first, _)), Some((last, _))) = (chunk.first(), chunk.last()) else {
            break;
        };
        let finished = e.store.finished(ids.clone(), *first, *last + 1).await?;
        let finished: HashMap<(CellId, u64), Measure> = finished
            .into_iter()
            .map(|(cell, m)| ((cell, m.position), m))
            .collect();
        for (position, question) in chunk {
            // The methods of a question run side by side: their prompts begin alike, and a local
            // model evaluates what they share once.
            for (method, cell) in e.methods.iter().zip(&ids) {
                if let Some(measure) = finished.get(&(*cell, position)) {
                    observer.sample(*cell, measure, true);
                    continue;
                }
                while work.len() >= e.concurrency.max(1) {
                    finish_one(&mut work).await?;
                }
                let sample = Sample {
                    cell: *cell,
                    subject: Subject {
                        dataset: Arc::clone(&dataset),
                        position,
                        question: Arc::clone(&question),
                    },
                    method: method.clone(),
                    llm: llm.clone(),
                    estimator: e.estimator.clone(),
                    store: Arc::clone(&e.store),
                    observer: Arc::clone(observer),
                };
                work.spawn(async move { sample.make().await.map(drop) });
            }
        }
    }
    while !work.is_empty() {
        finish_one(&mut work).await?;
    }
    Ok(())
}

/// One sample on its way: a question, a method, a model.
pub(super) struct Sample {
    pub(super) cell: CellId,
    pub(super) subject: Subject,
    pub(super) method: MethodSetup,
    pub(super) llm: LlmSetup,
    pub(super) estimator: Option<EstimatorSetup>,
    pub(super) store: Arc<Store>,
    pub(super) observer: Arc<dyn Observer>,
}

impl Sample {
    /// Asks, judges and records; the observer is told.
    pub(super) async fn make(self) -> Result<Measure, PipelineError> {
        let estimating = Arc::new(RecordedLlm::new(Arc::clone(&self.llm.ledger)));
        let mut sample = NewSample {
            cell: self.cell,
            position: self.subject.position,
            repeat: 0,
            outcome: Outcome::Failed,
            answer: None,
            reason: None,
            budget: None,
            fallback: None,
            answer_call: None,
            estimate_calls: Vec::new(),
            error: None,
        };
        let result = self.answer(&estimating, &mut sample).await;
        sample.estimate_calls = estimating.calls();
        match result {
            Ok(()) => {}
            Err(Failure::Stop(e)) => return Err(e),
            Err(Failure::Sample(e)) => {
                sample.outcome = Outcome::Failed;
                sample.error = Some(recorded(&e));
            }
        }
        let measure = self.store.put_sample(self.subject.row(), sample).await?;
        self.observer.sample(self.cell, &measure, false);
        Ok(measure)
    }

    async fn answer(
        &self,
        estimating: &Arc<RecordedLlm>,
        sample: &mut NewSample,
    ) -> Result<(), Failure> {
        let budget = match self.method.budget {
            BudgetSource::None => Budget {
                tokens: None,
                fallback: None,
            },
            BudgetSource::Fixed(tokens) => Budget {
                tokens: Some(tokens),
                fallback: None,
            },
            BudgetSource::Estimated { alpha } => self.estimate(estimating, alpha).await?,
        };
        sample.budget = budget.tokens;
        sample.fallback = budget.fallback;
        let messages = self.subject.render(&*self.method.render, budget.tokens)?;
        let request = self.llm.ledger.request(messages);
        let asked = self.llm.ledger.ask(request, self.events()).await;
        let (id, call) = asked.map_err(|e| self.subject.failure(e))?;
        sample.answer_call = Some(id);
        let Judgement {
            outcome,
            answer,
            reason,
        } = self.subject.judge(&call).await?;
        sample.outcome = outcome;
        sample.answer = answer;
        sample.reason = Some(reason);
        Ok(())
    }

    async fn estimate(
        &self,
        llm: &Arc<RecordedLlm>,
        alpha: Option<f64>,
    ) -> Result<Budget, Failure> {
        let Some(setup) = &self.estimator else {
            return Err(self.subject.failure(Error::new(
                ErrorKind::InvalidOptions,
                format!("method `{}` needs an estimator", self.method.name),
            )));
        };
        let text = match setup.on {
            EstimateOn::Question => self.subject.text(),
            EstimateOn::FullPrompt => {
                let prompt = self.subject.render(&*self.method.render, None)?;
                prompt.last().map(|m| m.content.clone()).unwrap_or_default()
            }
        };
        // The gold answer is nothing an estimator may look at.
        let question = Question {
            gold: None,
            ..(*self.subject.question).clone()
        };
        let asked = Arc::clone(llm) as Arc<dyn Llm>;
        let estimate = setup
            .estimator
            .estimate(EstimateRequest { question, text }, asked)
            .await
            .map_err(|e| self.subject.failure(e))?;
        let rule = BudgetRule {
            alpha: alpha.unwrap_or(setup.rule.alpha),
            ..setup.rule
        };
        rule.apply(&estimate).map_err(|why| {
            Failure::Sample(
                Error::new(ErrorKind::InvalidData, why)
                    .hint("`estimator.fallback` says what to do without an estimate"),
            )
        })
    }

    fn events(&self) -> Events<GenerateEvent> {
        let (observer, cell) = (Arc::clone(&self.observer), self.cell);
        Events::to(move |event| match event {
            GenerateEvent::Delta { text } | GenerateEvent::ReasoningDelta { text } => {
                observer.delta(cell, &text);
            }
            _ => {}
        })
    }
}
