//! The model as the runtime sees it: check, render, submit, wait.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use llama_cpp_2::{model::LlamaModel, token::LlamaToken};
use tale_api::{
    Capabilities, Completion, CreateEnv, Error, ErrorKind, Events, GenerateEvent, GenerateRequest,
    Grammar, Llm, LlmInfo, Result, Sampling, Timings, Usage, async_trait, export::within,
};
use tale_chat_template::ChatTemplate;
use tokio::sync::{mpsc, oneshot};

use crate::{
    digest,
    engine::{self, Config, Drawing, Engine, Job, Outcome},
    model::Tokens,
    options::Options,
};

/// A GGUF model that llama.cpp computes in this process.
#[derive(Debug)]
pub struct LlamaCpp {
    engine: Engine,
    model: Arc<LlamaModel>,
    template: ChatTemplate,
    info: LlmInfo,
    /// Tokens of prompt and completion that a slot holds.
    context: usize,
    seed: u64,
}

/// What the engine has done since it was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Calls of `llama_decode`.
    pub steps: u64,
    /// Prompt tokens evaluated; those taken from another prompt are not among them.
    pub prompt_tokens: u64,
    /// Tokens drawn, those that end a turn included.
    pub generated_tokens: u64,
    /// Copies of a slot's keys and values.
    pub copies: u64,
    /// Time spent in `llama_decode`.
    pub decoding: Duration,
    /// Time spent drawing tokens and handing text over.
    pub sampling: Duration,
}

/// Where no temperature is asked for: llama.cpp's own default.
const USUAL_TEMPERATURE: f64 = 0.8;

/// Prompts longer than this are tokenised on a thread of their own, in bytes.
const LONG_PROMPT: usize = 64 * 1024;

impl LlamaCpp {
    /// Loads the model that `options` name.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidOptions`]: a value out of bounds, or one that does not fit the model.
    /// * [`ErrorKind::NotFound`]: no such file.
    /// * [`ErrorKind::InvalidData`]: the file is cut, no GGUF, of an unknown architecture, or has no
    ///   chat template.
    /// * [`ErrorKind::ResourceExhausted`]: no memory for the context.
    pub async fn create(options: Options, env: CreateEnv) -> Result<Self> {
        options.check()?;
        let date = options.date.as_deref().map(|d| {
            d.parse().map_err(|e: jiff::Error| {
                Error::new(
                    ErrorKind::InvalidOptions,
                    format!("`date` is `{d}`, no date of the form `YYYY-MM-DD`"),
                )
                .caused_by(&e)
            })
        });
        let date = date.transpose()?;
        let path = env.base_dir.join(&options.path);
        let lora = options
            .lora
            .first()
            .map(|l| (env.base_dir.join(&l.path), l.scale));
        let identity = identity(path.clone(), lora.clone(), env.cache_dir.clone());
        let (engine, ready) = Engine::start(Config {
            path: path.clone(),
            lora,
            slots: options.slots,
            context: options.context,
            threads: options.threads.unwrap_or_else(physical_cores),
            batch: options.batch,
            gpu_layers: options.gpu_layers,
            flash_attention: options.flash_attention,
            kv_type: options.kv_type,
            prefix_cache: options.prefix_cache,
            reproducible: options.reproducible,
        })
        .await?;
        let model = ready.model;
        let source = match options.chat_template {
            Some(source) => source,
            None => own_template(&model, &path)?,
        };
        let (bos, eos) = (model.vocab().bos(), model.vocab().eos());
        let template = ChatTemplate::new(
            source,
            model.special_text(bos),
            model.special_text(eos),
            date,
        )?;
        let stem = || {
            path.file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let info = LlmInfo {
            model: options.model.or(ready.header.name).unwrap_or_else(stem),
            digest: Some(identity.await?),
            context_length: Some(ready.context),
            tokenizer: ready.header.tokenizer,
            prices: None,
            capabilities: Capabilities {
                seed: ready.reproducible,
                grammar: true,
                batching: true,
                count_tokens: true,
                max_concurrency: Some(options.slots),
                ..Capabilities::default()
            },
        };
        let context = ready.context as usize;
        Ok(Self {
            engine,
            model,
            template,
            info,
            context,
            seed: options.seed.unwrap_or(env.seed),
        })
    }

    /// What the engine has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        use std::sync::atomic::Ordering::Relaxed;
        let counters = self.engine.counters();
        Stats {
            steps: counters.steps.load(Relaxed),
            prompt_tokens: counters.prompt_tokens.load(Relaxed),
            generated_tokens: counters.generated_tokens.load(Relaxed),
            copies: counters.copies.load(Relaxed),
            decoding: Duration::from_nanos(counters.decoding_ns.load(Relaxed)),
            sampling: Duration::from_nanos(counters.sampling_ns.load(Relaxed)),
        }
    }

