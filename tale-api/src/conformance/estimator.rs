//! Rules for estimators, which are lent a model that says what the check wants.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
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
    "EST-06" "an error of any kind is handed on with all that it says" => every_error;
    "EST-07" "an estimate after a failed one is made" => after_error;
    "EST-08" "an empty question and one of 1 MB are estimated, or refused as invalid input" => lengths;
    "EST-09" "text beyond ASCII and NUL are estimated, or refused as invalid input" => odd_text;
    "EST-10" "a reply of 1 MB is borne" => long_reply;
    "EST-11" "a dropped estimate drops the calls that it made" => dropped;
}

/// A model that says one thing, or fails, and counts its calls.
pub(super) struct Scripted {
    reply: Result<String>,
    calls: AtomicU64,
}

impl Scripted {
    pub(super) fn saying(reply: impl Into<String>) -> Arc<Self> {
        Self::with(Ok(reply.into()))
    }

    fn failing(error: Error) -> Arc<Self> {
        Self::with(Err(error))
    }

    fn with(reply: Result<String>) -> Arc<Self> {
        let calls = AtomicU64::new(0);
        Arc::new(Self { reply, calls })
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
        Ok(Completion::new(self.reply.clone()?, COST))
    }
}

fn request() -> EstimateRequest {
    about("A shop sells 48 clips in April and half as many in May. How many in all?")
}

fn about(text: &str) -> EstimateRequest {
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
    let llm = Scripted::failing(Error::new(ErrorKind::RateLimited, "scripted"));
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

async fn every_error(subject: &Subject<'_>) -> Verdict {
    let estimator = subject.estimator().await?;
    for kind in [
        ErrorKind::InvalidInput,
        ErrorKind::ContextLength,
        ErrorKind::Unauthorized,
        ErrorKind::QuotaExhausted,
        ErrorKind::RateLimited,
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::ResourceExhausted,
        ErrorKind::Internal,
    ] {
        let error = Error::new(kind, "scripted on purpose")
            .hint("a hint")
            .retry_after_s(1.5);
        let llm = Scripted::failing(error.clone());
        let outcome = estimator
            .estimate(request(), Arc::clone(&llm) as Arc<dyn Llm>)
            .await;
        if llm.calls.load(Ordering::Relaxed) == 0 {
            return skip("it does not ask the model");
        }
        match outcome {
            Err(found)
                if (found.kind, &found.hint, found.retry_after_s)
                    == (kind, &error.hint, error.retry_after_s) => {}
            Err(found) => return fail(format!("{error:?} became {found:?}")),
            Ok(_) => return fail(format!("an error of kind {kind} was swallowed")),
        }
    }
    Ok(())
}

async fn after_error(subject: &Subject<'_>) -> Verdict {
    let estimator = subject.estimator().await?;
    let failing = Scripted::failing(Error::new(ErrorKind::Unavailable, "scripted"));
    // Whether this fails is another rule's matter.
    let _ = estimator.estimate(request(), failing).await;
    let llm = Scripted::saying("Budget: [[42]]");
    estimator.estimate(request(), llm).await?;
    Ok(())
}

/// Passes for an estimate and for a refusal of the question.
async fn estimated_or_refused(subject: &Subject<'_>, text: &str) -> Verdict {
    let llm = Scripted::saying("Budget: [[42]]");
    match subject.estimator().await?.estimate(about(text), llm).await {
        Err(e) if !matches!(e.kind, ErrorKind::InvalidInput | ErrorKind::ContextLength) => {
            Err(e.into())
        }
        Ok(estimate) if estimate.budget == Some(0) => fail("a budget of 0"),
        _ => Ok(()),
    }
}

async fn lengths(subject: &Subject<'_>) -> Verdict {
    estimated_or_refused(subject, "").await?;
    estimated_or_refused(subject, &"word ".repeat(1 << 20 >> 2)).await
}

async fn odd_text(subject: &Subject<'_>) -> Verdict {
    for text in ["让我们一步一步思考", "a\0b", "👩‍👩‍👧 \u{200f}עברית \u{feff}"]
    {
        estimated_or_refused(subject, text).await?;
    }
    Ok(())
}

async fn long_reply(subject: &Subject<'_>) -> Verdict {
    let llm = Scripted::saying(format!("{}Budget: [[42]]", "thinking ".repeat(1 << 17)));
    subject.estimator().await?.estimate(request(), llm).await?;
    Ok(())
}

/// A model that never answers, and counts the calls that wait for it.
#[derive(Default)]
struct Waiting {
    asked: AtomicU64,
    under_way: Arc<AtomicU64>,
}

struct UnderWay(Arc<AtomicU64>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Llm for Waiting {
    async fn info(&self) -> Result<LlmInfo> {
        Scripted::saying("").info().await
    }

    async fn generate(
        &self,
        _request: GenerateRequest,
        _events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.asked.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(Arc::clone(&self.under_way));
        std::future::pending().await
    }
}

async fn dropped(subject: &Subject<'_>) -> Verdict {
    let estimator = subject.estimator().await?;
    let llm = Arc::new(Waiting::default());
    let estimate = estimator.estimate(request(), Arc::clone(&llm) as Arc<dyn Llm>);
    let _ = tokio::time::timeout(Duration::from_millis(50), estimate).await;
    if llm.asked.load(Ordering::Relaxed) == 0 {
        return skip("it does not ask the model");
    }
    for _ in 0..500 {
        if llm.under_way.load(Ordering::Relaxed) == 0 {
            return subject.idle().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fail("its call of the model goes on after 5 s")
}
