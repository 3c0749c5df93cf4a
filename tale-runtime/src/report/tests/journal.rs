//! Journals to report on, written through [`Store`] as a run writes them.

use tempfile::TempDir;

use crate::store::{
    CallId, CallKey, CallRow, Cell, CellId, NewQuestion, NewSample, Outcome, Store,
};

/// A run directory under construction.
pub(super) struct Journal {
    pub(super) dir: TempDir,
    store: Store,
    runtime: tokio::runtime::Runtime,
    calls: u64,
}

/// One sample, with what tests do not care about filled in.
pub(super) struct Sample {
    pub(super) outcome: Outcome,
    pub(super) tokens: Option<u64>,
    pub(super) budget: Option<u32>,
    pub(super) estimate_tokens: Option<u64>,
    pub(super) cost_usd: Option<f64>,
    pub(super) fallback: Option<&'static str>,
    pub(super) completion: String,
}

impl Sample {
    pub(super) fn new(outcome: Outcome, tokens: u64) -> Self {
        Self {
            outcome,
            tokens: Some(tokens),
            budget: None,
            estimate_tokens: None,
            cost_usd: None,
            fallback: None,
            completion: format!("{tokens} tokens of reasoning. [[42]]"),
        }
    }

    pub(super) fn failed() -> Self {
        Self {
            tokens: None,
            ..Self::new(Outcome::Failed, 0)
        }
    }

    pub(super) fn under(self, budget: u32, estimate_tokens: u64) -> Self {
        Self {
            budget: Some(budget),
            estimate_tokens: Some(estimate_tokens),
            ..self
        }
    }

    pub(super) fn costing(self, usd: f64) -> Self {
        Self {
            cost_usd: Some(usd),
            ..self
        }
    }
}

impl Journal {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        Self {
            dir,
            store,
            runtime,
            calls: 0,
        }
    }

    pub(super) fn meta(&self, key: &str, value: &str) {
        self.runtime
            .block_on(self.store.set_meta(key, value.to_owned()))
            .unwrap();
    }

    pub(super) fn cell(&self, method: &str) -> CellId {
        self.cell_of("qwen", "gsm8k", method)
    }

    pub(super) fn cell_of(&self, llm: &str, dataset: &str, method: &str) -> CellId {
        let cell = Cell {
            llm: llm.into(),
            dataset: dataset.into(),
            method: method.into(),
        };
        self.runtime.block_on(self.store.cell(cell)).unwrap()
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "tests make a sample where they add it"
    )]
    pub(super) fn add(&mut self, cell: CellId, position: u64, sample: Sample) {
        self.add_to("gsm8k", cell, position, &sample);
    }

    pub(super) fn add_to(&mut self, dataset: &str, cell: CellId, position: u64, sample: &Sample) {
        let answer_call = (sample.outcome != Outcome::Failed).then(|| {
            self.call(
                "Q: How many?",
                &sample.completion,
                sample.tokens,
                sample.cost_usd,
            )
        });
        let estimate_calls = match sample.estimate_tokens {
            Some(n) => vec![self.call("Task: estimate", "[[50]]", Some(n), sample.cost_usd)],
            None => Vec::new(),
        };
        let question = NewQuestion {
            dataset: dataset.into(),
            position,
            id: format!("q{position}"),
            question: format!("Question {position}: how many?"),
            gold: (sample.outcome != Outcome::Ungraded).then(|| "42".into()),
            kind: "number".into(),
        };
        let failed = sample.outcome == Outcome::Failed;
        let new = NewSample {
            cell,
            position,
            repeat: 0,
            outcome: sample.outcome,
            answer: (!failed).then(|| "42".into()),
            reason: (!failed).then(|| "42 equals 42".into()),
            budget: sample.budget,
            fallback: sample.fallback.map(Into::into),
            answer_call,
            estimate_calls,
            error: failed.then(|| ("unavailable".into(), "connection refused".into())),
        };
        self.runtime
            .block_on(self.store.put_sample(question, new))
            .unwrap();
    }

    fn call(&mut self, prompt: &str, text: &str, tokens: Option<u64>, usd: Option<f64>) -> CallId {
        self.calls += 1;
        let call = CallRow {
            prompt: prompt.into(),
            completion: text.into(),
            reasoning: None,
            finish_reason: "stop".into(),
            input_tokens: Some(80),
            cached_input_tokens: 16,
            output_tokens: tokens,
            reasoning_tokens: 0,
            latency_s: 0.5,
            cost_usd: usd,
            model: None,
            service_tier: None,
            from_cache: false,
        };
        let key = CallKey(u128::from(self.calls).to_be_bytes());
        self.runtime
            .block_on(self.store.put_call(key, call))
            .unwrap()
    }
}
