//! What every plugin over this crate is held to, for the tests of those plugins.

use serde_json::json;
use tale_api::{
    ComponentKind, CreateEnv, ErrorKind, Events, GenerateRequest, Message,
    conformance::{Sample, check},
    host::Plugin,
};
use tale_test_server::{Config, Server};

/// The model `name` of `plugin` keeps every rule with a server behind it, whether its answers come
/// in parts or in one piece.
///
/// # Panics
/// Where it does not.
pub async fn keeps_every_rule(plugin: &Plugin, name: &str) {
    let server = Server::start(Config {
        latency_ms: 5.0,
        part_ms: 0.2,
        ..Config::default()
    });
    for stream in [true, false] {
        let sample = Sample::new(json!({
            "model": "some-model", "base_url": server.base_url(), "profile": "generic", "stream": stream,
        }));
        let report = check(plugin, ComponentKind::Llm, name, &sample).await;
        println!("{report}");
        assert!(report.is_passed(), "stream = {stream}: {report}");
    }
}

/// The model `name` of `plugin` can be prepared without its key, which only its first call misses.
///
/// # Panics
/// Where it cannot, or where that call's error does not name the variable.
pub async fn asks_nothing_before_it_is_asked(plugin: &Plugin, name: &str) {
    let options = json!({"model": "some-model", "api_key_env": "TALE_TEST_NO_SUCH_VARIABLE"});
    let llm = plugin
        .llm(name, options, &CreateEnv::default())
        .await
        .expect("it is prepared");
    let info = llm.info().await.expect("it describes itself");
    assert_eq!(info.model, "some-model");
    let request = GenerateRequest::new(vec![Message::user("2+2?")]);
    let answer = llm.generate(request, Events::ignored()).await;
    let error = answer.expect_err("there is no key");
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(
        error.message.contains("TALE_TEST_NO_SUCH_VARIABLE"),
        "{error}"
    );
}
