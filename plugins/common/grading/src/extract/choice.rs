//! Option letters.

use super::marks;
use super::{Extraction, Source};

const PHRASES: [&str; 40] = [
    "the correct answer is",
    "the correct option is",
    "the correct choice is",
    "correct answer:",
    "correct answer is",
    "correct option:",
    "the best answer is",
    "the right answer is",
    "the final answer is",
    "final answer:",
    "final answer is",
    "the answer is",
    "answer is",
    "answer:",
    "answer：",
    "answer**:",
    "choice:",
    "choice is",
    "option:",
    "option is",
    "the answer should be",
    "the answer would be",
    "i choose",
    "we choose",
    "答案为选项",
    "答案是选项",
    "答案应为",
    "答案应该是",
    "答案选",
    "答案为",
    "答案是",
    "答案：",
    "答案:",
    "正确选项是",
    "正确选项为",
    "选项：",
    "选项:",
    "故选",
    "应选",
    "选择",
];

/// Letters in range: all options, or up to J where their number is unknown.
fn in_range(letter: char, choices: usize) -> bool {
    let count = if choices == 0 { 10 } else { choices.min(26) };
    letter.is_ascii_uppercase() && (letter as usize - 'A' as usize) < count
}

/// The letters of a text that is nothing but an answer: `B`, `(B)`, `B.`, `B) 12`, `**b**`, `A and C`.
///
/// They come in upper case, sorted, each once; `None` if the text is no choice.
pub(crate) fn letters(text: &str, choices: usize) -> Option<String> {
    let mut text = text.trim();
    for prefix in [
        "选项", "答案", "Option", "option", "Choice", "choice", "Answer", "answer",
    ] {
        text = text
            .strip_prefix(prefix)
            .unwrap_or(text)
            .trim_start_matches([':', '：', ' ']);
    }
    let bare: String = text
        .replace("\\text", " ")
        .replace("\\mathrm", " ")
        .replace("\\mathbf", " ")
        .chars()
        .map(|c| {
            if matches!(
                c,
                '*' | '$' | '{' | '}' | '"' | '\'' | '`' | '\\' | '“' | '”'
            ) {
                ' '
            } else {
                c
            }
        })
        .collect();
    let bare = bare.trim().trim_start_matches(['(', '（', '[', '【', ' ']);
    let first = bare.chars().next()?.to_ascii_uppercase();
    if !in_range(first, choices) {
        return None;
    }
    let rest = &bare[1..];
    match rest.chars().next() {
        None
        | Some(
            ')' | '）' | ']' | '】' | '.' | '。' | ':' | '：' | '、' | ',' | '，' | ' ' | '&' | '/'
            | ';',
        ) => {}
        // "ACD" is a set of letters, "Bad" a word.
        Some(_) => {
            let run = bare.len() > 1
                && bare
                    .chars()
                    .all(|c| c.is_ascii_uppercase() && in_range(c, choices));
            return run.then(|| sorted(bare.chars()));
        }
    }
    let all = further_letters(rest, first, choices);
    // "A friend" begins with an article.
    if all.len() == 1 && first == 'A' && is_article(rest) {
        return None;
    }
    Some(sorted(all.into_iter()))
}

/// Letters after the first, as long as only letters and joining words come.
fn further_letters(rest: &str, first: char, choices: usize) -> Vec<char> {
    let mut all = vec![first];
    for word in rest
        .split([',', '，', '、', ' ', '&', '/', ';'])
        .filter(|w| !w.is_empty())
    {
        let word = word.trim_matches(['(', ')', '.', '（', '）']);
        let letter = word.chars().next().filter(|_| word.len() == 1);
        match letter {
            Some(c) if c.is_ascii_uppercase() && in_range(c, choices) => all.push(c),
            _ if matches!(word, "and" | "or" | "和" | "与" | "及" | "") => {}
            _ => break,
        }
    }
    all
}

fn sorted(letters: impl Iterator<Item = char>) -> String {
    let mut letters: Vec<char> = letters.map(|c| c.to_ascii_uppercase()).collect();
    letters.sort_unstable();
    letters.dedup();
    letters.into_iter().collect()
}

