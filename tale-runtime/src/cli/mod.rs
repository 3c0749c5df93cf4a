//! The command line: one file a command. stdout is data, stderr is for people.

mod ask;
mod cache;
mod dataset;
mod estimator;
mod export;
mod grade;
mod listing;
mod model;
mod new;
mod output;
mod plugin;
mod post_train;
mod report;
mod run;
mod train;
mod weights;

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::{Map, Value};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use tale_api::host::LoadError;

use crate::{
    cache::CacheError,
    diagnostics::{Diagnostic, Diagnostics},
    export::ExportError,
    fetch::FetchError,
    pipeline::PipelineError,
    plan::OpenError,
    progress::LogWriter,
    registry::Registry,
    report::ReportError,
    run_dir::AdoptError,
    store::StoreError,
};

/// The hidden command that makes this program the child of another.
pub(crate) const PLUGIN_HOST: &str = "plugin-host";

/// Token-budget-aware LLM reasoning: measure, estimate and prompt with token budgets (TALE).
#[derive(Parser)]
#[command(name = "tale", version, max_term_width = 100, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed; 2 usage or manifest error; 3 done, but some \
                        samples failed, or the cap on the cost was reached; 130 interrupted (the same command resumes).\n\
                        Environment: RUST_LOG (what is logged), NO_COLOR, TALE_PLUGIN_PATH, \
                        TALE_CACHE_DIR, TALE_PRICES."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// Flags that every command has.
#[derive(Args)]
struct Global {
    /// Look for plugins in this folder first (may be given several times)
    #[arg(long = "plugin-dir", value_name = "DIR", global = true)]
    plugin_dirs: Vec<PathBuf>,
    /// Print JSON on stdout, for other programs
    #[arg(long, global = true)]
    json: bool,
    /// Print no progress and no notes
    #[arg(short, long, global = true)]
    quiet: bool,
}

impl Global {
    /// Where plugins are looked for; folders of a manifest come after those of the command line.
    fn registry(&self, manifest_dirs: &[PathBuf]) -> Result<Registry, Diagnostics> {
        Registry::new(&self.plugin_dirs, manifest_dirs)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run a manifest; the same command again resumes
    Run(run::RunArgs),
    /// Ask one question and see what a budget saves
    Ask(ask::AskArgs),
    /// Write the report of a run, or show several runs side by side
    Report(report::ReportArgs),
    /// Judge a file of answers
    Grade(grade::GradeArgs),
    /// List, inspect and check plugins
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// List, fetch, merge and export models
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// List, fetch and look into data sets
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// Post-train a model on the pairs of a search; the same command again resumes
    Train(train::TrainArgs),
    /// Train estimators that ask no model
    #[command(subcommand)]
    Estimator(estimator::EstimatorCommand),
    /// Write the searches of a run as training data
    Export(export::ExportArgs),
    /// Show or clear the answers that runs share
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    /// Print the JSON Schema of a manifest, for editors
    Schema,
    /// Hold one plugin in this process, for the `tale` at the other end of stdin and stdout
    #[command(hide = true, name = PLUGIN_HOST)]
    PluginHost,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How a command ended, if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done,
    SomeFailed,
    CapReached,
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::SomeFailed | Exit::CapReached => Self::from(3),
            Exit::Interrupted => Self::from(130),
        }
    }
}

/// Why a command failed: with which code, and what people are told.
struct Failure {
    code: u8,
    diagnostics: Diagnostics,
}

impl Failure {
    /// The usage or a manifest is wrong.
    fn usage(diagnostics: impl Into<Diagnostics>) -> Self {
        Self {
            code: 2,
            diagnostics: diagnostics.into(),
        }
    }
}

/// Any other error ends a command with code 1.
impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut diagnostics = Diagnostics::from_error(&error);
        if let Some(hint) = hint(&error)
            && let Some(first) = diagnostics.0.pop()
        {
            diagnostics.push(first.help(hint));
        }
        Self {
            code: 1,
            diagnostics,
        }
    }
}

