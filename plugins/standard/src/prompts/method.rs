//! The methods of an evaluation, by the names that manifests use.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::PromptError;

/// A way of asking a question.
///
/// A method is a name and a template: whatever a prompt set calls by a name of its own is a method
/// too ([`Method::Template`]). [`PromptSet::method`](super::PromptSet::method) resolves a name and
/// refuses what no template stands behind; [`FromStr`] knows the four built-in forms only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Method {
    /// The answer alone, without reasoning: `direct`.
    Direct,
    /// Chain of thought without a budget: `vanilla-cot`.
    VanillaCot,
    /// Chain of thought under a budget that an estimator gives for each question: `tale-ep`.
    TaleEp,
    /// Chain of thought under the same budget for all questions, in tokens, at least 1: `fixed-50`.
    Fixed(u32),
    /// A template of the prompt set, by its name.
    Template(String),
}

impl Method {
    /// Whether a budget must be estimated before the question can be asked.
    #[must_use]
    pub fn needs_estimate(&self) -> bool {
        matches!(self, Self::TaleEp)
    }

    /// The budget that the method itself carries, in tokens.
    #[must_use]
    pub fn fixed_budget(&self) -> Option<u32> {
        match self {
            Self::Fixed(budget) => Some(*budget),
            _ => None,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::VanillaCot => f.write_str("vanilla-cot"),
            Self::TaleEp => f.write_str("tale-ep"),
            Self::Fixed(budget) => write!(f, "fixed-{budget}"),
            Self::Template(name) => f.write_str(name),
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
        // No leading zero or sign, so that a method has one name only.
        name.strip_prefix("fixed-")
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0'))
            .and_then(|digits| digits.parse().ok())
            .map(Self::Fixed)
            .ok_or_else(|| PromptError::unknown_method(name, &[]))
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads the four built-in forms, like [`FromStr`].
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
            ("fixed-1", Method::Fixed(1)),
            ("fixed-50", Method::Fixed(50)),
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
