//! What the ledger promises: one call for one prompt, and no more harm from a caller than its own.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tale_api::{FinishReason, Grammar, Message, Timings, async_trait};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::*;
use crate::{cache::Access, pipeline::RecordedLlm};

/// Counts its calls and answers each when it is let.
struct Counting {
    calls: AtomicUsize,
    failures: AtomicUsize,
    permits: Semaphore,
}

#[async_trait]
impl Llm for Counting {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(LlmInfo::default())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        _events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        let failures = self.failures.load(Ordering::SeqCst);
        if failures > 0 {
            self.failures.store(failures - 1, Ordering::SeqCst);
            return Err(Error::new(ErrorKind::Timeout, "too slow today"));
        }
        Ok(Completion {
            text: format!("answer to {}", request.messages[0].content),
            reasoning: None,
            finish_reason: FinishReason::Stop,
            usage: Some(Usage {
                input_tokens: 10,
                output_tokens: 5,
                ..Usage::default()
            }),
            timings: Timings::default(),
            model: None,
            service_tier: None,
        })
    }
}

struct Setup {
    _dir: TempDir,
    llm: Arc<Counting>,
    store: Arc<Store>,
}

impl Setup {
    /// A model that answers `permits` calls, the first `failures` of them with an error.
    fn new(permits: usize, failures: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let llm = Arc::new(Counting {
            calls: AtomicUsize::new(0),
            failures: AtomicUsize::new(failures),
            permits: Semaphore::new(permits),
        });
        Self {
            _dir: dir,
            llm,
            store,
        }
    }

    fn ledger(&self) -> Arc<Ledger> {
        self.ledger_of("plugin", LlmInfo::default())
    }

    fn ledger_of(&self, plugin: &str, info: LlmInfo) -> Arc<Ledger> {
        let (llm, store) = (
            Arc::clone(&self.llm) as Arc<dyn Llm>,
            Arc::clone(&self.store),
        );
        Arc::new(Ledger::new(
            llm,
            info,
            plugin,
            None,
            CallDefaults::default(),
            store,
        ))
    }

    fn calls(&self) -> usize {
        self.llm.calls.load(Ordering::SeqCst)
    }
}

fn request() -> GenerateRequest {
    GenerateRequest::new(vec![Message::user("How many?")])
}

fn asking(ledger: &Arc<Ledger>) -> tokio::task::JoinHandle<Result<(CallId, CallRow)>> {
    let ledger = Arc::clone(ledger);
    tokio::spawn(async move { ledger.ask(request(), Events::ignored()).await })
}

/// Long enough for everybody to get where they wait.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn askers_of_one_prompt_share_one_call() {
    let setup = Setup::new(0, 0);
    let ledger = setup.ledger();
    let askers = [asking(&ledger), asking(&ledger), asking(&ledger)];
    a_moment().await;
    setup.llm.permits.add_permits(10);
    let mut answers = Vec::new();
    for asker in askers {
        answers.push(asker.await.unwrap().unwrap());
    }
    assert_eq!(setup.calls(), 1);
    assert_eq!(answers[0].1.completion, "answer to How many?");
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    // A ledger of the next run of the same directory knows it too.
    assert_eq!(asking(&setup.ledger()).await.unwrap().unwrap(), answers[0]);
    assert_eq!(setup.calls(), 1);
    assert!(
        ledger.gates().is_empty(),
        "nothing is kept of calls that are over"
    );
}

#[tokio::test]
async fn a_failed_call_is_asked_again() {
    let setup = Setup::new(10, 1);
    let ledger = setup.ledger();
    let error = asking(&ledger).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(!is_journal_failure(&error));
    asking(&ledger).await.unwrap().unwrap();
    assert_eq!(setup.calls(), 2);
    assert!(ledger.gates().is_empty());
}

#[tokio::test]
async fn a_cancelled_asker_leaves_the_others_their_answer() {
    let setup = Setup::new(0, 0);
    let ledger = setup.ledger();
    let first = asking(&ledger);
    a_moment().await;
    let (second, third) = (asking(&ledger), asking(&ledger));
    a_moment().await;
    assert_eq!(setup.calls(), 1, "the others wait for the first");
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    third.abort();
    setup.llm.permits.add_permits(10);
    let answer = tokio::time::timeout(Duration::from_secs(10), second).await;
    answer.expect("it is not blocked").unwrap().unwrap();
    assert_eq!(setup.calls(), 2);
    assert!(ledger.gates().is_empty());
}

