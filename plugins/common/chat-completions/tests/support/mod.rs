//! A model in front of a test server.

use serde_json::{Value, json};
use tale_api::{Completion, CreateEnv, Events, GenerateRequest, Llm as _, Message, Result};
use tale_chat_completions::{ChatCompletions, Options, Vendor};
use tale_test_server::Server;

pub(crate) const VENDOR: Vendor = Vendor {
    base_url: "https://api.openai.com/v1",
    profile: "openai",
};

/// Options for a server, with more laid over them.
#[allow(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
pub(crate) fn options(server: &Server, more: Value) -> Options {
    let mut all =
        json!({"model": "gpt-4o-mini", "base_url": server.base_url(), "profile": "generic"});
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

pub(crate) async fn model(server: &Server, more: Value) -> ChatCompletions {
    let env = CreateEnv::default();
    ChatCompletions::create(VENDOR, options(server, more), env)
        .await
        .unwrap()
}

pub(crate) async fn ask(model: &ChatCompletions, text: &str) -> Result<Completion> {
    let request = GenerateRequest::new(vec![Message::user(text)]);
    model.generate(request, Events::ignored()).await
}
