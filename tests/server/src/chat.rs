//! `POST /v1/chat/completions`: what is asked, and an answer in either form.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    answer::{Answer, words},
    http::{LAST_CHUNK, Reply, chunk},
};

/// As much of a request as matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    pub model: String,
    pub messages: Vec<Turn>,
    #[serde(default)]
    pub stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    pub service_tier: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Turn {
    role: String,
    content: String,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl Asked {
    pub(crate) fn max_tokens(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    pub(crate) fn messages(&self) -> Vec<(&str, &str)> {
        self.messages
            .iter()
            .map(|m| (m.role.as_str(), m.content.as_str()))
            .collect()
    }

    pub(crate) fn prompt(&self) -> &str {
        self.messages.last().map_or("", |m| &m.content)
    }

    pub(crate) fn wants_usage(&self) -> bool {
        !self.stream
            || self
                .stream_options
                .as_ref()
                .is_some_and(|o| o.include_usage)
    }
}

/// The model and the usage that an answer shows.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub model: String,
    pub usage: Value,
    pub tier: Option<String>,
}

impl Shown {
    pub(crate) fn of(asked: &Asked, answer: &Answer) -> Self {
        let usage = json!({
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        });
        Self {
            model: asked.model.clone(),
            usage,
            tier: asked.service_tier.clone(),
        }
    }

    /// Usage as no answer can have it.
    pub(crate) fn spoil(&mut self) {
        self.usage["completion_tokens"] = 0.into();
        self.usage["prompt_tokens_details"]["cached_tokens"] = 1_000_000.into();
    }
}

fn finish(answer: &Answer) -> &'static str {
    if answer.is_cut { "length" } else { "stop" }
}

/// The answer as one object.
pub(crate) fn whole(id: u64, answer: &Answer, shown: &Shown) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text, "refusal": null});
    if !answer.reasoning.is_empty() {
        message["reasoning_content"] = answer.reasoning.clone().into();
    }
    let mut reply = json!({
        "id": format!("chatcmpl-{id:x}"),
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": shown.model,
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": finish(answer),
        }],
        "usage": shown.usage,
    });
    if let Some(tier) = &shown.tier {
        reply["service_tier"] = tier.clone().into();
    }
    reply
}

/// The answer as the parts of a stream, each an event with its chunk's frame.
pub(crate) fn parts(
    id: u64,
    answer: &Answer,
    shown: &Shown,
    with_usage: bool,
    part_words: usize,
) -> Vec<Vec<u8>> {
    let tier = shown.tier.as_ref().map_or(String::new(), |tier| {
        format!(r#","service_tier":{}"#, Value::from(tier.as_str()))
    });
    let start = format!(
        r#"data: {{"id":"chatcmpl-{id:x}","object":"chat.completion.chunk","created":1700000000,"model":{}{tier},"choices":"#,
        Value::from(shown.model.as_str())
    );
    let frame = |rest: String| {
        let mut bytes = Vec::with_capacity(start.len() + rest.len() + 16);
        chunk(&mut bytes, format!("{start}{rest}\n\n").as_bytes());
        bytes
    };
    let choice = |delta: &str, finish: &str| {
        format!(r#"[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]}}"#)
    };
    let mut parts = vec![frame(choice(
        r#"{"role":"assistant","content":""}"#,
        "null",
    ))];
    for (key, text) in [
        ("reasoning_content", &answer.reasoning),
        ("content", &answer.text),
    ] {
        let words: Vec<&str> = words(text).map(|(_, word)| word).collect();
        for part in words.chunks(part_words.max(1)) {
            let delta = format!(r#"{{"{key}":{}}}"#, Value::from(part.concat()));
            parts.push(frame(choice(&delta, "null")));
        }
    }
    parts.push(frame(choice("{}", &format!("\"{}\"", finish(answer)))));
    if with_usage {
        parts.push(frame(format!(r#"[],"usage":{}}}"#, shown.usage)));
    }
    let mut last = Vec::new();
    chunk(&mut last, b"data: [DONE]\n\n");
    last.extend_from_slice(LAST_CHUNK);
    parts.push(last);
    parts
}

/// The head before those parts.
pub(crate) fn stream_head() -> Vec<u8> {
    Reply::new(200, "text/event-stream", Vec::new()).head(None)
}
