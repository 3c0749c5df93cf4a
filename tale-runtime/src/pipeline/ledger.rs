//! Every call to a model goes through here: journalled, priced, paid for, and never made twice.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tale_api::{
    Completion, Error, ErrorKind, Events, GenerateEvent, GenerateRequest, Llm, LlmInfo, Prices,
    Result, Sampling, Usage,
};

use super::key::Identity;
use crate::{
    billing::{CapReached, Purse, Tariff},
    cache::AnswerCache,
    store::{CallId, CallKey, CallRow, Store, StoreError},
};

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

impl CallDefaults {
    /// `request` with these defaults where it says nothing itself; `repeat` moves the seed, so that
    /// the answers to one question differ.
    #[must_use]
    pub fn fill(&self, mut request: GenerateRequest, repeat: u32) -> GenerateRequest {
        let sampling = &mut request.sampling;
        sampling.temperature = sampling.temperature.or(self.sampling.temperature);
        sampling.top_p = sampling.top_p.or(self.sampling.top_p);
        sampling.top_k = sampling.top_k.or(self.sampling.top_k);
        sampling.repetition_penalty = sampling
            .repetition_penalty
            .or(self.sampling.repetition_penalty);
        request.max_tokens = request.max_tokens.or(self.max_tokens);
        request.seed = request
            .seed
            .or(self.seed)
            .map(|seed| seed.wrapping_add(repeat.into()));
        request.timeout_s = request.timeout_s.or(self.timeout_s);
        if request.stop.is_empty() {
            request.stop.clone_from(&self.stop);
        }
        request
    }
}

/// A model whose calls are kept in the journal.
///
/// A call that the journal knows by its [key](Identity::key) is answered from there, one that the
/// cache knows is copied into the journal, and one that is under way is waited for. So a prompt that
/// has been answered is never sent again, whoever asks. What is sent is paid for out of the
/// [`Purse`]: its upper bound is set aside before, and what it cost is settled once it is committed.
pub struct Ledger {
    llm: Arc<dyn Llm>,
    info: LlmInfo,
    identity: Identity,
    tariff: Option<Tariff>,
    tier: Option<String>,
    defaults: CallDefaults,
    store: Arc<Store>,
    purse: Arc<Purse>,
    cache: Option<Arc<AnswerCache>>,
    under_way: Mutex<HashMap<CallKey, Arc<tokio::sync::Mutex<()>>>>,
    /// Whether the model has answered anything since this was opened.
    has_answered: AtomicBool,
}

impl Ledger {
    /// A ledger for `llm`, without a cap on what is spent and without a cache. `plugin` tells models
    /// of the same name apart; `prices` overrides what the model says of itself.
    #[must_use]
    pub fn new(
        llm: Arc<dyn Llm>,
        info: LlmInfo,
        plugin: &str,
        prices: Option<Prices>,
        defaults: CallDefaults,
        store: Arc<Store>,
    ) -> Self {
        Self {
            identity: Identity::new(plugin, &info),
            tariff: prices.or(info.prices).map(Tariff::from),
            llm,
            info,
            tier: None,
            defaults,
            store,
            purse: Arc::default(),
            cache: None,
            under_way: Mutex::new(HashMap::new()),
            has_answered: AtomicBool::new(false),
        }
    }

    /// With other prices; `tier` is the class of service that is asked for.
    #[must_use]
    pub fn with_tariff(self, tariff: Option<Tariff>, tier: Option<String>) -> Self {
        Self {
            tariff,
            tier,
            ..self
        }
    }

    /// Paying out of `purse`, which several models may share.
    #[must_use]
    pub fn with_purse(self, purse: Arc<Purse>) -> Self {
        Self { purse, ..self }
    }

    /// Looking for answers in `cache` as well, and keeping new ones there.
    #[must_use]
    pub fn with_cache(self, cache: Option<Arc<AnswerCache>>) -> Self {
        Self { cache, ..self }
    }

    /// What the model says of itself.
    #[must_use]
    pub fn info(&self) -> &LlmInfo {
        &self.info
    }

    /// Why no further call begins, once the run may not spend more.
    #[must_use]
    pub fn closed(&self) -> Option<CapReached> {
        self.purse.closed()
    }

    /// A request with this ledger's defaults for these messages.
    #[must_use]
    pub fn request(&self, messages: Vec<tale_api::Message>) -> GenerateRequest {
        self.fill(GenerateRequest::new(messages), 0)
    }

    /// `request` with this ledger's defaults, for the answer number `repeat`.
    #[must_use]
    pub fn fill(&self, request: GenerateRequest, repeat: u32) -> GenerateRequest {
        self.defaults.fill(request, repeat)
    }

