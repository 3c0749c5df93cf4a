//! What the question says about how its answer is to be read.

/// Facts about a question that change equality; none by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// It asks for a percentage: `50%` and `50` are then the same answer.
    pub percentage: bool,
    /// It speaks of a number base: `10_2` and `10` are then the same numeral.
    pub base: bool,
    /// It asks for a ratio: `3:15` and `1:5` are then the same answer, and no times of day.
    pub ratio: bool,
}

impl Hints {
    /// Reads the last sentence of a question, in English or Chinese, up to 2,000 bytes of it.
    ///
    /// Only what is *asked* counts: "the price rose by 20%, what is it now?" asks for no percentage.
    ///
    /// ```
    /// use tale_grading::Hints;
    /// assert!(Hints::from_question("What percentage of the flowers is red?").percentage);
    /// assert!(!Hints::from_question("The value rose by 150 percent. How much is it?").percentage);
    /// ```
    #[must_use]
    pub fn from_question(question: &str) -> Self {
        let question = tail(question.trim(), 2000);
        let asked = last_sentence(question).to_lowercase();
        let has = |needles: &[&str]| needles.iter().any(|needle| asked.contains(needle));
        Self {
            percentage: has(&[
                "what percent",
                "percentage",
                "how many percent",
                "what %",
                "as a percent",
                "in percent",
                "百分之几",
                "百分之多少",
                "百分比",
                "百分率",
            ]),
            base: has(&["base ", "binary", "hexadecimal", "octal", "base_", "进制"]),
            ratio: has(&["ratio", "比是", "之比", "比例"]),
        }
    }
}

/// The last at most `bytes` bytes, cut between characters.
fn tail(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// The sentence with the last question mark, or else the last sentence.
fn last_sentence(question: &str) -> &str {
    let end = question.rfind(['?', '？']).map_or(question.len(), |at| at);
    let head = question[..end].trim_end_matches(['.', '。', ' ', '\n']);
    // A full stop ends a sentence only before a space: 3.5 does not.
    let start = head
        .char_indices()
        .rfind(|(at, c)| {
            let after = head[at + c.len_utf8()..].chars().next();
            let title = ["Mr", "Mrs", "Ms", "Dr", "St"]
                .iter()
                .any(|t| head[..*at].ends_with(t));
            matches!(c, '?' | '？' | '。' | '！' | '\n')
                || (*c == '.' && !title && after.is_some_and(char::is_whitespace))
        })
        .map_or(0, |(at, c)| at + c.len_utf8());
    &head[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_asked_sentence_counts() {
        let ask = |question: &str| Hints::from_question(question).percentage;
        assert!(ask(
            "Ten are red. By what percent did it rise? Answer with a number."
        ));
        assert!(ask(
            "He paid 5. What is the percentage discount of Mr. Roger's friend?"
        ));
        assert!(ask("女生占全班的百分之几？"));
        assert!(!ask(
            "A percentage is a share of 100. How many flowers are there?"
        ));
        assert!(!ask(""));
    }

    #[test]
    fn bases_and_ratios() {
        assert!(Hints::from_question("Convert 13 to base 2.").base);
        assert!(Hints::from_question("What is the ratio of boys to girls?").ratio);
    }
}
