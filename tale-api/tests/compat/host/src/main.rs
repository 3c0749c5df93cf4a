//! A host as it was with `tale-api` 0.1.0: loads a library and says what it finds.
//!
//! ```text
//! compat-host check LIBRARY KIND NAME OPTIONS    the rules of 0.1.0; exits with 1 if one is broken
//! compat-host ask LIBRARY NAME OPTIONS           a model's answer and events, as JSON
//! ```

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tale_api::{
    ComponentKind, CreateEnv, Events, GenerateRequest, Message,
    conformance::{Sample, check},
    host::{LoadPolicy, Plugin},
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["check", library, kind, name, options] => {
            let kind: ComponentKind = serde_json::from_value(kind.into()).expect("a kind");
            let report = check(&load(library), kind, name, &Sample::new(json(options))).await;
            println!("{report}");
            ExitCode::from(u8::from(!report.is_passed()))
        }
        ["ask", library, name, options] => {
            println!("{}", ask(&load(library), name, json(options)).await);
            ExitCode::SUCCESS
        }
        _ => panic!("unknown arguments: {arguments:?}"),
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("options are JSON")
}

fn load(library: &str) -> Plugin {
    Plugin::load(Path::new(library), &LoadPolicy::default()).expect("it loads")
}

async fn ask(plugin: &Plugin, name: &str, options: Value) -> Value {
    let llm = plugin
        .llm(name, options, &CreateEnv::default())
        .await
        .expect("it is created");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    let events = Events::to(move |event| heard.lock().expect("whole").push(event));
    let request = GenerateRequest::new(vec![Message::user("three words here")]);
    let completion = llm.generate(request, events).await;
    json!({
        "info": llm.info().await.expect("it says what it is"),
        "completion": completion.map_err(|e| json!(e)).unwrap_or_else(|e| panic!("{e}")),
        "events": *seen.lock().expect("whole"),
        "counted": llm.count_tokens("x").await.map_err(|e| e.kind),
    })
}