/// What follows reads on like a sentence: a lower-case word that gives no reason.
fn is_article(rest: &str) -> bool {
    let Some(word) = rest.strip_prefix(' ') else {
        return false;
    };
    let word: String = word.chars().take_while(char::is_ascii_alphabetic).collect();
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && !matches!(
            word.as_str(),
            "because"
                | "since"
                | "as"
                | "is"
                | "and"
                | "or"
                | "with"
                | "for"
                | "which"
                | "that"
                | "so"
                | "in"
                | "by"
                | "from"
                | "due"
        )
}

/// An answer with a mark: brackets, box, hashes, phrase.
pub(super) fn marked(text: &str, choices: usize) -> Option<Extraction<'_>> {
    if let Some(answer) = marks::brackets(text).and_then(|content| letters(content, choices)) {
        return Some(Extraction::new(answer, Source::Brackets));
    }
    if let Some(answer) = marks::boxed(text).and_then(|content| letters(&content, choices)) {
        return Some(Extraction::new(answer, Source::Boxed));
    }
    if let Some(answer) = marks::hashes(text).and_then(|content| letters(content, choices)) {
        return Some(Extraction::new(answer, Source::Hashes));
    }
    // From the last phrase backwards: "the answer is clear: …" says nothing, an earlier one may.

    marks::phrase_ends(text, &PHRASES)
        .into_iter()
        .rev()
        .take(32)
        .find_map(|end| {
            let answer = after_phrase(&text[end..], choices)?;
            Some(Extraction::new(answer, Source::Phrase))
        })
}

/// The letter that a phrase leads to, past words like "option" and marks.
fn after_phrase(text: &str, choices: usize) -> Option<String> {
    let text = text.trim_start_matches([
        ':', '：', ' ', '\n', '\r', '*', '"', '“', '=', '\'', '`', '~',
    ]);
    let mut text = text;
    for word in [
        "option", "Option", "choice", "Choice", "letter", "选项", "是", "为", "(", "[", "（",
    ] {
        text = text
            .strip_prefix(word)
            .unwrap_or(text)
            .trim_start_matches([' ', ':', '：', '*']);
    }
    letters(marks::first_line(text), choices).filter(|_| {
        // The letter stands alone in upper case, unlike the first letter of a word.
        let bare = text.trim_start_matches(['(', '[', '*', '$', '\\', '{', '（', '【', '"', ' ']);
        let bare = bare
            .strip_prefix("text{")
            .or_else(|| bare.strip_prefix("mathrm{"))
            .unwrap_or(bare);
        bare.trim_start_matches('(')
            .starts_with(|c: char| c.is_ascii_uppercase())
    })
}

/// An option mark in a line: `(A)`, `A.`, `A)`, `**A**`, or the letter alone. The last of the line.
fn mark_in(line: &str, choices: usize) -> Option<char> {
    let chars: Vec<char> = line.chars().take(2000).collect();
    (0..chars.len()).rev().find_map(|at| {
        let letter = chars[at];
        if !in_range(letter, choices) {
            return None;
        }
        let before = if at == 0 {
            None
        } else {
            chars.get(at - 1).copied()
        };
        let after = chars.get(at + 1).copied();
        let parenthesised =
            matches!(before, Some('(' | '（' | '[')) && matches!(after, Some(')' | '）' | ']'));
        let bold = before == Some('*') && matches!(after, Some('*' | '.' | ')' | ':' | '：'));
        let opening = chars[..at]
            .iter()
            .all(|c| c.is_whitespace() || matches!(c, '*' | '#' | '-' | '>'));
        let listed = opening && matches!(after, Some('.' | ')' | '）' | ':' | '：' | '、') | None);
        (parenthesised || bold || listed).then_some(letter)
    })
}

/// Whether a line begins like an option.
fn opens_with_mark(line: &str, choices: usize) -> Option<char> {
    let bare = line.trim_start().trim_start_matches(['*', '(', '（', '[']);
    let letter = bare.chars().next().filter(|c| in_range(*c, choices))?;
    let after = bare[1..].chars().next();
    matches!(
        after,
        None | Some('.' | ')' | '）' | ':' | '：' | '、' | '*' | ']')
    )
    .then_some(letter)
}

/// The last line names an option.
pub(super) fn ends_answered(text: &str, choices: usize) -> bool {
    let line = text.trim_end().rsplit('\n').next().unwrap_or("");
    let first = text.trim_start().split('\n').next().unwrap_or("");
    opens_with_mark(first, choices).is_some() && first == line || mark_in(line, choices).is_some()
}

