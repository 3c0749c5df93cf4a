//! The methods of an evaluation, by the names that manifests use.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tale_api::{Effort, ReasoningBudget};

use super::PromptError;

/// A way of asking a question.
///
/// A method is a name and a template: whatever a prompt set calls by a name of its own is a method
/// too ([`Method::Template`]). [`PromptSet::method`](super::PromptSet::method) resolves a name and
/// refuses what no template stands behind; [`FromStr`] knows only the forms made of `direct` and
/// `vanilla-cot`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Method {
    /// The answer alone, without reasoning: `direct`.
    Direct,
    /// Chain of thought without a budget: `vanilla-cot`.
    VanillaCot,
    /// Chain of thought under a budget that an estimator gives for each question: `tale-ep`.
    TaleEp,
    /// The same with a factor of its own on the estimate (paper A.8): `tale-ep@0.5`.
    TaleEpAt(Alpha),
    /// Chain of thought under the same budget for all questions, in tokens, at least 1: `fixed-50`.
    Fixed(u32),
    /// Vanilla's prompt, with the provider asked to think so hard: `effort-low`.
    Effort(Effort),
    /// Vanilla's prompt, with the provider asked for at most so many tokens of hidden reasoning:
    /// `thinking-1024`.
    Thinking(u32),
    /// A template of the prompt set, by its name.
    Template(String),
    /// A template with a place for a number, and the number: `ccot-45`.
    Limited {
        /// The template's name, without the number.
        template: String,
        /// The number, at least 1.
        limit: u32,
        /// What the template counts.
        unit: LimitUnit,
    },
}

/// What the number of a [`Method::Limited`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitUnit {
    /// Tokens, so the number is a budget: `{budget}` in the template.
    Tokens,
    /// Words, steps, …: `{n}` in the template.
    Other,
}

/// A factor on estimates, in thousandths, so that a method has one name only: at least 0.001.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alpha(u32);

impl Alpha {
    /// The factor.
    #[must_use]
    pub fn factor(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// Reads digits with at most three decimals, without needless zeros: `2`, `0.5`, `1.25`.
    fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        if decimals.len() > 3 {
            return None;
        }
        let thousandths: u32 = format!("{whole}{decimals:0<3}").parse().ok()?;
        let alpha = Self(thousandths);
        // Written back it must be the same text: one factor, one name.
        (thousandths > 0 && alpha.to_string() == text).then_some(alpha)
    }
}

impl fmt::Display for Alpha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.factor())
    }
}

impl Method {
    /// Whether a budget must be estimated before the question can be asked.
    #[must_use]
    pub fn needs_estimate(&self) -> bool {
        matches!(self, Self::TaleEp | Self::TaleEpAt(_))
    }

    /// The method's own factor on estimates; none leaves it to the manifest.
    #[must_use]
    pub fn alpha(&self) -> Option<f64> {
        match self {
            Self::TaleEpAt(alpha) => Some(alpha.factor()),
            _ => None,
        }
    }

    /// The budget that the method itself carries, in tokens.
    #[must_use]
    pub fn fixed_budget(&self) -> Option<u32> {
        match self {
            Self::Fixed(budget)
            | Self::Limited {
                limit: budget,
                unit: LimitUnit::Tokens,
                ..
            } => Some(*budget),
            _ => None,
        }
    }

    /// The limit on hidden reasoning that the provider is asked to keep.
    #[must_use]
    pub fn reasoning(&self) -> Option<ReasoningBudget> {
        let (effort, max_tokens) = match self {
            Self::Effort(effort) => (Some(*effort), None),
            Self::Thinking(tokens) => (None, Some(*tokens)),
            _ => return None,
        };
        Some(ReasoningBudget { effort, max_tokens })
    }
}

/// The efforts by the names that methods use.
const EFFORTS: [(&str, Effort); 4] = [
    ("minimal", Effort::Minimal),
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
];

