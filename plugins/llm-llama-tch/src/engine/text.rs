//! From tokens to text that may be shown.
//!
//! A token can end in the middle of a character, and a stop text can begin in one token and end
//! several later. Text is let out only when neither can happen to it any more.

use tale_api::Result;
use tale_weights::Vocabulary;

/// The text of one answer as it grows.
#[derive(Debug)]
pub(super) struct Text {
    stops: Vec<String>,
    tokens: Vec<u32>,
    /// Tokens before this are in `whole`.
    read: usize,
    /// From here tokens are decoded together with new ones: what a token's text is can depend on the
    /// one before it.
    context: usize,
    /// Everything that can still be shown, the held back part at its end included.
    whole: String,
    /// How much of `whole` has been let out.
    shown: usize,
    is_stopped: bool,
}

/// Tokens that are waited for where a character does not become whole: UTF-8 has at most four bytes.
const PARTIAL: usize = 4;

impl Text {
    /// `stops` end the answer and are no part of it; empty ones are ignored.
    pub(super) fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|stop| !stop.is_empty());
        Self {
            stops,
            tokens: Vec::new(),
            read: 0,
            context: 0,
            whole: String::new(),
            shown: 0,
            is_stopped: false,
        }
    }

    /// Takes one more token.
    pub(super) fn push(&mut self, token: u32, vocabulary: &Vocabulary) -> Result<()> {
        self.tokens.push(token);
        self.take(vocabulary, false)
    }

    /// Whether a stop text was reached.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// What may be shown now and was not before.
    pub(super) fn take_delta(&mut self) -> Option<&str> {
        let safe = self.whole.len() - self.held_back();
        if safe <= self.shown {
            return None;
        }
        let from = std::mem::replace(&mut self.shown, safe);
        Some(&self.whole[from..safe])
    }

    /// The whole text, once no more tokens come. An incomplete character is shown as U+FFFD.
    pub(super) fn finish(mut self, vocabulary: &Vocabulary) -> Result<String> {
        if !self.is_stopped {
            self.take(vocabulary, true)?;
        }
        Ok(self.whole)
    }

    /// Moves what has become text from the tokens to `whole`, and looks for a stop in it.
    fn take(&mut self, vocabulary: &Vocabulary, is_last: bool) -> Result<()> {
        if self.read == self.tokens.len() {
            return Ok(());
        }
        let before = vocabulary.decode(&self.tokens[self.context..self.read])?;
        let after = vocabulary.decode(&self.tokens[self.context..])?;
        let is_partial = after.ends_with('\u{fffd}') && self.tokens.len() - self.read < PARTIAL;
        if is_partial && !is_last {
            return Ok(());
        }
        let from = self.whole.len();
        self.whole
            .push_str(after.strip_prefix(&before).unwrap_or_default());
        (self.context, self.read) = (self.read, self.tokens.len());
        self.find_stop(from);
        Ok(())
    }

    /// Cuts the text before the earliest stop that ends after `from`.
    fn find_stop(&mut self, from: usize) {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let mut start = from.saturating_sub(longest);
        while !self.whole.is_char_boundary(start) {
            start -= 1;
        }
        let found = self
            .stops
            .iter()
            .filter_map(|stop| self.whole[start..].find(stop.as_str()));
        if let Some(place) = found.min() {
            self.whole.truncate(start + place);
            self.is_stopped = true;
        }
    }

    /// Bytes at the end with which a stop text may begin.
    fn held_back(&self) -> usize {
        if self.is_stopped {
            return 0;
        }
        let begins = |stop: &String| {
            let lengths = (1..stop.len()).rev().filter(|&n| stop.is_char_boundary(n));
            lengths
                .into_iter()
                .find(|&n| self.whole.ends_with(&stop[..n]))
                .unwrap_or(0)
        };
        self.stops.iter().map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tale_weights::{Model, testing::write_tiny_model};

    /// A vocabulary whose tokens are bytes.
    fn bytes() -> Vocabulary {
        let dir = tempfile::tempdir().unwrap();
        write_tiny_model(dir.path()).unwrap();
        Model::open(dir.path()).unwrap().vocabulary().unwrap()
    }

    /// What is let out after each token, what the text is at the end, and whether a stop came.
    fn check(stops: &[&str], text: &str, deltas: &[&str], whole: &str, is_stopped: bool) {
        let vocabulary = bytes();
        let mut shown = Text::new(stops.iter().map(|&stop| stop.to_owned()).collect());
        let mut heard = Vec::new();
        for token in vocabulary.encode(text).unwrap() {
            shown.push(token, &vocabulary).unwrap();
            heard.extend(shown.take_delta().map(str::to_owned));
            if shown.is_stopped() {
                break;
            }
        }
        assert_eq!(
            (heard, shown.is_stopped()),
            (deltas.iter().map(|&d| d.to_owned()).collect(), is_stopped)
        );
        assert_eq!(shown.finish(&vocabulary).unwrap(), whole);
    }

    #[test]
    fn characters_come_whole() {
        check(&[], "aé答🐘", &["a", "é", "答", "🐘"], "aé答🐘", false);
    }

    #[test]
    fn a_stop_text_is_never_shown_and_a_false_start_of_one_is() {
        check(&["END"], "okEND more", &["o", "k"], "ok", true);
        check(&["END"], "aENb", &["a", "ENb"], "aENb", false);
        check(&["aab"], "aaab", &["a"], "a", true);
        check(&["。b"], "a。c", &["a", "。c"], "a。c", false);
    }

    #[test]
    fn the_earliest_stop_counts_and_a_held_end_is_part_of_the_text() {
        check(&["xyz", "y"], "axyz", &["a", "x"], "ax", true);
        check(&["END"], "the EN", &["t", "h", "e", " "], "the EN", false);
        check(&["", "!"], "a", &["a"], "a", false);
    }

    #[test]
    fn a_character_that_never_becomes_whole_is_replaced() {
        let vocabulary = bytes();
        let tokens = vocabulary.encode("é").unwrap();
        let mut text = Text::new(Vec::new());
        text.push(tokens[0], &vocabulary).unwrap();
        assert_eq!(text.take_delta(), None);
        assert_eq!(text.finish(&vocabulary).unwrap(), "\u{fffd}");
        // Bytes that no character begins with do not hold the rest up for ever.
        let mut text = Text::new(Vec::new());
        for _ in 0..8 {
            text.push(tokens[1], &vocabulary).unwrap();
        }
        assert!(text.take_delta().is_some());
    }
}
