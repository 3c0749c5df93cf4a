//! Searches against models that live in the test.

use std::{future::pending, sync::Mutex};

use serde_json::{Value, json};
use tale_api::{
    Completion, CreateEnv, Error, ErrorKind, Events, GenerateEvent, GenerateRequest, Llm, LlmInfo,
    Result, Usage, async_trait, host::Plugin,
};
use tale_plugin_standard::{Method, PromptSet, feasibility::Greedy};
use tempfile::TempDir;

use super::*;
use crate::{
    pipeline::{CallDefaults, Ledger, Selection},
    progress::Silent,
    store::{Reader, SearchEnding, SearchRow, StoreError},
};

/// What a model says under a budget: text, tokens as it reports them.
type Says = dyn Fn(Option<u32>) -> Result<(String, Option<u64>)> + Send + Sync;

struct Scripted {
    says: Box<Says>,
    counts: bool,
    asked: Mutex<Vec<Option<u32>>>,
}

#[async_trait]
impl Llm for Scripted {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(LlmInfo::default())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        _: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let prompt = &request.messages.last().expect("a prompt").content;
        let budget = prompt
            .split_once("less than ")
            .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        self.asked.lock().unwrap().push(budget);
        let (text, output_tokens) = (self.says)(budget)?;
        Ok(Completion {
            usage: output_tokens.map(|output_tokens| Usage {
                input_tokens: 10,
                output_tokens,
                ..Usage::default()
            }),
            ..Completion::new(text, Usage::default())
        })
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        if self.counts {
            Ok(text.split_whitespace().count() as u64)
        } else {
            Err(Error::new(ErrorKind::Unsupported, "no tokenizer"))
        }
    }
}

/// A search of one question whose gold answer is 7, and what the journal then holds.
struct Bench {
    dir: TempDir,
    question: Value,
    strategy: Strategy,
    starts_from_wrong: bool,
    llm: Arc<Scripted>,
}

impl Bench {
    fn new(
        says: impl Fn(Option<u32>) -> Result<(String, Option<u64>)> + Send + Sync + 'static,
    ) -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            question: json!({"id": "q", "text": "3 + 4?", "kind": "number", "gold": "7"}),
            strategy: Strategy::Paper,
            starts_from_wrong: false,
            llm: Arc::new(Scripted {
                says: Box::new(says),
                counts: false,
                asked: Mutex::default(),
            }),
        }
    }

    fn counting(mut self) -> Self {
        let llm = Arc::get_mut(&mut self.llm).expect("nobody else has it yet");
        llm.counts = true;
        self
    }

    fn starting_anywhere(mut self) -> Self {
        self.starts_from_wrong = true;
        self
    }

    fn asked(&self) -> Vec<Option<u32>> {
        self.llm.asked.lock().unwrap().clone()
    }

    async fn run(&self) -> std::result::Result<SearchRow, PipelineError> {
        let plugin = Plugin::linked(&tale_plugin_standard::PLUGIN).unwrap();
        let options = json!({ "questions": [self.question] });
        let env = CreateEnv::default();
        let dataset = plugin.dataset("inline", options, &env).await.unwrap();
        let info = dataset.info().await.unwrap();
        let store = Arc::new(Store::open(self.dir.path()).unwrap());
        let ledger = Ledger::new(
            Arc::clone(&self.llm) as Arc<dyn Llm>,
            LlmInfo::default(),
            "scripted",
            None,
            CallDefaults::default(),
            Arc::clone(&store),
        );
        let prompts = PromptSet::standard();
        let work = Search {
            llms: vec![LlmSetup {
                label: "scripted".to_owned(),
                ledger: Arc::new(ledger),
            }],
            datasets: vec![DatasetSetup {
                label: "one".to_owned(),
                dataset,
                info,
                selection: Selection::default(),
            }],
            render: Arc::new(move |question, budget| {
                prompts
                    .render(&Method::TaleEp, question, budget)
                    .map_err(|e| e.to_string())
            }),
            rule: Rule {
                strategy: self.strategy,
                max_steps: None,
            },
            starts_from_wrong: self.starts_from_wrong,
            feasibility: Arc::new(Greedy),
            concurrency: 4,
            store,
        };
        search(&work, Arc::new(Silent), pending()).await?;
        drop(work);
        let reader = Reader::open(self.dir.path())?;
        let mut rows = Vec::new();
        for cell in reader.search_cells()? {
            reader.for_each_search(cell, |row| {
                rows.push(row);
                Ok::<(), StoreError>(())
            })?;
        }
        assert_eq!(rows.len(), 1, "one question, one search");
        Ok(rows.remove(0))
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of the answers of a model, which may fail"
)]
fn right(tokens: u64) -> Result<(String, Option<u64>)> {
    Ok(("So it is [[7]]".to_owned(), Some(tokens)))
}

