//! The model: find the answer, take the time it should take, hand it over.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tale_api::{
    Capabilities, Completion, CreateEnv, Error, ErrorKind, Events, FinishReason, GenerateEvent,
    GenerateRequest, Llm, LlmInfo, Result, Role, Timings, Usage, export::within,
};
use tale_plugin_standard::PromptSet;
use tokio::time::{Duration, Instant, sleep_until};

use crate::{
    index::{Filter, Index},
    options::{Options, Pace, Stream, invalid},
    record::{Answer, Key},
};

/// How much of a prompt an error shows.
const SHOWN_CHARS: usize = 80;

/// A model that answers from a recorded run, or one text to everything.
#[derive(Debug)]
pub struct Replay {
    source: Source,
    pace: Pace,
    info: LlmInfo,
    log: Option<File>,
}

#[derive(Debug)]
enum Source {
    Recorded {
        index: Index,
        prompts: Box<PromptSet>,
    },
    Constant(String),
}

impl Replay {
    /// Reads the recorded run once, to know where its answers lie.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidOptions`]: neither or both of `path` and `constant`; several models in
    ///   the file and none chosen.
    /// * [`ErrorKind::NotFound`], [`ErrorKind::InvalidData`]: no such file, or a broken line in it.
    pub async fn create(options: Options, env: CreateEnv) -> Result<Self> {
        let pace = options.pace()?;
        let source = match (&options.path, &options.constant) {
            (Some(path), None) => recorded(env.base_dir.join(path), &options, &env).await?,
            (None, Some(text)) => Source::Constant(text.clone()),
            _ => {
                return Err(invalid("exactly one of `path` and `constant` is needed")
                    .hint("`path` replays a recorded run; `constant` answers everything with one text"));
            }
        };
        let log = options
            .log
            .map(|file| open_log(&env.base_dir.join(file)))
            .transpose()?;
        let info = info(&source, options.model);
        Ok(Self {
            source,
            pace,
            info,
            log,
        })
    }

    /// Writes down that `request` is asked.
    fn note(&self, request: &GenerateRequest) -> Result<()> {
        let Some(mut log) = self.log.as_ref() else {
            return Ok(());
        };
        let prompt = request.messages.last().map(|m| m.content.as_str());
        let line = format!("{}\n", serde_json::json!(prompt));
        // One write of a whole line to a file opened for appending: lines of concurrent calls, and
        // of a process that is killed, do not mix.
        log.write_all(line.as_bytes()).map_err(|e| {
            Error::new(
                ErrorKind::ResourceExhausted,
                "cannot write the log of calls",
            )
            .caused_by(&e)
        })
    }

    fn answer(&self, request: &GenerateRequest) -> Result<Answer> {
        match &self.source {
            Source::Constant(text) => Ok(constant(text, request)),
            Source::Recorded { index, prompts } => {
                let last = request.messages.iter().rev().find(|m| m.role == Role::User);
                let prompt = &last
                    .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "no user message"))?
                    .content;
                // Reading a few kilobytes that are mostly in the page cache takes less than handing
                // the work to another thread.
                if let Some(answer) = index.find(Key::Prompt(prompt))? {
                    return Ok(answer);
                }
                for parts in prompts.read(prompt) {
                    // A recorded question is the bare one; in the prompt, options may follow it.
                    let bare = parts
                        .question
                        .rfind("\nA. ")
                        .map(|at| &parts.question[..at]);
                    for question in [Some(parts.question), bare].into_iter().flatten() {
                        if let Some(answer) = index.find(Key::Searched(question, parts.budget))? {
                            return Ok(answer);
                        }
                    }
                }
                Err(self.unknown(prompt))
            }
        }
    }

    fn unknown(&self, prompt: &str) -> Error {
        let shown: String = prompt.chars().take(SHOWN_CHARS).collect();
        let more = if shown.len() < prompt.len() {
            "…"
        } else {
            ""
        };
        Error::new(ErrorKind::NotFound, format!("no recorded answer to the prompt `{shown}{more}`"))
            .context("model", &self.info.model)
            .hint("the recorded run must have asked the same question with the same prompts, method and budget; `llm` and `method` leave lines out")
    }

    /// Hands the text over at the chosen pace; the time until its first part.
    async fn deliver(
        &self,
        answer: &Answer,
        events: &Events<GenerateEvent>,
        start: Instant,
    ) -> Duration {
        let tokens = answer
            .usage
            .map_or_else(|| words(&answer.text), |u| u.output_tokens);
        let parts: Vec<&str> = match self.pace.stream {
            Stream::Words => answer.text.split_inclusive(char::is_whitespace).collect(),
            Stream::Whole => vec![answer.text.as_str()],
        };
        let all = self.pace.per_token.saturating_mul(bounded(tokens));
        let mut first = None;
        for (n, part) in parts.iter().enumerate() {
            // Each part is due at a moment of its own: sleeps one after another would add up their
            // lateness.
            let share = all.saturating_mul(bounded(n as u64 + 1)) / bounded(parts.len() as u64);
            let due = self.pace.latency.saturating_add(share);
            if !due.is_zero() {
                sleep_until(start + due).await;
            }
            first.get_or_insert_with(|| start.elapsed());
            if !part.is_empty() {
                events.send(GenerateEvent::Delta {
                    text: (*part).to_owned(),
                });
            }
        }
        first.unwrap_or_default()
    }
}