    /// The prompt as the model gets it, for tests and `--dry-run`.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render(&self, request: &GenerateRequest) -> Result<String> {
        self.template.render(&request.messages)
    }

    async fn tokenize(&self, text: String) -> Result<Vec<LlamaToken>> {
        if text.len() < LONG_PROMPT {
            return Ok(self.model.prompt_tokens(&text));
        }
        let model = Arc::clone(&self.model);
        let tokens = tokio::task::spawn_blocking(move || model.prompt_tokens(&text)).await;
        tokens.map_err(|e| Error::new(ErrorKind::Internal, "the tokenizer failed").caused_by(&e))
    }

    fn fits(&self, prompt: usize) -> Result<()> {
        // One position is left for the first token of the answer.
        if prompt < self.context {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ContextLength,
            format!(
                "the prompt has {prompt} tokens, a slot holds {} with the answer",
                self.context
            ),
        )
        .hint("raise the option `context`, or leave the question out")
        .context("prompt_tokens", prompt.to_string())
        .context("context_length", self.context.to_string()))
    }

    async fn answer(
        &self,
        request: GenerateRequest,
        events: &Events<GenerateEvent>,
    ) -> Result<Completion> {
        let drawing = drawing(&request.sampling, request.seed.unwrap_or(self.seed))?;
        if request.messages.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the request has no message",
            ));
        }
        if request.max_tokens == Some(0) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "`max_tokens` is 0, nothing could be answered",
            ));
        }
        let grammar = request.grammar.map(gbnf).transpose()?;
        let submitted = Instant::now();
        let prompt = self
            .tokenize(self.template.render(&request.messages)?)
            .await?;
        self.fits(prompt.len())?;
        let (reply, mut answered) = oneshot::channel();
        let (deltas, mut parts) = mpsc::channel(1);
        let deltas = events.is_wanted().then_some(deltas);
        let job = Job {
            prompt,
            max_tokens: request.max_tokens,
            drawing,
            stop: request.stop,
            grammar,
            deltas,
            reply,
            submitted,
        };
        self.engine.submit(job).await?;
        let mut shown = 0;
        let mut show = |text: &str| {
            if !text.is_empty() {
                shown += text.len();
                events.send(GenerateEvent::Delta {
                    text: text.to_owned(),
                });
            }
            shown
        };
        let outcome = loop {
            tokio::select! {
                biased;
                Some(text) = parts.recv() => { show(&text); }
                outcome = &mut answered => break outcome.map_err(|_| engine::died())??,
            }
        };
        while let Ok(text) = parts.try_recv() {
            show(&text);
        }
        let shown = show("");
        show(&outcome.text[shown..]);
        Ok(completion(outcome))
    }
}

#[async_trait]
impl Llm for LlamaCpp {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(self.info.clone())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        // The deadline drops the request's future, which frees its slot like any cancellation.
        within(request.timeout_s, self.answer(request, &events)).await
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        Ok(self.model.text_tokens(text).len() as u64)
    }
}

