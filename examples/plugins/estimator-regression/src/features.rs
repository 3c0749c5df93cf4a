//! What the regression sees of a question.

/// The constant, words, numbers and sentences.
pub(crate) const COUNT: usize = 4;

/// Names of the features, in their order.
pub(crate) const NAMES: [&str; COUNT] = ["intercept", "words", "numbers", "sentences"];

/// Counts what there is in `text`; any text has features, also the empty one.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn features(text: &str) -> [f64; COUNT] {
    let is_dense = |c: char| c >= '\u{2e80}' && c.is_alphanumeric();
    let words = text
        .split_whitespace()
        .filter(|word| !word.contains(is_dense));
    let numbers = text
        .split_whitespace()
        .filter(|word| word.contains(|c: char| c.is_ascii_digit()));
    let sentences = text.matches(['.', '?', '!', '。', '？', '！']);
    // In languages without spaces a character counts as a word.
    let dense = text.chars().filter(|&c| is_dense(c));
    [
        1.0,
        (words.count() + dense.count()) as f64,
        numbers.count() as f64,
        sentences.count() as f64,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_sentences_are_counted() {
        let text = "A shop sells 48 clips. How many in 2 months?";
        assert_eq!(features(text), [1.0, 10.0, 2.0, 2.0]);
        assert_eq!(features(""), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(features("有多少？"), [1.0, 3.0, 0.0, 1.0]);
    }
}
