//! Rules of single models, read from `data/models.toml`.

use std::sync::OnceLock;

use serde::Deserialize;
use tale_api::Effort;

/// What a model does differently; `data/models.toml` explains each key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    models: Vec<String>,
    #[serde(default = "yes")]
    pub sampling: bool,
    #[serde(default = "yes")]
    pub stop: bool,
    #[serde(default = "yes")]
    pub seed: bool,
    #[serde(default)]
    pub efforts: Vec<Effort>,
    pub off: Option<String>,
    pub system_role: Option<String>,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            sampling: true,
            stop: true,
            seed: true,
            efforts: Vec::new(),
            off: None,
            system_role: None,
        }
    }
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct File {
    rule: Vec<Rule>,
}

/// The rule of a model by its name; the default one if there is none.
pub(crate) fn rule(model: &str) -> Rule {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    let rules = RULES.get_or_init(|| {
        let file: File = toml::from_str(include_str!("../data/models.toml"))
            .expect("the file is part of this crate, and a test reads it");
        file.rule
    });
    let name = model.rsplit('/').next().unwrap_or(model);
    rules
        .iter()
        .find(|rule| rule.models.iter().any(|entry| begins(name, entry)))
        .cloned()
        .unwrap_or_default()
}

/// Whether `entry` is the name up to its end or up to a dash.
fn begins(name: &str, entry: &str) -> bool {
    name.strip_prefix(entry)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_models_take_no_temperature() {
        for model in [
            "o1",
            "o3-mini",
            "o3-mini-2025-01-31",
            "o4-mini",
            "gpt-5",
            "gpt-5-nano",
            "openai/o3",
        ] {
            assert!(!rule(model).sampling, "{model}");
        }
        for model in [
            "gpt-4o",
            "gpt-4o-mini",
            "gpt-4.1",
            "gpt-5-chat-latest",
            "yi-lightning",
            "o10",
        ] {
            assert!(rule(model).sampling, "{model}");
        }
    }

    #[test]
    fn efforts_and_roles_are_those_of_the_series() {
        assert_eq!(
            rule("o3-mini").efforts,
            [Effort::Low, Effort::Medium, Effort::High]
        );
        assert!(rule("gpt-5").efforts.contains(&Effort::Minimal));
        assert_eq!(rule("gpt-5.1").off.as_deref(), Some("none"));
        assert_eq!(rule("o1-mini").system_role.as_deref(), Some("user"));
        assert!(rule("o1-mini").efforts.is_empty());
        assert_eq!(rule("gpt-4o"), Rule::default());
    }
}
