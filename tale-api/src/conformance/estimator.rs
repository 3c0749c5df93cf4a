//! Rules for estimators, which are lent a model that says what the check wants.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{Subject, Verdict, fail, rules, skip};
use crate::{
    messages::{
        Capabilities, Completion, Error, ErrorKind, EstimateRequest, GenerateEvent,
        GenerateRequest, LlmInfo, Question, Result, Usage,
    },
    traits::{Events, Llm},
};

rules! {
    "EST-01" "an estimate has a budget of at least 1, or the reason why not" => budget;
    "EST-02" "a reply without a number is no error" => unreadable;
    "EST-03" "an error of the model is handed on with its kind" => failing_model;
    "EST-04" "the usage is that of the calls made" => usage;
    "EST-05" "64 estimates at a time are all made" => concurrent;
}

/// A model that says one thing, or fails, and counts its calls.
pub(super) struct Scripted {
    pub(super) reply: Result<&'static str, ErrorKind>,
    pub(super) calls: AtomicU64,
}

impl Scripted {
    pub(super) fn saying(reply: &'static str) -> Arc<Self> {
        Arc::new(Self {
            reply: Ok(reply),
            calls: AtomicU64::new(0),
        })
    }
}

/// What each call of [`Scripted`] costs.
const COST: Usage = Usage {
    input_tokens: 11,
    cached_input_tokens: 3,
    output_tokens: 5,
    reasoning_tokens: 0,
};

#[async_trait]
impl Llm for Scripted {
    async fn info(&self) -> Result<LlmInfo> {
        let capabilities = Capabilities {
            grammar: true,
            ..Capabilities::default()
        };
        Ok(LlmInfo {
            model: "scripted".to_owned(),
            capabilities,
            ..LlmInfo::default()
        })
    }

    async fn generate(
        &self,
        _request: GenerateRequest,
        _events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let text = self
            .reply
            .map_err(|kind| Error::new(kind, "scripted"))?
            .to_owned();
        Ok(Completion::new(text, COST))
    }
}

fn request() -> EstimateRequest {
    let text = "A shop sells 48 clips in April and half as many in May. How many in all?";
    let question = Question {
        id: "1".to_owned(),
        text: text.to_owned(),
        ..Question::default()
    };
    EstimateRequest {
        question,
        text: text.to_owned(),
    }
}

async fn budget(subject: &Subject<'_>) -> Verdict {
    let llm = Scripted::saying("Budget: [[42]]");
    let estimate = subject.estimator().await?.estimate(request(), llm).await?;
    match (estimate.budget, estimate.fallback) {
        (Some(0), _) => fail("a budget of 0"),
        (None, None) => fail("neither a budget nor a reason"),
        _ => Ok(()),
    }
}

async fn unreadable(subject: &Subject<'_>) -> Verdict {
    let llm = Scripted::saying("I would rather not say.");
    subject.estimator().await?.estimate(request(), llm).await?;
    Ok(())
}

async fn failing_model(subject: &Subject<'_>) -> Verdict {
    let reply = Err(ErrorKind::RateLimited);
    let llm = Arc::new(Scripted {
        reply,
        calls: AtomicU64::new(0),
    });
    let outcome = subject
        .estimator()
        .await?
        .estimate(request(), Arc::clone(&llm) as Arc<dyn Llm>)
        .await;
    if llm.calls.load(Ordering::Relaxed) == 0 {
        return skip("it does not ask the model");
    }
    match outcome {
        Err(e) if e.kind == ErrorKind::RateLimited => Ok(()),
        Err(e) => fail(format!("the kind became {}", e.kind)),
        Ok(_) => fail("the error was swallowed"),
    }
}

async fn usage(subject: &Subject<'_>) -> Verdict {
    let llm = Scripted::saying("Budget: [[42]]");
    let estimator = subject.estimator().await?;
    let estimate = estimator
        .estimate(request(), Arc::clone(&llm) as Arc<dyn Llm>)
        .await?;
    let mut expected = Usage::default();
    for _ in 0..llm.calls.load(Ordering::Relaxed) {
        expected += COST;
    }
    if estimate.usage != expected {
        return fail(format!(
            "{:?} where the calls cost {expected:?}",
            estimate.usage
        ));
    }
    Ok(())
}

async fn concurrent(subject: &Subject<'_>) -> Verdict {
    let (estimator, llm) = (
        subject.estimator().await?,
        Scripted::saying("Budget: [[42]]"),
    );
    let calls = (0..64).map(|_| estimator.estimate(request(), Arc::clone(&llm) as Arc<dyn Llm>));
    match join_all(calls).await.into_iter().find_map(Result::err) {
        None => Ok(()),
        Some(e) => Err(e.into()),
    }
}
