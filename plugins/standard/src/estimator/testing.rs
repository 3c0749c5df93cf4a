//! A model that says what a test tells it to, and remembers what it was asked.

use std::sync::Mutex;

use async_trait::async_trait;
use tale_api::{
    Completion, Error, Events, FinishReason, GenerateEvent, GenerateRequest, Llm, LlmInfo, Result,
    Timings, Usage,
};

pub(crate) struct ScriptedLlm {
    pub info: LlmInfo,
    pub reply: Result<String>,
    requests: Mutex<Vec<GenerateRequest>>,
}

impl ScriptedLlm {
    pub(crate) fn saying(reply: &str) -> Self {
        Self {
            info: LlmInfo::default(),
            reply: Ok(reply.to_owned()),
            requests: Mutex::default(),
        }
    }

    pub(crate) fn failing(error: Error) -> Self {
        Self {
            reply: Err(error),
            ..Self::saying("")
        }
    }

    pub(crate) fn requests(&self) -> Vec<GenerateRequest> {
        self.requests.lock().unwrap().clone()
    }
}

#[async_trait]
impl Llm for ScriptedLlm {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(self.info.clone())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        _: Events<GenerateEvent>,
    ) -> Result<Completion> {
        self.requests.lock().unwrap().push(request);
        Ok(Completion {
            text: self.reply.clone()?,
            reasoning: None,
            finish_reason: FinishReason::Stop,
            usage: Some(Usage {
                input_tokens: 90,
                output_tokens: 6,
                ..Usage::default()
            }),
            timings: Timings::default(),
            model: None,
            service_tier: None,
        })
    }
}
