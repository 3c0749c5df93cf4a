//! From the bytes of tokens to text that may be shown.
//!
//! A token can end in the middle of a character, and a stop text can begin in one token and end
//! several later. [`Visible`] lets text out only when neither can happen to it any more.

/// The text of one completion as it grows.
#[derive(Debug, Default)]
pub struct Visible {
    stops: Vec<String>,
    /// Everything that can still be shown, the held back part at its end included.
    text: String,
    /// How much of `text` has been let out.
    shown: usize,
    /// Bytes of a character that is not complete.
    partial: Vec<u8>,
    stopped: bool,
}

impl Visible {
    /// `stops` end the completion and are no part of it; empty ones are ignored.
    #[must_use]
    pub fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|s| !s.is_empty());
        Self {
            stops,
            ..Self::default()
        }
    }

    /// Takes the bytes of one more token.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.stopped {
            return;
        }
        let from = self.text.len();
        self.partial.extend_from_slice(bytes);
        self.take_characters();
        self.find_stop(from);
    }

    /// Whether a stop text was reached.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// What may be shown now and was not before.
    pub fn take_delta(&mut self) -> Option<&str> {
        let safe = self.text.len() - self.held_back();
        if safe <= self.shown {
            return None;
        }
        let from = std::mem::replace(&mut self.shown, safe);
        Some(&self.text[from..safe])
    }

    /// The whole text, once no more tokens come. An incomplete character is shown as `U+FFFD`.
    #[must_use]
    pub fn finish(mut self) -> String {
        if !self.stopped && !self.partial.is_empty() {
            self.text.push_str(&String::from_utf8_lossy(&self.partial));
        }
        self.text
    }

    /// Moves complete characters from `partial` to `text`; bytes that no character begins with
    /// become `U+FFFD`.
    fn take_characters(&mut self) {
        let mut rest = self.partial.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    self.text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(e) => {
                    let (valid, after) = rest.split_at(e.valid_up_to());
                    self.text.push_str(&String::from_utf8_lossy(valid));
                    let Some(invalid) = e.error_len() else {
                        rest = after;
                        break;
                    };
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[invalid..];
                }
            }
        }
        self.partial = rest.to_vec();
    }

    /// Looks for the earliest stop text that ends after `from`, and cuts the text there.
    fn find_stop(&mut self, from: usize) {
        let earliest = self
            .stops
            .iter()
            .filter_map(|stop| {
                let mut start = from.saturating_sub(stop.len() - 1).max(self.shown);
                while !self.text.is_char_boundary(start) {
                    start -= 1;
                }
                self.text[start..].find(stop.as_str()).map(|at| start + at)
            })
            .min();
        if let Some(at) = earliest {
            self.text.truncate(at);
            self.partial.clear();
            self.stopped = true;
        }
    }

    /// Bytes at the end of `text` that a stop text may begin with.
    fn held_back(&self) -> usize {
        if self.stopped {
            return 0;
        }
        let longest = |stop: &String| {
            (1..stop.len().min(self.text.len() + 1))
                .rev()
                .filter(|&n| stop.is_char_boundary(n))
                .find(|&n| self.text.ends_with(&stop[..n]))
                .unwrap_or(0)
        };
        self.stops.iter().map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each piece lets out, and the whole text.
    fn run(stops: &[&str], pieces: &[&[u8]]) -> (Vec<String>, String, bool) {
        let mut visible = Visible::new(stops.iter().map(ToString::to_string).collect());
        let mut deltas = Vec::new();
        for piece in pieces {
            visible.push(piece);
            deltas.push(visible.take_delta().unwrap_or_default().to_owned());
        }
        let stopped = visible.is_stopped();
        (deltas, visible.finish(), stopped)
    }

    fn check(stops: &[&str], pieces: &[&[u8]], deltas: &[&str], text: &str, stopped: bool) {
        let (got, whole, ended) = run(stops, pieces);
        assert_eq!(got, deltas, "deltas of {pieces:?}");
        assert_eq!((whole.as_str(), ended), (text, stopped));
        assert!(whole.starts_with(&got.concat()), "what was shown stays");
    }

    #[test]
    fn a_character_is_shown_whole() {
        let euro = "€".as_bytes();
        check(
            &[],
            &[&euro[..1], &euro[1..2], &euro[2..], b"1"],
            &["", "", "€", "1"],
            "€1",
            false,
        );
    }

    #[test]
    fn bytes_of_no_character_are_replaced() {
        check(
            &[],
            &[b"a\xffb", b"\xe2\x82"],
            &["a\u{fffd}b", ""],
            "a\u{fffd}b\u{fffd}",
            false,
        );
    }

    #[test]
    fn no_part_of_a_stop_text_is_shown() {
        check(
            &["\n\nQ:"],
            &[b"1\n", b"\nQ", b": next"],
            &["1", "", ""],
            "1",
            true,
        );
    }

    #[test]
    fn what_only_began_like_a_stop_text_is_shown_later() {
        check(
            &["ABC"],
            &[b"xA", b"B", b"D"],
            &["x", "", "ABD"],
            "xABD",
            false,
        );
        check(
            &["aab"],
            &[b"aa", b"a", b"c"],
            &["", "a", "aac"],
            "aaac",
            false,
        );
    }

    #[test]
    fn the_earliest_stop_text_counts_and_a_held_end_is_in_the_text() {
        check(&["x", "bx"], &[b"abx"], &["a"], "a", true);
        check(&["END"], &[b"the EN"], &["the "], "the EN", false);
    }

    #[test]
    fn stop_texts_of_several_bytes_a_character() {
        let answer = "答案。".as_bytes();
        check(
            &["案。"],
            &[&answer[..4], &answer[4..7], &answer[7..]],
            &["答", "", ""],
            "答",
            true,
        );
    }
}
