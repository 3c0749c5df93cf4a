//! A language model.

use async_trait::async_trait;

use super::Events;
use crate::messages::{
    Completion, Error, ErrorKind, GenerateEvent, GenerateRequest, LlmInfo, Result,
};

/// A language model that answers prompts.
///
/// The runtime calls one instance with up to `concurrency` requests at a time; a local model batches
/// them, a remote one sends them side by side.
#[async_trait]
pub trait Llm: Send + Sync {
    /// What this model is and can do. Called once after creation; does not change afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it can only be asked for over a network that does not answer.
    async fn info(&self) -> Result<LlmInfo>;

    /// Answers `request`, handing the text over in parts as it comes.
    ///
    /// The parts joined in order are the returned text. A completion that did not end by itself is
    /// no error but says so in `finish_reason`; a stream that breaks is an error, never a short
    /// answer.
    ///
    /// # Errors
    /// * [`ErrorKind::ContextLength`]: the prompt does not fit; says both lengths.
    /// * [`ErrorKind::InvalidInput`]: no message, or a sampling parameter out of range.
    /// * [`ErrorKind::Unsupported`]: a grammar where the model cannot be forced.
    /// * [`ErrorKind::RateLimited`], [`ErrorKind::Unavailable`], [`ErrorKind::Timeout`]: may
    ///   succeed later; the plugin has done its own retries already.
    /// * [`ErrorKind::Unauthorized`], [`ErrorKind::QuotaExhausted`]: final for the whole run.
    ///
    /// # Cancellation
    /// Dropping the future frees the slot or closes the connection.
    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion>;

    /// Tokens of `text` by the model's own tokenizer, without any template or special tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the tokenizer is not known (the default).
    async fn count_tokens(&self, text: &str) -> Result<u64> {
        let _ = text;
        Err(Error::new(
            ErrorKind::Unsupported,
            "this model cannot count tokens",
        ))
    }
}
