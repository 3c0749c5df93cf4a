//! The estimator `zero-shot`: asks the model itself (paper, section 4).

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tale_api::{
    CreateEnv, Error, ErrorKind, Estimate, EstimateRequest, Estimator, Events, GenerateRequest,
    Grammar, Llm, Result, Sampling,
};

use super::{Reading, read_budget};
use crate::prompts::PromptSet;

/// `Budget: [[n]]` with n from 1 to 99999, in llama.cpp's notation.
const FORCED_FORM: &str = r#"root ::= "Budget: [[" [1-9] [0-9]? [0-9]? [0-9]? [0-9]? "]]""#;

/// Options of [`ZeroShot`].
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ZeroShotOptions {
    /// Forces the reply into the form `Budget: [[n]]`, for models that obey grammars. Small models
    /// often give no number otherwise.
    pub force_format: bool,
    /// The prompt, with `{question}` where the question belongs. Default: that of the run's prompt
    /// file, else the paper's.
    #[cfg_attr(test, schemars(extend("x-tale" = "estimate-prompt")))]
    pub prompt: Option<String>,
    /// The system message; empty for none. Default: the paper's, `You are a helpful assistant.`
    pub system: Option<String>,
    /// Sampling temperature; 0 is greedy. Default: the paper's 0.1.
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub temperature: f64,
    /// Nucleus sampling, in (0, 1]. Default: the model's own.
    #[cfg_attr(test, schemars(range(max = 1)))]
    pub top_p: Option<f64>,
    /// The most tokens of the estimate's reply. Default: 1024, as the paper's code has it.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub max_tokens: u32,
}

impl Default for ZeroShotOptions {
    fn default() -> Self {
        Self {
            force_format: false,
            prompt: None,
            system: None,
            temperature: 0.1,
            top_p: None,
            max_tokens: 1024,
        }
    }
}

/// Asks the model that will answer how many tokens the answer takes at least.
#[derive(Debug)]
pub struct ZeroShot {
    prompts: PromptSet,
    sampling: Sampling,
    max_tokens: u32,
    force_format: bool,
    seed: u64,
}

impl ZeroShot {
    /// Creates the estimator.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`]: a prompt without a place for the question, or a number out of
    /// range.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: ZeroShotOptions, env: CreateEnv) -> Result<Self> {
        let invalid =
            |message: String| Error::new(ErrorKind::InvalidOptions, message).operation("create");
        if options.temperature.is_nan() || options.temperature < 0.0 {
            return Err(invalid(format!(
                "`temperature` is {}, not 0 or more",
                options.temperature
            )));
        }
        if options.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
            return Err(invalid("`top_p` is not above 0 and at most 1".to_owned()));
        }
        if options.max_tokens == 0 {
            return Err(
                invalid("`max_tokens` is 0".to_owned()).hint("an estimate takes some 10 tokens")
            );
        }
        let prompts = PromptSet::standard()
            .with_estimate(options.prompt, options.system)
            .map_err(|e| {
                let error = Error::from(e);
                Error {
                    kind: ErrorKind::InvalidOptions,
                    ..error
                }
            })?;
        Ok(Self {
            prompts,
            sampling: Sampling {
                temperature: Some(options.temperature),
                top_p: options.top_p,
                ..Sampling::default()
            },
            max_tokens: options.max_tokens,
            force_format: options.force_format,
            seed: env.seed,
        })
    }
}

#[async_trait]
impl Estimator for ZeroShot {
    async fn estimate(&self, request: EstimateRequest, llm: Arc<dyn Llm>) -> Result<Estimate> {
        let info = llm.info().await?;
        if self.force_format && !info.capabilities.grammar {
            return Err(Error::new(ErrorKind::Unsupported, format!("the model `{}` obeys no grammar, and `force_format` needs one", info.model))
                .operation("estimate")
                .hint("leave `force_format` out, or use a model that can be forced, such as those of the plugin `llama-cpp`"));
        }
        let ask = GenerateRequest {
            sampling: self.sampling,
            max_tokens: Some(self.max_tokens),
            seed: Some(self.seed),
            grammar: self
                .force_format
                .then(|| Grammar::Gbnf(FORCED_FORM.to_owned())),
            ..GenerateRequest::new(self.prompts.estimate(&request.text))
        };
        let completion = llm.generate(ask, Events::ignored()).await?;
        let (budget, fallback) = match read_budget(&completion.text, info.context_length) {
            Reading::Asked(budget) => (Some(budget), None),
            Reading::Guessed(budget, note) => (Some(budget), Some(note)),
            Reading::Unusable(reason) => (None, Some(reason)),
        };
        Ok(Estimate {
            budget,
            usage: completion.usage.unwrap_or_default(),
            raw: Some(completion.text),
            fallback,
        })
    }
}

#[cfg(test)]
mod tests {
    use tale_api::{Capabilities, LlmInfo, Message, Question, Usage};

    use super::*;
    use crate::estimator::testing::ScriptedLlm;

    async fn estimator(options: &str) -> ZeroShot {
        let env = CreateEnv {
            seed: 1024,
            ..CreateEnv::default()
        };
        ZeroShot::create(serde_json::from_str(options).unwrap(), env)
            .await
            .unwrap()
    }

