//! Questions, how they are paged, and how answers are judged.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Error, ErrorKind};

/// What kind of answer a question wants; grading and prompts go by it, never by a data set's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnswerKind {
    /// A number, asked for as `[[answer]]`.
    #[default]
    Number,
    /// One of the question's options, asked for by letter as `[[choice]]`.
    Choice,
    /// A mathematical expression, as in cloze questions; no format is asked for.
    Math,
    /// Free text, compared as text.
    Text,
}

impl AnswerKind {
    /// The name used in manifests and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Choice => "choice",
            Self::Math => "math",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for AnswerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AnswerKind {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        [Self::Number, Self::Choice, Self::Math, Self::Text]
            .into_iter()
            .find(|k| k.as_str() == s)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidInput,
                    format!("unknown kind of answer `{s}`"),
                )
                .hint("known are `number`, `choice`, `math`, `text`")
            })
    }
}

/// One question of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Unique within its data set and the same at every run.
    pub id: String,
    /// The bare question, without any instruction; options are not part of it.
    pub text: String,
    /// The right answer, as the data set gives it; absent where nobody knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gold: Option<String>,
    /// What kind of answer is wanted.
    #[serde(default)]
    pub kind: AnswerKind,
    /// `en`, `zh`, …; chooses the prompt. Absent: `en`.
    #[serde(default = "english", skip_serializing_if = "is_english")]
    pub language: String,
    /// The options of a choice question in order, without letters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            id: String::new(),
            text: String::new(),
            gold: None,
            kind: AnswerKind::default(),
            language: english(),
            options: Vec::new(),
        }
    }
}

fn english() -> String {
    "en".to_owned()
}

fn is_english(language: &str) -> bool {
    language == "en"
}

/// A request for the next questions of a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequest {
    /// [`Page::next`] of the page before; absent for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The most questions to return, at least 1. A page may be shorter without being the last.
    pub limit: u32,
}

/// Some questions of a data set, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The questions.
    pub questions: Vec<Question>,
    /// Where the next page starts; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Asks a data set to judge an answer by its own rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GradeRequest {
    /// The question with its gold answer.
    pub question: Question,
    /// The model's whole visible text.
    pub completion: String,
}

/// What a grader found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The answer equals the gold answer.
    Correct,
    /// It does not, or there is none.
    Wrong,
    /// The grader cannot tell; counted apart and reported, scored as wrong.
    #[default]
    Undecided,
}

/// A judged answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// The answer found in the completion, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in one line.
    pub reason: String,
}
