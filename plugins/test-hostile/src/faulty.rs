//! The faults that a plugin written with the SDK can have.

use std::{sync::Arc, thread, time::Duration};

use serde::Deserialize;
use tale_api::{
    Completion, CreateEnv, Dataset, DatasetInfo, Decision, Error, ErrorKind, Estimate,
    EstimateRequest, Estimator, Events, Feasibility, FeasibilityRequest, GenerateEvent,
    GenerateRequest, Grade, GradeRequest, Llm, LlmInfo, Message, Page, PageRequest, Result,
    TrainEvent, TrainJob, TrainReport, Trainer, Usage, async_trait,
};

/// The schema of [`Options`].
pub(crate) const SCHEMA: &str = r#"{"type": "object", "additionalProperties": false,
    "required": ["mode"], "properties": {"mode": {"type": "string"}, "on": {"type": "string"}}}"#;

/// Which fault to show.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    mode: Mode,
    /// Show it only where the request's text contains this.
    #[serde(default)]
    on: String,
}

/// The faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// Panics while it is created.
    PanicInCreate,
    /// Panics in every method, before it waits for anything.
    Panic,
    /// Panics in every method after it has waited.
    PanicLater,
    /// Panics in the destructor of the component.
    PanicInDrop,
    /// Panics in the destructor of a call's future when that is cancelled; waits for ever before.
    PanicInCancel,
    /// A background thread panics; the call itself is answered.
    PanicInThread,
    /// Panics with a value whose destructor panics too.
    PanicTwice,
    /// Waits for ever.
    Never,
    /// Blocks the thread that calls.
    Block,
    /// Blocks in the destructor of the component.
    BlockInDrop,
    /// Sends events as fast as it can, two hundred thousand of them.
    Flood,
    /// Sends events after the call has ended.
    EventsAfterEnd,
    /// Fails with an error of each kind in turn: `stop[0]` of the request names it.
    Fail,
    /// Logs at every level, then answers.
    Log,
    /// Ends the process by `abort`.
    Abort,
    /// Ends the process by `abort` in a thread of its own, while the call waits.
    AbortInThread,
    /// Ends the process by `abort` while it is created.
    AbortInCreate,
    /// Ends the process by `exit`, with code 7.
    Exit,
    /// Writes through a pointer to nowhere.
    WildPointer,
    /// Calls itself until the stack is full.
    StackOverflow,
    /// Writes to stdout as if that were its own.
    Print,
    /// Answers with the number of its process as the text.
    Process,
}

/// A component of any kind with one fault.
pub(crate) struct Faulty {
    mode: Mode,
    on: String,
}

/// Long enough to be for ever in a test, and not to keep a process that waits for it.
const FOR_EVER: Duration = Duration::from_secs(3600);

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("faulty on purpose, in a destructor");
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        match self.mode {
            Mode::PanicInDrop => panic!("faulty on purpose, in a destructor"),
            Mode::BlockInDrop => thread::sleep(FOR_EVER),
            _ => {}
        }
    }
}

impl Faulty {
    pub(crate) async fn create(options: Options, _env: CreateEnv) -> Result<Self> {
        assert!(
            options.mode != Mode::PanicInCreate,
            "faulty on purpose, in create"
        );
        if options.mode == Mode::AbortInCreate {
            std::process::abort();
        }
        Ok(Self {
            mode: options.mode,
            on: options.on,
        })
    }

    /// What every method does first; an answer of its own comes only where the mode lets it.
    async fn misbehave(&self, text: &str) {
        if !text.contains(&self.on) {
            return;
        }
        match self.mode {
            Mode::Panic => panic!("faulty on purpose"),
            Mode::PanicLater => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                panic!("faulty on purpose, later");
            }
            Mode::PanicInCancel => {
                let _panics = PanicsInDrop;
                tokio::time::sleep(FOR_EVER).await;
            }
            Mode::PanicInThread => {
                let _ = thread::spawn(|| panic!("faulty on purpose, in a thread")).join();
                let task = tokio::spawn(async { panic!("faulty on purpose, in a task") });
                assert!(task.await.is_err());
            }
            Mode::PanicTwice => std::panic::panic_any(PanicsInDrop),
            Mode::Never => std::future::pending().await,
            Mode::Block => thread::sleep(FOR_EVER),
            Mode::Log => log_everywhere(),
            Mode::Abort => std::process::abort(),
            Mode::AbortInThread => {
                thread::spawn(|| {
                    thread::sleep(Duration::from_millis(5));
                    std::process::abort();
                });
                std::future::pending::<()>().await;
            }
            Mode::Exit => std::process::exit(7),
            Mode::WildPointer => write_to_nowhere(),
            Mode::StackOverflow => drop(descend(0)),
            Mode::Print => println!("this is no frame"),
            Mode::AbortInCreate
            | Mode::Process
            | Mode::PanicInCreate
            | Mode::PanicInDrop
            | Mode::BlockInDrop
            | Mode::Flood
            | Mode::EventsAfterEnd
            | Mode::Fail => {}
        }
    }
}

