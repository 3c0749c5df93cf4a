//! Faults that a plugin written with the SDK can have, and what the host makes of them.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tale_api::{
    Attempt, CreateEnv, Error, ErrorKind, EstimateRequest, Events, FeasibilityRequest,
    GenerateRequest, GradeRequest, Llm, Message, PageRequest, Question, TrainJob, TrainMethod,
    host::{Deadlines, LoadPolicy, Plugin},
};

use crate::built;

fn request() -> GenerateRequest {
    GenerateRequest::new(vec![Message::user("a b c")])
}

async fn faulty(mode: &str) -> Arc<dyn Llm> {
    let options = json!({"mode": mode});
    built::plugin()
        .llm("faulty", options, &CreateEnv::default())
        .await
        .unwrap()
}

/// The plugin with short deadlines.
fn impatient() -> Plugin {
    let mut policy = LoadPolicy::default();
    policy.deadlines = Deadlines::all(Duration::from_millis(150));
    Plugin::load(&built::hostile(), &policy).unwrap()
}

/// Every error names plugin and method, in its fields and in words.
#[track_caller]
fn assert_blamed(error: &Error, kind: ErrorKind, method: &str) {
    assert_eq!(error.kind, kind, "{error:?}");
    assert_eq!(error.context_value("plugin"), Some("hostile"), "{error:?}");
    assert_eq!(error.operation.as_deref(), Some(method), "{error:?}");
    assert!(
        error.message.contains("hostile") && error.message.contains(method),
        "{error:?}"
    );
}

