//! The client against a server with which much goes wrong.

#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

mod support;

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use tale_api::{ErrorKind, Events, GenerateEvent, GenerateRequest, Llm as _, Message};
use tale_test_server::{Config, Fault, Server};

use support::{ask, model};

/// Asks the same questions of a good and of a bad server and compares the answers.
async fn faulty(config: Config, stream: bool) -> Server {
    let (good, bad) = (Server::start(Config::default()), Server::start(config));
    let more = json!({"stream": stream, "idle_timeout_s": 3.0, "attempt_timeout_s": 10.0, "max_attempts": 8});
    let (whole, broken) = (model(&good, more.clone()).await, model(&bad, more).await);
    let questions: Vec<String> = (0..120).map(|i| format!("Q: what is {i}?")).collect();
    let right = join_all(questions.iter().map(|q| ask(&whole, q))).await;
    let found = join_all(questions.iter().map(|q| ask(&broken, q))).await;
    for (right, found) in right.into_iter().zip(found) {
        assert_eq!(right.unwrap().text, found.unwrap().text);
    }
    bad
}

/// No request goes on after its answer.
fn nothing_is_asked_after_its_answer(server: &Server) {
    let mut answered = HashSet::new();
    for served in server.served() {
        assert!(
            !answered.contains(&served.digest),
            "asked again: {served:?}"
        );
        if served.answered {
            answered.insert(served.digest);
        }
    }
    assert_eq!(answered.len(), 120);
}

/// How many requests the server has noted, once there are `expected` of them or time is up: it notes
/// one a moment after its answer is on its way.
async fn served(server: &Server, expected: usize) -> usize {
    for _ in 0..100 {
        if server.served().len() >= expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.served().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_is_answered_once_at_a_fault_rate_of_a_third() {
    for stream in [true, false] {
        let config = Config {
            fault_rate: 0.33,
            ..Config::default()
        };
        let server = faulty(config, stream).await;
        nothing_is_asked_after_its_answer(&server);
        let mut kinds: HashMap<String, usize> = HashMap::new();
        for fault in server.served().into_iter().filter_map(|s| s.fault) {
            *kinds.entry(format!("{fault:?}")).or_default() += 1;
        }
        assert!(kinds.len() >= 12, "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_begins_anew_and_says_so() {
    let server = Server::start(Config {
        fault_rate: 1.0,
        fault: vec![Fault::Half],
        most_in_a_row: 2,
        part_ms: 5.0,
        ..Config::default()
    });
    let model = model(&server, json!({})).await;
    let (sender, receiver) = std::sync::mpsc::channel();
    let events = Events::to(move |event| drop(sender.send(event)));
    let request = GenerateRequest::new(vec![Message::user("Q: tell")]);
    let completion = model.generate(request, events).await.unwrap();
    let (mut text, mut restarts) = (String::new(), 0);
    for event in receiver.try_iter() {
        match event {
            GenerateEvent::Delta { text: part } => text.push_str(&part),
            GenerateEvent::Restart => {
                text.clear();
                restarts += 1;
            }
            _ => {}
        }
    }
    assert_eq!((text, restarts), (completion.text, 2));
}

#[tokio::test]
async fn what_never_gets_better_fails_with_the_number_of_attempts() {
    let server = Server::start(Config {
        fault_rate: 1.0,
        fault: vec![Fault::Error500],
        most_in_a_row: 1000,
        ..Config::default()
    });
    let model = model(&server, json!({"max_attempts": 3})).await;
    let error = ask(&model, "Q: x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("after 3 attempts"), "{error}");
    assert_eq!(served(&server, 3).await, 3);
}

#[tokio::test]
async fn a_refusal_is_obeyed() {
    let server = Server::start(Config {
        fault_rate: 1.0,
        fault: vec![Fault::TooManyHeaders],
        most_in_a_row: 3,
        ..Config::default()
    });
    let model = model(&server, json!({"max_attempts": 1})).await;
    let start = Instant::now();
    ask(&model, "Q: x").await.unwrap();
    // Three refusals of 60 ms each, and none of them counts as a failed attempt.
    assert!(start.elapsed() >= Duration::from_millis(180));
    assert_eq!(served(&server, 4).await, 4);
}

#[tokio::test]
async fn a_stall_ends_at_the_idle_time() {
    let server = Server::start(Config {
        fault_rate: 1.0,
        fault: vec![Fault::Stall],
        most_in_a_row: 1000,
        ..Config::default()
    });
    let model = model(
        &server,
        json!({"attempt_timeout_s": 0.2, "max_attempts": 2}),
    )
    .await;
    let start = Instant::now();
    let error = ask(&model, "Q: x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_limited_strength_is_not_overrun() {
    let server = Server::start(Config {
        capacity: Some(10),
        latency_ms: 20.0,
        ..Config::default()
    });
    let model = model(&server, json!({})).await;
    let questions: Vec<String> = (0..400).map(|i| format!("Q: {i}?")).collect();
    let answers = join_all(questions.iter().map(|q| ask(&model, q))).await;
    assert!(answers.into_iter().all(|a| a.is_ok()));
    let refused = server.served().iter().filter(|s| s.status == 429).count();
    assert!(refused < 1200, "{refused} refusals for 400 answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pace_is_kept() {
    let server = Server::start(Config::default());
    let model = model(&server, json!({"rpm": 600})).await;
    let start = Instant::now();
    let questions: Vec<String> = (0..20).map(|i| format!("Q: {i}?")).collect();
    join_all(questions.iter().map(|q| ask(&model, q))).await;
    // 600 a minute are 10 at once and then one each 0.1 s.
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_used_again() {
    for stream in [true, false] {
        let server = Server::start(Config {
            latency_ms: 2.0,
            ..Config::default()
        });
        let model = model(&server, json!({"stream": stream, "max_concurrency": 8})).await;
        let questions: Vec<String> = (0..400).map(|i| format!("Q: {i}?")).collect();
        join_all(questions.iter().map(|q| ask(&model, q))).await;
        assert!(
            server.connections() <= 12,
            "{} connections",
            server.connections()
        );
    }
}
