//! The model as estimators and feasibility rules see it.

use std::sync::{Arc, Mutex, PoisonError};

use tale_api::{
    Completion, Events, FinishReason, GenerateEvent, GenerateRequest, Llm, LlmInfo, Result,
    Timings, async_trait,
};

use super::{Ledger, ledger::usage};
use crate::store::{CallId, CallRow};

/// The model as one sample sees it: calls go through the ledger, and their ids are remembered.
///
/// It is what an estimator or a feasibility rule is handed, so that their calls are journalled and
/// priced like any other.
pub struct RecordedLlm {
    ledger: Arc<Ledger>,
    repeat: u32,
    calls: Mutex<Vec<CallId>>,
}

impl RecordedLlm {
    /// A fresh view of the ledger's model.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self::nth(ledger, 0)
    }

    /// As [`RecordedLlm::new`], for the sample number `repeat` of a question: what it asks is asked
    /// again for each.
    #[must_use]
    pub fn nth(ledger: Arc<Ledger>, repeat: u32) -> Self {
        Self {
            ledger,
            repeat,
            calls: Mutex::new(Vec::new()),
        }
    }

    /// The calls made so far, in the order in which they finished.
    #[must_use]
    pub fn calls(&self) -> Vec<CallId> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl Llm for RecordedLlm {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(self.ledger.info().clone())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let request = self.ledger.fill(request, self.repeat);
        let (id, row) = self.ledger.ask_nth(request, self.repeat, events).await?;
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(id);
        Ok(completion(row))
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        self.ledger.count_tokens(text).await
    }
}

/// A call of the journal as the model's answer.
pub(crate) fn completion(row: CallRow) -> Completion {
    let usage = usage(&row);
    let finish_reason = match row.finish_reason.as_str() {
        "stop" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    };
    Completion {
        text: row.completion,
        reasoning: row.reasoning,
        finish_reason,
        usage,
        timings: Timings {
            total_s: row.latency_s,
            ..Timings::default()
        },
        model: row.model,
        service_tier: row.service_tier,
    }
}
