//! Calls back into the host, and calls through several plugins.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tale_api::{
    Completion, CreateEnv, Error, ErrorKind, EstimateRequest, Estimator, Events, GenerateEvent,
    GenerateRequest, Llm, LlmInfo, Question, Result, Usage, async_trait,
    host::{LoadPolicy, Plugin},
};

use crate::built;

/// A model of the host that asks an estimator of a plugin, which asks the model below it.
struct Through {
    estimator: Arc<dyn Estimator>,
    below: Arc<dyn Llm>,
    calls: AtomicUsize,
}

#[async_trait]
impl Llm for Through {
    async fn info(&self) -> Result<LlmInfo> {
        self.below.info().await
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        _events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let text = request
            .messages
            .last()
            .map(|m| m.content.clone())
            .unwrap_or_default();
        let asked = EstimateRequest {
            question: Question::default(),
            text,
        };
        let estimate = self
            .estimator
            .estimate(asked, Arc::clone(&self.below))
            .await?;
        let usage = Usage {
            input_tokens: 1,
            output_tokens: 1,
            ..Usage::default()
        };
        Ok(Completion::new(estimate.raw.unwrap_or_default(), usage))
    }
}

/// Fails, and says so in a way to be recognised.
struct Failing;

#[async_trait]
impl Llm for Failing {
    async fn info(&self) -> Result<LlmInfo> {
        Err(Error::new(ErrorKind::Unavailable, "nobody at home"))
    }

    async fn generate(
        &self,
        _request: GenerateRequest,
        _events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let error = Error::new(ErrorKind::RateLimited, "slow down").retry_after_s(3.0);
        Err(error.context("plugin", "provider").operation("generate"))
    }
}

async fn asking() -> (Plugin, Arc<dyn Estimator>) {
    let plugin = Plugin::load(&built::hostile(), &LoadPolicy::default()).unwrap();
    let estimator = plugin
        .estimator("asking", json!({}), &CreateEnv::default())
        .await
        .unwrap();
    (plugin, estimator)
}

fn question(text: &str) -> EstimateRequest {
    EstimateRequest {
        question: Question::default(),
        text: text.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_nested_three_deep_do_not_lock_up() {
    let (plugin, estimator) = asking().await;
    let env = CreateEnv::default();
    let echo = plugin
        .llm("echo", json!({"delay_ms": 1}), &env)
        .await
        .unwrap();
    let layer = |below: Arc<dyn Llm>| -> Arc<Through> {
        let (estimator, calls) = (Arc::clone(&estimator), AtomicUsize::new(0));
        Arc::new(Through {
            estimator,
            below,
            calls,
        })
    };
    let inner = layer(echo);
    let outer = layer(Arc::clone(&inner) as Arc<dyn Llm>);
    let calls: Vec<_> = (0..1000)
        .map(|i| {
            let (estimator, llm) = (Arc::clone(&estimator), Arc::clone(&outer));
            tokio::spawn(async move {
                let text = format!("number {i}");
                let estimate = estimator.estimate(question(&text), llm).await.unwrap();
                assert_eq!(estimate.raw, Some(text));
            })
        })
        .collect();
    let all = async {
        for call in calls {
            call.await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("no deadlock");
    assert_eq!(outer.calls.load(Ordering::Relaxed), 1000);
    assert_eq!(inner.calls.load(Ordering::Relaxed), 1000);
    // Models are lent for a call and taken back at its end.
    assert_eq!(plugin.counts().objects, 0);
    assert_eq!(plugin.counts().outgoing, 0);
}

#[tokio::test]
async fn an_error_of_the_lent_model_keeps_its_origin() {
    let (plugin, estimator) = asking().await;
    let error = estimator
        .estimate(question("x"), Arc::new(Failing))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.retry_after_s),
        (ErrorKind::RateLimited, Some(3.0))
    );
    assert_eq!(
        error.context_value("plugin"),
        Some("provider"),
        "the first place is the origin"
    );
    assert_eq!(error.operation.as_deref(), Some("generate"));
    assert_eq!(
        error.context.last(),
        Some(&("plugin".to_owned(), "hostile".to_owned()))
    );
    assert_eq!(plugin.counts().objects, 0);
}

#[tokio::test]
async fn a_cancelled_estimate_cancels_the_call_it_made() {
    struct Waiting(Arc<AtomicUsize>);
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    #[async_trait]
    impl Llm for Waiting {
        async fn info(&self) -> Result<LlmInfo> {
            Ok(LlmInfo::default())
        }
        async fn generate(
            &self,
            _request: GenerateRequest,
            _events: Events<GenerateEvent>,
        ) -> Result<Completion> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let _guard = Guard(Arc::clone(&self.0));
            std::future::pending().await
        }
    }
    let (plugin, estimator) = asking().await;
    let running = Arc::new(AtomicUsize::new(0));
    let llm = Arc::new(Waiting(Arc::clone(&running)));
    let call = tokio::spawn(async move { estimator.estimate(question("x"), llm).await });
    while running.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    call.abort();
    for _ in 0..1000 {
        if running.load(Ordering::Relaxed) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(running.load(Ordering::Relaxed), 0);
    assert_eq!(plugin.counts().objects, 0);
}