#[test]
fn the_key_is_everything_that_changes_the_answer() {
    let setup = Setup::new(0, 0);
    let ledger = setup.ledger();
    let sampled = |change: fn(&mut Sampling)| {
        let mut asked = request();
        change(&mut asked.sampling);
        asked
    };
    let with = |change: fn(&mut GenerateRequest)| {
        let mut asked = request();
        change(&mut asked);
        asked
    };
    let mut keys = vec![ledger.identity.key(&request(), 0)];
    for changed in [
        with(|r| r.messages[0].content.push('?')),
        with(|r| r.messages.insert(0, Message::system(""))),
        with(|r| r.messages[0].role = tale_api::Role::System),
        sampled(|s| s.temperature = Some(0.1)),
        sampled(|s| s.top_p = Some(0.1)),
        sampled(|s| s.top_k = Some(1)),
        sampled(|s| s.repetition_penalty = Some(1.1)),
        with(|r| r.max_tokens = Some(1)),
        with(|r| r.stop = vec!["a".into(), "b".into()]),
        with(|r| r.stop = vec!["ab".into()]),
        with(|r| r.seed = Some(1)),
        with(|r| r.reasoning = Some(tale_api::ReasoningBudget::default())),
        with(|r| r.grammar = Some(Grammar::Gbnf("root ::= \"1\"".into()))),
        with(|r| r.grammar = Some(Grammar::JsonSchema("{}".into()))),
    ] {
        keys.push(ledger.identity.key(&changed, 0));
    }
    let model = |model: &str, digest: Option<&str>| LlmInfo {
        model: model.to_owned(),
        digest: digest.map(str::to_owned),
        ..LlmInfo::default()
    };
    for (plugin, info) in [
        ("other", LlmInfo::default()),
        ("plugin", model("m", None)),
        ("plugin", model("m", Some("sha256:1"))),
        ("plugin", model("m", Some("sha256:2"))),
    ] {
        keys.push(setup.ledger_of(plugin, info).identity.key(&request(), 0));
    }
    keys.push(ledger.identity.key(&request(), 1));
    keys.push(ledger.identity.key(&request(), 2));
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all);

    let patient = with(|r| r.timeout_s = Some(9.0));
    assert!(
        ledger.identity.key(&patient, 0) == ledger.identity.key(&request(), 0),
        "patience changes no answer"
    );
}

#[tokio::test]
async fn an_estimators_calls_are_remembered_and_carry_the_defaults() {
    let setup = Setup::new(10, 0);
    let ledger = setup.ledger();
    let llm = RecordedLlm::new(Arc::clone(&ledger));
    let completion = llm.generate(request(), Events::ignored()).await.unwrap();
    assert_eq!(completion.usage.unwrap().output_tokens, 5);
    let (id, _) = asking(&ledger).await.unwrap().unwrap();
    assert_eq!(llm.calls(), [id]);
    assert_eq!(setup.calls(), 1);
}

impl Setup {
    /// A ledger whose calls cost at most a dollar a token, paid out of `purse`.
    fn paying(&self, purse: &Arc<Purse>) -> Arc<Ledger> {
        let prices = Prices {
            input: 0.0,
            cached_input: None,
            output: 1e6,
        };
        let defaults = CallDefaults {
            max_tokens: Some(20),
            ..CallDefaults::default()
        };
        let (llm, store) = (
            Arc::clone(&self.llm) as Arc<dyn Llm>,
            Arc::clone(&self.store),
        );
        let ledger = Ledger::new(llm, LlmInfo::default(), "p", Some(prices), defaults, store);
        Arc::new(ledger.with_purse(Arc::clone(purse)))
    }
}

fn numbered(ledger: &Ledger, n: u32) -> GenerateRequest {
    ledger.request(vec![Message::user(format!("Question {n}?"))])
}

