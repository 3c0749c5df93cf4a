//! Counting tokens by the encodings of OpenAI's models.

use tale_api::{Error, ErrorKind, Message, Result, Role};
use tiktoken_rs::{
    CoreBPE, cl100k_base_singleton, o200k_base_singleton, o200k_harmony_singleton,
    p50k_base_singleton, p50k_edit_singleton, r50k_base_singleton,
    tokenizer::{Tokenizer, get_tokenizer},
};

use crate::options::invalid;

/// An encoding: what a text is in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoding(Tokenizer);

impl Encoding {
    /// The encoding of a model, where it is known.
    pub(crate) fn of_model(model: &str) -> Option<Self> {
        let name = model.rsplit('/').next().unwrap_or(model);
        get_tokenizer(name).map(Self)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Tokenizer::O200kHarmony => "o200k_harmony",
            Tokenizer::O200kBase => "o200k_base",
            Tokenizer::Cl100kBase => "cl100k_base",
            Tokenizer::P50kBase => "p50k_base",
            Tokenizer::P50kEdit => "p50k_edit",
            Tokenizer::R50kBase | Tokenizer::Gpt2 => "r50k_base",
        }
    }

    fn table(self) -> &'static CoreBPE {
        match self.0 {
            Tokenizer::O200kHarmony => o200k_harmony_singleton(),
            Tokenizer::O200kBase => o200k_base_singleton(),
            Tokenizer::Cl100kBase => cl100k_base_singleton(),
            Tokenizer::P50kBase => p50k_base_singleton(),
            Tokenizer::P50kEdit => p50k_edit_singleton(),
            Tokenizer::R50kBase | Tokenizer::Gpt2 => r50k_base_singleton(),
        }
    }

    /// Tokens of `text`, in which nothing is taken for a special token.
    pub(crate) fn count(self, text: &str) -> u64 {
        self.table().encode_ordinary(text).len() as u64
    }

    /// Tokens of a conversation as OpenAI counts them: 3 for each message besides role and text, and
    /// 3 that open the answer.
    pub(crate) fn count_messages(self, messages: &[Message]) -> u64 {
        let role = |role| match role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let each = messages
            .iter()
            .map(|m| 3 + self.count(role(m.role)) + self.count(&m.content));
        each.sum::<u64>() + 3
    }
}

/// Who counts output tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// The provider.
    Provider,
    /// This encoding, on the text (what the paper's code does with that of `gpt-4`).
    Encoding(Encoding),
}

impl Counter {
    /// The counter that the option `count` names.
    pub(crate) fn of(name: &str) -> Result<Self> {
        if name == "provider" {
            return Ok(Self::Provider);
        }
        let by_name = match name {
            "o200k_base" => Some(Encoding(Tokenizer::O200kBase)),
            "cl100k_base" => Some(Encoding(Tokenizer::Cl100kBase)),
            _ => Encoding::of_model(name),
        };
        by_name.map(Self::Encoding).ok_or_else(|| {
            invalid(format!("`count`: nobody knows how `{name}` counts"))
                .hint("`provider`, or a model of OpenAI's such as `gpt-4`")
        })
    }
}

/// The error of models whose encoding is not known.
pub(crate) fn unknown(model: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("the tokenizer of `{model}` is not known here"),
    )
    .hint("the provider's usage counts; `count = \"gpt-4\"` counts as the paper's code does")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_their_encodings() {
        for (model, expected) in [
            ("gpt-4o-mini", Some("o200k_base")),
            ("openai/gpt-4o", Some("o200k_base")),
            ("o3-mini", Some("o200k_base")),
            ("gpt-4", Some("cl100k_base")),
            ("yi-lightning", None),
            ("qwen2.5", None),
        ] {
            assert_eq!(
                Encoding::of_model(model).map(Encoding::name),
                expected,
                "{model}"
            );
        }
    }

    #[test]
    fn counts_are_those_of_tiktoken() {
        let count = |model, text| Encoding::of_model(model).unwrap().count(text);
        // From Python's tiktoken 0.8.
        assert_eq!(count("gpt-4", "tiktoken is great!"), 6);
        assert_eq!(count("gpt-4o", "antidisestablishmentarianism"), 6);
        assert_eq!(count("gpt-4", "お誕生日おめでとう"), 9);
        assert_eq!(count("gpt-4o", ""), 0);
        assert_eq!(count("gpt-4o", "<|endoftext|>"), 7);
    }

    #[test]
    fn an_unknown_counter_is_refused() {
        assert_eq!(Counter::of("provider").unwrap(), Counter::Provider);
        assert!(matches!(
            Counter::of("gpt-4").unwrap(),
            Counter::Encoding(_)
        ));
        assert_eq!(
            Counter::of("me").unwrap_err().kind,
            ErrorKind::InvalidOptions
        );
    }
}