#[tokio::test]
async fn a_model_that_is_never_right_is_asked_once() {
    let bench = Bench::new(|_| Ok(("[[8]]".to_owned(), Some(50))));
    let row = bench.run().await.unwrap();
    assert_eq!(row.measure.ending, SearchEnding::VanillaWrong);
    assert_eq!((row.measure.calls, row.result), (1, None));
    assert_eq!(bench.asked(), [None]);
}

#[tokio::test]
async fn a_question_that_vanilla_answers_wrongly_may_be_searched_too() {
    let answer = |budget| match budget {
        None => Ok(("[[8]]".to_owned(), Some(50))),
        Some(25) => right(20),
        Some(_) => Ok(("[[8]]".to_owned(), Some(5))),
    };
    let bench = Bench::new(answer).starting_anywhere();
    let row = bench.run().await.unwrap();
    assert_eq!(row.measure.ending, SearchEnding::Found);
    assert_eq!(row.measure.budget, Some(25));
    assert_eq!(bench.asked(), [None, Some(25), Some(12)]);

    // A wrong answer never becomes a result.
    let bench = Bench::new(|_| Ok(("[[8]]".to_owned(), Some(50)))).starting_anywhere();
    let row = bench.run().await.unwrap();
    assert_eq!(row.measure.ending, SearchEnding::VanillaWrong);
    assert_eq!(row.result, None);
    assert_eq!(bench.asked(), [None, Some(25)]);
}

#[tokio::test]
async fn a_model_that_always_takes_five_tokens_ends_after_one_candidate() {
    let bench = Bench::new(|_| right(5));
    let row = bench.run().await.unwrap();
    assert_eq!(row.measure.ending, SearchEnding::NoShorterBudget);
    assert_eq!(bench.asked(), [None, Some(2)]);
    assert_eq!((row.measure.budget, row.measure.tokens), (None, Some(5)));
}

#[tokio::test]
async fn a_model_that_obeys_from_five_tokens_on_ends_at_a_budget_of_one() {
    let bench = Bench::new(|budget| right(budget.map_or(5, u64::from)));
    let row = bench.run().await.unwrap();
    assert_eq!(row.measure.ending, SearchEnding::Found);
    assert_eq!(bench.asked(), [None, Some(2), Some(1)]);
    assert_eq!((row.measure.budget, row.measure.tokens), (Some(1), Some(1)));
}

#[tokio::test]
async fn an_answer_of_no_tokens_has_an_ending_of_its_own() {
    let row = Bench::new(|_| right(0)).run().await.unwrap();
    assert_eq!(row.measure.ending, SearchEnding::VanillaZeroTokens);
    assert_eq!(row.measure.calls, 1);
}

#[tokio::test]
async fn a_question_without_a_gold_answer_costs_no_call() {
    let mut bench = Bench::new(|_| right(5));
    bench.question = json!({"id": "q", "text": "3 + 4?", "kind": "number"});
    let row = bench.run().await.unwrap();
    assert_eq!(row.measure.ending, SearchEnding::NoGold);
    assert_eq!((row.measure.calls, row.attempts.len()), (0, 0));
    assert!(bench.asked().is_empty());
}