/// How to mend an error, from the first in its chain that knows.
fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(e) = of_the_journal(e) {
            return e.hint();
        }
        if let Some(e) = e.downcast_ref::<FetchError>() {
            return e.hint();
        }
        if let Some(e) = e.downcast_ref::<CacheError>() {
            return e.hint().map(str::to_owned);
        }
        if let Some(e) = e.downcast_ref::<OpenError>()
            && let Some(hint) = e.hint()
        {
            return Some(hint);
        }
        if let Some(e) = e.downcast_ref::<LoadError>() {
            return Some(e.hint());
        }
        next = e.source();
    }
    None
}

/// The journal's error, also where another stands for it: a transparent error hides the one it
/// wraps from the chain of sources.
fn of_the_journal<'a>(e: &'a (dyn std::error::Error + 'static)) -> Option<&'a StoreError> {
    if let Some(PipelineError::Store(inner)) = e.downcast_ref() {
        return Some(inner);
    }
    if let Some(ReportError::Store(inner)) = e.downcast_ref() {
        return Some(inner);
    }
    if let Some(ExportError::Store(inner)) = e.downcast_ref() {
        return Some(inner);
    }
    if let Some(OpenError::Store(inner)) = e.downcast_ref() {
        return Some(inner);
    }
    if let Some(AdoptError::Store(inner)) = e.downcast_ref() {
        return Some(inner);
    }
    e.downcast_ref()
}

type Outcome = Result<Exit, Failure>;

/// Runs the program: reads the arguments, does the command, reports what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::failure(&failure.diagnostics, cli.global.json);
            ExitCode::from(failure.code)
        }
    }
}

impl Cli {
    fn run(&self) -> Outcome {
        let global = &self.global;
        match &self.command {
            Command::Run(args) => on_runtime(run::run(args, global)),
            Command::Ask(args) => on_runtime(ask::ask(args, global)),
            Command::Report(args) => report::report(args, global),
            Command::Grade(args) => grade::grade(args, global),
            Command::Plugin(command) => on_runtime(plugin::plugin(command, global)),
            Command::Model(command) => model::model(command, global),
            Command::Dataset(command) => dataset::dataset(command, global),
            Command::Train(args) => on_runtime(train::train(args, global)),
            Command::Estimator(command) => estimator::estimator(command, global),
            Command::Export(args) => export::export(args, global),
            Command::Cache(command) => cache::cache(command, global),
            Command::Schema => {
                output::json(&crate::manifest::schema());
                Ok(Exit::Done)
            }
            Command::PluginHost => {
                tale_api::host::isolation::serve()?;
                Ok(Exit::Done)
            }
            Command::Completions { shell } => {
                output::completions(*shell, &mut Self::command());
                Ok(Exit::Done)
            }
        }
    }
}

/// Runs `work` on an asynchronous runtime; only commands that wait for something pay for one.
fn on_runtime(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    // A plugin's call that ignores its cancellation must not keep the process from ending.
    runtime.shutdown_background();
    result
}

/// `RUST_LOG` says what is logged; warnings by default.
fn log_to_stderr() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::WARN.into())
        .from_env_lossy();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(|| LogWriter);
    // Only fails if a subscriber is set already, and this is the one place that sets it.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
}

/// Ready when the user or the system asks the process to end. A second request ends it at once.
async fn interrupted() {
    wait_for_signal().await;
    output::note("stopping; what is finished is kept, and the same command goes on from there");
    tokio::spawn(async {
        wait_for_signal().await;
        std::process::exit(130);
    });
}

#[cfg(unix)]
async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate());
    match terminate {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => wait_for_ctrl_c().await,
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() {
    wait_for_ctrl_c().await;
}

async fn wait_for_ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the system's default ends the process; nothing to wait for here.
        std::future::pending::<()>().await;
    }
}

/// A diagnostic for something wrong with the command's own arguments.
fn usage(message: impl Into<String>, help: impl Into<String>) -> Failure {
    Failure::usage(Diagnostic::error(message).help(help))
}

/// `key=value` pairs; a value is read as JSON where it is JSON, else taken as text.
fn parse_options(pairs: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut options = Map::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(usage(
                format!("`--option {pair}` has no `=`"),
                "write `--option key=value`",
            ));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        options.insert(key.to_owned(), value);
    }
    Ok(options)
}
