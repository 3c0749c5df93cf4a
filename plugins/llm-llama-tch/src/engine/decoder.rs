//! From tokens to text: what a token's text is can depend on the one before it, and a token can end in
//! the middle of a character.

use tale_api::Result;
use tale_weights::Vocabulary;

/// The tokens of one answer, and how far they have become text.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    tokens: Vec<u32>,
    /// Tokens before this have become text.
    read: usize,
    /// From here tokens are decoded together with new ones.
    context: usize,
}

/// Tokens that are waited for where a character does not become whole: UTF-8 has at most four bytes.
const PARTIAL: usize = 4;

impl Decoder {
    /// Takes one more token; gives the text that became whole with it.
    pub(super) fn push(&mut self, token: u32, vocabulary: &Vocabulary) -> Result<String> {
        self.tokens.push(token);
        self.take(vocabulary, false)
    }

    /// What is left once no more tokens come. An incomplete character is U+FFFD.
    pub(super) fn rest(&mut self, vocabulary: &Vocabulary) -> Result<String> {
        self.take(vocabulary, true)
    }

    fn take(&mut self, vocabulary: &Vocabulary, is_last: bool) -> Result<String> {
        if self.read == self.tokens.len() {
            return Ok(String::new());
        }
        let before = vocabulary.decode(&self.tokens[self.context..self.read])?;
        let mut after = vocabulary.decode(&self.tokens[self.context..])?;
        let is_partial = after.ends_with('\u{fffd}') && self.tokens.len() - self.read < PARTIAL;
        if is_partial && !is_last {
            return Ok(String::new());
        }
        (self.context, self.read) = (self.read, self.tokens.len());
        Ok(if after.starts_with(&before) {
            after.split_off(before.len())
        } else {
            String::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tale_local_llm::Visible;
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
        let mut shown = Visible::new(stops.iter().map(|&stop| stop.to_owned()).collect());
        let (mut decoder, mut heard) = (Decoder::default(), Vec::new());
        for token in vocabulary.encode(text).unwrap() {
            shown.push(decoder.push(token, &vocabulary).unwrap().as_bytes());
            heard.extend(shown.take_delta().map(str::to_owned));
            if shown.is_stopped() {
                break;
            }
        }
        assert_eq!(
            (heard, shown.is_stopped()),
            (deltas.iter().map(|&d| d.to_owned()).collect(), is_stopped)
        );
        shown.push(decoder.rest(&vocabulary).unwrap().as_bytes());
        assert_eq!(shown.finish(), whole);
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
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(tokens[0], &vocabulary).unwrap(), "");
        assert_eq!(decoder.rest(&vocabulary).unwrap(), "\u{fffd}");
        // Bytes that no character begins with do not hold the rest up for ever.
        let mut decoder = Decoder::default();
        let mut push = || decoder.push(tokens[1], &vocabulary).unwrap();
        assert!((0..8).any(|_| !push().is_empty()));
    }
}
