//! Models and requests that several tests use.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

use std::path::PathBuf;

use tale_api::{CreateEnv, GenerateRequest, Message, Sampling};
use tale_llm_llama_cpp::LlamaCpp;

/// 98 MB, plain Llama architecture, `Q4_1`.
pub(crate) const SMOLLM2: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// 491 MB, Qwen2, `Q4_K_M`.
pub(crate) const QWEN: &str = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";

/// Where `tale model fetch` has put `file`; says so if it has not.
pub(crate) fn model(file: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let path = cache
        .map(|c| c.join("tale/models").join(file))
        .filter(|p| p.is_file());
    if path.is_none() {
        eprintln!("SKIPPED: no {file} in the cache; `tale model fetch` gets it");
    }
    path
}

/// A component for `file` with `options` besides the path.
pub(crate) async fn create(file: &str, options: serde_json::Value) -> Option<LlamaCpp> {
    let path = model(file)?;
    let mut options = options;
    options["path"] = path.to_str().unwrap().into();
    let env = CreateEnv {
        seed: 1024,
        ..CreateEnv::default()
    };
    let options = serde_json::from_value(options).unwrap();
    Some(
        LlamaCpp::create(options, env)
            .await
            .unwrap_or_else(|e| panic!("{e}: {:?}", e.causes)),
    )
}

/// Asks `question` at temperature 0 for at most `max_tokens`.
pub(crate) fn ask(question: &str, max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        messages: vec![
            Message::system("You are a helpful assistant."),
            Message::user(question),
        ],
        sampling: Sampling {
            temperature: Some(0.0),
            ..Sampling::default()
        },
        max_tokens: Some(max_tokens),
        ..GenerateRequest::default()
    }
}
