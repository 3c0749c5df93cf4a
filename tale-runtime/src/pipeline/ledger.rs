//! Every call to a model goes through here: journalled, priced, and never made twice.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sha2::{Digest, Sha256};
use tale_api::{
    Completion, Error, ErrorKind, Events, FinishReason, GenerateEvent, GenerateRequest, Llm,
    LlmInfo, Prices, Result, Sampling, Timings, Usage, async_trait,
};

use crate::store::{CallId, CallKey, CallRow, Store, StoreError};

/// What every call of a model is made with, unless the caller says otherwise.
#[derive(Clone, Debug, Default)]
pub struct CallDefaults {
    /// How tokens are drawn. Paper A.3: temperature 0.1.
    pub sampling: Sampling,
    /// The most tokens of an answer. Reference code: 1024.
    pub max_tokens: Option<u32>,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    /// Seed of the sampler. Paper A.3: 1024.
    pub seed: Option<u64>,
    /// Seconds allowed for a call.
    pub timeout_s: Option<f64>,
}

/// A model whose calls are kept in the journal.
///
/// A call's key is everything that changes its answer: model, weights, messages, sampling, limits,
/// seed, grammar. A call that the journal knows is answered from there; one that is under way is
/// waited for. So a prompt that has been answered is never sent again, whoever asks.
pub struct Ledger {
    llm: Arc<dyn Llm>,
    info: LlmInfo,
    identity: String,
    prices: Option<Prices>,
    defaults: CallDefaults,
    store: Arc<Store>,
    under_way: Mutex<HashMap<CallKey, Arc<tokio::sync::Mutex<()>>>>,
    /// Whether the model has answered anything since this was opened.
    has_answered: AtomicBool,
}

impl Ledger {
    /// A ledger for `llm`. `plugin` tells models of the same name apart; `prices` overrides what
    /// the model says of itself.
    #[must_use]
    pub fn new(
        llm: Arc<dyn Llm>,
        info: LlmInfo,
        plugin: &str,
        prices: Option<Prices>,
        defaults: CallDefaults,
        store: Arc<Store>,
    ) -> Self {
        let identity = format!(
            "{plugin}\n{}\n{}",
            info.model,
            info.digest.as_deref().unwrap_or("")
        );
        let prices = prices.or(info.prices);
        let under_way = Mutex::new(HashMap::new());
        Self {
            llm,
            info,
            identity,
            prices,
            defaults,
            store,
            under_way,
            has_answered: AtomicBool::new(false),
        }
    }

    /// What the model says of itself.
    #[must_use]
    pub fn info(&self) -> &LlmInfo {
        &self.info
    }

    /// A request with this ledger's defaults for these messages.
    #[must_use]
    pub fn request(&self, messages: Vec<tale_api::Message>) -> GenerateRequest {
        self.fill(GenerateRequest::new(messages))
    }

