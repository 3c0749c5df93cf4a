//! A question on its way through a pipeline: rendered, judged, recorded, and what its errors mean.

use std::sync::Arc;

use tale_api::{Error, ErrorKind, Message, Question};
use tokio::task::JoinSet;

use super::{
    DatasetSetup, Judgement, PipelineError, Render, judge,
    ledger::{is_journal_failure, is_never_reached},
};
use crate::store::{CallRow, NewQuestion};

/// A question and where it comes from.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) dataset: Arc<DatasetSetup>,
    /// Position in the data set, from 0.
    pub(super) position: u64,
    pub(super) question: Arc<Question>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The whole run must stop.
    Stop(PipelineError),
    /// This sample has failed; the run goes on.
    Sample(Error),
}

impl Subject {
    /// The conversation that asks the question under `budget`.
    pub(super) fn render(
        &self,
        render: &Render,
        budget: Option<u32>,
    ) -> Result<Vec<Message>, Failure> {
        render(&self.question, budget).map_err(|cause| {
            Failure::Stop(PipelineError::Prompt {
                dataset: self.dataset.label.clone(),
                question: self.question.id.clone(),
                cause,
            })
        })
    }

    /// Judges the answer of `call`.
    pub(super) async fn judge(&self, call: &CallRow) -> Result<Judgement, Failure> {
        let (dataset, grades) = (&*self.dataset.dataset, self.dataset.info.grades);
        judge(dataset, grades, &self.question, call)
            .await
            .map_err(|e| self.failure(e))
    }

    /// Whether the error ends the run: where every further question would meet it too, going on
    /// only costs time or money.
    pub(super) fn failure(&self, error: Error) -> Failure {
        use ErrorKind::{InvalidOptions, QuotaExhausted, Unauthorized, Unsupported};
        let is_final = matches!(
            error.kind,
            InvalidOptions | QuotaExhausted | Unauthorized | Unsupported
        );
        if is_final || is_journal_failure(&error) || is_never_reached(&error) {
            Failure::Stop(PipelineError::Final {
                dataset: self.dataset.label.clone(),
                question: self.question.id.clone(),
                error,
            })
        } else {
            Failure::Sample(error)
        }
    }

    /// The question as people read it: with its options, a line each.
    pub(super) fn text(&self) -> String {
        asked_text(&self.question)
    }

    /// The question as the journal keeps it.
    pub(super) fn row(&self) -> NewQuestion {
        NewQuestion {
            dataset: self.dataset.label.clone(),
            position: self.position,
            id: self.question.id.clone(),
            question: self.text(),
            gold: self.question.gold.clone(),
            kind: self.question.kind.as_str().to_owned(),
        }
    }
}

/// A question as people read it and the journal keeps it: with its options, a line each.
#[must_use]
pub fn asked_text(question: &Question) -> String {
    let letters = ('A'..='Z').map(String::from);
    let mut text = question.text.clone();
    for (letter, option) in letters.zip(&question.options) {
        text.push_str(&format!("\n{letter}. {option}"));
    }
    text
}

/// An error as the journal keeps it: its kind; message, causes and hint in one text.
pub(super) fn recorded(e: &Error) -> (String, String) {
    let mut text = e.message.clone();
    for cause in &e.causes {
        text.push_str("; cause: ");
        text.push_str(cause);
    }
    if let Some(hint) = &e.hint {
        text.push_str("; help: ");
        text.push_str(hint);
    }
    (e.kind.to_string().replace(' ', "_"), text)
}

/// Waits for one of the tasks to end; its panic is handed on.
pub(super) async fn finish_one(
    work: &mut JoinSet<Result<(), PipelineError>>,
) -> Result<(), PipelineError> {
    match work.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(e)) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Some(Err(_)) | None => Ok(()),
    }
}