/// Waits until `condition` holds.
async fn eventually<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < end, "did not happen in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// After everything the plugin still works, and neither side holds anything.
async fn assert_alive_and_clean(plugin: &Plugin) {
    let llm = plugin
        .llm("echo", json!({}), &CreateEnv::default())
        .await
        .unwrap();
    assert_eq!(
        llm.generate(request(), Events::ignored())
            .await
            .unwrap()
            .text,
        "a b c"
    );
    drop(llm);
    eventually(|| async {
        let host = plugin.counts();
        let other = plugin.plugin_counts().await.unwrap();
        (host.objects, host.outgoing, host.incoming) == (0, 0, 0)
            // The root, and the call that counts.
            && (other.objects, other.outgoing, other.incoming) == (1, 0, 0)
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_any_method_is_an_error_that_names_it() {
    let plugin = Plugin::load(&built::hostile(), &LoadPolicy::default()).unwrap();
    for mode in ["panic", "panic-later", "panic-twice"] {
        let (env, options) = (CreateEnv::default(), json!({"mode": mode}));
        let question = Question::default();
        let llm = plugin.llm("faulty", options.clone(), &env).await.unwrap();
        // Twice: an object is still there after a panic.
        for _ in 0..2 {
            assert_blamed(&llm.info().await.unwrap_err(), ErrorKind::Panicked, "info");
            let error = llm
                .generate(request(), Events::ignored())
                .await
                .unwrap_err();
            assert_blamed(&error, ErrorKind::Panicked, "generate");
            let error = llm.count_tokens("x").await.unwrap_err();
            assert_blamed(&error, ErrorKind::Panicked, "count_tokens");
        }
        let estimator = plugin
            .estimator("faulty", options.clone(), &env)
            .await
            .unwrap();
        let asked = EstimateRequest {
            question: question.clone(),
            text: String::new(),
        };
        let error = estimator
            .estimate(asked, Arc::clone(&llm))
            .await
            .unwrap_err();
        assert_blamed(&error, ErrorKind::Panicked, "estimate");

        let rule = plugin
            .feasibility("faulty", options.clone(), &env)
            .await
            .unwrap();
        let (previous, candidate) = (
            Attempt::vanilla("", 2, true),
            Attempt::under(1, "", 1, true),
        );
        let asked = FeasibilityRequest {
            question: question.clone(),
            previous,
            candidate,
            ..FeasibilityRequest::default()
        };
        let error = rule.is_feasible(asked, llm).await.unwrap_err();
        assert_blamed(&error, ErrorKind::Panicked, "is_feasible");

        let dataset = plugin
            .dataset("faulty", options.clone(), &env)
            .await
            .unwrap();
        assert_blamed(
            &dataset.info().await.unwrap_err(),
            ErrorKind::Panicked,
            "info",
        );
        let error = dataset
            .page(PageRequest {
                cursor: None,
                limit: 1,
            })
            .await
            .unwrap_err();
        assert_blamed(&error, ErrorKind::Panicked, "page");
        let asked = GradeRequest {
            question,
            completion: String::new(),
        };
        let error = dataset.grade(asked).await.unwrap_err();
        assert_blamed(&error, ErrorKind::Panicked, "grade");

        let trainer = plugin.trainer("faulty", options, &env).await.unwrap();
        let job = TrainJob {
            base_model: "m".into(),
            pairs: "p".into(),
            method: TrainMethod::Sft,
            hyperparameters: std::collections::BTreeMap::new(),
            output_dir: "o".into(),
            seed: 1,
        };
        let error = trainer.train(job, Events::ignored()).await.unwrap_err();
        assert_blamed(&error, ErrorKind::Panicked, "train");
    }
    assert_alive_and_clean(&plugin).await;
}

#[tokio::test]
async fn a_panic_in_create_is_an_error() {
    let options = json!({"mode": "panic-in-create"});
    let created = built::plugin()
        .llm("faulty", options, &CreateEnv::default())
        .await;
    let error = created.err().unwrap();
    assert_blamed(&error, ErrorKind::Panicked, "create");
    assert!(
        error.message.ends_with("faulty on purpose, in create"),
        "{error}"
    );
}

#[tokio::test]
async fn panics_in_destructors_and_threads_harm_nobody() {
    let plugin = Plugin::load(&built::hostile(), &LoadPolicy::default()).unwrap();
    let env = CreateEnv::default();
    drop(
        plugin
            .llm("faulty", json!({"mode": "panic-in-drop"}), &env)
            .await
            .unwrap(),
    );

    let llm = plugin
        .llm("faulty", json!({"mode": "panic-in-thread"}), &env)
        .await
        .unwrap();
    assert_eq!(llm.info().await.unwrap().model, "faulty");
    drop(llm);

    let llm = plugin
        .llm("faulty", json!({"mode": "panic-in-cancel"}), &env)
        .await
        .unwrap();
    let call = llm.generate(request(), Events::ignored());
    assert!(
        tokio::time::timeout(Duration::from_millis(20), call)
            .await
            .is_err()
    );
    drop(llm);
    assert_alive_and_clean(&plugin).await;
}

#[tokio::test]
async fn a_plugin_that_waits_or_blocks_for_ever_costs_no_more_than_the_deadline() {
    let plugin = impatient();
    for mode in ["never", "block"] {
        let options = json!({"mode": mode});
        let llm = plugin
            .llm("faulty", options, &CreateEnv::default())
            .await
            .unwrap();
        let start = Instant::now();
        assert_blamed(&llm.info().await.unwrap_err(), ErrorKind::Timeout, "info");
        let mut asked = request();
        asked.timeout_s = Some(0.05);
        let error = llm.generate(asked, Events::ignored()).await.unwrap_err();
        assert_blamed(&error, ErrorKind::Timeout, "generate");
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(plugin.counts().outgoing, 0);
    }
}

#[tokio::test]
async fn a_destructor_that_blocks_is_not_waited_for_beyond_its_time() {
    let plugin = impatient();
    let options = json!({"mode": "block-in-drop"});
    let llm = plugin
        .llm("faulty", options, &CreateEnv::default())
        .await
        .unwrap();
    let start = Instant::now();
    drop(llm);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_flood_of_events_waits_for_its_listener() {
    let llm = faulty("flood").await;
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let events = Events::to(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let completion = llm.generate(request(), events).await.unwrap();
    assert_eq!(completion.text.len(), 200_000);
    // Every one was heard before the end, so none can have queued up.
    assert_eq!(heard.load(Ordering::Relaxed), 200_000);
}

#[tokio::test]
async fn a_listener_that_panics_spoils_nothing_but_its_event() {
    let llm = built::plugin()
        .llm("echo", json!({}), &CreateEnv::default())
        .await
        .unwrap();
    let events = Events::to(|_| panic!("the host's own fault"));
    let completion = llm.generate(request(), events).await.unwrap();
    assert_eq!(completion.text, "a b c");
}

#[tokio::test]
async fn events_after_the_end_are_not_heard() {
    let llm = faulty("events-after-end").await;
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let events = Events::to(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    llm.generate(request(), events).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(heard.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn errors_cross_with_all_they_carry() {
    let llm = faulty("fail").await;
    for (name, kind) in [
        ("invalid_input", ErrorKind::InvalidInput),
        ("context_length", ErrorKind::ContextLength),
        ("unauthorized", ErrorKind::Unauthorized),
        ("quota_exhausted", ErrorKind::QuotaExhausted),
        ("rate_limited", ErrorKind::RateLimited),
        ("unavailable", ErrorKind::Unavailable),
        ("timeout", ErrorKind::Timeout),
        ("resource_exhausted", ErrorKind::ResourceExhausted),
        ("internal", ErrorKind::Internal),
        ("a kind of tomorrow", ErrorKind::Unknown),
    ] {
        let mut asked = request();
        asked.stop = vec![name.to_owned()];
        let error = llm.generate(asked, Events::ignored()).await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert_eq!(error.message, format!("faulty on purpose with `{name}`"));
        assert_eq!(error.hint.as_deref(), Some("nothing to mend"));
        assert_eq!(error.retry_after_s, Some(1.5));
        assert_eq!(error.operation.as_deref(), Some("generate"));
        assert_eq!(error.context_value("line"), Some("17"));
        assert_eq!(error.context_value("plugin"), Some("hostile"));
        assert_eq!(error.causes, ["the cause"]);
    }
}

#[tokio::test]
async fn a_dropped_call_frees_what_it_held() {
    let plugin = Plugin::load(&built::hostile(), &LoadPolicy::default()).unwrap();
    let llm = plugin
        .llm("echo", json!({"delay_ms": 50}), &CreateEnv::default())
        .await
        .unwrap();
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let llm = Arc::clone(&llm);
            tokio::spawn(async move { llm.generate(request(), Events::ignored()).await })
        })
        .collect();
    eventually(|| async { plugin.plugin_counts().await.unwrap().incoming == 64 }).await;
    for call in &calls {
        call.abort();
    }
    eventually(|| async { plugin.plugin_counts().await.unwrap().incoming == 0 }).await;
    drop((llm, calls));
    assert_alive_and_clean(&plugin).await;
}

/// The table of `docs/abi.md` names every way to misbehave that there is.
#[test]
fn every_mode_of_the_hostile_plugin_stands_in_the_protocol() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (page, faulty) = (
        read("docs/abi.md"),
        read("plugins/test-hostile/src/faulty.rs"),
    );
    let raw = read("plugins/test-hostile/src/raw.rs");
    let variants = faulty.split("enum Mode {").nth(1).unwrap();
    let variants = variants.split("\n}").next().unwrap().lines();
    let mut modes: Vec<String> = variants
        .filter_map(|line| line.trim().strip_suffix(','))
        .filter(|name| name.chars().all(char::is_alphanumeric))
        .map(|name| {
            let dashed = name.chars().map(|c| match c {
                'A'..='Z' => format!("-{}", c.to_ascii_lowercase()),
                other => other.to_string(),
            });
            dashed
                .collect::<String>()
                .trim_start_matches('-')
                .to_owned()
        })
        .collect();
    modes.extend(raw.lines().filter_map(|line| {
        let (name, _) = line.trim().strip_prefix('"')?.split_once("\" =>")?;
        Some(name.to_owned())
    }));
    assert!(modes.len() > 40, "{modes:?}");
    let missing: Vec<_> = modes
        .iter()
        .filter(|mode| !page.contains(&format!("`{mode}`")))
        .collect();
    assert!(missing.is_empty(), "not in docs/abi.md: {missing:?}");
}
