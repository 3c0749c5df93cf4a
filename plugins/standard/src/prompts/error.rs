//! What can be wrong with a prompt file or with what is asked of it.

use tale_api::{AnswerKind, Error, ErrorKind};

/// What is wrong with a prompt file, or with what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// The file is no TOML, or does not have the form of a prompt file. The text holds line and column.
    #[error("malformed prompt file: {0}")]
    Malformed(#[from] toml::de::Error),
    /// `extends` names a set that does not exist.
    #[error("unknown prompt set `{name}` in `extends`")]
    UnknownBase {
        /// What was named.
        name: String,
    },
    /// A file that extends nothing must hold this key.
    #[error("the prompt set `{set}` has no `{key}`")]
    MissingKey {
        /// The set.
        set: String,
        /// The key.
        key: &'static str,
    },
    /// A placeholder is missing or occurs too often.
    #[error("`{template}` holds `{placeholder}` {found} times")]
    Placeholder {
        /// Which template, as `kind.language.name`.
        template: String,
        /// Which placeholder.
        placeholder: &'static str,
        /// How often it occurs.
        found: usize,
    },
    /// The words that give way to the budget are not in the template exactly once.
    #[error("`{set}.budget.replace` occurs {found} times in `{set}.vanilla-cot`")]
    BudgetRule {
        /// Which templates, as `kind.language`.
        set: String,
        /// How often the words occur.
        found: usize,
    },
    /// A template bears a name that means something else, or no usable one.
    #[error("`{template}` cannot be the name of a template")]
    ReservedName {
        /// Which template, as `kind.language.name`.
        template: String,
    },
    /// No method has this name.
    #[error("unknown method `{name}`")]
    UnknownMethod {
        /// What was asked for.
        name: String,
        /// The name it resembles most.
        nearest: Option<String>,
        /// All names there are.
        known: Vec<String>,
    },
    /// The set has no template for this method, kind of answer and language.
    #[error("no template `{template}` for questions of kind `{kind}` in language `{language}`")]
    NoTemplate {
        /// The template's name.
        template: String,
        /// The question's kind of answer.
        kind: AnswerKind,
        /// The question's language.
        language: String,
    },
    /// The method's template wants a budget and none was given.
    #[error("the method `{method}` wants a budget")]
    BudgetMissing {
        /// The method.
        method: String,
    },
    /// A budget was given to a method that has no place for it.
    #[error("the method `{method}` takes no budget")]
    BudgetNotTaken {
        /// The method.
        method: String,
    },
    /// "Less than 0 tokens" is no budget.
    #[error("a budget is at least 1 token")]
    ZeroBudget,
}

impl PromptError {
    pub(super) fn unknown_method(name: &str, templates: &[String]) -> Self {
        let built_in = [
            "direct",
            "vanilla-cot",
            "tale-ep",
            "tale-ep@<alpha>",
            "fixed-<n>",
            "effort-low",
            "thinking-<n>",
        ]
        .map(str::to_owned);
        let mut known: Vec<String> = built_in
            .into_iter()
            .chain(templates.iter().cloned())
            .collect();
        known.dedup();
        // A number is compared by standing in its place: `cot-45` with `ccot-45`.
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        let nearest = known
            .iter()
            .map(|k| k.replace("<n>", digits))
            .map(|k| (strsim::damerau_levenshtein(name, &k), k))
            .filter(|(distance, k)| *distance * 3 <= k.len() && k != name)
            .min()
            .map(|(_, k)| {
                k.strip_suffix('-')
                    .map_or(k.clone(), |k| format!("{k}-<n>"))
            });
        Self::UnknownMethod {
            name: name.to_owned(),
            nearest,
            known,
        }
    }

    /// How to mend it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Malformed(_) | Self::ZeroBudget => None,
            Self::UnknownBase { .. } => Some("`standard` is the only set to extend".to_owned()),
            Self::MissingKey { .. } => {
                Some("write `extends = \"standard\"` to keep all that is not named".to_owned())
            }
            Self::Placeholder { placeholder, .. } => Some(format!("it must occur exactly once; write `{placeholder}` where it belongs")),
            Self::BudgetRule { .. } => {
                Some("it must occur exactly once, or a prompt with a budget would be the one without".to_owned())
            }
            Self::ReservedName { .. } => Some(
                "a name is lower-case letters, digits and hyphens; `tale-ep` and `fixed-…` are made of `vanilla-cot` and `budget`".to_owned(),
            ),
            Self::UnknownMethod { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::UnknownMethod { known, .. } => Some(format!("known are `{}`", known.join("`, `"))),
            Self::NoTemplate { template, kind, language } => {
                Some(format!("add `{template}` under `[{kind}.{language}]` in a prompt file that extends `standard`"))
            }
            Self::BudgetMissing { .. } => Some("write a number of at least 1 after its name: `ccot-45`".to_owned()),
            Self::BudgetNotTaken { .. } => Some("`fixed-<budget>` asks for reasoning under a budget".to_owned()),
        }
    }
}

impl From<PromptError> for Error {
    fn from(error: PromptError) -> Self {
        let converted = Self::new(ErrorKind::InvalidInput, error.to_string()).operation("render");
        match error.hint() {
            Some(hint) => converted.hint(hint),
            None => converted,
        }
    }
}
