//! The form of a prompt file, and how one extends another.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use tale_api::AnswerKind;

use super::PromptError;

/// A prompt file as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PromptFile {
    pub name: String,
    #[serde(default)]
    pub extends: Option<String>,
    pub system: Option<String>,
    pub estimate: Option<String>,
    #[serde(default)]
    number: BTreeMap<String, Templates>,
    #[serde(default)]
    choice: BTreeMap<String, Templates>,
    #[serde(default)]
    math: BTreeMap<String, Templates>,
    #[serde(default)]
    text: BTreeMap<String, Templates>,
}

/// The templates for one kind of answer in one language.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Templates {
    pub budget: Option<BudgetRule>,
    #[serde(flatten)]
    pub by_name: BTreeMap<String, Source>,
}

/// A template as written: its text, or a table with a system message of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// In place of the set's; an empty one is none.
    pub system: Option<String>,
    pub user: String,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or a table with `system` and `user`")
    }

    fn visit_str<E>(self, text: &str) -> Result<Source, E> {
        Ok(Source {
            system: None,
            user: text.to_owned(),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            system: String,
            user: String,
        }
        let Table { system, user } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Source {
            system: Some(system),
            user,
        })
    }
}

/// Which words of `vanilla-cot` give way to which.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetRule {
    pub replace: String,
    pub by: String,
}

impl PromptFile {
    pub(super) fn parse(text: &str) -> Result<Self, PromptError> {
        // A checkout or editor that writes CRLF must not change what a model is asked.
        Ok(toml::from_str(&text.replace("\r\n", "\n"))?)
    }

    /// This file over `base`: what is named here wins, the rest is the base's.
    pub(super) fn over(self, base: Self) -> Self {
        let join = |mine: BTreeMap<String, Templates>, mut base: BTreeMap<String, Templates>| {
            for (language, templates) in mine {
                let under = base.entry(language).or_default();
                under.by_name.extend(templates.by_name);
                under.budget = templates.budget.or(under.budget.take());
            }
            base
        };
        Self {
            name: self.name,
            extends: None,
            system: self.system.or(base.system),
            estimate: self.estimate.or(base.estimate),
            number: join(self.number, base.number),
            choice: join(self.choice, base.choice),
            math: join(self.math, base.math),
            text: join(self.text, base.text),
        }
    }

    pub(super) fn kinds(&self) -> [(AnswerKind, &BTreeMap<String, Templates>); 4] {
        [
            (AnswerKind::Number, &self.number),
            (AnswerKind::Choice, &self.choice),
            (AnswerKind::Math, &self.math),
            (AnswerKind::Text, &self.text),
        ]
    }
}
