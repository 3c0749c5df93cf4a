//! What is wrong for every call: one clear error, before the second call, and never the key.

#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

mod support;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tale_api::{CreateEnv, Error, ErrorKind};
use tale_chat_completions::ChatCompletions;
use tale_test_server::{Config, Server, TlsMode};

use support::{VENDOR, ask, model, options};

const KEY: &str = "sk-secret-of-the-tests-4242";

/// A file with the key.
fn key_file(key: &str) -> (tempfile::TempDir, Value) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, key).unwrap();
    let path = json!(path);
    (dir, path)
}

/// Asks fifty questions at once and gives the one error that all of them end with.
async fn fails(model: &ChatCompletions) -> Error {
    let questions: Vec<String> = (0..50).map(|i| format!("Q: {i}?")).collect();
    let mut outcomes = join_all(questions.iter().map(|q| ask(model, q))).await;
    let first = outcomes.pop().unwrap().unwrap_err();
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().kind, first.kind);
    }
    first
}

fn says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind, kind, "{error:?}");
    let text = format!("{error:?}");
    for part in parts {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(!text.contains("sk-secret"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_one_call() {
    let server = Server::start(Config {
        key: Some("another".to_owned()),
        ..Config::default()
    });
    let (_dir, path) = key_file(KEY);
    for profile in ["generic", "vllm"] {
        let model = model(&server, json!({"api_key_file": path, "profile": profile})).await;
        // The server repeats the key in what it says.
        says(
            &fails(&model).await,
            ErrorKind::Unauthorized,
            &["Bearer ***", "the right one"],
        );
    }
    assert!(server.served().is_empty());
    assert!(server.connections() <= 2, "{}", server.connections());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_model_is_one_call() {
    let server = Server::start(Config {
        model: vec!["this-one".to_owned()],
        ..Config::default()
    });
    let model = model(&server, json!({"model": "that-one"})).await;
    says(
        &fails(&model).await,
        ErrorKind::InvalidOptions,
        &["no model `that-one`"],
    );
    assert_eq!(server.served().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exhausted_account_is_one_call_more() {
    let server = Server::start(Config {
        quota: Some(0),
        ..Config::default()
    });
    let model = model(&server, json!({})).await;
    says(
        &fails(&model).await,
        ErrorKind::QuotaExhausted,
        &["quota", "goes on"],
    );
    assert_eq!(server.served().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_address_is_told_from_a_right_one() {
    let server = Server::start(Config::default());
    let wrong = server.base_url().replace("/v1", "/wrong");
    let model = model(&server, json!({"base_url": wrong})).await;
    says(
        &fails(&model).await,
        ErrorKind::InvalidOptions,
        &["/wrong", "`/v1`"],
    );
    assert!(server.served().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_said_soon() {
    let server = Server::start(Config::default());
    let url = server.base_url();
    drop(server);
    let other = Server::start(Config::default());
    let model = model(&other, json!({"base_url": url})).await;
    let error = ask(&model, "Q: x").await.unwrap_err();
    says(
        &error,
        ErrorKind::Unavailable,
        &["cannot connect to", "is the server running"],
    );
    let model = support::model(
        &other,
        json!({"base_url": "http://no-such-host.invalid/v1"}),
    )
    .await;
    let error = ask(&model, "Q: x").await.unwrap_err();
    says(
        &error,
        ErrorKind::Unavailable,
        &["cannot find the server", "network"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    for (mode, trusts, works) in [
        (TlsMode::Good, true, true),
        (TlsMode::Good, false, false),
        (TlsMode::Expired, true, false),
    ] {
        let server = Server::start(Config {
            tls: Some(mode),
            ..Config::default()
        });
        let pem = dir.path().join("ca.pem");
        std::fs::write(&pem, server.authority_pem().unwrap()).unwrap();
        let more = if trusts {
            json!({"ca_file": pem})
        } else {
            json!({})
        };
        let model = model(&server, more).await;
        let outcome = ask(&model, "Q: x").await;
        match outcome {
            Ok(_) => assert!(works, "{mode:?} {trusts}"),
            Err(error) => {
                assert!(!works, "{error:?}");
                says(
                    &error,
                    ErrorKind::InvalidOptions,
                    &["certificate", "`ca_file`"],
                );
            }
        }
    }
}

#[tokio::test]
async fn options_that_cannot_be_are_refused_before_anything_is_asked() {
    let server = Server::start(Config::default());
    for (more, part) in [
        (json!({"api_key": KEY}), "does not belong into a manifest"),
        (json!({"base_url": "localhost:8000"}), "http://"),
        (
            json!({"base_url": format!("http://me:{KEY}@host/v1")}),
            "credentials",
        ),
        (json!({"profile": "vlm"}), "there is no `vlm`"),
        (json!({"count": "me"}), "nobody knows"),
        (json!({"ca_file": "no-such-file.pem"}), "no-such-file.pem"),
        (json!({"mode": "batch"}), "no batch API"),
        (
            json!({"headers": {"Authorization": KEY}}),
            "carries a secret",
        ),
    ] {
        let options = options(&server, more);
        let error = ChatCompletions::create(VENDOR, options, CreateEnv::default())
            .await
            .unwrap_err();
        says(&error, ErrorKind::InvalidOptions, &[part]);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_providers_key_is_not_asked_for_at_another_server() {
    let server = Server::start(Config::default());
    let model = model(&server, json!({"profile": "openai"})).await;
    let error = ask(&model, "Q: x").await.unwrap_err();
    says(
        &error,
        ErrorKind::Unauthorized,
        &["is not sent there unasked", "OPENAI_API_KEY"],
    );
    assert_eq!(server.connections(), 0);
}
