//! Reasoning that stands in the text itself, between `<think>` and `</think>`.

use crate::options::ThinkTags;

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Text(&'a str),
    Reasoning(&'a str),
}

/// Takes reasoning out of a text that comes in parts.
#[derive(Debug)]
pub(crate) struct Splitter {
    state: State,
    /// What may be the beginning of a tag.
    held: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but space so far.
    Start,
    Reasoning,
    /// Space between the closing tag and the answer.
    Between,
    Text,
}

impl Splitter {
    pub(crate) fn new(tags: ThinkTags) -> Self {
        let state = match tags {
            ThinkTags::Off => State::Text,
            ThinkTags::Tagged => State::Start,
            ThinkTags::Open => State::Reasoning,
        };
        Self {
            state,
            held: String::new(),
        }
    }

    /// Takes the next part of the text.
    pub(crate) fn feed(&mut self, text: &str, take: &mut dyn FnMut(Part<'_>)) {
        if self.state == State::Text && self.held.is_empty() {
            if !text.is_empty() {
                take(Part::Text(text));
            }
            return;
        }
        self.held.push_str(text);
        while self.step(take) {}
    }

    /// The text has ended.
    pub(crate) fn end(&mut self, take: &mut dyn FnMut(Part<'_>)) {
        let rest = std::mem::take(&mut self.held);
        if rest.is_empty() {
            return;
        }
        match self.state {
            State::Reasoning => take(Part::Reasoning(&rest)),
            State::Between => {}
            State::Start | State::Text => take(Part::Text(&rest)),
        }
    }

    /// One change of state; `false` where more text is needed.
    fn step(&mut self, take: &mut dyn FnMut(Part<'_>)) -> bool {
        match self.state {
            State::Start => {
                let begin = self.held.trim_start();
                if let Some(rest) = begin.strip_prefix(OPEN) {
                    self.held = rest.to_owned();
                    self.state = State::Reasoning;
                    return true;
                }
                if OPEN.starts_with(begin) {
                    return false;
                }
                self.state = State::Text;
                true
            }
            State::Reasoning => {
                if let Some(at) = self.held.find(CLOSE) {
                    if at > 0 {
                        take(Part::Reasoning(&self.held[..at]));
                    }
                    self.held.drain(..at + CLOSE.len());
                    self.state = State::Between;
                    return true;
                }
                let keep = tail(&self.held);
                let out = self.held.len() - keep;
                if out > 0 {
                    take(Part::Reasoning(&self.held[..out]));
                    self.held.drain(..out);
                }
                false
            }
            State::Between => {
                let rest = self.held.trim_start();
                if rest.is_empty() {
                    return false;
                }
                self.held = rest.to_owned();
                self.state = State::Text;
                true
            }
            State::Text => {
                let text = std::mem::take(&mut self.held);
                if !text.is_empty() {
                    take(Part::Text(&text));
                }
                false
            }
        }
    }
}

/// How many bytes at the end may be the beginning of the closing tag.
fn tail(text: &str) -> usize {
    (1..CLOSE.len())
        .rev()
        .find(|&n| text.ends_with(&CLOSE[..n]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(tags: ThinkTags, parts: &[&str]) -> (String, String) {
        let (mut text, mut reasoning) = (String::new(), String::new());
        let mut take = |part: Part<'_>| match part {
            Part::Text(t) => text.push_str(t),
            Part::Reasoning(t) => reasoning.push_str(t),
        };
        let mut splitter = Splitter::new(tags);
        for part in parts {
            splitter.feed(part, &mut take);
        }
        splitter.end(&mut take);
        (text, reasoning)
    }

    #[test]
    fn reasoning_is_taken_out_of_the_text() {
        for (tags, whole, text, reasoning) in [
            (ThinkTags::Tagged, "<think>a b</think>\n\nc", "c", "a b"),
            (ThinkTags::Tagged, "\n<think>\na</think>c", "c", "\na"),
            (
                ThinkTags::Tagged,
                "c <think>a</think>",
                "c <think>a</think>",
                "",
            ),
            (ThinkTags::Tagged, "<thing>", "<thing>", ""),
            (ThinkTags::Tagged, "<thi", "<thi", ""),
            (ThinkTags::Tagged, "<think>cut of", "", "cut of"),
            (ThinkTags::Tagged, "<think></think>", "", ""),
            (ThinkTags::Open, "a</th</think> c", "c", "a</th"),
            (ThinkTags::Off, "<think>a</think>c", "<think>a</think>c", ""),
            (ThinkTags::Tagged, "", "", ""),
        ] {
            assert_eq!(
                split(tags, &[whole]),
                (text.into(), reasoning.into()),
                "{whole}"
            );
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_text_is_cut(
            whole in "(\\s{0,2}(<think>)?[a-z</>é]{0,12}(</think>)?\\s{0,2}[a-z<é]{0,6})",
            cuts in prop::collection::vec(0_usize..40, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|c| whole.is_char_boundary(*c)).collect();
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts {
                parts.push(&whole[from..cut]);
                from = cut;
            }
            parts.push(&whole[from..]);
            for tags in [ThinkTags::Off, ThinkTags::Tagged, ThinkTags::Open] {
                prop_assert_eq!(split(tags, &parts), split(tags, &[&whole]));
            }
        }
    }
}
