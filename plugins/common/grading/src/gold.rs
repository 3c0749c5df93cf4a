//! The gold answer as data sets write it.

use crate::extract::{boxed, letters};
use crate::kind::AnswerKind;
use crate::math::strip_answer;

/// The bare gold answer.
///
/// * Numbers and mathematics: what follows the last `####` (GSM8K), else the content of `[[…]]` that is
///   the whole text, or of the last `\boxed{…}` (MATH's solutions), else the text. Thousands marks
///   stay: `1,234` is one number.
/// * Choices: the letters in upper case (`(B) 12` is `B`); the text itself if it names none.
/// * Text: the text, trimmed.
///
/// ```
/// use tale_grading::{AnswerKind, gold};
/// assert_eq!(gold(AnswerKind::Number, "80,000 + 50,000\n#### 1,234"), "1,234");
/// assert_eq!(gold(AnswerKind::Choice, "B)6000"), "B");
/// ```
#[must_use]
pub fn gold(kind: AnswerKind, text: &str) -> String {
    let text = text.trim();
    match kind {
        AnswerKind::Number | AnswerKind::Math => {
            let text = text.rfind("####").map_or(text, |at| text[at + 4..].trim());
            let boxed = boxed(text);
            if let Some(boxed) = boxed {
                return strip_answer(&boxed).to_owned();
            }
            let inner = text
                .strip_prefix("[[")
                .and_then(|rest| rest.strip_suffix("]]"))
                .filter(|inner| !inner.contains(['[', ']']));
            strip_answer(inner.unwrap_or(text)).to_owned()
        }
        AnswerKind::Choice => letters(text, 26).unwrap_or_else(|| text.to_owned()),
        AnswerKind::Text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gold_with_thousands_comma_is_one_number() {
        // GSM8K test, "Tom's ship": the reference code read 1 here.
        assert_eq!(gold(AnswerKind::Number, "x\n#### 2,125"), "2,125");
    }

    #[test]
    fn golds_of_each_kind() {
        assert_eq!(gold(AnswerKind::Math, "$\\frac{1}{2}$."), "\\frac{1}{2}");
        assert_eq!(gold(AnswerKind::Choice, " c "), "C");
        assert_eq!(gold(AnswerKind::Text, " as is. "), "as is.");
        assert_eq!(gold(AnswerKind::Math, "[[1,2],[3,4]]"), "[[1,2],[3,4]]");
    }
}
