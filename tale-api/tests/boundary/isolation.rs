//! Plugins in a process of their own: what ends that process costs the calls under way.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use tale_api::{
    Attempt, Completion, ComponentKind, CreateEnv, Error, ErrorKind, EstimateRequest, Events,
    FeasibilityRequest, GenerateEvent, GenerateRequest, Llm, LlmInfo, Message, PageRequest,
    Question, Result, TrainJob, TrainMethod, Usage, async_trait,
    conformance::{Sample, check},
    host::{Deadlines, Isolation, LoadError, LoadPolicy, Plugin},
};

use crate::built;

/// The example of this package that becomes the child.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/plugin_host");
    assert!(
        program.is_file(),
        "`{}` is not built: run `cargo build --release -p tale-api --features conformance --examples`",
        program.display()
    );
    program
}

fn isolated(policy: &LoadPolicy) -> Plugin {
    Plugin::isolated(&built::hostile(), policy, &Isolation::new(program(), &[])).unwrap()
}

async fn faulty(plugin: &Plugin, options: serde_json::Value) -> Arc<dyn Llm> {
    plugin
        .llm("faulty", options, &CreateEnv::default())
        .await
        .unwrap()
}

async fn ask(llm: &Arc<dyn Llm>, text: &str) -> Result<Completion> {
    let request = GenerateRequest::new(vec![Message::user(text)]);
    llm.generate(request, Events::ignored()).await
}

#[track_caller]
fn assert_died(error: &Error, method: &str, end: &str) {
    assert_eq!(error.kind, ErrorKind::Panicked, "{error:?}");
    assert_eq!(error.context_value("plugin"), Some("hostile"), "{error:?}");
    assert_eq!(error.operation.as_deref(), Some(method), "{error:?}");
    for part in ["`hostile`", &format!("`{method}`"), end] {
        assert!(error.message.contains(part), "no {part} in {error:?}");
    }
}