#[async_trait]
impl Llm for Replay {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(self.info.clone())
    }

    /// The recorded answer as it stands: sampling, `max_tokens`, `stop`, `seed` and a grammar are
    /// those of the recorded run, whatever the request says. `constant` obeys `max_tokens` and `stop`.
    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let start = Instant::now();
        check(&request, &self.info)?;
        self.note(&request)?;
        let answer = self.answer(&request).map_err(|e| e.operation("generate"))?;
        let delivery = self.deliver(&answer, &events, start);
        let first = within(request.timeout_s, async { Ok(delivery.await) })
            .await
            .map_err(|e| e.operation("generate"))?;
        Ok(Completion {
            text: answer.text,
            reasoning: None,
            finish_reason: answer.finish_reason,
            usage: answer.usage,
            timings: Timings {
                queue_s: 0.0,
                first_token_s: first.as_secs_f64(),
                total_s: start.elapsed().as_secs_f64(),
            },
            model: None,
            service_tier: None,
        })
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        match self.source {
            Source::Constant(_) => Ok(words(text)),
            Source::Recorded { .. } => Err(Error::new(
                ErrorKind::Unsupported,
                "a recorded run has no tokenizer",
            )
            .operation("count_tokens")),
        }
    }
}

fn open_log(path: &Path) -> Result<File> {
    let opened = File::options().append(true).create(true).open(path);
    opened.map_err(|e| {
        invalid(format!("cannot open the log of calls `{}`", path.display())).caused_by(&e)
    })
}

async fn recorded(path: PathBuf, options: &Options, env: &CreateEnv) -> Result<Source> {
    let prompts = match &options.prompts {
        None => PromptSet::standard(),
        Some(file) => {
            let file = env.base_dir.join(file);
            let text = fs::read_to_string(&file).map_err(|e| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("cannot read prompt file `{}`", file.display()),
                )
                .caused_by(&e)
            })?;
            PromptSet::from_toml(&text).map_err(|e| Error {
                kind: ErrorKind::InvalidOptions,
                ..e.into()
            })?
        }
    };
    let filter = Filter {
        llm: options.llm.clone(),
        method: options.method.clone(),
    };
    let shown = path.display().to_string();
    let index = tokio::task::spawn_blocking(move || Index::build(&path, &filter))
        .await
        .map_err(|e| {
            Error::new(ErrorKind::Internal, "indexing a recorded run panicked").caused_by(&e)
        })?
        .map_err(|e| e.operation("create"))?;
    if index.len() == 0 {
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!("`{shown}` holds no answer that `llm` and `method` let through"),
        )
        .operation("create")
        .context("file", shown));
    }
    if index.llms.len() > 1 {
        let names: Vec<&str> = index.llms.iter().map(String::as_str).collect();
        return Err(invalid(format!(
            "`{shown}` holds answers of several models: `{}`",
            names.join("`, `")
        ))
        .hint("say whose to give with the option `llm`"));
    }
    Ok(Source::Recorded {
        index,
        prompts: Box::new(prompts),
    })
}

fn info(source: &Source, model: Option<String>) -> LlmInfo {
    let is_constant = matches!(source, Source::Constant(_));
    let (recorded, digest) = match source {
        Source::Recorded { index, .. } => (index.llms.first().cloned(), index.digest.clone()),
        Source::Constant(text) => (None, format!("{:x}", Sha256::digest(text))),
    };
    let default = if is_constant { "constant" } else { "replay" };
    LlmInfo {
        model: model.or(recorded).unwrap_or_else(|| default.to_owned()),
        digest: Some(format!("sha256:{digest}")),
        tokenizer: is_constant.then(|| "words".to_owned()),
        capabilities: Capabilities {
            seed: true,
            // An estimate that was forced when it was recorded is asked for in the same way again.
            grammar: !is_constant,
            count_tokens: is_constant,
            ..Capabilities::default()
        },
        ..LlmInfo::default()
    }
}

fn check(request: &GenerateRequest, info: &LlmInfo) -> Result<()> {
    let invalid =
        |message: &str| Err(Error::new(ErrorKind::InvalidInput, message).operation("generate"));
    let sampling = request.sampling;
    if request.messages.is_empty() {
        return invalid("no message");
    }
    if sampling
        .temperature
        .is_some_and(|t| !(t >= 0.0 && t.is_finite()))
    {
        return invalid("`temperature` is not 0 or more");
    }
    if sampling.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
        return invalid("`top_p` is not above 0 and at most 1");
    }
    if sampling
        .repetition_penalty
        .is_some_and(|p| !(p > 0.0 && p.is_finite()))
    {
        return invalid("`repetition_penalty` is not above 0");
    }
    if request.grammar.is_some() && !info.capabilities.grammar {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "a constant answer follows no grammar",
        )
        .operation("generate"));
    }
    Ok(())
}

/// The text, cut as a model would be by `stop` and `max_tokens`.
fn constant(text: &str, request: &GenerateRequest) -> Answer {
    let stopped = request
        .stop
        .iter()
        .filter(|s| !s.is_empty())
        .filter_map(|s| text.find(s))
        .min();
    let mut cut = &text[..stopped.unwrap_or(text.len())];
    let mut finish_reason = FinishReason::Stop;
    if let Some(most) = request
        .max_tokens
        .filter(|most| u64::from(*most) < words(cut))
    {
        let end = cut.split_whitespace().take(most as usize).last();
        // The words are slices of the text, so an end lies at a distance from its beginning.
        let end = end.map_or(0, |word| {
            word.as_ptr() as usize - cut.as_ptr() as usize + word.len()
        });
        cut = &cut[..end];
        finish_reason = FinishReason::Length;
    }
    let input = request.messages.iter().map(|m| words(&m.content)).sum();
    Answer {
        text: cut.to_owned(),
        finish_reason,
        usage: Some(Usage {
            input_tokens: input,
            output_tokens: words(cut),
            ..Usage::default()
        }),
    }
}

fn bounded(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}
