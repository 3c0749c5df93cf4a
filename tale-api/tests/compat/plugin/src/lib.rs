//! A plugin as it was written against `tale-api` 0.1.0: literals name every field that there was.
//!
//! Never edited for a newer version: that it still loads is what is tested.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use serde::Deserialize;
use tale_api::{
    Attempt, Capabilities, CheckpointRef, Completion, CreateEnv, Dataset, DatasetInfo, Decision,
    Error, ErrorKind, Estimate, EstimateRequest, Estimator, Events, Feasibility,
    FeasibilityRequest, FinishReason, GenerateEvent, GenerateRequest, Llm, LlmInfo, Message, Page,
    PageRequest, Question, Result, Timings, TrainEvent, TrainJob, TrainReport, Trainer, Usage,
    async_trait,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EchoOptions {
    #[serde(default)]
    delay_ms: u64,
}

struct Echo {
    delay: Duration,
}

impl Echo {
    async fn create(options: EchoOptions, _env: CreateEnv) -> Result<Self> {
        tracing::info!(delay_ms = options.delay_ms, "created");
        Ok(Self {
            delay: Duration::from_millis(options.delay_ms),
        })
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

#[async_trait]
impl Llm for Echo {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(LlmInfo {
            model: "echo".to_owned(),
            digest: None,
            context_length: None,
            tokenizer: Some("words".to_owned()),
            prices: None,
            capabilities: Capabilities {
                seed: true,
                grammar: false,
                reasoning: false,
                logprobs: false,
                batching: false,
                count_tokens: true,
                max_concurrency: None,
            },
        })
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let Some(last) = request.messages.last() else {
            return Err(Error::new(ErrorKind::InvalidInput, "no message to answer"));
        };
        if request.sampling.temperature.is_some_and(|t| t < 0.0) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "`temperature` is below 0",
            ));
        }
        if request.grammar.is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "no grammar"));
        }
        if let [kind] = request.stop.as_slice()
            && kind == "panic"
        {
            panic!("as it was asked to");
        }
        let most = request.max_tokens.map_or(usize::MAX, |n| n as usize);
        let (mut text, mut tokens) = (String::new(), 0);
        let all = words(&last.content).count();
        for word in words(&last.content).take(most) {
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
            .map(|m| words(&m.content).count() as u64);
        Ok(Completion {
            text,
            reasoning: None,
            finish_reason: if all > most {
                FinishReason::Length
            } else {
                FinishReason::Stop
            },
            usage: Some(Usage {
                input_tokens: input.sum(),
                cached_input_tokens: 0,
                output_tokens: tokens,
                reasoning_tokens: 0,
            }),
            timings: Timings::default(),
            model: None,
        })
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        Ok(words(text).count() as u64)
    }
}

struct Asking;

impl Asking {
    async fn create(_options: NoOptions, _env: CreateEnv) -> Result<Self> {
        Ok(Self)
    }
}

#[async_trait]
impl Estimator for Asking {
    async fn estimate(&self, request: EstimateRequest, llm: Arc<dyn Llm>) -> Result<Estimate> {
        let asked = GenerateRequest::new(vec![Message::user(request.text)]);
        let answer = llm.generate(asked, Events::ignored()).await?;
        let usage = answer.usage.unwrap_or_default();
        Ok(Estimate {
            budget: u32::try_from(usage.output_tokens.max(1)).ok(),
            usage,
            raw: Some(answer.text),
            fallback: None,
        })
    }
}

struct Greedy;

impl Greedy {
    async fn create(_options: NoOptions, _env: CreateEnv) -> Result<Self> {
        Ok(Self)
    }
}

#[async_trait]
impl Feasibility for Greedy {
    async fn is_feasible(
        &self,
        request: FeasibilityRequest,
        _llm: Arc<dyn Llm>,
    ) -> Result<Decision> {
        let (previous, candidate): (Attempt, Attempt) = (request.previous, request.candidate);
        Ok(Decision::by_cost(&previous, &candidate))
    }
}

struct Counting;

impl Counting {
    async fn create(_options: NoOptions, _env: CreateEnv) -> Result<Self> {
        Ok(Self)
    }
}

const QUESTIONS: u64 = 130;

#[async_trait]
impl Dataset for Counting {
    async fn info(&self) -> Result<DatasetInfo> {
        Ok(DatasetInfo {
            name: "counting".to_owned(),
            size: Some(QUESTIONS),
            license: None,
            source: None,
            digest: None,
            grades: false,
        })
    }

    async fn page(&self, request: PageRequest) -> Result<Page> {
        let start: u64 = match request.cursor.as_deref().map(str::parse) {
            None => 0,
            Some(Ok(n)) if n <= QUESTIONS => n,
            Some(_) => {
                let message = "a cursor that this data set did not hand out";
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        };
        let end = (start + u64::from(request.limit)).min(QUESTIONS);
        let question = |n: u64| Question {
            id: n.to_string(),
            text: format!("Which number is {n}?"),
            gold: Some(n.to_string()),
            ..Question::default()
        };
        Ok(Page {
            questions: (start..end).map(question).collect(),
            next: (end < QUESTIONS).then(|| end.to_string()),
        })
    }
}

/// Takes a step per pair, and writes how many it took as its adapter.
struct Stepping;

impl Stepping {
    async fn create(_options: NoOptions, _env: CreateEnv) -> Result<Self> {
        Ok(Self)
    }
}

#[async_trait]
impl Trainer for Stepping {
    async fn train(&self, job: TrainJob, events: Events<TrainEvent>) -> Result<TrainReport> {
        let broken = |e: std::io::Error| {
            Error::new(ErrorKind::InvalidData, "the training pairs cannot be read").caused_by(&e)
        };
        let pairs = fs::read_to_string(&job.pairs)
            .map_err(broken)?
            .lines()
            .count() as u64;
        let adapter = job.output_dir.join("steps");
        let done = fs::read_to_string(&adapter)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        fs::create_dir_all(&job.output_dir).map_err(broken)?;
        for step in done + 1..=pairs {
            fs::write(&adapter, step.to_string()).map_err(broken)?;
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
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(TrainReport {
            adapter,
            steps: pairs,
            pairs,
            skipped: BTreeMap::new(),
            metrics: BTreeMap::new(),
        })
    }
}

tale_api::export_plugin! {
    name: "of-0-1-0",
    components: [
        llm "echo" => Echo::create, "Says the last message back",
            r#"{"type": "object", "additionalProperties": false,
                "properties": {"delay_ms": {"type": "integer", "minimum": 0}}}"#;
        estimator "asking" => Asking::create, "Asks the model",
            r#"{"type": "object", "additionalProperties": false}"#;
        feasibility "greedy" => Greedy::create, "Algorithm 2 of the paper",
            r#"{"type": "object", "additionalProperties": false}"#;
        dataset "counting" => Counting::create, "Asks for numbers",
            r#"{"type": "object", "additionalProperties": false}"#;
        trainer "stepping" => Stepping::create, "Takes a step per pair",
            r#"{"type": "object", "additionalProperties": false}"#;
    ]
}
