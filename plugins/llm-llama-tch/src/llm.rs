//! The model as the runtime sees it: check, render, submit, wait.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tale_api::{
    Capabilities, Completion, CreateEnv, Error, ErrorKind, Events, GenerateEvent, GenerateRequest,
    Llm, LlmInfo, Result, Sampling, Timings, Usage, async_trait, export::within,
};
use tale_chat_template::ChatTemplate;
use tale_llama::{Device, Drawing, device};
use tale_weights::{Model, Vocabulary, adapter::Adapter};
use tokio::sync::{mpsc, oneshot};

use crate::{
    digest,
    engine::{self, Engine, Job, Outcome, Setup},
    options::{Options, invalid},
};

/// A model of the Llama family that libtorch computes in this process.
#[derive(Debug)]
pub struct LlamaTch {
    engine: Engine,
    vocabulary: Arc<Vocabulary>,
    template: Arc<ChatTemplate>,
    info: LlmInfo,
    /// Tokens of prompt and completion.
    context: usize,
    seed: u64,
}

/// What the engine has done since it was created, over all devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Passes of the model.
    pub steps: u64,
    /// Prompt tokens computed; those taken from another prompt are not among them.
    pub prompt_tokens: u64,
    /// Tokens drawn, those that end a turn included.
    pub generated_tokens: u64,
    /// Copies of a lane's keys and values.
    pub copies: u64,
    /// Times that memory did not suffice and fewer requests went on together.
    pub retreats: u64,
    /// Time spent in the passes.
    pub computing: Duration,
    /// Time spent drawing tokens and handing text over.
    pub drawing: Duration,
}

/// Where no temperature is asked for: as the plugin `llama-cpp`.
const USUAL_TEMPERATURE: f64 = 0.8;

/// Tokens of a request where neither option nor model says less.
const USUAL_CONTEXT: usize = 2048;

/// Prompts longer than this are tokenised on a thread of their own, in bytes.
const LONG_PROMPT: usize = 16 * 1024;

/// What is read before the engine starts.
struct Opened {
    model: Model,
    vocabulary: Vocabulary,
    adapters: Vec<(Adapter, f64)>,
    devices: Vec<Device>,
    digest: String,
}

impl LlamaTch {
    /// Loads the model that `options` name.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidOptions`]: a value out of bounds, or one that does not fit the model.
    /// * [`ErrorKind::NotFound`]: no such file or folder.
    /// * [`ErrorKind::InvalidData`]: files are cut or do not belong together, an adapter is of
    ///   another base, or there is no chat template.
    /// * [`ErrorKind::Unavailable`]: no such device.
    /// * [`ErrorKind::ResourceExhausted`]: no memory for the weights.
    pub async fn create(options: Options, env: CreateEnv) -> Result<Self> {
        options.check()?;
        let date = options.date.as_deref().map(|date| {
            date.parse().map_err(|e: jiff::Error| {
                let what = format!("`date` is `{date}`, no date of the form `YYYY-MM-DD`");
                invalid(what).caused_by(&e)
            })
        });
        let date = date.transpose()?;
        let path = env.base_dir.join(&options.path);
        let opened = {
            let (options, env, path) = (options.clone(), env.clone(), path.clone());
            tokio::task::spawn_blocking(move || open(&options, &env, &path))
        };
        let opened = opened.await.map_err(|e| {
            Error::new(ErrorKind::Internal, "opening the model failed").caused_by(&e)
        })??;
        let made_for = opened.model.config().context;
        let context = match options.context {
            None => made_for.min(USUAL_CONTEXT),
            Some(wanted) if wanted <= made_for => wanted,
            Some(wanted) => {
                let what =
                    format!("`context` is {wanted} tokens, the model was made for {made_for}");
                return Err(invalid(what));
            }
        };
        let vocabulary = Arc::new(opened.vocabulary);
        let source = options
            .chat_template
            .or_else(|| vocabulary.chat_template.clone());
        let source = source.ok_or_else(|| {
            let what = format!("`{}` has no chat template", path.display());
            Error::new(ErrorKind::InvalidData, what).hint(
                "it may be a base model; use an instruct model, or set the option `chat_template`",
            )
        })?;
        let (bos, eos) = (vocabulary.bos.clone(), vocabulary.eos.clone());
        let template = ChatTemplate::new(source, bos, eos, date)?;
        // What a product of `f32` gives depends in its last bits on how many rows are computed
        // together: only a request that is always alone is always computed alike.
        let aligned = options.slots == 1 && opened.devices.iter().all(|d| *d == Device::Cpu);
        let concurrency = options.slots * opened.devices.len();
        let setup = Setup {
            model: opened.model,
            vocabulary: Arc::clone(&vocabulary),
            adapters: opened.adapters,
            slots: options.slots,
            context,
            threads: options.threads,
            batch: options.batch,
            prefix_cache: options.prefix_cache,
            aligned,
        };
        let engine = Engine::start(setup, opened.devices).await?;
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let info = LlmInfo {
            model: options.model.unwrap_or(stem),
            digest: Some(opened.digest),
            context_length: u32::try_from(context).ok(),
            tokenizer: Some("the model's own".to_owned()),
            prices: None,
            capabilities: Capabilities {
                seed: aligned,
                batching: true,
                count_tokens: true,
                max_concurrency: u32::try_from(concurrency).ok(),
                ..Capabilities::default()
            },
        };
        Ok(Self {
            engine,
            vocabulary,
            template: Arc::new(template),
            info,
            context,
            seed: options.seed.unwrap_or(env.seed),
        })
    }

