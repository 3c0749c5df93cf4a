//! A plugin that breaks the protocol itself: what the user of the host sees, case by case.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tale_api::{
    CreateEnv, Error, ErrorKind, Events, GenerateRequest, Llm, Message,
    host::{Deadlines, LoadPolicy, Plugin},
};

use crate::built;

fn plugin() -> Plugin {
    let mut policy = LoadPolicy::default();
    policy.deadlines = Deadlines::all(Duration::from_millis(400));
    Plugin::load(&built::hostile(), &policy).unwrap()
}

async fn raw(plugin: &Plugin, mode: &str) -> tale_api::Result<Arc<dyn Llm>> {
    plugin
        .llm("raw", json!({"mode": mode}), &CreateEnv::default())
        .await
}

async fn generate(llm: &Arc<dyn Llm>) -> tale_api::Result<String> {
    let request = GenerateRequest::new(vec![Message::user("hello")]);
    // Somebody listens, so that events are read.
    let events = Events::to(|_| {});
    llm.generate(request, events)
        .await
        .map(|completion| completion.text)
}

/// `Ok`: the text. `Err`: kind, and what the message says beyond plugin and method.
#[track_caller]
fn check(
    mode: &str,
    outcome: &tale_api::Result<String>,
    expected: Result<&str, (ErrorKind, &str)>,
) {
    match (outcome, expected) {
        (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{mode}"),
        (Err(error), Err((kind, words))) => {
            assert_blamed(mode, error, kind, "generate");
            assert!(error.message.contains(words), "{mode}: {}", error.message);
        }
        (outcome, expected) => panic!("{mode}: {outcome:?} instead of {expected:?}"),
    }
}

#[track_caller]
fn assert_blamed(mode: &str, error: &Error, kind: ErrorKind, method: &str) {
    assert_eq!(error.kind, kind, "{mode}: {error:?}");
    assert_eq!(
        error.context_value("plugin"),
        Some("hostile"),
        "{mode}: {error:?}"
    );
    assert_eq!(
        error.operation.as_deref(),
        Some(method),
        "{mode}: {error:?}"
    );
}

#[tokio::test]
async fn every_breach_of_the_protocol_is_an_error_of_its_call() {
    use ErrorKind::{Protocol, Timeout, Unknown};
    let plugin = plugin();
    for (mode, expected) in [
        ("fine", Ok("raw")),
        ("from-a-thread", Ok("raw")),
        ("empty", Err((Protocol, "a reply that cannot be read"))),
        (
            "empty-with-a-wild-pointer",
            Err((Protocol, "a reply that cannot be read")),
        ),
        ("not-json", Err((Protocol, "a reply that cannot be read"))),
        ("not-utf8", Err((Protocol, "a reply that cannot be read"))),
        (
            "truncated",
            Err((Protocol, "a reply that cannot be read: EOF")),
        ),
        (
            "wrong-shape",
            Err((Protocol, "a reply that cannot be read: invalid type")),
        ),
        ("deep", Err((Protocol, "a reply that cannot be read"))),
        (
            "huge",
            Err((
                Protocol,
                "a reply of 1073741824 bytes where at most 268435456",
            )),
        ),
        (
            "endless",
            Err((Protocol, "bytes where at most 268435456 are taken")),
        ),
        (
            "null",
            Err((Protocol, "a reply of a null pointer with a length of 100")),
        ),
        (
            "error-not-json",
            Err((Protocol, "an error that cannot be read")),
        ),
        (
            "error-null",
            Err((Protocol, "a null pointer with a length of 5")),
        ),
        ("error-of-a-new-kind", Err((Unknown, "hot"))),
        ("unknown-status", Err((Protocol, "unknown status 42"))),
        ("never", Err((Timeout, "no answer to `generate` within"))),
        ("late", Err((Timeout, "no answer to `generate` within"))),
        ("twice", Ok("raw")),
        ("another-call", Ok("raw")),
        (
            "event-not-json",
            Err((Protocol, "an event that cannot be read")),
        ),
        (
            "event-null",
            Err((Protocol, "an event of a null pointer with a length of 3")),
        ),
        (
            "event-huge",
            Err((Protocol, "an event of 2097152 bytes where at most 1048576")),
        ),
        ("event-of-a-new-type", Ok("raw")),
        ("event-after-end", Ok("raw")),
        ("block", Err((Timeout, "no answer to `generate` within"))),
        ("misuse-the-host", Ok("raw")),
    ] {
        let llm = raw(&plugin, mode).await.unwrap();
        // Several times: once quick, calls are made in place and not from a thread. A mode that
        // blocks or waits takes its full time each, so it is tried less often.
        let times = if matches!(expected, Err((Timeout, _))) {
            2
        } else {
            5
        };
        for _ in 0..times {
            check(mode, &generate(&llm).await, expected);
        }
    }
    let counts = plugin.counts();
    assert_eq!(
        (counts.objects, counts.outgoing, counts.incoming),
        (0, 0, 0)
    );
    // late 2, twice 2 × 5, another-call 5, event-after-end 5, and the answers after broken events:
    // 3 × 5; the answers to the host's refused calls are the plugin's to ignore.
    assert_eq!(counts.ignored, 2 + 10 + 5 + 5 + 15);
}

#[tokio::test]
async fn a_creation_without_a_usable_object_is_refused() {
    let plugin = plugin();
    for (mode, kind) in [
        ("create-without-object", ErrorKind::Protocol),
        ("create-the-root", ErrorKind::Protocol),
        ("create-block", ErrorKind::Timeout),
    ] {
        let error = raw(&plugin, mode).await.err().unwrap();
        assert_blamed(mode, &error, kind, "create");
    }
}

#[tokio::test]
async fn a_method_that_turns_slow_no_longer_holds_the_callers_thread() {
    // On a runtime of one thread, a call that blocks in place would stop the clock as well.
    let plugin = plugin();
    let llm = raw(&plugin, "fine").await.unwrap();
    for _ in 0..10 {
        generate(&llm).await.unwrap();
    }
    let blocked = raw(&plugin, "block").await.unwrap();
    let (outcome, ticks) = tokio::join!(generate(&blocked), async {
        let mut ticks = 0;
        while ticks < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            ticks += 1;
        }
        ticks
    });
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Timeout);
    assert_eq!(ticks, 10);
}

#[tokio::test]
async fn more_calls_than_threads_may_wait_in_a_slow_plugin_each_get_their_turn() {
    let plugin = Plugin::load(&built::hostile(), &LoadPolicy::default()).unwrap();
    let llm = raw(&plugin, "slow").await.unwrap();
    let calls = (0..700).map(|_| generate(&llm));
    for outcome in futures_util::future::join_all(calls).await {
        outcome.unwrap();
    }
}