fn write_to_nowhere() {
    let nowhere = std::hint::black_box(16_usize) as *mut u8;
    // SAFETY: none; this is what the mode is for. No page is mapped there, so the process ends.
    unsafe { nowhere.write_volatile(1) }
}

#[expect(
    unconditional_recursion,
    reason = "the stack is to be filled, however large it is"
)]
fn descend(depth: u64) -> [u64; 512] {
    let mut frame = std::hint::black_box([depth; 512]);
    frame[0] += descend(depth + 1)[0];
    frame
}

fn log_everywhere() {
    tracing::error!(number = 1, "an error");
    tracing::warn!(target: "elsewhere", "a warning");
    let span = tracing::info_span!("outer", question = 7, tokens = tracing::field::Empty);
    span.record("tokens", 50);
    let _span = span.entered();
    tracing::info!(flag = true, text = "a \"quote\"", "an information");
    tracing::debug!("a detail");
    tracing::trace!("a trifle");
}

#[async_trait]
impl Llm for Faulty {
    async fn info(&self) -> Result<LlmInfo> {
        self.misbehave("").await;
        Ok(LlmInfo {
            model: "faulty".to_owned(),
            ..LlmInfo::default()
        })
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let asked = request.messages.last().map_or("", |m| m.content.as_str());
        self.misbehave(asked).await;
        let mut text = String::new();
        match self.mode {
            Mode::Process => text = std::process::id().to_string(),
            Mode::Flood => {
                for _ in 0..200_000 {
                    events.send(GenerateEvent::Delta {
                        text: "x".to_owned(),
                    });
                }
                text = "x".repeat(200_000);
            }
            Mode::EventsAfterEnd => {
                let events = events.clone();
                thread::spawn(move || {
                    for _ in 0..100 {
                        thread::sleep(Duration::from_millis(1));
                        events.send(GenerateEvent::Delta {
                            text: "late".to_owned(),
                        });
                    }
                });
            }
            Mode::Fail => return Err(failure(&request)),
            _ => {}
        }
        Ok(Completion::new(text, Usage::default()))
    }

    async fn count_tokens(&self, _text: &str) -> Result<u64> {
        self.misbehave("").await;
        Ok(0)
    }
}

/// An error of the kind that the request's first stop text names, with everything it can carry.
fn failure(request: &GenerateRequest) -> Error {
    let name = request.stop.first().map_or("internal", String::as_str);
    let kind = serde_json::from_value(name.into()).unwrap_or(ErrorKind::Internal);
    let cause = std::io::Error::other("the cause");
    Error::new(kind, format!("faulty on purpose with `{name}`"))
        .hint("nothing to mend")
        .retry_after_s(1.5)
        .context("line", "17")
        .caused_by(&cause)
}

#[async_trait]
impl Estimator for Faulty {
    async fn estimate(&self, request: EstimateRequest, llm: Arc<dyn Llm>) -> Result<Estimate> {
        self.misbehave(&request.text).await;
        let asked = GenerateRequest::new(vec![Message::user(request.text)]);
        let answer = llm.generate(asked, Events::ignored()).await?;
        Ok(Estimate {
            budget: Some(1),
            raw: Some(answer.text),
            ..Estimate::default()
        })
    }
}

#[async_trait]
impl Feasibility for Faulty {
    async fn is_feasible(
        &self,
        request: FeasibilityRequest,
        _llm: Arc<dyn Llm>,
    ) -> Result<Decision> {
        self.misbehave(&request.question.text).await;
        Ok(Decision::refuse("faulty"))
    }
}

#[async_trait]
impl Dataset for Faulty {
    async fn info(&self) -> Result<DatasetInfo> {
        self.misbehave("").await;
        Ok(DatasetInfo::default())
    }

    async fn page(&self, _request: PageRequest) -> Result<Page> {
        self.misbehave("").await;
        Ok(Page::default())
    }

    async fn grade(&self, request: GradeRequest) -> Result<Grade> {
        self.misbehave(&request.completion).await;
        Err(Error::new(ErrorKind::Unsupported, "no rule"))
    }
}

#[async_trait]
impl Trainer for Faulty {
    async fn train(&self, job: TrainJob, _events: Events<TrainEvent>) -> Result<TrainReport> {
        self.misbehave("").await;
        Ok(TrainReport {
            adapter: job.output_dir,
            ..TrainReport::default()
        })
    }
}