    /// What the engine has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = self.engine.counters();
        Stats {
            steps: counters.steps.load(Ordering::Relaxed),
            prompt_tokens: counters.prompt_tokens.load(Ordering::Relaxed),
            generated_tokens: counters.generated_tokens.load(Ordering::Relaxed),
            copies: counters.copies.load(Ordering::Relaxed),
            retreats: counters.retreats.load(Ordering::Relaxed),
            computing: Duration::from_nanos(counters.computing_ns.load(Ordering::Relaxed)),
            drawing: Duration::from_nanos(counters.drawing_ns.load(Ordering::Relaxed)),
        }
    }

    /// The prompt's tokens, through the chat template.
    async fn tokens(&self, request: &GenerateRequest) -> Result<Vec<u32>> {
        let text = self.template.render(&request.messages)?;
        let tokens = self.encode(text).await?;
        // One place is left for the first token of the answer.
        let (prompt, context) = (tokens.len(), self.context);
        if prompt < context {
            return Ok(tokens);
        }
        Err(Error::new(
            ErrorKind::ContextLength,
            format!("the prompt has {prompt} tokens, the context {context} with the answer"),
        )
        .hint("raise the option `context`, or leave the question out")
        .context("prompt_tokens", prompt.to_string())
        .context("context_length", context.to_string()))
    }

    async fn encode(&self, text: String) -> Result<Vec<u32>> {
        if text.len() < LONG_PROMPT {
            return self.vocabulary.encode(&text);
        }
        let vocabulary = Arc::clone(&self.vocabulary);
        let tokens = tokio::task::spawn_blocking(move || vocabulary.encode(&text)).await;
        tokens.map_err(|e| Error::new(ErrorKind::Internal, "the tokenizer failed").caused_by(&e))?
    }

    async fn answer(
        &self,
        request: GenerateRequest,
        events: &Events<GenerateEvent>,
    ) -> Result<Completion> {
        let drawing = drawing(&request.sampling, request.seed.unwrap_or(self.seed))?;
        let refused = |what| Err(Error::new(ErrorKind::InvalidInput, what));
        if request.messages.is_empty() {
            return refused("the request has no message");
        }
        if request.max_tokens == Some(0) {
            return refused("`max_tokens` is 0, nothing could be answered");
        }
        if request.grammar.is_some() {
            let what = "this model cannot be forced by a grammar";
            return Err(Error::new(ErrorKind::Unsupported, what)
                .hint("the plugin `llama-cpp` takes GBNF grammars"));
        }
        let submitted = Instant::now();
        let prompt = self.tokens(&request).await?;
        if prompt.is_empty() {
            return refused("the prompt has no token");
        }
        let (reply, mut answered) = oneshot::channel();
        let (deltas, mut parts) = mpsc::channel(1);
        let job = |busy| Job {
            prompt,
            max_tokens: request.max_tokens.map(|most| most as usize),
            drawing,
            stop: request.stop,
            deltas: events.is_wanted().then_some(deltas),
            reply,
            submitted,
            busy,
        };
        self.engine.submit(job).await?;
        let mut shown = 0;
        let mut show = |text: &str| {
            shown += text.len();
            if !text.is_empty() {
                let text = text.to_owned();
                events.send(GenerateEvent::Delta { text });
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
impl Llm for LlamaTch {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(self.info.clone())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        // The deadline drops the request's future, which frees its lane like any cancellation.
        within(request.timeout_s, self.answer(request, &events)).await
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        Ok(self.encode(text.to_owned()).await?.len() as u64)
    }
}

/// Reads what lies on disk, but for the weights; devices are checked first, because that is quick.
fn open(options: &Options, env: &CreateEnv, path: &Path) -> Result<Opened> {
    let devices = options.device.names().iter().map(|name| device(name));
    let devices = devices.collect::<Result<_>>()?;
    let model = Model::open(path).map_err(|e| match e.kind {
        ErrorKind::NotFound => {
            e.hint("`tale model list` shows the models that `tale model fetch NAME` downloads")
        }
        _ => e,
    })?;
    let vocabulary = model.vocabulary()?;
    let unreadable = |e: std::io::Error| {
        Error::new(ErrorKind::InvalidData, "the model's files cannot be read").caused_by(&e)
    };
    let mut digest = digest::of(path, &env.cache_dir).map_err(unreadable)?;
    digest.insert_str(0, "sha256:");
    let mut adapters = Vec::new();
    for lora in &options.lora {
        let folder = adapter_folder(env.base_dir.join(options.folder(lora)?));
        let adapter = Adapter::read(&folder).map_err(|e| e.context("option", "lora"))?;
        let at = folder.display().to_string();
        adapter
            .check(model.config())
            .map_err(|e| e.context("adapter", at))?;
        let own = digest::of(&folder, &env.cache_dir).map_err(unreadable)?;
        digest.push_str(&format!("+lora:{own}@{}", lora.scale));
        adapters.push((adapter, lora.scale));
    }
    Ok(Opened {
        model,
        vocabulary,
        adapters,
        devices,
        digest,
    })
}

/// A training's output folder holds its adapter in a folder of that name.
fn adapter_folder(folder: PathBuf) -> PathBuf {
    let inner = folder.join("adapter");
    if !folder.join("adapter_config.json").exists() && inner.is_dir() {
        inner
    } else {
        folder
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
    // NaN lies in no range.
    let is_positive = |value: f64, most: f64| value > 0.0 && value <= most;
    for (name, value, is_within, range) in [
        (
            "temperature",
            temperature,
            (0.0..=100.0).contains(&temperature),
            "0 to 100",
        ),
        (
            "top_p",
            top_p,
            is_positive(top_p, 1.0),
            "above 0, at most 1",
        ),
        (
            "repetition_penalty",
            penalty,
            is_positive(penalty, 100.0),
            "above 0, at most 100",
        ),
    ] {
        if !is_within {
            let what = format!("`{name}` is {value}, it must be {range}");
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
    }
    Ok(Drawing {
        temperature: temperature as f32,
        top_p: top_p as f32,
        top_k: sampling.top_k.unwrap_or(0) as usize,
        repetition_penalty: penalty as f32,
        seed,
    })
}

fn completion(outcome: Outcome) -> Completion {
    Completion {
        text: outcome.text,
        reasoning: None,
        finish_reason: outcome.finish_reason,
        usage: Some(Usage {
            input_tokens: outcome.input_tokens as u64,
            cached_input_tokens: outcome.cached_input_tokens as u64,
            output_tokens: outcome.output_tokens as u64,
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