/// A number in plain digits, so that a method has one name only.
fn plain(digits: &str) -> Option<u32> {
    let is_plain = digits == "0" || !digits.starts_with('0');
    (is_plain && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::VanillaCot => f.write_str("vanilla-cot"),
            Self::TaleEp => f.write_str("tale-ep"),
            Self::TaleEpAt(alpha) => write!(f, "tale-ep@{alpha}"),
            Self::Fixed(budget) => write!(f, "fixed-{budget}"),
            Self::Effort(effort) => {
                let known = EFFORTS.iter().find(|(_, e)| e == effort);
                write!(f, "effort-{}", known.map_or("", |(name, _)| name))
            }
            Self::Thinking(tokens) => write!(f, "thinking-{tokens}"),
            Self::Template(name) => f.write_str(name),
            Self::Limited {
                template, limit, ..
            } => write!(f, "{template}-{limit}"),
        }
    }
}

impl FromStr for Method {
    type Err = PromptError;

    fn from_str(name: &str) -> Result<Self, PromptError> {
        match name {
            "direct" => return Ok(Self::Direct),
            "vanilla-cot" => return Ok(Self::VanillaCot),
            "tale-ep" => return Ok(Self::TaleEp),
            _ => {}
        }
        if let Some(alpha) = name.strip_prefix("tale-ep@").and_then(Alpha::parse) {
            return Ok(Self::TaleEpAt(alpha));
        }
        let effort = |name: &str| {
            let known = EFFORTS.iter().find(|(known, _)| *known == name);
            known.map(|(_, effort)| Self::Effort(*effort))
        };
        name.strip_prefix("fixed-")
            .and_then(positive)
            .map(Self::Fixed)
            .or_else(|| effort(name.strip_prefix("effort-")?))
            .or_else(|| Some(Self::Thinking(plain(name.strip_prefix("thinking-")?)?)))
            .ok_or_else(|| PromptError::unknown_method(name, &[]))
    }
}

/// A number of at least 1 in plain digits: no leading zero or sign, so that a method has one name.
pub(super) fn positive(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads the built-in forms, like [`FromStr`].
impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_read_and_written_is_the_same_name() {
        for (name, method) in [
            ("direct", Method::Direct),
            ("vanilla-cot", Method::VanillaCot),
            ("tale-ep", Method::TaleEp),
            ("tale-ep@0.5", Method::TaleEpAt(Alpha(500))),
            ("tale-ep@2", Method::TaleEpAt(Alpha(2000))),
            ("fixed-1", Method::Fixed(1)),
            ("fixed-50", Method::Fixed(50)),
            ("effort-minimal", Method::Effort(Effort::Minimal)),
            ("effort-high", Method::Effort(Effort::High)),
            ("thinking-0", Method::Thinking(0)),
            ("thinking-1024", Method::Thinking(1024)),
        ] {
            assert_eq!(name.parse::<Method>().unwrap(), method);
            assert_eq!(method.to_string(), name);
            let json = serde_json::to_string(&method).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Method>(&json).unwrap(), method);
        }
    }

    #[test]
    fn a_fixed_budget_is_a_positive_number_in_plain_digits() {
        for name in [
            "fixed",
            "fixed-",
            "fixed-0",
            "fixed-050",
            "fixed--5",
            "fixed-+5",
            "fixed-5.0",
            "fixed-4294967296",
            "effort-",
            "effort-huge",
            "thinking-",
            "thinking-01",
            "thinking--1",
        ] {
            assert!(name.parse::<Method>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_factor_has_one_name() {
        for name in [
            "tale-ep@",
            "tale-ep@0",
            "tale-ep@.5",
            "tale-ep@0.50",
            "tale-ep@01",
            "tale-ep@1.",
            "tale-ep@-1",
            "tale-ep@1e2",
            "tale-ep@0.0005",
            "tale-ep@9999999",
        ] {
            assert!(name.parse::<Method>().is_err(), "{name}");
        }
    }

    #[test]
    fn an_unknown_method_names_the_nearest() {
        let error = "vanila-cot".parse::<Method>().unwrap_err();
        assert_eq!(error.to_string(), "unknown method `vanila-cot`");
        assert_eq!(error.hint().as_deref(), Some("did you mean `vanilla-cot`?"));
    }
}
