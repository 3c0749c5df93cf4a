//! Calls through the loaded plugin `openai` against the test server on loopback, which answers at
//! once: what a call costs besides the model.
//!
//! The plugin has to be built before: `cargo build --release -p tale-llm-openai` (the bench says so
//! if it is not). `benches/remote/load.py` measures the whole program.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use serde_json::json;
use tale_api::{
    CreateEnv, Events, GenerateRequest, Llm, Message,
    host::{LoadPolicy, Plugin},
};
use tale_benches::library;
use tale_test_server::{Config, Server};
use tokio::runtime::Runtime;

/// Calls of one iteration, made at the same time.
const AT_ONCE: u32 = 64;

async fn ask(llm: &Arc<dyn Llm>, number: u32) {
    let mut request = GenerateRequest::new(vec![Message::user(format!("Q: what is {number}?"))]);
    request.max_tokens = Some(64);
    llm.generate(request, Events::to(drop))
        .await
        .expect("the server answers");
}

fn calls(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let server = Server::start(Config {
        forget: true,
        ..Config::default()
    });
    let plugin = Plugin::load(&library("tale-llm-openai"), &LoadPolicy::default())
        .expect("the plugin loads");
    let mut group = criterion.benchmark_group("a call over HTTP");
    for (name, stream) in [("in parts", true), ("in one piece", false)] {
        let options = json!({"model": "m", "base_url": server.base_url(), "profile": "generic", "stream": stream});
        let llm = runtime
            .block_on(plugin.llm("openai", options, &CreateEnv::default()))
            .expect("a model");
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{name}, alone"), |bench| {
            bench.iter(|| runtime.block_on(ask(&llm, 1)));
        });
        group.throughput(Throughput::Elements(u64::from(AT_ONCE)));
        group.bench_function(format!("{name}, {AT_ONCE} at a time"), |bench| {
            bench.iter(|| runtime.block_on(join_all((0..AT_ONCE).map(|i| ask(&llm, i)))));
        });
    }
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
