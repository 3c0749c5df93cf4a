//! What is stripped from an answer before it is read, and the folding for equality as text.

use super::words;

/// Removes what surrounds an answer without belonging to it: delimiters of formulas, Markdown,
/// quotes, closing punctuation, `\boxed`.
pub(crate) fn strip_answer(text: &str) -> &str {
    let mut text = text.trim();
    // Each round removes at least one character; the count bounds absurd nesting.
    let rounds = if text.len() > 4096 { 4 } else { 64 };
    for _ in 0..rounds {
        let before = text.len();
        text = strip_once(text).trim();
        if text.len() == before {
            break;
        }
    }
    text
}

fn strip_once(text: &str) -> &str {
    const PAIRS: [(&str, &str); 12] = [
        ("$$", "$$"),
        ("$", "$"),
        ("\\(", "\\)"),
        ("\\[", "\\]"),
        ("**", "**"),
        ("__", "__"),
        ("*", "*"),
        ("``", "``"),
        ("`", "`"),
        ("\"", "\""),
        ("“", "”"),
        ("'", "'"),
    ];
    for (open, close) in PAIRS {
        let inner = text
            .strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close));
        if let Some(inner) = inner.filter(|inner| !inner.is_empty() && !inner.contains(close)) {
            return inner;
        }
    }
    for command in [
        "\\boxed{",
        "\\fbox{",
        "\\displaystyle{",
        "\\text{",
        "\\mathbf{",
        "\\textbf{",
    ] {
        if let Some(inner) = text
            .strip_prefix(command)
            .and_then(|rest| rest.strip_suffix('}'))
            && closes_at_end(inner)
        {
            return inner;
        }
    }
    if let Some(rest) = text
        .strip_prefix(['=', '≈'])
        .filter(|rest| !rest.trim().is_empty())
    {
        return rest;
    }
    for head in [
        "Answer:",
        "answer:",
        "ANSWER:",
        "答案：",
        "答案:",
        "答：",
        "\\displaystyle",
    ] {
        if let Some(rest) = text
            .strip_prefix(head)
            .filter(|rest| !rest.trim().is_empty())
        {
            return rest;
        }
    }
    // A closing stop, not a decimal point or an ellipsis, which carry meaning.
    if let Some(rest) = text.strip_suffix(['.', '。', ',', '，', ';', '；', ':', '：', '?', '？'])
        && !rest.is_empty()
        && !rest.ends_with(['.', '\\'])
    {
        return rest;
    }
    if let Some(rest) = text.strip_suffix("\\\\").filter(|rest| !rest.is_empty()) {
        return rest;
    }
    text
}

/// Whether no brace of `inner` closes one opened outside of it.
fn closes_at_end(inner: &str) -> bool {
    let mut depth = 0i32;
    for byte in inner.bytes() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// Layout commands that equality as text does not see, longest first where one begins another.
const DROPPED: [&str; 12] = [
    "\\left",
    "\\right",
    "\\displaystyle",
    "\\qquad",
    "\\quad",
    "\\,",
    "\\!",
    "\\;",
    "\\:",
    "\\ ",
    "\\(",
    "\\)",
];

/// The text without spaces and layout, with look-alike characters made one. Letters keep their
/// case: `X` and `x` are two symbols.
pub(crate) fn fold_text(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    'outer: while let Some(c) = rest.chars().next() {
        if c == '\\' {
            for command in DROPPED {
                if let Some(after) = rest.strip_prefix(command) {
                    // \leftarrow is not \left.
                    let word = command.ends_with(|c: char| c.is_ascii_alphabetic());
                    if !(word && after.starts_with(|c: char| c.is_ascii_alphabetic())) {
                        rest = after;
                        continue 'outer;
                    }
                }
            }
            for fraction in ["\\dfrac", "\\tfrac", "\\cfrac"] {
                if let Some(after) = rest.strip_prefix(fraction) {
                    folded.push_str("\\frac");
                    rest = after;
                    continue 'outer;
                }
            }
        }
        rest = &rest[c.len_utf8()..];
        match words::canonical(c) {
            Some(c) if c.is_whitespace() || c == '$' => {}
            Some(c) => folded.push(c),
            None => {}
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_stripped() {
        for (text, expected) in [
            ("$18.00$.", "18.00"),
            ("**C**.", "C"),
            ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
            ("$x$ and $y$", "$x$ and $y$"),
            ("\\(x=5\\)", "x=5"),
            ("答案：5。", "5"),
            ("0.333...", "0.333..."),
            ("5!", "5!"),
            ("$", "$"),
        ] {
            assert_eq!(strip_answer(text), expected, "{text}");
        }
    }

    #[test]
    fn layout_folds_away() {
        assert_eq!(fold_text(r"\left( 1,\, 2 \right)"), "(1,2)");
        assert_eq!(
            fold_text(r"\dfrac{1}{2} \leftarrow"),
            r"\frac{1}{2}\leftarrow"
        );
    }
}
