//! A model that answers at once, for measuring what the boundary costs.

use tale_api::{
    Completion, CreateEnv, Events, GenerateEvent, GenerateRequest, Llm, LlmInfo, Result, Usage,
    async_trait,
};

use crate::healthy::NoOptions;

/// Answers 1 KB at once, after as many events as `max_tokens` asks for.
pub struct Instant;

impl Instant {
    /// Creates the model.
    pub(crate) async fn create(_options: NoOptions, _env: CreateEnv) -> Result<Self> {
        Ok(Self)
    }
}

#[async_trait]
impl Llm for Instant {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(LlmInfo {
            model: "instant".to_owned(),
            ..LlmInfo::default()
        })
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        for _ in 0..request.max_tokens.unwrap_or(0) {
            events.send(GenerateEvent::Delta {
                text: "token ".to_owned(),
            });
        }
        let usage = Usage {
            input_tokens: 512,
            output_tokens: 256,
            ..Usage::default()
        };
        Ok(Completion::new("answer ".repeat(146), usage))
    }
}