#[tokio::test]
async fn calls_stop_before_the_cap_and_a_larger_one_goes_on() {
    let setup = Setup::new(100, 0);
    let purse = Arc::new(Purse::new(Some(34.0), None));
    let ledger = setup.paying(&purse);
    let mut work = tokio::task::JoinSet::new();
    for n in 0..10 {
        let ledger = Arc::clone(&ledger);
        work.spawn(async move { ledger.ask(numbered(&ledger, n), Events::ignored()).await });
    }
    let mut refused = 0;
    while let Some(result) = work.join_next().await {
        if let Err(e) = result.unwrap() {
            assert!(is_cap_reached(&e), "{e}");
            assert_eq!(e.kind, ErrorKind::QuotaExhausted);
            refused += 1;
        }
    }
    // Each reserves 20 and costs 5: the fourth would pass 34 only if it cost what it may.
    assert_eq!((setup.calls(), refused), (3, 7));
    assert_eq!(purse.spending().spent, Some(15.0));
    assert_eq!(setup.store.spent_usd().await.unwrap(), Some(15.0));

    let spent = setup.store.spent_usd().await.unwrap();
    let larger = Arc::new(Purse::new(Some(100.0), spent));
    let ledger = setup.paying(&larger);
    for n in 0..10 {
        let asked = ledger.ask(numbered(&ledger, n), Events::ignored()).await;
        asked.unwrap();
    }
    assert_eq!(setup.calls(), 10, "what was answered is not asked again");
    assert_eq!(larger.spending().spent, Some(50.0));
}

#[tokio::test]
async fn a_call_that_failed_doubtfully_counts_in_full() {
    let setup = Setup::new(100, 1);
    let purse = Arc::new(Purse::new(Some(30.0), None));
    let ledger = setup.paying(&purse);
    let request = || numbered(&ledger, 0);
    ledger.ask(request(), Events::ignored()).await.unwrap_err();
    // Timed out, perhaps billed: 20 of 30 may be gone, and another 20 do not fit.
    let e = ledger.ask(request(), Events::ignored()).await.unwrap_err();
    assert!(is_cap_reached(&e), "{e}");
    assert!(e.message.contains("calls that failed"), "{e}");
    assert_eq!(setup.calls(), 1);
}

#[tokio::test]
async fn an_answer_of_another_run_is_taken_told_and_costs_nothing() {
    let dir = TempDir::new().unwrap();
    let cache = Arc::new(AnswerCache::open(&dir.path().join("a"), Access::ReadWrite).unwrap());
    let (first, second) = (Setup::new(10, 0), Setup::new(10, 0));
    let ledger_of = |setup: &Setup, purse: &Arc<Purse>| {
        let ledger = Arc::into_inner(setup.paying(purse)).unwrap();
        ledger.with_cache(Some(Arc::clone(&cache)))
    };
    let (paid, free) = (Arc::default(), Arc::default());
    let (ledger, other) = (ledger_of(&first, &paid), ledger_of(&second, &free));
    let (_, row) = ledger
        .ask(numbered(&ledger, 0), Events::ignored())
        .await
        .unwrap();
    let told = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&told);
    let events = Events::to(move |event| {
        if let GenerateEvent::Delta { text } = event {
            heard.lock().unwrap().push_str(&text);
        }
    });
    let (_, cached) = other.ask(numbered(&other, 0), events).await.unwrap();
    assert_eq!((first.calls(), second.calls()), (1, 0));
    assert_eq!(*told.lock().unwrap(), row.completion);
    // It costs what it would, so that tables do not change; but nothing was spent.
    assert_eq!(cached.cost_usd, Some(5.0));
    assert!(cached.from_cache && !row.from_cache);
    assert_eq!(
        CallRow {
            from_cache: false,
            ..cached
        },
        row
    );
    assert_eq!(
        (free.spending().spent, paid.spending().spent),
        (None, Some(5.0))
    );
    assert_eq!(second.store.spent_usd().await.unwrap(), Some(0.0));
    // Another repeat is another answer.
    let again = other.fill(GenerateRequest::new(vec![Message::user("Question 0?")]), 1);
    other.ask_nth(again, 1, Events::ignored()).await.unwrap();
    assert_eq!(second.calls(), 1);
}

#[test]
fn a_repeat_moves_the_seed() {
    let defaults = CallDefaults {
        seed: Some(1024),
        ..CallDefaults::default()
    };
    assert_eq!(defaults.fill(request(), 0).seed, Some(1024));
    assert_eq!(defaults.fill(request(), 3).seed, Some(1027));
    assert_eq!(CallDefaults::default().fill(request(), 3).seed, None);
}

#[tokio::test]
async fn a_call_without_a_bound_is_refused_under_a_cap() {
    let setup = Setup::new(10, 0);
    let purse = Arc::new(Purse::new(Some(1e9), None));
    let ledger = setup.paying(&purse);
    let e = ledger.ask(request(), Events::ignored()).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::InvalidOptions);
    assert!(e.hint.unwrap().contains("max_tokens"));
    assert_eq!(setup.calls(), 0);
}
