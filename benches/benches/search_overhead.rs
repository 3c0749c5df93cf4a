//! What a budget search costs beyond the model: the real pipeline, journal, data set, prompts, rule of
//! feasibility and grader around a model that answers at once and obeys its budget.
//!
//! A step is a call of the model with all that belongs to it: prompt, key, look-up and record in the
//! journal, grading, decision. Each question here takes four: vanilla with 200 tokens, 100 and 50
//! accepted, 25 refused. Wall time depends on who else uses the cores, so the processor time of the
//! whole process is what is compared.
//!
//! `TALE_BENCH_QUESTIONS=1000000` sets the size of the large run (default 20,000; a million needs
//! some 5 GB of temporary space).

use std::{fs, future::pending, path::Path, sync::Arc, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tale_api::{
    Completion, Events, GenerateEvent, GenerateRequest, Llm, LlmInfo, Result, async_trait,
};
use tale_benches::{
    Cost, Quiet, TIMES, completion, generated, model, reasoned, runtime, write_questions,
};
use tale_plugin_standard::{Method, PromptSet, feasibility::Greedy};
use tale_runtime::{
    pipeline::{Ending, Next, Rule, Search, Strategy, Trial, search},
    store::{Reader, SearchEnding, Store},
};
use tempfile::TempDir;

/// As many questions at the same time as the example manifests ask of a remote model.
const CONCURRENCY: usize = 64;

/// Calls that a question takes.
const STEPS: u32 = 4;

/// Tokens of the vanilla answers.
const VANILLA: u64 = 200;

/// The smallest budget under which answers are right.
const LEAST: u64 = 30;

/// Answers at once, in as many tokens as it may, in a length that is usual under a budget.
struct Obedient;

#[async_trait]
impl Llm for Obedient {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(LlmInfo::default())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        _events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let prompt = request.messages.last().map_or("", |m| &m.content);
        let output_tokens = prompt
            .split_once("use less than ")
            .and_then(|(_, rest)| rest.split(' ').next())
            .map_or(VANILLA, |number| number.parse().expect("a budget"));
        let answer = if output_tokens >= LEAST { 7 } else { 8 };
        Ok(completion(reasoned(answer), output_tokens))
    }
}

/// The whole search, its journal in `dir`.
async fn prepare(questions: &Path, dir: &Path) -> Search {
    let store = Arc::new(Store::open(dir).expect("a journal"));
    let prompts = PromptSet::standard();
    Search {
        llms: vec![model(Obedient, &store)],
        datasets: vec![generated(questions).await],
        render: Arc::new(move |question, budget| {
            prompts
                .render(&Method::TaleEp, question, budget)
                .map_err(|e| e.to_string())
        }),
        rule: Rule {
            strategy: Strategy::Paper,
            max_steps: None,
        },
        starts_from_wrong: false,
        feasibility: Arc::new(Greedy),
        concurrency: CONCURRENCY,
        store,
    }
}

/// The most memory that this process has held so far, in MiB, where the system tells.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kib| kib / 1024)
}

/// Runs a fresh search from opening the data set to closing the journal.
fn run(runtime: &tokio::runtime::Runtime, questions: &Path, n: u32) -> Cost {
    let dir = TempDir::new().expect("a folder");
    let (cost, ending) = Cost::of(|| {
        runtime.block_on(async {
            let work = prepare(questions, dir.path()).await;
            search(&work, Arc::new(Quiet), pending()).await
        })
    });
    assert_eq!(ending.expect("no error"), Ending::Complete);
    // Nothing was measured but what was meant.
    let reader = Reader::open(dir.path()).expect("a journal");
    assert_eq!(
        reader.call_count().expect("it counts"),
        u64::from(STEPS) * u64::from(n)
    );
    for cell in reader.search_cells().expect("it lists") {
        let mut found = 0;
        reader
            .for_each_search_measure(cell, |m| {
                assert_eq!((m.ending, m.budget), (SearchEnding::Found, Some(50)));
                found += 1;
            })
            .expect("it reads");
        assert_eq!(found, n);
    }
    cost
}

fn overhead(c: &mut Criterion) {
    let runtime = runtime();
    let dir = TempDir::new().expect("a folder");
    let large = std::env::var("TALE_BENCH_QUESTIONS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20_000_u32);
    let few = dir.path().join("few.jsonl");
    write_questions(&few, 100);
    // Of the large run one says enough: its steps are the samples.
    for (n, runs) in [(100, 21), (large, 1)] {
        let path = dir.path().join(format!("{n}.jsonl"));
        write_questions(&path, n);
        let median = Cost::median(runs, || run(&runtime, &path, n));
        eprintln!(
            "{n} questions, median of {runs}: a step takes {:?} of processor time, {:?} on the \
             clock; the process has held {:?} MiB at most",
            median.cpu / (n * STEPS),
            median.wall / (n * STEPS),
            peak_mib(),
        );
    }

    let mut group = c.benchmark_group("search_overhead");
    group
        .sample_size(10)
        .throughput(Throughput::Elements((100 * STEPS).into()));
    for (name, time) in TIMES {
        group.bench_function(format!("100_questions/{name}"), |b| {
            b.iter_custom(|runs| (0..runs).map(|_| time(run(&runtime, &few, 100))).sum());
        });
    }
    group.finish();
}

/// The decision alone: what is next after a trace of three.
fn decision(c: &mut Criterion) {
    let rule = Rule {
        strategy: Strategy::Paper,
        max_steps: None,
    };
    let trial = |budget: u32, feasible| Trial {
        budget,
        output_tokens: budget.into(),
        feasible,
    };
    let trace = [trial(100, true), trial(50, true), trial(25, false)];
    c.bench_function("search_rule/next", |b| {
        b.iter(|| {
            let next = std::hint::black_box(rule).next(VANILLA, std::hint::black_box(&trace));
            assert_eq!(next, Next::Done { result: Some(1) });
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = overhead, decision
}
criterion_main!(benches);
