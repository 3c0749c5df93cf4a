//! Components that do what they should: the ground that the misbehaviour is set against, and
//! the smallest example of each trait.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tale_api::{
    Capabilities, CheckpointRef, Completion, CreateEnv, Dataset, DatasetInfo, Decision, Error,
    ErrorKind, Estimate, EstimateRequest, Estimator, Events, Feasibility, FeasibilityRequest,
    FinishReason, GenerateEvent, GenerateRequest, Llm, LlmInfo, Message, Page, PageRequest,
    Question, Result, Timings, TrainEvent, TrainJob, TrainReport, Trainer, Usage, async_trait,
};

/// Options of [`Echo`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EchoOptions {
    /// Milliseconds before each word.
    pub(crate) delay_ms: u64,
}

/// A model that says the last message back, word by word; a word is a token.
pub(crate) struct Echo {
    delay: Duration,
}

impl Echo {
    /// Creates the model.
    pub(crate) async fn create(options: EchoOptions, _env: CreateEnv) -> Result<Self> {
        Ok(Self {
            delay: Duration::from_millis(options.delay_ms),
        })
    }
}

/// Words with the space before them, so that they join to the text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

#[async_trait]
impl Llm for Echo {
    async fn info(&self) -> Result<LlmInfo> {
        let capabilities = Capabilities {
            seed: true,
            count_tokens: true,
            ..Default::default()
        };
        Ok(LlmInfo {
            model: "echo".to_owned(),
            capabilities,
            ..LlmInfo::default()
        })
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let start = Instant::now();
        let Some(last) = request.messages.last() else {
            return Err(Error::new(ErrorKind::InvalidInput, "no message to answer"));
        };
        if request
            .sampling
            .temperature
            .is_some_and(|t| t.is_nan() || t < 0.0)
        {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "`temperature` is below 0",
            ));
        }
        if request.grammar.is_some() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "an echo follows no grammar",
            ));
        }
        let most = request.max_tokens.map_or(u64::MAX, u64::from);
        let (mut text, mut tokens) = (String::new(), 0);
        let mut finish_reason = FinishReason::Stop;
        for word in words(&last.content) {
            if tokens == most {
                finish_reason = FinishReason::Length;
                break;
            }
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
            text.push_str(word);
            tokens += 1;
            events.send(GenerateEvent::Delta {
                text: word.to_owned(),
            });
        }
        let input = request
            .messages
            .iter()
            .map(|m| words(&m.content).count() as u64)
            .sum();
        let usage = Usage {
            input_tokens: input,
            output_tokens: tokens,
            ..Usage::default()
        };
        let total_s = start.elapsed().as_secs_f64();
        let timings = Timings {
            total_s,
            ..Timings::default()
        };
        Ok(Completion {
            finish_reason,
            timings,
            ..Completion::new(text, usage)
        })
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        Ok(words(text).count() as u64)
    }
}

/// No options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoOptions {}

/// An estimator that asks the model it is lent: the budget is the length of the answer.
pub(crate) struct Asking;

impl Asking {
    /// Creates the estimator.
    pub(crate) async fn create(_options: NoOptions, _env: CreateEnv) -> Result<Self> {
        Ok(Self)
    }
}

#[async_trait]
impl Estimator for Asking {
    async fn estimate(&self, request: EstimateRequest, llm: Arc<dyn Llm>) -> Result<Estimate> {
        let asked = GenerateRequest::new(vec![Message::user(request.text)]);
        let answer = llm.generate(asked, Events::ignored()).await?;
        let usage = answer.usage.unwrap_or_default();
        let budget = u32::try_from(usage.output_tokens.max(1)).ok();
        Ok(Estimate {
            budget,
            usage,
            raw: Some(answer.text),
            fallback: None,
        })
    }
}

/// Options of [`Greedy`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GreedyOptions {
    /// Fails at questions whose text holds this.
    fails_on: Option<String>,
    /// Fails no more once this file exists, relative to the manifest's folder.
    unless: Option<PathBuf>,
}

/// Algorithm 2 of the paper, which may fail at some questions.
pub(crate) struct Greedy {
    options: GreedyOptions,
    base_dir: PathBuf,
}

impl Greedy {
    /// Creates the rule.
    pub(crate) async fn create(options: GreedyOptions, env: CreateEnv) -> Result<Self> {
        Ok(Self {
            options,
            base_dir: env.base_dir,
        })
    }

