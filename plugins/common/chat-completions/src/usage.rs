//! The numbers of a reply, and whether they can be.

use serde_json::Value;
use tale_api::{Message, Usage};

use crate::count::{Counter, Encoding};

/// What the numbers are judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge<'a> {
    pub counter: Counter,
    /// The model's own encoding, where it is known.
    pub own: Option<Encoding>,
    pub messages: &'a [Message],
    pub text: &'a str,
    pub reasoning: &'a str,
}

/// The usage that holds, and what was wrong with the one that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub usage: Option<Usage>,
    pub faults: Vec<&'static str>,
}

impl Judge<'_> {
    /// Judges the `usage` of a reply.
    pub(crate) fn judge(mut self, wire: Option<&Value>) -> Judged {
        let mut faults = Vec::new();
        // An encoding that the user named is better than no number.
        if let (None, Counter::Encoding(encoding)) = (self.own, self.counter) {
            self.own = Some(encoding);
        }
        let usage = match wire {
            Some(wire) if !wire.is_null() => self.repair(wire, &mut faults),
            _ => self.own.map(|own| self.counted(own)),
        };
        let usage = match self.counter {
            Counter::Provider => usage,
            Counter::Encoding(encoding) => usage.map(|usage| Usage {
                output_tokens: encoding.count(self.text),
                reasoning_tokens: 0,
                ..usage
            }),
        };
        Judged { usage, faults }
    }

    fn repair(&self, wire: &Value, faults: &mut Vec<&'static str>) -> Option<Usage> {
        let number = |pointer: &str| wire.pointer(pointer).and_then(whole);
        let input = number("/prompt_tokens").or_else(|| number("/input_tokens"));
        let output = number("/completion_tokens").or_else(|| number("/output_tokens"));
        let cached = number("/prompt_tokens_details/cached_tokens")
            .or_else(|| number("/prompt_cache_hit_tokens"))
            .unwrap_or(0);
        let reasoning = number("/completion_tokens_details/reasoning_tokens")
            .or_else(|| number("/reasoning_tokens"))
            .unwrap_or(0);
        let has_text = !self.text.is_empty() || !self.reasoning.is_empty();

        let input = match input {
            Some(input) if input > 0 => input,
            _ => {
                faults.push("no input tokens");
                self.own?.count_messages(self.messages)
            }
        };
        let cached_input_tokens = if cached > input {
            faults.push("more cached than input tokens");
            0
        } else {
            cached
        };
        let mut output = match output {
            Some(output) if output > 0 || !has_text => output,
            _ => {
                faults.push("a text, but no output tokens");
                self.own?.count(self.text) + self.own?.count(self.reasoning)
            }
        };
        let mut reasoning_tokens = reasoning;
        if reasoning > output {
            // Some providers count reasoning beside the output; their total gives it away.
            if number("/total_tokens") == Some(input + output + reasoning) {
                output += reasoning;
            } else {
                faults.push("more reasoning than output tokens");
                reasoning_tokens = output;
            }
        }
        Some(Usage {
            input_tokens: input,
            cached_input_tokens,
            output_tokens: output,
            reasoning_tokens,
        })
    }

    /// Usage by our own count, where the provider tells none.
    fn counted(&self, own: Encoding) -> Usage {
        let reasoning_tokens = own.count(self.reasoning);
        Usage {
            input_tokens: own.count_messages(self.messages),
            cached_input_tokens: 0,
            output_tokens: own.count(self.text) + reasoning_tokens,
            reasoning_tokens,
        }
    }
}

/// A count; some servers write them as floats.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        let is_whole = number.fract() == 0.0 && (0.0..1e15).contains(&number);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be a whole number in range"
        )]
        let count = number as u64;
        is_whole.then_some(count)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(own: Option<&str>, wire: &Value, expected: Option<[u64; 4]>, faults: usize) {
        let judge = Judge {
            counter: Counter::Provider,
            own: own.and_then(Encoding::of_model),
            messages: &[Message::user("Hello")],
            text: "Hello world",
            reasoning: "",
        };
        let judged = judge.judge(Some(wire));
        let numbers = judged.usage.map(|u| {
            [
                u.input_tokens,
                u.cached_input_tokens,
                u.output_tokens,
                u.reasoning_tokens,
            ]
        });
        assert_eq!(
            (numbers, judged.faults.len()),
            (expected, faults),
            "{wire}: {:?}",
            judged.faults
        );
    }

    #[test]
    fn usage_is_read_in_each_providers_words() {
        let openai = json!({"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 16}, "completion_tokens_details": {"reasoning_tokens": 5}});
        check(None, &openai, Some([20, 16, 9, 5]), 0);
        let deepseek = json!({"prompt_tokens": 20, "completion_tokens": 9,
            "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 12});
        check(None, &deepseek, Some([20, 8, 9, 0]), 0);
        let bare =
            json!({"prompt_tokens": 20.0, "completion_tokens": 9, "prompt_tokens_details": null});
        check(None, &bare, Some([20, 0, 9, 0]), 0);
        let beside = json!({"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 129,
            "completion_tokens_details": {"reasoning_tokens": 100}});
        check(None, &beside, Some([20, 0, 109, 100]), 0);
    }

    #[test]
    fn wrong_usage_is_counted_again_or_left_out() {
        let no_output = json!({"prompt_tokens": 20, "completion_tokens": 0});
        check(None, &no_output, None, 1);
        check(Some("gpt-4o"), &no_output, Some([20, 0, 2, 0]), 1);
        let cached = json!({"prompt_tokens": 20, "completion_tokens": 2,
            "prompt_tokens_details": {"cached_tokens": 99}});
        check(None, &cached, Some([20, 0, 2, 0]), 1);
        let negative = json!({"prompt_tokens": -1, "completion_tokens": 2});
        check(Some("gpt-4o"), &negative, Some([8, 0, 2, 0]), 1);
        check(None, &negative, None, 1);
        check(
            None,
            &json!({"prompt_tokens": 5, "completion_tokens": 2,
            "completion_tokens_details": {"reasoning_tokens": 7}}),
            Some([5, 0, 2, 2]),
            1,
        );
        check(None, &json!("nonsense"), None, 1);
    }

    #[test]
    fn usage_that_is_missing_is_counted_where_the_encoding_is_known() {
        check(None, &Value::Null, None, 0);
        check(Some("gpt-4o"), &Value::Null, Some([8, 0, 2, 0]), 0);
    }

    #[test]
    fn an_encoding_that_the_user_named_counts_where_the_provider_is_wrong() {
        let judge = Judge {
            counter: Counter::of("gpt-4").unwrap(),
            own: None,
            messages: &[],
            text: "tiktoken is great!",
            reasoning: "",
        };
        let wire = json!({"prompt_tokens": 20, "completion_tokens": 0});
        let judged = judge.judge(Some(&wire));
        let usage = judged.usage.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (20, 6));
        assert_eq!(judged.faults, ["a text, but no output tokens"]);
    }

    #[test]
    fn the_papers_count_replaces_the_output_only() {
        let judge = Judge {
            counter: Counter::of("gpt-4").unwrap(),
            own: None,
            messages: &[],
            text: "tiktoken is great!",
            reasoning: "hidden",
        };
        let wire = json!({"prompt_tokens": 20, "completion_tokens": 90,
            "completion_tokens_details": {"reasoning_tokens": 80}});
        let usage = judge.judge(Some(&wire)).usage.unwrap();
        assert_eq!(
            (
                usage.input_tokens,
                usage.output_tokens,
                usage.reasoning_tokens
            ),
            (20, 6, 0)
        );
    }
}
