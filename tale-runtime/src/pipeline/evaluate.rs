//! `task = "evaluate"`: every question of every data set answered by every method on every model.

use std::{collections::HashMap, future::Future, sync::Arc};

use tale_api::{
    Error, ErrorKind, EstimateRequest, Estimator, Events, GenerateEvent, GenerateRequest, Llm,
    Message, Question, ReasoningBudget,
};
use tokio::task::JoinSet;

use super::{
    BudgetRule, CellProgress, DatasetSetup, Judgement, Ledger, Observer, PipelineError,
    RecordedLlm,
    budget::Budget,
    ledger::cap_error,
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
    /// The limit on hidden reasoning that the provider is asked to keep.
    pub reasoning: Option<ReasoningBudget>,
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

/// What is done with an estimated budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplyBudget {
    /// It is named in the prompt (the paper's TALE-EP).
    #[default]
    Prompt,
    /// The provider is asked to limit the hidden reasoning to it; the prompt is vanilla's.
    Provider,
    /// Both.
    Both,
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
    /// What is done with its budget.
    pub apply: ApplyBudget,
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
    /// Answers to each question by each method, at least 1.
    pub repeats: u32,
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
    let questions = dataset.selection.count(dataset.info.size);
    let total = questions.map(|n| n.saturating_mul(e.repeats.max(1).into()));
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
    let mut work: JoinSet<Result<(), PipelineError>> = JoinSet::new();
    let begun = begin_samples(e, llm, dataset, cells, observer, &mut work).await;
    if begun.as_ref().is_err_and(|e| !e.is_cap_reached()) {
        return begun;
    }
    // Where the cap is reached, what has its answers is still graded and recorded.
    let mut ended = begun;
    while !work.is_empty() {
        match finish_one(&mut work).await {
            Err(e) if e.is_cap_reached() => ended = Err(e),
            other => other?,
        }
    }
    ended
}

/// Begins every sample that is not finished, as fast as others end.
async fn begin_samples(
    e: &Evaluation,
    llm: &LlmSetup,
    dataset: &DatasetSetup,
    cells: &[CellProgress],
    observer: &Arc<dyn Observer>,
    work: &mut JoinSet<Result<(), PipelineError>>,
) -> Result<(), PipelineError> {
    let ids: Vec<CellId> = cells.iter().map(|c| c.id).collect();
    let dataset = Arc::new(dataset.clone());
    let mut questions = dataset.questions().await?;
    loop {
        let mut chunk = Vec::with_capacity(LOOK_AHEAD);
        while chunk.len() < LOOK_AHEAD {
            match questions.next().await? {
                Some((position, question)) => chunk.push((position, Arc::new(question))),
                None => break,
            }
        }
        let (Some((first, _)), Some((last, _))) = (chunk.first(), chunk.last()) else {
            return Ok(());
        };
        let finished = e.store.finished(ids.clone(), *first, *last + 1).await?;
        let finished: HashMap<(CellId, u64, u32), Measure> = finished
            .into_iter()
            .map(|(cell, m)| ((cell, m.position, m.repeat), m))
            .collect();
        for (position, question) in chunk {
            // The methods of a question run side by side: their prompts begin alike, and a local
            // model evaluates what they share once.
            let columns = e.methods.iter().zip(&ids);
            let samples = columns.flat_map(|c| (0..e.repeats.max(1)).map(move |r| (c, r)));
            for ((method, cell), repeat) in samples {
                if let Some(measure) = finished.get(&(*cell, position, repeat)) {
                    observer.sample(*cell, measure, true);
                    continue;
                }
                while work.len() >= e.concurrency.max(1) {
                    finish_one(work).await?;
                }
                let sample = Sample {
                    cell: *cell,
                    subject: Subject {
                        dataset: Arc::clone(&dataset),
                        position,
                        question: Arc::clone(&question),
                    },
                    repeat,
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
}

/// One sample on its way: a question, a method, a model.
pub(super) struct Sample {
    pub(super) cell: CellId,
    pub(super) subject: Subject,
    pub(super) repeat: u32,
    pub(super) method: MethodSetup,
    pub(super) llm: LlmSetup,
    pub(super) estimator: Option<EstimatorSetup>,
    pub(super) store: Arc<Store>,
    pub(super) observer: Arc<dyn Observer>,
}

impl Sample {
    /// Asks, judges and records; the observer is told.
    pub(super) async fn make(self) -> Result<Measure, PipelineError> {
        let estimating = Arc::new(RecordedLlm::nth(Arc::clone(&self.llm.ledger), self.repeat));
        let mut sample = NewSample::unanswered(self.cell, self.subject.position, self.repeat);
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
        let prompt = self.in_prompt(budget.tokens);
        let request = GenerateRequest {
            reasoning: self.reasoning(budget.tokens),
            ..GenerateRequest::new(self.subject.render(&*self.method.render, prompt)?)
        };
        let ledger = &self.llm.ledger;
        let request = ledger.fill(request, self.repeat);
        let asked = ledger.ask_nth(request, self.repeat, self.events()).await;
        let (id, call) = asked.map_err(|e| self.failure(e))?;
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
            return Err(self.failure(Error::new(
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
            .map_err(|e| self.failure(e))?;
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

    /// The budget that the prompt names.
    fn in_prompt(&self, budget: Option<u32>) -> Option<u32> {
        budget.filter(|_| self.apply() != ApplyBudget::Provider)
    }

    /// The limit on hidden reasoning that the provider is asked to keep.
    fn reasoning(&self, budget: Option<u32>) -> Option<ReasoningBudget> {
        if self.apply() == ApplyBudget::Prompt {
            return self.method.reasoning;
        }
        budget.map(|tokens| ReasoningBudget {
            max_tokens: Some(tokens),
            ..ReasoningBudget::default()
        })
    }

    fn apply(&self) -> ApplyBudget {
        match (&self.estimator, self.method.budget) {
            (Some(setup), BudgetSource::Estimated { .. }) => setup.apply,
            _ => ApplyBudget::Prompt,
        }
    }

    /// What the error means; an estimator may have wrapped the cap's in one of its own.
    fn failure(&self, error: Error) -> Failure {
        let closed = self.llm.ledger.closed();
        self.subject
            .failure(closed.map_or(error, |reached| cap_error(&reached)))
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
