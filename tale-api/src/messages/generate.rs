//! What is asked of a language model, and what it answers.

use serde::{Deserialize, Serialize};

/// Who speaks in a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text, as written; the model's own chat template is applied by the plugin.
    pub content: String,
}

impl Message {
    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self {
            role: Role::System,
            content: content.into(),
        }
    }

    /// A user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self {
            role: Role::User,
            content: content.into(),
        }
    }

    /// An assistant message.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self {
            role: Role::Assistant,
            content: content.into(),
        }
    }
}

/// How the next token is drawn. What is absent is the model's or provider's own default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy. Paper A.3: 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling: the smallest set of tokens whose probability reaches this, in (0, 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Only the `k` most probable tokens; 0 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Divides the logits of tokens seen already; 1 is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
}

/// A rule that the completion must follow, for models that can be forced
/// ([`Capabilities::grammar`](crate::Capabilities::grammar)).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Grammar {
    /// llama.cpp's grammar notation, start symbol `root`.
    Gbnf(String),
    /// A JSON Schema, as text.
    JsonSchema(String),
}

/// How hard a reasoning model thinks, in the words of the providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// As little as the model can.
    Minimal,
    /// Little.
    Low,
    /// The usual.
    Medium,
    /// Much.
    High,
}

/// Limits on hidden reasoning, for models whose provider takes them
/// ([`Capabilities::reasoning`](crate::Capabilities::reasoning)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReasoningBudget {
    /// How hard to think.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// The most tokens of hidden reasoning; 0 asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

/// A request to [`Llm::generate`](crate::Llm::generate).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    /// The conversation so far, oldest first; at least one message.
    pub messages: Vec<Message>,
    /// How tokens are drawn.
    #[serde(default)]
    pub sampling: Sampling,
    /// The most tokens to generate, reasoning included. Absent: what the context leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Texts that end the completion; they are not part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Seed of the sampler; see [`Capabilities::seed`](crate::Capabilities::seed) for its worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Forces the form of the completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grammar: Option<Grammar>,
    /// Limits the hidden reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningBudget>,
    /// Seconds after which the call fails with [`ErrorKind::Timeout`](crate::ErrorKind::Timeout).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
}

impl GenerateRequest {
    /// A request with these messages and every default.
    #[must_use]
    pub fn new(messages: Vec<Message>) -> Self {
        Self {
            messages,
            ..Self::default()
        }
    }
}

/// Why a completion ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended its turn, or a stop text was reached.
    #[default]
    Stop,
    /// `max_tokens` or the context was reached.
    Length,
    /// The provider withheld the rest.
    ContentFilter,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

impl FinishReason {
    /// The name used in messages and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
            Self::Other => "other",
        }
    }
}

/// Tokens of one call, as the provider or the model's own tokenizer counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the whole prompt, `cached_input_tokens` included.
    pub input_tokens: u64,
    /// The part of `input_tokens` that a cache answered for.
    #[serde(default)]
    pub cached_input_tokens: u64,
    /// Tokens generated, `reasoning_tokens` included; a final end-of-turn token is not counted.
    pub output_tokens: u64,
    /// The part of `output_tokens` that was hidden reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.cached_input_tokens += other.cached_input_tokens;
        self.output_tokens += other.output_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
    }
}

/// Where the time of one call went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Waiting for a slot, a permit or a rate limit.
    #[serde(default)]
    pub queue_s: f64,
    /// From the start of work to the first token.
    #[serde(default)]
    pub first_token_s: f64,
    /// From the start of work to the end; `queue_s` is not in it.
    #[serde(default)]
    pub total_s: f64,
}

/// The answer to a [`GenerateRequest`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The visible text, without stop text and without reasoning.
    pub text: String,
    /// Reasoning that the provider shows apart from the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it cost in tokens. Absent only if neither provider nor tokenizer can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Where the time went.
    #[serde(default)]
    pub timings: Timings,
    /// The model that answered, where the provider names it and it may differ from the one asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider's class of service that answered (`flex`, `batch`, …), where it has a price of
    /// its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
}

impl Completion {
    /// A completion that the model ended by itself, with what it cost.
    #[must_use]
    pub fn new(text: impl Into<String>, usage: Usage) -> Self {
        Self {
            text: text.into(),
            usage: Some(usage),
            ..Self::default()
        }
    }
}

/// A part of a completion as it is generated.
///
/// The deltas of one call, joined in order from the last `Restart` on, are the completion's `text` and
/// `reasoning`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum GenerateEvent {
    /// More of the visible text.
    Delta {
        /// The new part; never empty.
        text: String,
    },
    /// More of the reasoning.
    ReasoningDelta {
        /// The new part; never empty.
        text: String,
    },
    /// The deltas so far are void: a stream broke, and the call begins anew.
    Restart,
    /// What the call is waiting for, for people who watch: a retry, a batch under way.
    Status {
        /// One short line.
        text: String,
    },
    /// An event that this version does not know; to be ignored.
    #[serde(other)]
    Unknown,
}
