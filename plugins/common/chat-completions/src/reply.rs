//! What a server replies, whole or in parts, in the forms that servers have.

use std::{borrow::Cow, fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::Value;
use tale_api::{Events, FinishReason, GenerateEvent};
use tokio::time::Instant;

use crate::{
    failure::{Asked, Failure, of_error_inside},
    options::ThinkTags,
    think::{Part, Splitter},
};

/// A reply or a part of one; both have nearly the same form.
#[derive(Debug, Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    choices: Vec<Choice<'a>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'a, str>>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default, alias = "delta")]
    message: Option<Message<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(default)]
    index: u64,
}

#[derive(Debug, Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Text<'a>,
    #[serde(borrow, default)]
    reasoning_content: Text<'a>,
    #[serde(borrow, default)]
    reasoning: Text<'a>,
    #[serde(borrow, default)]
    refusal: Text<'a>,
}

/// A text, nothing, or parts with texts.
#[derive(Debug, Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, null or a list of parts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(text.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.to_owned().into())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok("".into())
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok("".into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let mut text = String::new();
        while let Some(part) = parts.next_element::<Value>()? {
            text.push_str(part["text"].as_str().unwrap_or_default());
        }
        Ok(text.into())
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A finished reply.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub text: String,
    pub reasoning: String,
    pub finish: FinishReason,
    pub usage: Option<Value>,
    pub model: Option<String>,
    pub tier: Option<String>,
    pub first_token: Option<Duration>,
}

/// Collects a reply from its parts and hands the text on.
pub(crate) struct Collector<'a> {
    events: &'a Events<GenerateEvent>,
    asked: Asked<'a>,
    splitter: Splitter,
    since: Instant,
    text: String,
    reasoning: String,
    refusal: String,
    /// How much of both has been handed on.
    sent: (usize, usize),
    finish: Option<FinishReason>,
    usage: Option<Value>,
    model: Option<String>,
    tier: Option<String>,
    first_token: Option<Duration>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(
        events: &'a Events<GenerateEvent>,
        asked: Asked<'a>,
        tags: ThinkTags,
    ) -> Self {
        Self {
            events,
            asked,
            splitter: Splitter::new(tags),
            since: Instant::now(),
            text: String::new(),
            reasoning: String::new(),
            refusal: String::new(),
            sent: (0, 0),
            finish: None,
            usage: None,
            model: None,
            tier: None,
            first_token: None,
        }
    }

    /// Whether something has been handed on.
    pub(crate) fn has_sent(&self) -> bool {
        self.sent != (0, 0)
    }

    /// Whether the reason of the end has come: what is missing then is no text.
    pub(crate) fn has_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Takes a whole reply or the next part of one.
    pub(crate) fn take(&mut self, json: &[u8]) -> Result<(), Failure> {
        let wire: Wire<'_> = match serde_json::from_slice(json) {
            Ok(wire) => wire,
            Err(e) if serde_json::from_slice::<Value>(json).is_ok() => {
                return Err(Failure::no_answer(format!("a reply of another form: {e}")));
            }
            Err(e) => return Err(Failure::no_answer(format!("a reply that is no JSON: {e}"))),
        };
        if let Some(error) = wire.error.filter(|e| !e.is_null()) {
            return Err(of_error_inside(
                &serde_json::json!({ "error": error }),
                self.asked,
            ));
        }
        if self.model.is_none() {
            self.model = wire.model.filter(|m| !m.is_empty()).map(Cow::into_owned);
        }
        if self.tier.is_none() {
            self.tier = wire.service_tier.map(Cow::into_owned);
        }
        if let Some(usage) = wire.usage.filter(|u| !u.is_null()) {
            self.usage = Some(usage);
        }
        for choice in wire.choices {
            if choice.index == 0 {
                self.take_choice(choice);
            }
        }
        Ok(())
    }

    fn take_choice(&mut self, choice: Choice<'_>) {
        if let Some(message) = choice.message {
            let before = (self.text.len(), self.reasoning.len());
            self.reasoning.push_str(&message.reasoning_content.0);
            // Some servers send the same reasoning under both names.
            if message.reasoning_content.0.is_empty() {
                self.reasoning.push_str(&message.reasoning.0);
            }
            self.refusal.push_str(&message.refusal.0);
            let (text, reasoning) = (&mut self.text, &mut self.reasoning);
            self.splitter
                .feed(&message.content.0, &mut |part| match part {
                    Part::Text(part) => text.push_str(part),
                    Part::Reasoning(part) => reasoning.push_str(part),
                });
            if self.first_token.is_none() && before != (self.text.len(), self.reasoning.len()) {
                self.first_token = Some(self.since.elapsed());
            }
        }
        if let Some(reason) = choice.finish_reason {
            self.finish = Some(match reason.as_ref() {
                "stop" | "eos" | "eos_token" | "stop_sequence" | "end_turn" => FinishReason::Stop,
                "length" | "max_tokens" => FinishReason::Length,
                "content_filter" => FinishReason::ContentFilter,
                _ => FinishReason::Other,
            });
        }
    }

    /// Hands on what has come since the last time.
    pub(crate) fn flush(&mut self) {
        let (reasoning, text) = (&self.reasoning[self.sent.1..], &self.text[self.sent.0..]);
        if !self.events.is_wanted() || (reasoning.is_empty() && text.is_empty()) {
            return;
        }
        if !reasoning.is_empty() {
            self.events.send(GenerateEvent::ReasoningDelta {
                text: reasoning.to_owned(),
            });
        }
        if !text.is_empty() {
            self.events.send(GenerateEvent::Delta {
                text: text.to_owned(),
            });
        }
        self.sent = (self.text.len(), self.reasoning.len());
    }

    /// The reply has ended; it is an answer only if it says so or the stream did (`is_done`).
    pub(crate) fn end(&mut self, is_done: bool) -> Result<Reply, Failure> {
        let (text, reasoning) = (&mut self.text, &mut self.reasoning);
        self.splitter.end(&mut |part| match part {
            Part::Text(part) => text.push_str(part),
            Part::Reasoning(part) => reasoning.push_str(part),
        });
        if self.finish.is_none() && !is_done {
            return Err(Failure::soon("the answer breaks off"));
        }
        let mut finish = self.finish.unwrap_or(FinishReason::Other);
        if self.text.is_empty() && !self.refusal.is_empty() {
            self.text = std::mem::take(&mut self.refusal);
            finish = FinishReason::ContentFilter;
        }
        let is_empty = self.text.is_empty() && self.reasoning.is_empty();
        if is_empty && matches!(finish, FinishReason::Stop | FinishReason::Other) {
            return Err(Failure::no_answer("an empty answer"));
        }
        self.flush();
        Ok(Reply {
            text: std::mem::take(&mut self.text),
            reasoning: std::mem::take(&mut self.reasoning),
            finish,
            usage: self.usage.take(),
            model: self.model.take(),
            tier: self.tier.take(),
            first_token: self.first_token,
        })
    }
}
