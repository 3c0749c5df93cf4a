//! Loading a model, with errors that say what to do.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use llama_cpp_2::{
    llama_backend::LlamaBackend,
    model::{LlamaLoraAdapter, LlamaModel, params::LlamaModelParams},
    token::LlamaToken,
};
use tale_api::{Error, ErrorKind, Result};

use crate::{
    gguf::{self, Header},
    logs,
};

/// A model in memory with its adapters, before a context is made from it.
pub(crate) struct Loaded {
    pub(crate) model: Arc<LlamaModel>,
    pub(crate) adapter: Option<(LlamaLoraAdapter, f32)>,
    pub(crate) header: Header,
}

/// llama.cpp's process-wide state; started by the first model and never ended, because other models
/// of the process may use it.
pub(crate) fn backend() -> Result<&'static LlamaBackend> {
    static BACKEND: OnceLock<Result<LlamaBackend>> = OnceLock::new();
    let started = BACKEND.get_or_init(|| {
        logs::install();
        LlamaBackend::init().map_err(|e| {
            Error::new(ErrorKind::Internal, "llama.cpp cannot be started").caused_by(&e)
        })
    });
    started.as_ref().map_err(Clone::clone)
}

/// Loads `path` and applies `lora` to it.
///
/// Takes seconds for a large file: to be called where blocking is allowed.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::InvalidData`] as [`gguf::inspect`] finds; and
/// [`ErrorKind::InvalidData`] for what llama.cpp itself refuses, with its words as causes.
pub(crate) fn load(path: &Path, gpu_layers: u32, lora: Option<(&Path, f32)>) -> Result<Loaded> {
    let backend = backend()?;
    let header = gguf::inspect(path)?;
    if let Some((adapter, _)) = lora {
        gguf::inspect(adapter).map_err(|e| e.context("option", "lora.path"))?;
    }
    let parameters = LlamaModelParams::default().with_n_gpu_layers(gpu_layers);
    let (model, errors) = logs::capture(|| LlamaModel::load_from_file(backend, path, &parameters));
    let mut model = model.map_err(|e| refused(path, &header, errors, &e))?;
    let adapter = match lora {
        None => None,
        Some((path, scale)) => {
            let (adapter, errors) = logs::capture(|| model.lora_adapter_init(path));
            let adapter = adapter.map_err(|e| {
                let what = format!("`{}` is no LoRA adapter for this model", path.display());
                with_causes(Error::new(ErrorKind::InvalidData, what), errors, &e)
            })?;
            Some((adapter, scale))
        }
    };
    Ok(Loaded {
        model: Arc::new(model),
        adapter,
        header,
    })
}

fn refused(
    path: &Path,
    header: &Header,
    errors: Vec<String>,
    cause: &dyn std::error::Error,
) -> Error {
    let shown = path.display();
    let unknown = errors
        .iter()
        .any(|line| line.contains("unknown model architecture"));
    let error = match &header.architecture {
        Some(architecture) if unknown => Error::new(
            ErrorKind::InvalidData,
            format!("`{shown}` is a model of architecture `{architecture}`, which this llama.cpp does not know"),
        )
        .hint("use another model, or a newer build of the plugin"),
        _ => Error::new(ErrorKind::InvalidData, format!("llama.cpp cannot load the model `{shown}`")),
    };
    with_causes(error, errors, cause)
}

/// llama.cpp's own words where it logged any; its binding only knows that a pointer was null.
fn with_causes(mut error: Error, lines: Vec<String>, cause: &dyn std::error::Error) -> Error {
    if lines.is_empty() {
        error.causes.push(cause.to_string());
    } else {
        error.causes = lines;
    }
    error
}

/// How text becomes tokens and back.
pub(crate) trait Tokens {
    /// Tokens of a rendered prompt: special tokens in it are read as such, and a model that wants a
    /// token of beginning gets it once.
    fn prompt_tokens(&self, text: &str) -> Vec<LlamaToken>;
    /// Tokens of plain text; what looks like a special token is text.
    fn text_tokens(&self, text: &str) -> Vec<LlamaToken>;
    /// The text of a special token, empty where the model has none.
    fn special_text(&self, token: LlamaToken) -> String;
}

impl Tokens for LlamaModel {
    fn prompt_tokens(&self, text: &str) -> Vec<LlamaToken> {
        let vocab = self.vocab();
        let mut tokens = vocab.tokenize(text.as_bytes(), false, true);
        // Many templates write `bos_token` themselves.
        if vocab.should_add_bos() && tokens.first() != Some(&vocab.bos()) {
            tokens.insert(0, vocab.bos());
        }
        tokens
    }

    fn text_tokens(&self, text: &str) -> Vec<LlamaToken> {
        self.vocab().tokenize(text.as_bytes(), false, false)
    }

    fn special_text(&self, token: LlamaToken) -> String {
        if token.0 < 0 {
            return String::new();
        }
        String::from_utf8_lossy(&self.vocab().token_to_piece(token, true, None)).into_owned()
    }
}
