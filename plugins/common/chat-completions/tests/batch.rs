//! Batches: gathered, split, failed in part, picked up again.

#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

mod support;

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tale_api::{Completion, ErrorKind, Llm as _, Result};
use tale_chat_completions::ChatCompletions;
use tale_test_server::{Config, Server};

use support::{ask, model};

#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
fn with(dir: &Path, more: Value) -> Value {
    let mut batch = json!({"dir": dir, "gather_s": 0.2, "poll_s": 0.05});
    for (name, value) in more.as_object().unwrap() {
        batch[name] = value.clone();
    }
    json!({"profile": "openai", "mode": "batch", "batch": batch, "api_key_command": ["echo", "sk-of-the-tests"]})
}

async fn ask_all(model: &ChatCompletions, n: usize) -> Vec<Result<Completion>> {
    let questions: Vec<String> = (0..n).map(|i| format!("Q: what is {i}?")).collect();
    join_all(questions.iter().map(|q| ask(model, q))).await
}

fn batches(server: &Server) -> BTreeSet<String> {
    server
        .served()
        .into_iter()
        .filter_map(|s| s.batch)
        .collect()
}

/// How often each prompt has been asked.
fn asked(server: &Server) -> HashMap<String, usize> {
    let mut asked = HashMap::new();
    for served in server.served() {
        *asked.entry(served.prompt).or_default() += 1;
    }
    asked
}

async fn plain(n: usize) -> Vec<String> {
    let server = Server::start(Config::default());
    let model = model(&server, json!({})).await;
    ask_all(&model, n)
        .await
        .into_iter()
        .map(|c| c.unwrap().text)
        .collect()
}

fn texts(answers: Vec<Result<Completion>>) -> Vec<String> {
    answers.into_iter().map(|c| c.unwrap().text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_the_same_time_are_one_batch() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Config::default());
    let model = model(&server, with(dir.path(), json!({}))).await;
    let answers = ask_all(&model, 40).await;
    let first = answers[0].as_ref().unwrap();
    assert_eq!(first.service_tier.as_deref(), Some("batch"));
    assert!(first.usage.unwrap().output_tokens > 0);
    assert_eq!(texts(answers), plain(40).await);
    assert_eq!(batches(&server).len(), 1);
    assert!(
        model
            .info()
            .await
            .unwrap()
            .capabilities
            .longest_call_s
            .unwrap()
            >= 86_400
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_for_one_batch_is_split() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Config {
        batch_most: 15,
        ..Config::default()
    });
    let more = with(dir.path(), json!({"max_requests": 15}));
    let model = model(&server, more).await;
    assert_eq!(texts(ask_all(&model, 40).await), plain(40).await);
    assert_eq!(batches(&server).len(), 3);
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Config::default());
    let model = support::model(&server, with(dir.path(), json!({"max_bytes": 3000}))).await;
    assert_eq!(texts(ask_all(&model, 40).await), plain(40).await);
    assert!(batches(&server).len() >= 3, "{:?}", batches(&server));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_or_expires_is_asked_again_and_the_rest_is_not() {
    for config in [
        Config {
            batch_failures: 0.4,
            ..Config::default()
        },
        Config {
            batch_expired: 1,
            ..Config::default()
        },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(config);
        let model = model(&server, with(dir.path(), json!({}))).await;
        assert_eq!(texts(ask_all(&model, 40).await), plain(40).await);
        assert_eq!(batches(&server).len(), 2);
        let mut answered = BTreeSet::new();
        for served in server.served() {
            assert!(
                !answered.contains(&served.digest),
                "asked after its answer: {served:?}"
            );
            if served.answered {
                answered.insert(served.digest);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_outlives_the_process_that_sent_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Config {
        batch_s: 1.0,
        ..Config::default()
    });
    let first = model(&server, with(dir.path(), json!({}))).await;
    // Given up while the batch is under way.
    let given_up = tokio::time::timeout(Duration::from_millis(700), ask_all(&first, 30)).await;
    assert!(given_up.is_err());
    drop(first);
    let second = model(&server, with(dir.path(), json!({}))).await;
    assert_eq!(texts(ask_all(&second, 30).await), plain(30).await);
    assert_eq!(batches(&server).len(), 1);
    // And what has been fetched is there for a third.
    let third = model(&server, with(dir.path(), json!({}))).await;
    assert_eq!(texts(ask_all(&third, 30).await), plain(30).await);
    assert!(asked(&server).values().all(|n| *n == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_key_fails_every_caller() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Config {
        key: Some("another".to_owned()),
        ..Config::default()
    });
    let model = model(&server, with(dir.path(), json!({}))).await;
    for answer in ask_all(&model, 5).await {
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Unauthorized);
    }
}