/// One short line that opens with an option and says nothing more in words: `B`, `(B) 12`, `A, C`.
fn is_bare(text: &str) -> bool {
    let word = |w: &str| w.len() >= 2 && w.bytes().all(|b| b.is_ascii_lowercase());
    text.len() <= 64
        && !text.contains(" is ")
        && !text.contains(" are ")
        && !text.contains(['\n', '['])
        && (!text.split(' ').skip(1).any(word) || text.contains([')', '.', ':']))
        && !text
            .split(' ')
            .nth(1)
            .is_some_and(|w| word(w) && text.len() > 1 && text.as_bytes()[1] == b' ')
}

/// The choice of a completion.
pub(super) fn extract(text: &str, choices: usize) -> Option<Extraction<'_>> {
    if is_bare(text)
        && let Some(answer) = letters(text, choices)
    {
        return Some(Extraction::new(answer, Source::Whole));
    }
    if let Some(found) = marked(text, choices) {
        return Some(found);
    }
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let (first, last) = (lines.first()?, lines.last()?);
    if let Some(letter) = mark_in(last, choices) {
        return Some(Extraction::new(letter.to_string(), Source::Mark));
    }
    // A direct answer with its reasons below: the first line alone is marked.
    if let Some(letter) = opens_with_mark(first, choices)
        && lines
            .iter()
            .skip(1)
            .all(|line| opens_with_mark(line, choices).is_none())
    {
        return Some(Extraction::new(letter.to_string(), Source::Mark));
    }
    if let Some(letter) = last_capital(last, choices) {
        return Some(Extraction::new(letter.to_string(), Source::LastLetter));
    }
    let letter = lines
        .iter()
        .rev()
        .take(64)
        .find_map(|line| mark_in(line, choices))?;
    Some(Extraction::new(letter.to_string(), Source::Mark))
}

/// The last capital in range that stands alone; an article only if nothing else is there.
fn last_capital(line: &str, choices: usize) -> Option<char> {
    let mut article = None;
    let chars: Vec<(usize, char)> = line.char_indices().collect();
    for (index, (at, letter)) in chars.iter().enumerate().rev() {
        if !in_range(*letter, choices) {
            continue;
        }
        let joined = |c: Option<&(usize, char)>| {
            c.is_some_and(|(_, c)| c.is_ascii_alphanumeric() || matches!(c, '\'' | '’'))
        };
        if joined(chars.get(index + 1)) || (index > 0 && joined(chars.get(index - 1))) {
            continue;
        }
        if *letter == 'A' && is_article(&line[at + 1..]) {
            article = article.or(Some(*letter));
            continue;
        }
        return Some(*letter);
    }
    article
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let found = extract(text, 5).map(|found| found.answer.into_owned());
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn forms_of_a_letter() {
        for text in [
            "[[B]]",
            "选项: [[B]]",
            "(B) 12",
            "**B**.",
            "答案是：B",
            "B",
            "b",
            "B.",
            "B) 12",
            "\\text{(B)}",
            "\\boxed{B}",
            "\\boxed{\\text{B}}",
            "Choice: [[(B)]]",
            "[[选项B]]",
            "The correct answer is **B**.",
            "The correct answer is (B) 12 because A is not.",
            "答案为选项B。",
            "故选B",
            "#### B",
            "After all, it must be B",
            "Answer: B) 12 apples",
            "The answer is option B.",
            "[[B) 12]]",
        ] {
            check(text, Some("B"));
        }
    }

    #[test]
    fn no_letter_no_choice() {
        check("I do not know.", None);
        check("The answer is Zebra.", None);
        check("12", None);
    }

    #[test]
    fn traps() {
        check("The answer is a tricky one. (C)", Some("C"));
        check("A. 1\nB. 2\nC. 3\nThe correct answer is C.", Some("C"));
        check("B. 12\nThe speed is 12, as A friend knows.", Some("B"));
        check("A train needs 5 hours, hence D", Some("D"));
        check("Z is out of range, E is not", Some("E"));
        check("[[A, C]]", Some("AC"));
        check("ACD", Some("ACD"));
    }
}