    /// The answer to `request`, from the journal, the cache or the model; committed when this
    /// returns.
    ///
    /// # Errors
    /// The model's own; [`ErrorKind::Internal`] with the journal's error if it cannot be kept;
    /// [`ErrorKind::QuotaExhausted`] if the run may not spend so much ([`is_cap_reached`]).
    pub async fn ask(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<(CallId, CallRow)> {
        self.ask_nth(request, 0, events).await
    }

    /// As [`Ledger::ask`], for the answer number `repeat` to the same request.
    ///
    /// # Errors
    /// As [`Ledger::ask`].
    pub async fn ask_nth(
        &self,
        request: GenerateRequest,
        repeat: u32,
        events: Events<GenerateEvent>,
    ) -> Result<(CallId, CallRow)> {
        let key = self.identity.key(&request, repeat);
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
        if let Some(row) = self.cached(key).await {
            let id = self.record(key, &row).await?;
            if !row.completion.is_empty() {
                let text = row.completion.clone();
                events.send(GenerateEvent::Delta { text });
            }
            return Ok((id, row));
        }
        let prompt = request
            .messages
            .last()
            .map(|m| m.content.clone())
            .unwrap_or_default();
        let reserved = self
            .purse
            .reserve(self.at_most_usd(&request)?)
            .await
            .map_err(|reached| cap_error(&reached))?;
        let completion = match self.llm.generate(request, events).await {
            Ok(completion) => completion,
            Err(e) => {
                if may_be_billed(e.kind) {
                    reserved.settle(None);
                } else {
                    reserved.release();
                }
                return Err(self.placed(e));
            }
        };
        self.has_answered.store(true, Ordering::Relaxed);
        let row = self.row(prompt, completion);
        let recorded = tokio::join!(self.record(key, &row), self.keep(key, &row)).0;
        // Committed before it counts as spent: whoever finds nothing under way finds it recorded.
        reserved.settle(row.cost_usd);
        Ok((recorded?, row))
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

    async fn record(&self, key: CallKey, row: &CallRow) -> Result<CallId> {
        let recorded = self.store.put_call(key, row.clone()).await;
        recorded.map_err(|e| journal_error(&e))
    }

    /// The answer of an earlier run, at the prices of this one.
    async fn cached(&self, key: CallKey) -> Option<CallRow> {
        let mut row = self.cache.as_ref()?.find(key).await?;
        row.cost_usd = self.cost_usd(usage(&row), row.service_tier.as_deref());
        Some(row)
    }

    async fn keep(&self, key: CallKey, row: &CallRow) {
        if let Some(cache) = &self.cache {
            cache.put(key, &self.info.model, row).await;
        }
    }

    fn cost_usd(&self, usage: Option<Usage>, tier: Option<&str>) -> Option<f64> {
        self.tariff.as_ref()?.cost_usd(&usage?, tier)
    }

    /// The most that `request` can cost: no token is shorter than a byte, and no answer longer than
    /// `max_tokens`.
    fn at_most_usd(&self, request: &GenerateRequest) -> Result<f64> {
        let Some(tariff) = self.tariff.as_ref().filter(|_| self.purse.is_capped()) else {
            return Ok(0.0);
        };
        let output = request.max_tokens.or(self.info.context_length);
        let Some(output) = output else {
            return Err(Error::new(
                ErrorKind::InvalidOptions,
                "a call without `max_tokens` has no upper bound, so no cap can be kept",
            )
            .hint("set `max_tokens` in `[llm]`"));
        };
        let bytes: usize = request
            .messages
            .iter()
            .map(|m| m.content.len() + FRAME)
            .sum();
        Ok(tariff.at_most_usd((bytes + FRAME) as u64, output.into(), self.tier.as_deref()))
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
            cost_usd: self.cost_usd(usage, completion.service_tier.as_deref()),
            model: completion.model.filter(|m| *m != self.info.model),
            service_tier: completion.service_tier,
            from_cache: false,
        }
    }

    pub(super) async fn count_tokens(&self, text: &str) -> Result<u64> {
        self.llm.count_tokens(text).await
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

const MAX_COST: &str = "max-cost";

pub(super) fn cap_error(reached: &CapReached) -> Error {
    Error::new(ErrorKind::QuotaExhausted, reached.to_string())
        .operation(MAX_COST)
        .hint("the same command with a larger `--max-cost` goes on from here")
}

/// Whether an error of [`Ledger::ask`] says that the run may not spend more. No call of it is under
/// way then, and all that was paid for is in the journal.
#[must_use]
pub(super) fn is_cap_reached(error: &Error) -> bool {
    error.operation.as_deref() == Some(MAX_COST)
}

/// Bytes that stand for what a provider puts around a message: roles, separators, the answer's
/// beginning.
const FRAME: usize = 16;

/// Whether a call that failed so may have been computed, and so be on the bill.
fn may_be_billed(kind: ErrorKind) -> bool {
    use ErrorKind::{
        ContextLength, InvalidInput, InvalidOptions, NotFound, QuotaExhausted, RateLimited,
        Unauthorized, Unsupported,
    };
    !matches!(
        kind,
        ContextLength
            | InvalidInput
            | InvalidOptions
            | NotFound
            | QuotaExhausted
            | RateLimited
            | Unauthorized
            | Unsupported
    )
}

/// What a kept call used, where it was counted.
pub(super) fn usage(row: &CallRow) -> Option<Usage> {
    Some(Usage {
        input_tokens: row.input_tokens?,
        cached_input_tokens: row.cached_input_tokens,
        output_tokens: row.output_tokens?,
        reasoning_tokens: row.reasoning_tokens,
    })
}

#[cfg(test)]
mod tests;