/// Whether a process exists and is no zombie.
fn lives(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

fn kill(process: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_process_survives_costs_the_call_and_the_next_is_answered() {
    let plugin = isolated(&LoadPolicy::default());
    for (mode, end) in [
        ("abort", "signal 6 (SIGABRT)"),
        ("abort-in-thread", "signal 6 (SIGABRT)"),
        ("wild-pointer", "signal 11 (SIGSEGV)"),
        ("stack-overflow", "signal 6 (SIGABRT)"),
        ("exit", "ended with code 7"),
    ] {
        let llm = faulty(&plugin, json!({"mode": mode, "on": "now"})).await;
        assert!(ask(&llm, "not yet").await.is_ok(), "{mode}");
        let error = ask(&llm, "do it now").await.unwrap_err();
        assert_died(&error, "generate", end);
        assert!(ask(&llm, "not yet").await.is_ok(), "{mode}, afterwards");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_of_every_kind_fail_alone_and_are_created_again() {
    let plugin = isolated(&LoadPolicy::default());
    let env = CreateEnv::default();
    let options = || json!({"mode": "abort", "on": "now"});
    let llm: Arc<dyn Llm> = Arc::new(Counting::default());

    let estimator = plugin.estimator("faulty", options(), &env).await.unwrap();
    let request = |text: &str| EstimateRequest {
        question: Question::default(),
        text: text.to_owned(),
    };
    let error = estimator.estimate(request("now"), Arc::clone(&llm)).await;
    assert_died(&error.unwrap_err(), "estimate", "SIGABRT");
    let estimate = estimator.estimate(request("later"), Arc::clone(&llm)).await;
    assert_eq!(estimate.unwrap().raw.as_deref(), Some("later"));

    let rule = plugin.feasibility("faulty", options(), &env).await.unwrap();
    let request = |text: &str| FeasibilityRequest {
        question: Question {
            text: text.to_owned(),
            ..Question::default()
        },
        previous: Attempt::vanilla("", 2, true),
        candidate: Attempt::under(1, "", 1, true),
        ..FeasibilityRequest::default()
    };
    let error = rule.is_feasible(request("now"), Arc::clone(&llm)).await;
    assert_died(&error.unwrap_err(), "is_feasible", "SIGABRT");
    assert!(rule.is_feasible(request("later"), llm).await.is_ok());

    let dataset = plugin
        .dataset("counting", json!({"size": 3}), &env)
        .await
        .unwrap();
    kill(plugin.process().unwrap());
    let page = PageRequest {
        cursor: None,
        limit: 9,
    };
    // The kill may be seen before the call or by it.
    let _ = dataset.page(page.clone()).await;
    assert_eq!(dataset.page(page).await.unwrap().questions.len(), 3);

    let trainer = plugin
        .trainer("faulty", json!({"mode": "abort"}), &env)
        .await
        .unwrap();
    let error = trainer.train(job("none".into()), Events::ignored()).await;
    assert_died(&error.unwrap_err(), "train", "SIGABRT");
}

fn job(pairs: PathBuf) -> TrainJob {
    TrainJob {
        base_model: "none".into(),
        pairs,
        method: TrainMethod::Sft,
        hyperparameters: std::collections::BTreeMap::new(),
        output_dir: std::env::temp_dir().join("tale-isolated-no-training"),
        seed: 1,
    }
}

/// The host's model: says the message back and counts.
#[derive(Default)]
struct Counting(AtomicU64);

#[async_trait]
impl Llm for Counting {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(LlmInfo::default())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let text = request.messages.last().unwrap().content.clone();
        events.send(GenerateEvent::Delta { text: text.clone() });
        Ok(Completion::new(text, Usage::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_healthy_component_conforms_through_the_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = dir.path().join("pairs.jsonl");
    fs::write(&pairs, "{}\n".repeat(200)).unwrap();
    let mut training = Sample::new(json!({}));
    training.training = Some(TrainJob {
        output_dir: dir.path().join("out"),
        ..job(pairs)
    });
    let plugin = isolated(&LoadPolicy::default());
    for (kind, name, sample) in [
        (
            ComponentKind::Llm,
            "echo",
            Sample::new(json!({"delay_ms": 1})),
        ),
        (ComponentKind::Estimator, "asking", Sample::new(json!({}))),
        (ComponentKind::Feasibility, "greedy", Sample::new(json!({}))),
        (
            ComponentKind::Dataset,
            "counting",
            Sample::new(json!({"size": 300})),
        ),
        (ComponentKind::Trainer, "stepping", training),
    ] {
        let report = check(&plugin, kind, name, &sample).await;
        assert!(report.is_passed(), "{report}");
    }
    let counts = plugin.counts();
    assert_eq!(
        (counts.objects, counts.outgoing, counts.incoming),
        (0, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_estimates_ask_the_model_of_the_host_through_the_pipe() {
    let plugin = isolated(&LoadPolicy::default());
    let asking = plugin
        .estimator("asking", json!({}), &CreateEnv::default())
        .await
        .unwrap();
    let model = Arc::new(Counting::default());
    let estimates = (0..1000).map(|i| {
        let text = format!("question {i}");
        let request = EstimateRequest {
            question: Question::default(),
            text,
        };
        asking.estimate(request, Arc::clone(&model) as Arc<dyn Llm>)
    });
    for estimate in join_all(estimates).await {
        assert!(estimate.unwrap().budget.is_some());
    }
    assert_eq!(model.0.load(Ordering::Relaxed), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_events_comes_whole_and_in_order_before_the_end() {
    let plugin = isolated(&LoadPolicy::default());
    let llm = faulty(&plugin, json!({"mode": "flood"})).await;
    let heard = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&heard);
    let events = Events::to(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let request = GenerateRequest::new(vec![Message::user("x")]);
    let completion = llm.generate(request, events).await.unwrap();
    assert_eq!(completion.text.len(), 200_000);
    assert_eq!(heard.load(Ordering::Relaxed), 200_000);

    let echo = plugin
        .llm("echo", json!({}), &CreateEnv::default())
        .await
        .unwrap();
    let words: Vec<String> = (0..500).map(|i| i.to_string()).collect();
    let parts = Arc::new(Mutex::new(String::new()));
    let joined = Arc::clone(&parts);
    let events = Events::to(move |event| {
        if let GenerateEvent::Delta { text } = event {
            joined.lock().unwrap().push_str(&text);
        }
    });
    let request = GenerateRequest::new(vec![Message::user(words.join(" "))]);
    let completion = echo.generate(request, events).await.unwrap();
    assert_eq!(*parts.lock().unwrap(), completion.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_under_way_all_fail_when_the_process_is_killed_and_then_go_on() {
    let plugin = isolated(&LoadPolicy::default());
    let llm = faulty(&plugin, json!({"mode": "never", "on": "wait"})).await;
    let process = plugin.process().unwrap();
    let killer = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        kill(process);
    });
    let outcomes = join_all((0..20).map(|_| ask(&llm, "wait"))).await;
    killer.await.unwrap();
    for outcome in outcomes {
        assert_died(&outcome.unwrap_err(), "generate", "signal 9 (SIGKILL)");
    }
    assert!(ask(&llm, "go on").await.is_ok());
    assert_ne!(plugin.process(), Some(process));
    assert!(!lives(process));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_holds_its_thread_past_the_deadline_is_killed_and_started_anew() {
    let mut policy = LoadPolicy::default();
    policy.deadlines = Deadlines::default();
    policy.deadlines.generate = Duration::from_secs(3);
    let mut isolation = Isolation::new(program(), &[]);
    // Long enough for the call that is answered meanwhile, on a busy machine too.
    isolation.patience = Duration::from_secs(2);
    let plugin = Plugin::isolated(&built::hostile(), &policy, &isolation).unwrap();
    let llm = faulty(&plugin, json!({"mode": "block", "on": "block"})).await;
    let process = plugin.process().unwrap();
    let error = ask(&llm, "block").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error:?}");
    // Others are answered meanwhile.
    assert!(ask(&llm, "go on").await.is_ok());
    let end = Instant::now() + Duration::from_secs(20);
    while lives(process) {
        assert!(Instant::now() < end, "it is not killed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(ask(&llm, "go on").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_alone_kills_no_process() {
    let mut policy = LoadPolicy::default();
    policy.deadlines.generate = Duration::from_millis(100);
    let mut isolation = Isolation::new(program(), &[]);
    isolation.patience = Duration::from_millis(300);
    let plugin = Plugin::isolated(&built::hostile(), &policy, &isolation).unwrap();
    let llm = faulty(&plugin, json!({"mode": "never", "on": "wait"})).await;
    let process = plugin.process();
    assert_eq!(
        ask(&llm, "wait").await.unwrap_err().kind,
        ErrorKind::Timeout
    );
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(ask(&llm, "go on").await.is_ok());
    assert_eq!(plugin.process(), process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_dies_again_and_again_is_given_up() {
    let plugin = isolated(&LoadPolicy::default());
    let llm = faulty(&plugin, json!({"mode": "abort"})).await;
    for _ in 0..5 {
        assert_died(&ask(&llm, "x").await.unwrap_err(), "generate", "SIGABRT");
    }
    let start = Instant::now();
    let error = ask(&llm, "x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("5 times in a row"), "{error:?}");
    assert!(error.message.contains("SIGABRT"), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_dies_as_it_is_created_says_so() {
    let plugin = isolated(&LoadPolicy::default());
    let made = plugin
        .llm(
            "faulty",
            json!({"mode": "abort-in-create"}),
            &CreateEnv::default(),
        )
        .await;
    assert_died(&made.err().unwrap(), "create", "SIGABRT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_prints_is_no_frame() {
    let plugin = isolated(&LoadPolicy::default());
    let llm = faulty(&plugin, json!({"mode": "print"})).await;
    for _ in 0..3 {
        assert!(ask(&llm, "x").await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_replies_are_judged_as_in_the_same_process() {
    let plugin = isolated(&LoadPolicy::default());
    for (mode, part) in [
        ("not-json", "a reply that cannot be read"),
        ("not-utf8", "a reply that cannot be read"),
        ("deep", "a reply that cannot be read"),
        ("huge", "a reply of"),
        ("endless", "a reply of"),
        ("null", "a reply of a null pointer"),
        ("error-not-json", "an error that cannot be read"),
        ("unknown-status", "unknown status 42"),
        ("event-not-json", "an event that cannot be read"),
        ("event-null", "an event of a null pointer"),
        ("event-huge", "an event of"),
    ] {
        let made = plugin
            .llm("raw", json!({"mode": mode}), &CreateEnv::default())
            .await;
        let Ok(llm) = made else {
            panic!("{mode}: {:?}", made.err());
        };
        // An event is read only where somebody listens.
        let request = GenerateRequest::new(vec![Message::user("x")]);
        let error = llm
            .generate(request, Events::to(drop))
            .await
            .expect_err(mode);
        assert_eq!(error.kind, ErrorKind::Protocol, "{mode}: {error:?}");
        assert!(error.message.contains(part), "{mode}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_restarts_leave_memory_and_files_where_they_were() {
    fn held() -> (usize, usize, u64) {
        let count = |dir: &str| fs::read_dir(dir).unwrap().count();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        (count("/proc/self/fd"), count("/proc/self/task"), kilobytes)
    }
    let plugin = isolated(&LoadPolicy::default());
    let llm = faulty(&plugin, json!({"mode": "abort", "on": "now"})).await;
    let mut before = (0, 0, 0);
    for i in 0..220 {
        if i == 20 {
            before = held();
        }
        assert!(ask(&llm, "not yet").await.is_ok());
        assert!(ask(&llm, "now").await.is_err());
    }
    assert!(ask(&llm, "not yet").await.is_ok());
    let after = held();
    // One child more, or a thread of it that is about to end.
    assert!(after.0 <= before.0 + 4, "{before:?} {after:?}");
    assert!(after.1 <= before.1 + 8, "{before:?} {after:?}");
    assert!(after.2 < before.2 + 3 * 1024, "{before:?} {after:?}");
    let counts = plugin.counts();
    assert_eq!(
        (counts.objects, counts.outgoing, counts.incoming),
        (0, 0, 0)
    );
}

#[test]
fn pins_and_folders_are_held_to_in_the_other_process_too() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libtale_copy.so");
    fs::copy(built::hostile(), &copy).unwrap();
    let isolation = Isolation::new(program(), &[]);
    let load = |policy: &LoadPolicy| Plugin::isolated(&copy, policy, &isolation);

    let mut policy = LoadPolicy::default();
    policy.sha256 = Some("0".repeat(64));
    assert!(matches!(load(&policy), Err(LoadError::Digest { .. })));
    policy.sha256 = Some(Plugin::inspect(&copy).unwrap().sha256);
    let plugin = load(&policy).unwrap();

    // Another file in its place: the next child refuses it, pinned or not.
    let unpinned = load(&LoadPolicy::default()).unwrap();
    let mut bytes = fs::read(&copy).unwrap();
    bytes.push(0);
    let other = folder.path().join("other");
    fs::write(&other, bytes).unwrap();
    fs::rename(&other, &copy).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (plugin, part) in [
        (plugin, "not the file that is pinned"),
        (unpinned, "changed"),
    ] {
        let process = plugin.process().unwrap();
        kill(process);
        let made = runtime.block_on(async {
            let end = Instant::now() + Duration::from_secs(10);
            while plugin.process() == Some(process) {
                assert!(Instant::now() < end);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            plugin.llm("echo", json!({}), &CreateEnv::default()).await
        });
        let error = made.err().unwrap();
        assert!(error.message.contains(part), "{error:?}");
    }
}

#[test]
fn a_program_that_is_no_host_is_an_error_and_not_a_wait() {
    for (program, arguments, part) in [
        ("/bin/true", &[][..], "ended with code 0"),
        ("/bin/echo", &["hello, this is no frame at all"][..], "it "),
        ("no/such/program", &[][..], "no/such/program"),
    ] {
        let start = Instant::now();
        let isolation = Isolation::new(program, arguments);
        let loaded = Plugin::isolated(&built::hostile(), &LoadPolicy::default(), &isolation);
        let error = loaded.err().unwrap();
        assert!(matches!(error, LoadError::Isolation { .. }), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