    fn fails(&self, question: &str) -> bool {
        let mended = |file| self.base_dir.join(file).exists();
        let bad = |text: &String| question.contains(text.as_str());
        self.options.fails_on.as_ref().is_some_and(bad)
            && !self.options.unless.as_ref().is_some_and(mended)
    }
}

#[async_trait]
impl Feasibility for Greedy {
    async fn is_feasible(
        &self,
        request: FeasibilityRequest,
        _llm: Arc<dyn Llm>,
    ) -> Result<Decision> {
        if self.fails(&request.question.text) {
            return Err(Error::new(ErrorKind::Internal, "cannot decide this one"));
        }
        Ok(Decision::by_cost(&request.previous, &request.candidate))
    }
}

/// Options of [`Counting`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountingOptions {
    /// How many questions there are.
    #[serde(default = "ten")]
    pub(crate) size: u64,
}

fn ten() -> u64 {
    10
}

/// A data set that asks for the numbers from 0 on; the cursor is the next number.
pub(crate) struct Counting {
    size: u64,
}

impl Counting {
    /// Creates the data set.
    pub(crate) async fn create(options: CountingOptions, _env: CreateEnv) -> Result<Self> {
        Ok(Self { size: options.size })
    }
}

#[async_trait]
impl Dataset for Counting {
    async fn info(&self) -> Result<DatasetInfo> {
        Ok(DatasetInfo {
            name: "counting".to_owned(),
            size: Some(self.size),
            ..DatasetInfo::default()
        })
    }

    async fn page(&self, request: PageRequest) -> Result<Page> {
        let start: u64 = match request.cursor.as_deref().map(str::parse) {
            None => 0,
            Some(Ok(n)) if n <= self.size => n,
            Some(_) => {
                let message = "a cursor that this data set did not hand out";
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        };
        let end = start.saturating_add(request.limit.into()).min(self.size);
        let question = |n: u64| Question {
            id: n.to_string(),
            text: format!("Which number is {n}?"),
            gold: Some(n.to_string()),
            ..Question::default()
        };
        let next = (end < self.size).then(|| end.to_string());
        Ok(Page {
            questions: (start..end).map(question).collect(),
            next,
        })
    }
}

/// A trainer that takes a step per pair and writes the number of steps done as its adapter; it goes
/// on from there.
pub(crate) struct Stepping;

impl Stepping {
    /// Creates the trainer.
    pub(crate) async fn create(_options: NoOptions, _env: CreateEnv) -> Result<Self> {
        Ok(Self)
    }
}

#[async_trait]
impl Trainer for Stepping {
    async fn train(&self, job: TrainJob, events: Events<TrainEvent>) -> Result<TrainReport> {
        let unreadable = |e: std::io::Error| {
            Error::new(ErrorKind::InvalidData, "the training pairs cannot be read")
                .context("file", job.pairs.display().to_string())
                .caused_by(&e)
        };
        let pairs = fs::read_to_string(&job.pairs)
            .map_err(unreadable)?
            .lines()
            .count() as u64;
        if pairs == 0 {
            return Err(Error::new(ErrorKind::InvalidData, "no training pairs")
                .context("file", job.pairs.display().to_string()));
        }
        let adapter = job.output_dir.join("steps");
        let done = fs::read_to_string(&adapter)
            .ok()
            .and_then(|t| t.parse().ok())
            .unwrap_or(0);
        for step in done + 1..=pairs {
            fs::create_dir_all(&job.output_dir).map_err(unreadable)?;
            // At once, for the next training may begin before this one knows that it was dropped.
            let part = job.output_dir.join("steps.part");
            fs::write(&part, step.to_string()).map_err(unreadable)?;
            fs::rename(&part, &adapter).map_err(unreadable)?;
            events.send(TrainEvent::Step {
                step,
                total_steps: pairs,
                loss: 0.0,
                tokens_per_s: 0.0,
                metrics: BTreeMap::new(),
            });
            events.send(TrainEvent::Checkpoint {
                checkpoint: CheckpointRef {
                    step,
                    path: adapter.clone(),
                },
            });
            tokio::task::yield_now().await;
        }
        Ok(TrainReport {
            adapter,
            steps: pairs,
            pairs,
            ..TrainReport::default()
        })
    }
}
