//! What everything but the model costs: the real pipeline, journal, data set, prompts, estimator
//! and grader around a model that answers at once.
//!
//! Each question is answered by `vanilla-cot` and by `tale-ep`: two samples, three calls. Wall time
//! depends on who else uses the cores, so the processor time of the whole process is printed too.

use std::{
    future::pending,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tale_api::{
    Completion, CreateEnv, Events, GenerateEvent, GenerateRequest, Llm, LlmInfo, Result,
    async_trait,
};
use tale_benches::{
    Cost, Quiet, TIMES, completion, generated, model, reasoned, runtime, standard, write_questions,
};
use tale_plugin_standard::PromptSet;
use tale_runtime::{
    pipeline::{
        ApplyBudget, BudgetRule, BudgetSource, Ending, EstimateOn, EstimatorSetup, Evaluation,
        Fallback, MethodSetup, evaluate,
    },
    store::{CallKey, CallRow, Cell, CellId, NewQuestion, NewSample, Outcome, Reader, Store},
};
use tempfile::TempDir;

/// As many samples at the same time as the example manifests ask for of a remote model.
const CONCURRENCY: usize = 64;

/// Answers at once, in a length that is usual under a budget, and as an estimator is answered.
struct Instantly;

#[async_trait]
impl Llm for Instantly {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(LlmInfo::default())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        _events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let asks_for_budget = request
            .messages
            .iter()
            .any(|m| m.content.contains("Budget: [["));
        let text = if asks_for_budget {
            "Budget: [[60]]".to_owned()
        } else {
            reasoned(7)
        };
        Ok(completion(text, 60))
    }
}

fn method(name: &str, budget: BudgetSource, prompts: &Arc<PromptSet>) -> MethodSetup {
    let prompts = Arc::clone(prompts);
    let method = prompts.method(name).expect("a standard method");
    MethodSetup {
        name: name.to_owned(),
        budget,
        reasoning: None,
        render: Arc::new(move |question, budget| {
            prompts
                .render(&method, question, budget)
                .map_err(|e| e.to_string())
        }),
    }
}

/// The whole evaluation, its journal in `dir`.
async fn evaluation(questions: &Path, dir: &Path) -> Evaluation {
    let estimator = standard()
        .estimator("zero-shot", json!({}), &CreateEnv::default())
        .await
        .expect("an estimator");
    let store = Arc::new(Store::open(dir).expect("a journal"));
    let prompts = Arc::new(PromptSet::standard());
    Evaluation {
        llms: vec![model(Instantly, &store)],
        datasets: vec![generated(questions).await],
        methods: vec![
            method("vanilla-cot", BudgetSource::None, &prompts),
            method("tale-ep", BudgetSource::Estimated { alpha: None }, &prompts),
        ],
        estimator: Some(EstimatorSetup {
            estimator,
            rule: BudgetRule {
                alpha: 1.0,
                min: 1,
                max: None,
                fallback: Fallback::Fail,
            },
            on: EstimateOn::Question,
            apply: ApplyBudget::Prompt,
        }),
        repeats: 1,
        concurrency: CONCURRENCY,
        store,
    }
}

/// Runs a fresh evaluation from opening the data set to closing the journal.
fn run(runtime: &tokio::runtime::Runtime, questions: &Path, n: u32) -> Cost {
    let dir = TempDir::new().expect("a folder");
    let (cost, ending) = Cost::of(|| {
        runtime.block_on(async {
            let evaluation = evaluation(questions, dir.path()).await;
            evaluate(&evaluation, Arc::new(Quiet), pending()).await
        })
    });
    assert_eq!(ending.expect("no error"), Ending::Complete);
    // Nothing was measured but what was meant: every sample there, right and by its own calls.
    let reader = Reader::open(dir.path()).expect("a journal");
    assert_eq!(reader.call_count().expect("it counts"), 3 * u64::from(n));
    for (cell, _) in reader.cells().expect("it lists") {
        let mut right = 0;
        reader
            .for_each_measure(cell, |m| right += u32::from(m.outcome == Outcome::Correct))
            .expect("it reads");
        assert_eq!(right, n);
    }
    cost
}

fn pipeline(c: &mut Criterion) {
    let runtime = runtime();
    let dir = TempDir::new().expect("a folder");
    let few = dir.path().join("few.jsonl");
    write_questions(&few, 100);
    let many = dir.path().join("many.jsonl");
    write_questions(&many, 100_000);

    // Criterion wants ten samples at least; of the large run one says enough, its questions are
    // the samples.
    for (path, n, runs) in [(&few, 100_u32, 21), (&many, 100_000, 1)] {
        let median = Cost::median(runs, || run(&runtime, path, n));
        eprintln!(
            "{n} questions, median of {runs}: a question takes {:?} of processor time, {:?} on the \
             clock",
            median.cpu / n,
            median.wall / n,
        );
    }

    let mut group = c.benchmark_group("pipeline");
    group.sample_size(10).throughput(Throughput::Elements(100));
    for (name, time) in TIMES {
        group.bench_function(format!("100_questions/{name}"), |b| {
            b.iter_custom(|runs| (0..runs).map(|_| time(run(&runtime, &few, 100))).sum());
        });
    }
    group.finish();
}

/// One record as a run writes it: a call, and the sample that it answers.
async fn write(store: &Store, cell: CellId, position: u64) {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&position.to_le_bytes());
    let answered = CallRow {
        prompt: "How many apples does he count? ".repeat(8),
        completion: "One step leads to the next. ".repeat(8),
        reasoning: None,
        finish_reason: "stop".to_owned(),
        input_tokens: Some(120),
        cached_input_tokens: 0,
        output_tokens: Some(60),
        reasoning_tokens: 0,
        latency_s: 0.5,
        cost_usd: None,
        model: None,
        service_tier: None,
        from_cache: false,
    };
    let id = store
        .put_call(CallKey(key), answered)
        .await
        .expect("it is kept");
    let question = NewQuestion {
        dataset: "generated".to_owned(),
        position,
        id: position.to_string(),
        question: "How many apples does he count? ".repeat(8),
        gold: Some("7".to_owned()),
        kind: "number".to_owned(),
    };
    let sample = NewSample {
        cell,
        position,
        repeat: 0,
        outcome: Outcome::Correct,
        answer: Some("7".to_owned()),
        reason: None,
        budget: None,
        fallback: None,
        answer_call: Some(id),
        estimate_calls: Vec::new(),
        error: None,
    };
    store
        .put_sample(question, sample)
        .await
        .expect("it is kept");
}

fn journal(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Elements(1));
    for concurrency in [1, 64] {
        group.bench_function(format!("call_and_sample/{concurrency}_writers"), |b| {
            b.iter_custom(|records| {
                let dir = TempDir::new().expect("a folder");
                let store = Store::open(dir.path()).expect("a journal");
                runtime.block_on(async {
                    let cell = Cell {
                        llm: "instant".to_owned(),
                        dataset: "generated".to_owned(),
                        method: "vanilla-cot".to_owned(),
                    };
                    let cell = store.cell(cell).await.expect("it is kept");
                    let start = Instant::now();
                    stream::iter(0..records)
                        .for_each_concurrent(concurrency, |i| write(&store, cell, i))
                        .await;
                    start.elapsed()
                })
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = pipeline, journal
}
criterion_main!(benches);
