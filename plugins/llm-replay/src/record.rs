//! The lines of a recorded run, as far as an answer needs them.

use std::borrow::Cow;

use serde::Deserialize;
use tale_api::{FinishReason, Usage};

/// A line of `samples.jsonl` or `search.jsonl`. Texts are borrowed where the JSON has no escapes;
/// unknown fields are passed over.
#[derive(Deserialize)]
pub(crate) struct Record<'a> {
    #[serde(borrow)]
    pub llm: Option<Text<'a>>,
    #[serde(borrow)]
    pub method: Option<Text<'a>>,
    #[serde(borrow)]
    pub prompt: Option<Text<'a>>,
    #[serde(borrow)]
    pub completion: Option<Text<'a>>,
    #[serde(borrow)]
    pub error: Option<Text<'a>>,
    pub input_tokens: Option<u64>,
    pub cached_input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub finish_reason: Option<FinishReason>,
    #[serde(borrow)]
    pub estimate_prompt: Option<Text<'a>>,
    #[serde(borrow)]
    pub estimate_completion: Option<Text<'a>>,
    pub estimate_input_tokens: Option<u64>,
    pub estimate_output_tokens: Option<u64>,
    // Of a search: the question and the budget found, in place of a prompt.
    #[serde(borrow)]
    pub question: Option<Text<'a>>,
    pub budget: Option<u32>,
    /// Tells a search from a sample.
    #[serde(borrow)]
    trace: Option<Vec<Tried<'a>>>,
    #[serde(borrow)]
    vanilla: Option<Tried<'a>>,
}

/// An answer within a search; the vanilla one has no budget.
#[derive(Deserialize)]
struct Tried<'a> {
    budget: Option<u32>,
    output_tokens: Option<u64>,
    /// Searches of the first version kept the text of the result only.
    #[serde(borrow)]
    completion: Option<Text<'a>>,
    finish_reason: Option<FinishReason>,
}

/// A text that is copied only if it must be.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A recorded answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub text: String,
    pub finish_reason: FinishReason,
    pub usage: Option<Usage>,
}

/// What an answer is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key<'a> {
    /// The last user message.
    Prompt(&'a str),
    /// Of a search: the question's text and the budget asked for.
    Searched(&'a str, Option<u32>),
}

impl<'a> Record<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }

    /// What this line answers.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        let searched = self
            .question
            .as_ref()
            .filter(|_| self.trace.is_some() && self.completion.is_some());
        let asked = self.prompt.as_ref().map(|p| Key::Prompt(&p.0));
        let estimated = self.estimate_prompt.as_ref().map(|p| Key::Prompt(&p.0));
        let of_search = self.question.as_ref().filter(|_| self.trace.is_some());
        let tried = self.tried().filter(|t| t.completion.is_some());
        asked
            .into_iter()
            .chain(estimated)
            .chain(searched.map(|q| Key::Searched(&q.0, self.budget)))
            .chain(of_search.into_iter().flat_map(move |q| {
                let budgets: Vec<_> = tried.clone().map(|t| t.budget).collect();
                budgets
                    .into_iter()
                    .map(|budget| Key::Searched(&q.0, budget))
            }))
    }

    fn tried(&self) -> impl Iterator<Item = &Tried<'a>> + Clone {
        self.vanilla.iter().chain(self.trace.iter().flatten())
    }

    /// Its answer to `key`; the error text where the recorded call failed.
    pub(crate) fn answer(&self, key: Key<'_>) -> Option<Result<Answer, String>> {
        let is =
            |text: &Option<Text<'_>>, wanted: &str| text.as_ref().is_some_and(|t| t.0 == wanted);
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|t| t.0.clone().into_owned());
        match key {
            Key::Prompt(prompt) if is(&self.prompt, prompt) => Some(match text(&self.completion) {
                Some(completion) => Ok(Answer {
                    text: completion,
                    finish_reason: self.finish_reason.unwrap_or(FinishReason::Stop),
                    usage: usage(
                        self.input_tokens,
                        self.cached_input_tokens,
                        self.output_tokens,
                    ),
                }),
                None => Err(text(&self.error).unwrap_or_else(|| "no reason recorded".to_owned())),
            }),
            Key::Prompt(prompt) if is(&self.estimate_prompt, prompt) => Some(Ok(Answer {
                text: text(&self.estimate_completion)?,
                finish_reason: FinishReason::Stop,
                usage: usage(
                    self.estimate_input_tokens,
                    None,
                    self.estimate_output_tokens,
                ),
            })),
            Key::Searched(question, budget)
                if is(&self.question, question)
                    && let Some(tried) = self.tried().find(|t| t.budget == budget)
                    && let Some(completion) = text(&tried.completion) =>
            {
                Some(Ok(Answer {
                    text: completion,
                    finish_reason: tried.finish_reason.unwrap_or(FinishReason::Stop),
                    usage: usage(Some(0), None, tried.output_tokens),
                }))
            }
            Key::Searched(question, budget)
                if is(&self.question, question) && self.budget == budget =>
            {
                Some(Ok(Answer {
                    text: text(&self.completion)?,
                    finish_reason: FinishReason::Stop,
                    // A search records no input tokens.
                    usage: usage(Some(0), None, self.output_tokens),
                }))
            }
            _ => None,
        }
    }
}

fn usage(input: Option<u64>, cached: Option<u64>, output: Option<u64>) -> Option<Usage> {
    Some(Usage {
        input_tokens: input?,
        cached_input_tokens: cached.unwrap_or(0),
        output_tokens: output?,
        reasoning_tokens: 0,
    })
}