/// The request's way of drawing, within bounds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "these are small numbers of low precision"
)]
fn drawing(sampling: &Sampling, seed: u64) -> Result<Drawing> {
    let temperature = sampling.temperature.unwrap_or(USUAL_TEMPERATURE);
    let top_p = sampling.top_p.unwrap_or(1.0);
    let penalty = sampling.repetition_penalty.unwrap_or(1.0);
    let bounds = [
        (
            "temperature",
            temperature,
            (0.0..=100.0).contains(&temperature),
            "0 to 100",
        ),
        (
            "top_p",
            top_p,
            top_p > 0.0 && top_p <= 1.0,
            "above 0, at most 1",
        ),
        (
            "repetition_penalty",
            penalty,
            penalty > 0.0 && penalty <= 100.0,
            "above 0, at most 100",
        ),
    ];
    if let Some((name, value, _, range)) = bounds.into_iter().find(|b| !b.2) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("`{name}` is {value}, it must be {range}"),
        ));
    }
    Ok(Drawing {
        temperature: temperature as f32,
        top_p: top_p as f32,
        top_k: sampling.top_k.unwrap_or(0) as usize,
        repetition_penalty: penalty as f32,
        seed,
    })
}

fn gbnf(grammar: Grammar) -> Result<String> {
    match grammar {
        Grammar::Gbnf(text) => Ok(text),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            "this model can be forced by a GBNF grammar only",
        )
        .hint("llama.cpp's `examples/json_schema_to_grammar.py` writes the GBNF of a JSON Schema")),
    }
}

fn completion(outcome: Outcome) -> Completion {
    Completion {
        text: outcome.text,
        reasoning: None,
        finish_reason: outcome.finish_reason,
        usage: Some(Usage {
            input_tokens: outcome.input_tokens as u64,
            cached_input_tokens: outcome.cached_input_tokens as u64,
            output_tokens: u64::from(outcome.output_tokens),
            reasoning_tokens: 0,
        }),
        timings: Timings {
            queue_s: outcome.queued.as_secs_f64(),
            first_token_s: outcome.to_first_token.as_secs_f64(),
            total_s: outcome.total.as_secs_f64(),
        },
        model: None,
        service_tier: None,
    }
}

fn own_template(model: &LlamaModel, path: &std::path::Path) -> Result<String> {
    let template = model
        .chat_template(None)
        .ok()
        .and_then(|t| t.to_string().ok());
    template.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidData,
            format!("`{}` has no chat template", path.display()),
        )
        .hint("it may be a base model; use an instruct model, or set the option `chat_template`")
    })
}

/// What tells these weights from others: the file's SHA-256, with the adapter's if there is one.
/// It is computed while the engine loads the file, so that the file is read once.
async fn identity(
    path: PathBuf,
    lora: Option<(PathBuf, f32)>,
    cache_dir: PathBuf,
) -> Result<String> {
    let hashed = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
        let weights = digest::of_file(&path, &cache_dir)?;
        let Some((adapter, scale)) = lora else {
            return Ok(format!("sha256:{weights}"));
        };
        let adapter = digest::of_file(&adapter, &cache_dir)?;
        Ok(format!("sha256:{weights}+lora:{adapter}@{scale}"))
    });
    match hashed.await {
        Ok(Ok(identity)) => Ok(identity),
        Ok(Err(e)) => {
            Err(Error::new(ErrorKind::InvalidData, "the model file cannot be read").caused_by(&e))
        }
        Err(e) => Err(Error::new(ErrorKind::Internal, "the digest failed").caused_by(&e)),
    }
}

/// The cores this process may use, hyper-threads counted once: the engine's threads wait for each
/// other many times a step, and one that shares a core halves the speed of all.
fn physical_cores() -> u32 {
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(num_cpus::get_physical().min(usable).max(1)).unwrap_or(1)
}
