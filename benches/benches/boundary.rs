//! What the plugin boundary costs: the same model as a trait object in this process, and behind
//! the really loaded library.
//!
//! The model answers at once, so that nothing but the way there and back is measured. The loaded
//! plugin is `test-hostile`, which has to be built before: `cargo build --release -p
//! tale-test-hostile` (the bench says so if it is not).

use std::{
    hint::black_box,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use tale_api::{
    CreateEnv, Events, GenerateRequest, Llm, Message,
    host::{LoadPolicy, Plugin},
};
use tale_test_hostile::instant::Instant as InstantModel;

/// A prompt of 2 KB.
fn request(events: u32) -> GenerateRequest {
    let mut request = GenerateRequest::new(vec![
        Message::system("You are a helpful assistant."),
        Message::user("How many tokens does it take to answer?! ".repeat(50)),
    ]);
    request.max_tokens = Some(events);
    request
}

fn library() -> PathBuf {
    let exe = std::env::current_exe().expect("a bench has a path");
    let profile = exe.ancestors().nth(2).expect("benches lie in `deps`");
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let path = profile.join(format!("{prefix}tale_test_hostile{suffix}"));
    assert!(
        path.exists(),
        "run `cargo build --release -p tale-test-hostile` first"
    );
    path
}

/// Prints how long single calls take. On a busy machine the median says more than criterion's mean:
/// few of these calls are long enough to be interrupted. Both models are called in turn.
fn percentiles(runtime: &tokio::runtime::Runtime, models: &[(&str, &Arc<dyn Llm>)]) {
    const CALLS: usize = 100_000;
    let mut times = vec![Vec::with_capacity(CALLS); models.len()];
    for _ in 0..CALLS {
        for ((_, llm), times) in models.iter().zip(&mut times) {
            let asked = request(0);
            let start = Instant::now();
            let call = llm.generate(asked, Events::ignored());
            black_box(runtime.block_on(call).expect("it answers"));
            times.push(start.elapsed());
        }
    }
    for ((name, _), mut times) in models.iter().zip(times) {
        times.sort_unstable();
        let (p50, p90, p99) = (
            times[CALLS / 2],
            times[CALLS / 10 * 9],
            times[CALLS / 100 * 99],
        );
        eprintln!("call_2kb_1kb/{name}: p50 {p50:?}, p90 {p90:?}, p99 {p99:?}");
    }
}

fn boundary(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .expect("a runtime starts");
    let plugin = Plugin::load(&library(), &LoadPolicy::default()).expect("the plugin loads");
    let loaded = runtime
        .block_on(plugin.llm("instant", json!({}), &CreateEnv::default()))
        .expect("the model is created");
    let here: Arc<dyn Llm> = Arc::new(InstantModel);
    // Past the first calls, which are made from a thread of their own.
    for _ in 0..10 {
        runtime
            .block_on(loaded.generate(request(0), Events::ignored()))
            .expect("it answers");
    }

    percentiles(&runtime, &[("trait_object", &here), ("loaded", &loaded)]);
    let mut group = c.benchmark_group("boundary");
    for (name, llm) in [("trait_object", &here), ("loaded", &loaded)] {
        group.bench_function(format!("call_2kb_1kb/{name}"), |b| {
            b.iter(|| {
                let asked = black_box(request(0));
                runtime
                    .block_on(llm.generate(asked, Events::ignored()))
                    .expect("it answers")
            });
        });
        // Time of one event, from calls of a thousand.
        group.bench_function(format!("event/{name}"), |b| {
            b.iter_custom(|events| {
                let heard = Arc::new(AtomicU64::new(0));
                let count = Arc::clone(&heard);
                let listener = Events::to(move |event| {
                    black_box(event);
                    count.fetch_add(1, Ordering::Relaxed);
                });
                let mut took = Duration::ZERO;
                for _ in 0..events.div_ceil(1000) {
                    let asked = request(1000);
                    let start = Instant::now();
                    runtime
                        .block_on(llm.generate(asked, listener.clone()))
                        .expect("it answers");
                    took += start.elapsed();
                }
                // Criterion wants the time of exactly `events`; a call sends a whole thousand.
                let nanos = took.as_nanos() * u128::from(events)
                    / u128::from(heard.load(Ordering::Relaxed).max(1));
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            });
        });
        for threads in [1_u64, 2] {
            group.bench_function(format!("throughput_{threads}_threads/{name}"), |b| {
                b.iter_custom(|calls| {
                    let start = Instant::now();
                    std::thread::scope(|scope| {
                        for _ in 0..threads {
                            scope.spawn(|| {
                                for _ in 0..calls.div_ceil(threads) {
                                    let asked = request(0);
                                    let call = llm.generate(asked, Events::ignored());
                                    runtime.block_on(call).expect("it answers");
                                }
                            });
                        }
                    });
                    start.elapsed()
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50).measurement_time(Duration::from_secs(3));
    targets = boundary
}
criterion_main!(benches);