    /// The answer to `request`, from the journal or from the model; committed when this returns.
    ///
    /// # Errors
    /// The model's own; [`ErrorKind::Internal`] with the journal's error if it cannot be kept.
    pub async fn ask(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<(CallId, CallRow)> {
        let key = self.key(&request);
        let turn = Turn::take(self, key);
        let _first = turn.gate.lock().await;
        if let Some(known) = self
            .store
            .find_call(key)
            .await
            .map_err(|e| journal_error(&e))?
        {
            return Ok(known);
        }
        let prompt = request
            .messages
            .last()
            .map(|m| m.content.clone())
            .unwrap_or_default();
        let answered = self.llm.generate(request, events).await;
        let completion = answered.map_err(|e| self.placed(e))?;
        self.has_answered.store(true, Ordering::Relaxed);
        let row = self.row(prompt, completion);
        let id = self
            .store
            .put_call(key, row.clone())
            .await
            .map_err(|e| journal_error(&e))?;
        Ok((id, row))
    }

    /// Marks an error of a model that cannot be reached and never could.
    fn placed(&self, error: Error) -> Error {
        let is_first = !self.has_answered.load(Ordering::Relaxed);
        if error.kind == ErrorKind::Unavailable && is_first {
            error.context(ANSWERED, NOTHING)
        } else {
            error
        }
    }

    fn fill(&self, mut request: GenerateRequest) -> GenerateRequest {
        let defaults = &self.defaults;
        let sampling = &mut request.sampling;
        sampling.temperature = sampling.temperature.or(defaults.sampling.temperature);
        sampling.top_p = sampling.top_p.or(defaults.sampling.top_p);
        sampling.top_k = sampling.top_k.or(defaults.sampling.top_k);
        sampling.repetition_penalty = sampling
            .repetition_penalty
            .or(defaults.sampling.repetition_penalty);
        request.max_tokens = request.max_tokens.or(defaults.max_tokens);
        request.seed = request.seed.or(defaults.seed);
        request.timeout_s = request.timeout_s.or(defaults.timeout_s);
        if request.stop.is_empty() {
            request.stop.clone_from(&defaults.stop);
        }
        request
    }

    fn key(&self, request: &GenerateRequest) -> CallKey {
        // How long somebody is willing to wait does not change the answer.
        let asked = GenerateRequest {
            timeout_s: None,
            ..request.clone()
        };
        let text = serde_json::to_vec(&asked).expect("a request is plain data");
        let digest = Sha256::new()
            .chain_update(b"tale call 1\n")
            .chain_update((self.identity.len() as u64).to_le_bytes())
            .chain_update(&self.identity)
            .chain_update(text)
            .finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        CallKey(key)
    }

    fn row(&self, prompt: String, completion: Completion) -> CallRow {
        let usage = completion.usage;
        CallRow {
            prompt,
            completion: completion.text,
            reasoning: completion.reasoning,
            finish_reason: completion.finish_reason.as_str().to_owned(),
            input_tokens: usage.map(|u| u.input_tokens),
            cached_input_tokens: usage.map_or(0, |u| u.cached_input_tokens),
            output_tokens: usage.map(|u| u.output_tokens),
            reasoning_tokens: usage.map_or(0, |u| u.reasoning_tokens),
            latency_s: completion.timings.total_s,
            cost_usd: self
                .prices
                .zip(usage)
                .map(|(prices, usage)| prices.cost_usd(&usage)),
            model: completion.model.filter(|m| *m != self.info.model),
            service_tier: completion.service_tier,
            from_cache: false,
        }
    }

    fn gates(&self) -> MutexGuard<'_, HashMap<CallKey, Arc<tokio::sync::Mutex<()>>>> {
        // The map is whole at every moment, so a panic elsewhere does not spoil it.
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's place among those that ask the same thing at the same time.
struct Turn<'a> {
    ledger: &'a Ledger,
    key: CallKey,
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl<'a> Turn<'a> {
    fn take(ledger: &'a Ledger, key: CallKey) -> Self {
        let gate = ledger.gates().entry(key).or_default().clone();
        Self { ledger, key, gate }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut gates = self.ledger.gates();
        // This turn and the map itself: nobody else waits.
        if Arc::strong_count(&self.gate) <= 2 {
            gates.remove(&self.key);
        }
    }
}

const JOURNAL: &str = "journal";
const ANSWERED: &str = "answered so far";
const NOTHING: &str = "nothing";

/// Whether an error is of a model that cannot be reached and has not answered anything yet: then it
/// is not this question's misfortune.
#[must_use]
pub(super) fn is_never_reached(error: &Error) -> bool {
    error.context_value(ANSWERED) == Some(NOTHING)
}

fn journal_error(e: &StoreError) -> Error {
    let kind = if matches!(e, StoreError::Full) {
        ErrorKind::ResourceExhausted
    } else {
        ErrorKind::Internal
    };
    let error = Error::new(kind, e.to_string()).operation(JOURNAL);
    match e.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Whether an error of [`Ledger::ask`] is the journal's: the run cannot go on then.
#[must_use]
pub(super) fn is_journal_failure(error: &Error) -> bool {
    error.operation.as_deref() == Some(JOURNAL)
}

/// The model as one sample sees it: calls go through the ledger, and their ids are remembered.
///
/// It is what an estimator or a feasibility rule is handed, so that their calls are journalled and
/// priced like any other.
pub struct RecordedLlm {
    ledger: Arc<Ledger>,
    calls: Mutex<Vec<CallId>>,
}

impl RecordedLlm {
    /// A fresh view of the ledger's model.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
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
        Ok(self.ledger.info.clone())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let (id, row) = self.ledger.ask(self.ledger.fill(request), events).await?;
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(id);
        Ok(completion(row))
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        self.ledger.llm.count_tokens(text).await
    }
}

/// A call of the journal as the model's answer.
fn completion(row: CallRow) -> Completion {
    let usage = row
        .input_tokens
        .zip(row.output_tokens)
        .map(|(input_tokens, output_tokens)| Usage {
            input_tokens,
            cached_input_tokens: row.cached_input_tokens,
            output_tokens,
            reasoning_tokens: row.reasoning_tokens,
        });
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

#[cfg(test)]
mod tests;
