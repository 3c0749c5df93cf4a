//! The model as the runtime sees it: check, render, submit, wait.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tale_api::{
    Capabilities, Completion, CreateEnv, Error, ErrorKind, Events, GenerateEvent, GenerateRequest,
    Llm, LlmInfo, Result, async_trait, export::within,
};
use tale_chat_template::ChatTemplate;
use tale_llama::{Device, device};
use tale_local_llm::{
    Drawing, check, digest, fits,
    options::{self, invalid},
    ticket,
};
use tale_weights::{Model, Vocabulary, adapter::Adapter};

use crate::{
    engine::{Engine, Job, Setup},
    options::Options,
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
        let date = options::date(options.date.as_deref())?;
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
        let source = source.ok_or_else(|| options::no_chat_template(&path))?;
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
        let info = LlmInfo {
            model: options.model.unwrap_or_else(|| options::name_of(&path)),
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
        fits(tokens.len(), self.context)?;
        Ok(tokens)
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
        let drawing = Drawing::of(&request.sampling, request.seed.unwrap_or(self.seed))?;
        check(&request)?;
        if request.grammar.is_some() {
            let what = "this model cannot be forced by a grammar";
            return Err(Error::new(ErrorKind::Unsupported, what)
                .hint("the plugin `llama-cpp` takes GBNF grammars"));
        }
        let (ticket, pending) = ticket(&request, events.is_wanted());
        let prompt = self.tokens(&request).await?;
        if prompt.is_empty() {
            let what = "the prompt has no token";
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        let job = |busy| Job {
            prompt,
            drawing,
            ticket,
            busy,
        };
        self.engine.submit(job).await?;
        pending.wait(events).await
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
