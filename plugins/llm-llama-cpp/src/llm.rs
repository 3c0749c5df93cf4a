//! The model as the runtime sees it: check, render, submit, wait.

use std::{path::PathBuf, sync::Arc, time::Duration};

use llama_cpp_2::{model::LlamaModel, token::LlamaToken};
use tale_api::{
    Capabilities, Completion, CreateEnv, Error, ErrorKind, Events, GenerateEvent, GenerateRequest,
    Grammar, Llm, LlmInfo, Result, async_trait, export::within,
};
use tale_chat_template::ChatTemplate;
use tale_local_llm::{Drawing, check, digest, fits, options, ticket};

use crate::{
    engine::{Config, Engine, Job},
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
        let date = options::date(options.date.as_deref())?;
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
        let info = LlmInfo {
            model: options
                .model
                .or(ready.header.name)
                .unwrap_or_else(|| options::name_of(&path)),
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

    async fn answer(
        &self,
        request: GenerateRequest,
        events: &Events<GenerateEvent>,
    ) -> Result<Completion> {
        let drawing = Drawing::of(&request.sampling, request.seed.unwrap_or(self.seed))?;
        check(&request)?;
        let (ticket, pending) = ticket(&request, events.is_wanted());
        let grammar = request.grammar.map(gbnf).transpose()?;
        let text = self.template.render(&request.messages)?;
        let prompt = self.tokenize(text).await?;
        fits(prompt.len(), self.context)?;
        let job = Job {
            prompt,
            drawing,
            grammar,
            ticket,
            #[cfg(test)]
            fingerprint: Arc::default(),
        };
        self.engine.submit(job).await?;
        pending.wait(events).await
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

fn own_template(model: &LlamaModel, path: &std::path::Path) -> Result<String> {
    let template = model
        .chat_template(None)
        .ok()
        .and_then(|t| t.to_string().ok());
    template.ok_or_else(|| options::no_chat_template(path))
}

/// What tells these weights from others: the file's SHA-256, with the adapter's if there is one.
/// It is computed while the engine loads the file, so that the file is read once.
async fn identity(
    path: PathBuf,
    lora: Option<(PathBuf, f32)>,
    cache_dir: PathBuf,
) -> Result<String> {
    let hashed = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
        let weights = digest::of(&path, &cache_dir)?;
        let Some((adapter, scale)) = lora else {
            return Ok(format!("sha256:{weights}"));
        };
        let adapter = digest::of(&adapter, &cache_dir)?;
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