#[tokio::test]
async fn without_usage_the_models_tokenizer_counts() {
    let says = |budget: Option<u32>| {
        let words = budget.map_or(40, |b| b as usize).max(20);
        Ok((format!("{} [[7]]", "so ".repeat(words)), None))
    };
    let bench = Bench::new(says).counting();
    let row = bench.run().await.unwrap();
    assert_eq!(row.measure.vanilla_tokens, Some(41));
    assert_eq!(bench.asked(), [None, Some(20), Some(10)]);
    assert_eq!(
        (row.measure.budget, row.measure.tokens),
        (Some(20), Some(21))
    );

    let blind = Bench::new(says).run().await.unwrap();
    assert_eq!(blind.measure.ending, SearchEnding::Failed);
    let (kind, text) = blind.error.unwrap();
    assert_eq!(kind, "invalid_data");
    assert!(text.contains("reports no usage"), "{text}");
}

#[tokio::test]
async fn a_failed_search_keeps_its_trace_and_is_taken_up_again() {
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let flag = Arc::clone(&broken);
    let bench = Bench::new(move |budget| match budget {
        Some(50) if flag.load(std::sync::atomic::Ordering::Relaxed) => {
            Err(Error::new(ErrorKind::Unavailable, "out of order"))
        }
        Some(b) if b < 50 => Ok(("[[8]]".to_owned(), Some(b.into()))),
        b => right(b.map_or(200, u64::from)),
    });
    let row = bench.run().await.unwrap();
    assert_eq!(row.measure.ending, SearchEnding::Failed);
    assert_eq!(row.attempts.len(), 2, "vanilla and the budget of 100");
    broken.store(false, std::sync::atomic::Ordering::Relaxed);
    let row = bench.run().await.unwrap();
    assert_eq!(
        (row.measure.ending, row.measure.budget),
        (SearchEnding::Found, Some(50))
    );
    // Only what had failed, and what came after, was asked again.
    assert_eq!(
        bench.asked(),
        [None, Some(100), Some(50), Some(50), Some(25)]
    );
    // Nothing is left of the failure.
    let reader = Reader::open(bench.dir.path()).unwrap();
    for (cell, _) in reader.cells().unwrap() {
        reader
            .for_each_measure(cell, |m| {
                assert_eq!(m.outcome, crate::store::Outcome::Correct);
            })
            .unwrap();
    }
}

#[tokio::test]
async fn algorithm_1_as_printed_pays_the_repeated_budget_once() {
    let mut bench = Bench::new(|budget| match budget {
        Some(b) if b < 50 => Ok(("[[8]]".to_owned(), Some(b.into()))),
        b => right(b.map_or(200, u64::from)),
    });
    bench.strategy = Strategy::AsPrinted;
    let row = bench.run().await.unwrap();
    let budgets: Vec<_> = row.attempts.iter().map(|a| a.budget).collect();
    assert_eq!(budgets, [None, Some(100), Some(100), Some(50), Some(25)]);
    assert_eq!(bench.asked(), [None, Some(100), Some(50), Some(25)]);
    assert_eq!((row.measure.budget, row.measure.calls), (Some(25), 4));
}

#[tokio::test]
async fn the_reference_code_leaves_a_question_without_a_target() {
    let mut bench = Bench::new(|_| right(100));
    bench.strategy = Strategy::Reference;
    let row = bench.run().await.unwrap();
    assert_eq!(row.measure.ending, SearchEnding::NoShorterBudget);
    assert_eq!((row.result, row.measure.tokens), (None, None));
}

#[tokio::test]
async fn refining_says_what_it_cost() {
    let mut bench = Bench::new(|budget| match budget {
        Some(b) if b < 37 => Ok(("[[8]]".to_owned(), Some(b.into()))),
        b => right(b.map_or(200, u64::from)),
    });
    bench.strategy = Strategy::Refine {
        min_gain: 2,
        max_extra: 3,
    };
    let row = bench.run().await.unwrap();
    // 100, 50, 25 by halving, then 37; 31 and 34 are refused.
    assert_eq!((row.measure.budget, row.measure.extra_calls), (Some(37), 3));
    assert_eq!(row.measure.calls, 1 + 3 + 3);
}
