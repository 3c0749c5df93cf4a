//! What the plugin boundary costs: the same model as a trait object in this process, behind the
//! really loaded library, and behind it in a process of its own.
//!
//! The model answers at once, so that nothing but the way there and back is measured. The loaded
//! plugin is `test-hostile`, which has to be built before: `cargo build --release -p
//! tale-test-hostile` (the bench says so if it is not).

use std::{
    hint::black_box,
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
    host::{Isolation, LoadPolicy, Plugin},
};
use tale_benches::library;
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

/// The program that holds a plugin in a process of its own.
fn isolation() -> Isolation {
    let tale = library("tale-test-hostile")
        .with_file_name(format!("tale{}", std::env::consts::EXE_SUFFIX));
    assert!(
        tale.exists(),
        "run `cargo build --release -p tale-runtime` first"
    );
    Isolation::new(tale, &["plugin-host"])
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

/// What a process holds: resident memory in KiB, threads, open files.
#[cfg(target_os = "linux")]
fn held() -> (u64, u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(|n| n.parse().ok()).expect("a number")
    };
    let files = std::fs::read_dir("/proc/self/fd").expect("Linux has it");
    (of("VmRSS:"), of("Threads:"), files.count())
}

/// A million calls with an event each leave memory, threads, files and tables where they were.
#[cfg(target_os = "linux")]
fn million(runtime: &tokio::runtime::Runtime, plugin: &Plugin, llm: &Arc<dyn Llm>) {
    const CALLS: u32 = 1_000_000;
    let call = |times: u32| {
        for _ in 0..times {
            let call = llm.generate(request(1), Events::to(|_| {}));
            black_box(runtime.block_on(call).expect("it answers"));
        }
    };
    call(20_000);
    let before = held();
    let counts = runtime.block_on(plugin.plugin_counts());
    let start = Instant::now();
    call(CALLS);
    let (took, after) = (start.elapsed(), held());
    let (ours, theirs) = (plugin.counts(), runtime.block_on(plugin.plugin_counts()));
    eprintln!(
        "a million calls in {took:.1?}: resident {} -> {} KiB, threads {} -> {}, files {} -> {}; \
         host holds {ours:?}, plugin {theirs:?}",
        before.0, after.0, before.1, after.1, before.2, after.2
    );
    // A leak of one word a call would be 7,800 KiB.
    assert!(after.0 < before.0 + 2048, "memory grows with the calls");
    assert!(
        after.1 <= before.1 + 1 && after.2 <= before.2,
        "threads or files are left"
    );
    assert_eq!((ours.objects, ours.outgoing, ours.incoming), (0, 0, 0));
    assert_eq!(theirs, counts, "the plugin holds more than before");
}

/// 1, 2, 4 … up to the cores there are.
fn thread_counts() -> Vec<u32> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let cores = u32::try_from(cores).unwrap_or(2);
    let doubling = std::iter::successors(Some(1), |n| Some(n * 2));
    doubling.take_while(|&n| n < cores).chain([cores]).collect()
}

/// Calls a second by number of threads, the best of several rounds taken in turn: on a machine that
/// others use too, the best is what says most about the boundary.
fn throughput(runtime: &tokio::runtime::Runtime, models: &[(&str, &Arc<dyn Llm>)]) {
    const ROUNDS: usize = 7;
    const CALLS: u32 = 20_000;
    let counts = thread_counts();
    let mut best = vec![vec![0.0_f64; counts.len()]; models.len()];
    for _ in 0..ROUNDS {
        for (at, &threads) in counts.iter().enumerate() {
            for ((_, llm), best) in models.iter().zip(&mut best) {
                let start = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            for _ in 0..CALLS {
                                let call = llm.generate(request(0), Events::ignored());
                                black_box(runtime.block_on(call).expect("it answers"));
                            }
                        });
                    }
                });
                let calls = f64::from(CALLS) * f64::from(threads);
                best[at] = best[at].max(calls / start.elapsed().as_secs_f64());
            }
        }
    }
    for ((name, _), best) in models.iter().zip(best) {
        for (threads, calls) in counts.iter().zip(&best) {
            let gain = calls / best[0];
            eprintln!("throughput/{name}: {threads} threads {calls:.0} calls/s, {gain:.2} of one");
        }
    }
}

fn boundary(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .expect("a runtime starts");
    let plugin = Plugin::load(&library("tale-test-hostile"), &LoadPolicy::default())
        .expect("the plugin loads");
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

    let apart = Plugin::isolated(
        &library("tale-test-hostile"),
        &LoadPolicy::default(),
        &isolation(),
    )
    .expect("the plugin loads in a process of its own");
    let isolated = runtime
        .block_on(apart.llm("instant", json!({}), &CreateEnv::default()))
        .expect("the model is created there");

    let models = [
        ("trait_object", &here),
        ("loaded", &loaded),
        ("isolated", &isolated),
    ];
    // Two processes push each other out of the caches, so the isolated model has a round of its own.
    percentiles(&runtime, &models[..2]);
    percentiles(&runtime, &models[2..]);
    throughput(&runtime, &models);
    #[cfg(target_os = "linux")]
    million(&runtime, &plugin, &loaded);
    let mut group = c.benchmark_group("boundary");
    for (name, llm) in models {
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
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50).measurement_time(Duration::from_secs(3));
    targets = boundary
}
criterion_main!(benches);
