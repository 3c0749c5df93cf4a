//! Free text: exact match.

/// Whether two texts are the same but for case, white space, and quotes or punctuation around them.
///
/// ```
/// use tale_grading::exact_match;
/// assert!(exact_match("  \"New  York.\" ", "new york"));
/// assert!(!exact_match("New York", "York"));
/// ```
#[must_use]
pub fn exact_match(a: &str, b: &str) -> bool {
    fold(a).eq(fold(b))
}

/// The characters that count, one by one, so that no text is copied.
fn fold(text: &str) -> impl Iterator<Item = char> + '_ {
    let edge = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\'' | '`' | '“' | '”' | '‘' | '’' | '.' | ',' | ';' | ':' | '!' | '?'
            )
            || matches!(
                c,
                '。' | '，' | '；' | '：' | '！' | '？' | '*' | '「' | '」'
            )
    };
    let trimmed = text.trim_matches(edge);
    // A text of punctuation only is compared as it is.
    let kept = if trimmed.is_empty() {
        text.trim()
    } else {
        trimmed
    };
    let mut words = kept.split_whitespace();
    let first = words.next().unwrap_or("");
    first
        .chars()
        .chain(words.flat_map(|word| std::iter::once(' ').chain(word.chars())))
        .flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_count() {
        assert!(exact_match("Ja.", "ja"));
        assert!(exact_match("?", "?"));
        assert!(!exact_match("?", "!"));
        assert!(exact_match("“是的”。", "是的"));
    }
}
