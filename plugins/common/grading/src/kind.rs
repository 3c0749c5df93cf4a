//! What kind of answer is expected, and the three verdicts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kind of answer a question asks for; it selects extraction and equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// One number, compared exactly as a rational (GSM8K).
    Number,
    /// One or more option letters (`AQuA`, GPQA, `MathBench`).
    Choice,
    /// A mathematical object: expression, set, interval, matrix, equation, … (MATH).
    Math,
    /// Free text, compared after folding case, spaces and surrounding punctuation.
    Text,
}

impl AnswerKind {
    /// Every kind, in the order of the declaration.
    pub const ALL: [Self; 4] = [Self::Number, Self::Choice, Self::Math, Self::Text];

    /// The name as it stands in files and manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
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
        f.pad(self.as_str())
    }
}

/// The error of [`AnswerKind::from_str`]: a name that is none of the four kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKind {
    /// The name as it was given.
    pub found: String,
}

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown answer kind `{}`: expected `number`, `choice`, `math` or `text`",
            self.found
        )
    }
}

impl std::error::Error for UnknownKind {}

impl FromStr for AnswerKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| UnknownKind {
                found: name.to_owned(),
            })
    }
}

/// Whether an answer equals the gold answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Equal.
    Correct,
    /// Not equal, or no answer was found in the completion.
    Wrong,
    /// Neither could be shown: a side could not be read, or is beyond the bounds.
    /// It is a state of its own, to be counted apart from [`Verdict::Wrong`].
    Undecided,
}

impl Verdict {
    /// `Some(true)` or `Some(false)` for a decision, `None` where there is none.
    #[must_use]
    pub const fn is_correct(self) -> Option<bool> {
        match self {
            Self::Correct => Some(true),
            Self::Wrong => Some(false),
            Self::Undecided => None,
        }
    }

    /// The name as it stands in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Wrong => "wrong",
            Self::Undecided => "undecided",
        }
    }

    /// The conjunction: wrong if a part is wrong, else undecided if a part is undecided.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Wrong, _) | (_, Self::Wrong) => Self::Wrong,
            (Self::Undecided, _) | (_, Self::Undecided) => Self::Undecided,
            _ => Self::Correct,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in AnswerKind::ALL {
            assert_eq!(kind.to_string().parse::<AnswerKind>(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }

    #[test]
    fn unknown_kind_names_the_choices() {
        let error = "maths".parse::<AnswerKind>().unwrap_err();
        assert!(error.to_string().contains("`maths`") && error.to_string().contains("`math`"));
    }

    #[test]
    fn a_wrong_part_outweighs_an_undecided_one() {
        assert_eq!(Verdict::Undecided.and(Verdict::Wrong), Verdict::Wrong);
        assert_eq!(Verdict::Correct.and(Verdict::Undecided), Verdict::Undecided);
    }
}
