//! The text of an answer: a function of the prompt, the seed and the right answer where it is known.

use std::{collections::HashMap, fs, path::Path};

use serde::Deserialize;
use tiktoken_rs::o200k_base_singleton;

use crate::{Config, Counting};

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub reasoning: String,
    pub text: String,
    pub is_cut: bool,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
}

/// Answers everything, deterministically.
#[derive(Debug)]
pub(crate) struct Answers {
    seed: u64,
    words: usize,
    reasoning_words: usize,
    counting: Counting,
    gold: HashMap<u64, String>,
}

/// A line of a GSM8K-like file.
#[derive(Deserialize)]
struct Gold {
    question: String,
    answer: String,
}

impl Answers {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            seed: config.seed,
            words: config.words,
            reasoning_words: config.reasoning_words,
            counting: config.counting,
            gold: config
                .gold
                .as_deref()
                .map(read)
                .transpose()?
                .unwrap_or_default(),
        })
    }

    pub(crate) fn to(&self, messages: &[(&str, &str)], max_tokens: Option<u64>) -> Answer {
        let prompt = messages.last().map_or("", |(_, content)| content);
        let draw = mix(hash(prompt) ^ mix(self.seed));
        let mut text = self.text(prompt, draw);
        let mut reasoning = if self.reasoning_words > 0 {
            steps(self.reasoning_words, draw)
        } else {
            String::new()
        };
        let mut left = max_tokens.unwrap_or(u64::MAX);
        let reasoning_tokens = self.cut(&mut reasoning, left);
        left -= reasoning_tokens.min(left);
        let before = text.len();
        let text_tokens = self.cut(&mut text, left);
        Answer {
            is_cut: text.len() < before || text_tokens == left,
            input_tokens: self.input(messages),
            output_tokens: reasoning_tokens + text_tokens,
            reasoning_tokens,
            reasoning,
            text,
        }
    }

    fn text(&self, prompt: &str, draw: u64) -> String {
        if prompt.contains("estimate the minimum number of tokens") {
            return format!("Budget: [[{}]]", 20 + draw % 180);
        }
        let gold = question(prompt).and_then(|q| self.gold.get(&hash(q)));
        let is_direct = prompt.contains("without any reasoning process");
        // More often right with reasoning, as models are.
        let odds = if is_direct { 40 } else { 80 };
        let value = match gold {
            Some(gold) if mix(draw) % 100 < odds => gold.clone(),
            _ => (draw % 97).to_string(),
        };
        if is_direct {
            return format!("Answer: [[{value}]]");
        }
        let length = budget(prompt).map_or(self.words, |b| b.min(self.words * 2) / 2);
        // Between half and one and a half of it.
        let length = length / 2 + usize::try_from(draw >> 7).unwrap_or(0) % length.max(1);
        format!("{} Answer: [[{value}]]", steps(length, draw))
    }

    /// Cuts `text` to at most `most` tokens; gives how many are left.
    fn cut(&self, text: &mut String, most: u64) -> u64 {
        let limit = usize::try_from(most).unwrap_or(usize::MAX);
        match self.counting {
            Counting::Words => {
                let end = words(text).nth(limit).map(|(at, _)| at);
                if let Some(end) = end {
                    text.truncate(end);
                }
            }
            Counting::O200k => {
                let tokens = o200k_base_singleton().encode_ordinary(text);
                if tokens.len() > limit {
                    let bytes = o200k_base_singleton()
                        .decode_bytes(&tokens[..limit])
                        .unwrap_or_default();
                    *text = String::from_utf8_lossy(&bytes).into_owned();
                }
            }
        }
        self.count(text)
    }

    pub(crate) fn count(&self, text: &str) -> u64 {
        let count = match self.counting {
            Counting::Words => words(text).count(),
            Counting::O200k => o200k_base_singleton().encode_ordinary(text).len(),
        };
        count as u64
    }

    /// As OpenAI counts a conversation: 3 tokens a message, its role and its text, 3 for the reply.
    fn input(&self, messages: &[(&str, &str)]) -> u64 {
        messages
            .iter()
            .map(|(role, content)| 3 + self.count(role) + self.count(content))
            .sum::<u64>()
            + 3
    }
}

/// Where the words of a text begin, and they themselves with the space before them.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let end = rest[first..].find(' ').map_or(rest.len(), |i| i + first);
        let word = (at, &rest[..end]);
        at += end;
        Some(word)
    })
}

fn steps(length: usize, draw: u64) -> String {
    const WORDS: [&str; 16] = [
        "so", "we", "add", "the", "two", "numbers", "and", "then", "take", "half", "of", "what",
        "is", "left", "over", "again",
    ];
    let mut text = String::with_capacity(length * 6 + 8);
    text.push_str("First");
    let mut state = draw;
    for _ in 1..length {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        text.push(' ');
        text.push_str(WORDS[usize::try_from(state >> 60).unwrap_or(0)]);
    }
    text.push('.');
    text
}

/// The question in one of the project's prompts: what stands after `Q: ` in its line.
fn question(prompt: &str) -> Option<&str> {
    let at = prompt.find("Q: ")? + 3;
    let rest = &prompt[at..];
    let end = ["\nPlease Give", "\nLet's think"]
        .iter()
        .filter_map(|mark| rest.find(mark))
        .min()
        .unwrap_or(rest.len());
    Some(rest[..end].trim())
}

/// The number in "less than N tokens".
fn budget(prompt: &str) -> Option<usize> {
    let rest = &prompt[prompt.find("less than ")? + 10..];
    rest[..rest.find(' ')?].parse().ok()
}

fn read(path: &Path) -> anyhow::Result<HashMap<u64, String>> {
    let mut gold = HashMap::new();
    for line in fs::read_to_string(path)?.lines().filter(|l| !l.is_empty()) {
        let Gold { question, answer } = serde_json::from_str(line)?;
        let value = answer.rsplit("####").next().unwrap_or_default();
        gold.insert(hash(question.trim()), value.trim().replace(',', ""));
    }
    Ok(gold)
}

/// FNV-1a: the same on every machine and in every version.
pub(crate) fn hash(text: impl AsRef<[u8]>) -> u64 {
    text.as_ref().iter().fold(0xCBF2_9CE4_8422_2325, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3)
    })
}

/// The finaliser of `SplitMix64`.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        Answers::new(&Config::default()).expect("no file is read")
    }

    #[test]
    fn the_same_prompt_has_the_same_answer() {
        let ask = |text| answers().to(&[("user", text)], None);
        assert_eq!(ask("Q: one"), ask("Q: one"));
        assert_ne!(ask("Q: one").text, ask("Q: two").text);
        assert!(ask("Q: one").text.contains("Answer: [["));
    }

    #[test]
    fn a_limit_cuts_by_words() {
        let answer = answers().to(&[("user", "Q: one")], Some(2));
        assert_eq!((answer.output_tokens, answer.is_cut), (2, true));
        assert_eq!(words(&answer.text).count(), 2);
    }

    #[test]
    fn words_joined_are_the_text() {
        for text in ["", " ", "a", " a  b", "a b ", "é ü"] {
            let joined: String = words(text).map(|(_, w)| w).collect();
            assert_eq!(joined, text);
        }
    }
}