    fn request() -> EstimateRequest {
        EstimateRequest {
            question: Question::default(),
            text: "What is {2}+2?".to_owned(),
        }
    }

    #[tokio::test]
    async fn the_model_is_asked_as_the_paper_does() {
        let llm = Arc::new(ScriptedLlm::saying("Budget: [[12]]"));
        let estimate = estimator("{}")
            .await
            .estimate(request(), llm.clone())
            .await
            .unwrap();
        assert_eq!((estimate.budget, estimate.fallback), (Some(12), None));
        assert_eq!(estimate.raw.as_deref(), Some("Budget: [[12]]"));
        assert_eq!(
            estimate.usage,
            Usage {
                input_tokens: 90,
                output_tokens: 6,
                ..Usage::default()
            }
        );
        let [asked] = llm.requests().try_into().unwrap();
        assert_eq!(
            asked.messages,
            PromptSet::standard().estimate("What is {2}+2?")
        );
        assert_eq!(
            asked.sampling,
            Sampling {
                temperature: Some(0.1),
                ..Sampling::default()
            }
        );
        assert_eq!(
            (asked.max_tokens, asked.seed, asked.grammar),
            (Some(1024), Some(1024), None)
        );
    }

    #[tokio::test]
    async fn an_unusable_reply_is_a_fallback_that_still_costs() {
        let mut llm = ScriptedLlm::saying("[[5000]]");
        llm.info = LlmInfo {
            context_length: Some(4096),
            ..LlmInfo::default()
        };
        let estimate = estimator("{}")
            .await
            .estimate(request(), Arc::new(llm))
            .await
            .unwrap();
        assert_eq!(estimate.budget, None);
        assert!(estimate.fallback.unwrap().contains("4096"));
        assert_eq!(estimate.usage.output_tokens, 6);
        assert_eq!(estimate.raw.as_deref(), Some("[[5000]]"));
    }

    #[tokio::test]
    async fn a_guessed_budget_is_used_and_noted() {
        let llm = Arc::new(ScriptedLlm::saying("[[~50 tokens]]"));
        let estimate = estimator("{}")
            .await
            .estimate(request(), llm)
            .await
            .unwrap();
        assert_eq!(estimate.budget, Some(50));
        assert_eq!(
            estimate.fallback.as_deref(),
            Some("read from `[[~50 tokens]]`")
        );
    }

    #[tokio::test]
    async fn a_form_is_forced_only_on_a_model_that_obeys() {
        let forced = estimator(r#"{"force_format": true}"#).await;
        let deaf = Arc::new(ScriptedLlm::saying("[[12]]"));
        let error = forced.estimate(request(), deaf.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.hint.unwrap().contains("`force_format`"));
        assert_eq!(deaf.requests().len(), 0);

        let mut obedient = ScriptedLlm::saying("Budget: [[12]]");
        obedient.info.capabilities = Capabilities {
            grammar: true,
            ..Capabilities::default()
        };
        let obedient = Arc::new(obedient);
        assert_eq!(
            forced
                .estimate(request(), obedient.clone())
                .await
                .unwrap()
                .budget,
            Some(12)
        );
        assert_eq!(
            obedient.requests()[0].grammar,
            Some(Grammar::Gbnf(FORCED_FORM.to_owned()))
        );
    }

    #[tokio::test]
    async fn an_error_of_the_model_is_handed_on_unchanged() {
        let error = Error::new(ErrorKind::RateLimited, "HTTP 429").retry_after_s(2.0);
        let llm = Arc::new(ScriptedLlm::failing(error.clone()));
        assert_eq!(
            estimator("{}")
                .await
                .estimate(request(), llm)
                .await
                .unwrap_err(),
            error
        );
    }

    #[tokio::test]
    async fn prompt_and_sampling_can_be_replaced() {
        let options = r#"{"prompt": "How long? {question}", "system": "", "temperature": 0, "top_p": 0.9, "max_tokens": 20}"#;
        let llm = Arc::new(ScriptedLlm::saying("[[12]]"));
        estimator(options)
            .await
            .estimate(request(), llm.clone())
            .await
            .unwrap();
        let asked = llm.requests().remove(0);
        assert_eq!(asked.messages, [Message::user("How long? What is {2}+2?")]);
        assert_eq!(
            asked.sampling,
            Sampling {
                temperature: Some(0.0),
                top_p: Some(0.9),
                ..Sampling::default()
            }
        );
        assert_eq!(asked.max_tokens, Some(20));
    }

    #[tokio::test]
    async fn options_out_of_range_are_refused() {
        for options in [
            r#"{"prompt": "no place"}"#,
            r#"{"temperature": -1}"#,
            r#"{"top_p": 0}"#,
            r#"{"top_p": 1.5}"#,
            r#"{"max_tokens": 0}"#,
        ] {
            let options = serde_json::from_str(options).unwrap();
            let error = ZeroShot::create(options, CreateEnv::default())
                .await
                .unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidOptions, "{error}");
        }
    }
}
