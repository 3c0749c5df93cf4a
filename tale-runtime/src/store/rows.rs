//! What the journal holds, as the rest of the runtime sees it.
//!
//! These are types of their own, not the boundary's messages: a journal written today is read by
//! next year's `tale`, whatever the messages have become.

/// One column of the experiment: a model on a data set by a method.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Cell {
    /// The model's name in results.
    pub llm: String,
    /// The data set's name in results.
    pub dataset: String,
    /// The method, for instance `tale-ep` or `fixed-50`.
    pub method: String,
}

/// Identifies a [`Cell`] within one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellId(pub i64);

/// Identifies a finished call within one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub i64);

/// What tells a call from every other: everything that changes its answer, hashed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub [u8; 16]);

/// A finished call, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRow {
    /// The last user message: what the model was asked.
    pub prompt: String,
    /// The visible text of the answer.
    pub completion: String,
    /// Reasoning shown apart from the answer.
    pub reasoning: Option<String>,
    /// `stop`, `length`, …
    pub finish_reason: String,
    /// Prompt tokens, cached ones included; absent where nobody could count.
    pub input_tokens: Option<u64>,
    /// The part of `input_tokens` that a cache answered for.
    pub cached_input_tokens: u64,
    /// Tokens generated, reasoning included.
    pub output_tokens: Option<u64>,
    /// The part of `output_tokens` that was hidden reasoning.
    pub reasoning_tokens: u64,
    /// Seconds from the start of work to the end of the answer, waiting for a slot left out.
    pub latency_s: f64,
    /// Price in US dollars, where the model has one; also of an answer from the cache, which was
    /// paid for by another run.
    pub cost_usd: Option<f64>,
    /// The model that answered, where it is not the one asked.
    pub model: Option<String>,
    /// The provider's class of service that answered, where it says so.
    pub service_tier: Option<String>,
    /// Whether the answer was another run's, found in the cache: nothing was paid for it here.
    pub from_cache: bool,
}

/// How a sample was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The answer equals the gold answer.
    Correct,
    /// It does not, or there is none in the text.
    Wrong,
    /// The grader could not tell; scored as wrong, counted apart.
    Undecided,
    /// The answer was cut at `max_tokens` before any visible text; scored as wrong, counted apart.
    Empty,
    /// The question has no gold answer; counts for tokens, not for accuracy.
    Ungraded,
    /// The model gave no answer; counted as an error, never as wrong.
    Failed,
}

impl Outcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Correct,
        Self::Wrong,
        Self::Undecided,
        Self::Empty,
        Self::Ungraded,
        Self::Failed,
    ];

    /// The name kept in the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Wrong => "wrong",
            Self::Undecided => "undecided",
            Self::Empty => "empty",
            Self::Ungraded => "ungraded",
            Self::Failed => "failed",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == name)
    }
}

/// A finished sample, to be recorded: one question answered by one method.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSample {
    /// Which column.
    pub cell: CellId,
    /// Position of the question in its data set, from 0.
    pub position: u64,
    /// Which answer to the same question, from 0.
    pub repeat: u32,
    /// How it was judged.
    pub outcome: Outcome,
    /// The answer found in the text.
    pub answer: Option<String>,
    /// Why it was judged so, in one line.
    pub reason: Option<String>,
    /// The budget asked for, in tokens.
    pub budget: Option<u32>,
    /// How the budget was come by if not in the usual way.
    pub fallback: Option<String>,
    /// The answering call.
    pub answer_call: Option<CallId>,
    /// The calls of the estimate, in order.
    pub estimate_calls: Vec<CallId>,
    /// Kind and text of the error, for [`Outcome::Failed`].
    pub error: Option<(String, String)>,
}

impl NewSample {
    /// A sample that nothing has answered: failed, unless more is said of it.
    #[must_use]
    pub fn unanswered(cell: CellId, position: u64, repeat: u32) -> Self {
        Self {
            cell,
            position,
            repeat,
            outcome: Outcome::Failed,
            answer: None,
            reason: None,
            budget: None,
            fallback: None,
            answer_call: None,
            estimate_calls: Vec::new(),
            error: None,
        }
    }
}

/// A finished sample joined with its question and calls: a line of `samples.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleRow {
    /// Position of the question in its data set, from 0.
    pub position: u64,
    /// Which answer to the same question, from 0.
    pub repeat: u32,
    /// The question's id.
    pub id: String,
    /// The bare question, options appended.
    pub question: String,
    /// The gold answer.
    pub gold: Option<String>,
    /// Kind of answer: `number`, `choice`, `math`, `text`.
    pub kind: String,
    /// How it was judged.
    pub outcome: Outcome,
    /// The answer found in the text.
    pub answer: Option<String>,
    /// Why it was judged so.
    pub reason: Option<String>,
    /// The budget asked for, in tokens.
    pub budget: Option<u32>,
    /// How the budget was come by if not in the usual way.
    pub fallback: Option<String>,
    /// The answering call; absent for a failed sample.
    pub call: Option<CallRow>,
    /// The calls of the estimate, in order.
    pub estimate: Vec<CallRow>,
    /// Kind and text of the error.
    pub error: Option<(String, String)>,
}

/// The numbers of one sample, for statistics: small enough to hold a million.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// Position of the question in its data set.
    pub position: u64,
    /// Which answer to the same question, from 0.
    pub repeat: u32,
    /// How it was judged.
    pub outcome: Outcome,
    /// Whether the budget was come by in another way than the usual.
    pub fell_back: bool,
    /// The budget asked for.
    pub budget: Option<u32>,
    /// Prompt tokens of the answering call.
    pub input_tokens: Option<u32>,
    /// Tokens generated by the answering call.
    pub output_tokens: Option<u32>,
    /// Tokens generated by the estimate's calls.
    pub estimate_output_tokens: u32,
    /// Price of all calls in US dollars.
    pub cost_usd: Option<f64>,
    /// Seconds of all calls, one after the other.
    pub latency_s: f64,
}
