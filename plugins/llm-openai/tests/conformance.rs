//! The built library against the suite that every plugin passes, with the test server behind it.

use std::env::consts;

use serde_json::json;
use tale_api::{
    ComponentKind, CreateEnv, ErrorKind, Events, GenerateRequest, Message,
    conformance::{Sample, check},
    host::{LoadPolicy, Plugin},
};
use tale_test_server::{Config, Server};

fn library() -> Plugin {
    // The library that this test was built with lies beside it.
    let name = format!(
        "{}tale_llm_openai{}",
        consts::DLL_PREFIX,
        consts::DLL_SUFFIX
    );
    let path = std::env::current_exe()
        .expect("a test knows its file")
        .with_file_name(name);
    Plugin::load(&path, &LoadPolicy::default()).expect("the library of this package loads")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loaded_library_keeps_every_rule() {
    let server = Server::start(Config {
        latency_ms: 5.0,
        part_ms: 0.2,
        ..Config::default()
    });
    for stream in [true, false] {
        let options = json!({
            "model": "some-model", "base_url": server.base_url(), "profile": "generic", "stream": stream,
        });
        let sample = Sample::new(options);
        let report = check(&library(), ComponentKind::Llm, "openai", &sample).await;
        println!("{report}");
        assert!(report.is_passed(), "stream = {stream}: {report}");
    }
}

#[tokio::test]
async fn the_loaded_library_asks_nothing_before_it_is_asked() {
    let env = CreateEnv::default();
    let options = json!({"model": "some-model", "api_key_env": "TALE_TEST_NO_SUCH_VARIABLE"});
    let llm = library().llm("openai", options, &env).await.unwrap();
    assert_eq!(llm.info().await.unwrap().model, "some-model");
    let request = GenerateRequest::new(vec![Message::user("2+2?")]);
    let error = llm.generate(request, Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(
        error.message.contains("TALE_TEST_NO_SUCH_VARIABLE"),
        "{error}"
    );
}
