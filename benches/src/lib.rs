//! What the benchmarks share: an answer of the usual length, questions to ask, and a clock of the
//! processors.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tale_api::{Completion, CreateEnv, Llm, LlmInfo, Usage, host::Plugin};
use tale_runtime::{
    pipeline::{CallDefaults, CellProgress, DatasetSetup, Ledger, LlmSetup, Observer, Selection},
    store::{CellId, Measure, Store},
};

/// A completion of `text`, said to have cost 120 tokens of prompt and `output_tokens`.
#[must_use]
pub fn completion(text: String, output_tokens: u64) -> Completion {
    let usage = Usage {
        input_tokens: 120,
        output_tokens,
        ..Usage::default()
    };
    Completion::new(text, usage)
}

/// An answer in a length that is usual under a budget.
#[must_use]
pub fn reasoned(answer: u32) -> String {
    let steps = "One step leads to the next. ".repeat(8);
    format!("{steps}The answer is [[{answer}]].")
}

/// Nobody watches.
pub struct Quiet;

impl Observer for Quiet {
    fn begin(&self, _: &[CellProgress]) {}
    fn sample(&self, _: CellId, _: &Measure, _: bool) {}
    fn delta(&self, _: CellId, _: &str) {}
    fn note(&self, _: &str) {}
    fn end(&self) {}
}

/// Writes `n` questions of the length of GSM8K's, no two alike; the answer to each is 7.
///
/// # Panics
/// Where the file cannot be written.
pub fn write_questions(path: &Path, n: u32) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).expect("a file can be made"));
    for i in 0..n {
        let question = format!(
            "In crate number {i} there are three apples, and Ada puts four more in. Her brother \
             counts them in the evening, when nobody has eaten any, and again the next morning. \
             How many apples does he count in crate {i}?"
        );
        writeln!(file, "{}", json!({"question": question, "answer": "7"})).expect("it is written");
    }
}

/// The library of the plugin `package`, which has to be built before.
///
/// # Panics
/// Says how to build it, where it is not.
#[must_use]
pub fn library(package: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a bench has a path");
    let profile = exe.ancestors().nth(2).expect("benches lie in `deps`");
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let path = profile.join(format!("{prefix}{}{suffix}", package.replace('-', "_")));
    assert!(
        path.exists(),
        "run `cargo build --release -p {package}` first"
    );
    path
}

/// The standard plugin, through the table that a loaded library has.
///
/// # Panics
/// Never: it is linked in.
#[must_use]
pub fn standard() -> Plugin {
    Plugin::linked(&tale_plugin_standard::PLUGIN).expect("it is linked in")
}

/// The questions of [`write_questions`] as the data set of a run.
///
/// # Panics
/// Where there is no such file.
pub async fn generated(questions: &Path) -> DatasetSetup {
    let options = json!({ "path": questions });
    let dataset = standard()
        .dataset("table", options, &CreateEnv::default())
        .await
        .expect("a data set");
    DatasetSetup {
        label: "generated".to_owned(),
        info: dataset.info().await.expect("it describes itself"),
        dataset,
        selection: Selection::default(),
    }
}

/// `llm` as the model of a run that keeps its journal in `store`.
#[must_use]
pub fn model(llm: impl Llm + 'static, store: &Arc<Store>) -> LlmSetup {
    let ledger = Ledger::new(
        Arc::new(llm),
        LlmInfo::default(),
        "bench",
        None,
        CallDefaults::default(),
        Arc::clone(store),
    );
    LlmSetup {
        label: "instant".to_owned(),
        ledger: Arc::new(ledger),
    }
}

/// The threads that a run has.
///
/// # Panics
/// Where the system gives no threads.
#[must_use]
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
}

/// Time of all processors, and time on the clock.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// Processor time of the whole process.
    pub cpu: Duration,
    /// Time on the clock, which depends on who else uses the cores.
    pub wall: Duration,
}

impl Cost {
    /// What `work` takes, and what it results in.
    pub fn of<T>(work: impl FnOnce() -> T) -> (Self, T) {
        let (before, start) = (cpu(), Instant::now());
        let result = work();
        let cost = Self {
            cpu: cpu().saturating_sub(before),
            wall: start.elapsed(),
        };
        (cost, result)
    }

    /// The median of `runs` costs.
    ///
    /// # Panics
    /// Where `runs` is 0.
    #[must_use]
    pub fn median(runs: usize, run: impl FnMut() -> Self) -> Self {
        let mut costs: Vec<Self> = std::iter::repeat_with(run).take(runs).collect();
        costs.sort_unstable();
        costs[costs.len() / 2]
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().expect("not negative"),
        time.tv_nsec.try_into().expect("below a second"),
    )
}

/// One of the two times of a [`Cost`].
pub type Time = fn(Cost) -> Duration;

/// Both, by name.
pub const TIMES: [(&str, Time); 2] = [("cpu", |cost| cost.cpu), ("wall", |cost| cost.wall)];
