//! Mathematical answers: from the marks to the last formula.

use std::borrow::Cow;

use super::marks;
use super::number::{self, PHRASES, has_number, last_number, opens_with_word};
use super::{Extraction, Source};
use crate::math::strip_answer;

/// Pairs that delimit formulas, the longer ones first.
const DELIMITERS: [(&str, &str); 4] = [("\\(", "\\)"), ("\\[", "\\]"), ("$$", "$$"), ("$", "$")];

/// An answer with a mark.
pub(super) fn marked(text: &str) -> Option<Extraction<'_>> {
    if let Some(answer) = marks::brackets(text) {
        return Some(Extraction::new(answer, Source::Brackets));
    }
    if let Some(line) = marks::final_answer(text) {
        return Some(Extraction::new(of_clause(line), Source::Phrase));
    }
    if let Some(answer) = marks::boxed(text) {
        return Some(Extraction::new(answer, Source::Boxed));
    }
    if let Some(answer) = marks::hashes(text) {
        return Some(Extraction::new(of_clause(answer), Source::Hashes));
    }
    let line = marks::after_phrase(text, &PHRASES)?;
    Some(Extraction::new(of_clause(line), Source::Phrase))
}

/// The mathematical answer of a completion.
pub(super) fn extract(text: &str) -> Option<Extraction<'_>> {
    if let Some(whole) = whole_answer(text) {
        return Some(Extraction::new(whole, Source::Whole));
    }
    if let Some(found) = marked(text) {
        return Some(found);
    }
    // The last sentence with a formula or a number; within it a formula goes first, since "√2, about
    // 1.41" means √2.
    for line in text.rsplit('\n').take(64) {
        for sentence in sentences(line) {
            if let Some(formula) = last_formula(sentence).filter(|f| is_substantial(f)) {
                return Some(Extraction::new(formula, Source::Formula));
            }
            if let Some(number) = last_number(sentence) {
                return Some(Extraction::new(number, Source::LastNumber));
            }
        }
    }
    if let Some(formula) = last_formula(text) {
        return Some(Extraction::new(formula, Source::Formula));
    }
    let last = text.rsplit('\n').next()?.trim();
    (!last.is_empty()).then(|| Extraction::new(last, Source::Whole))
}

/// The last sentences of a line, the last one first; "Thus" opens one as well.
fn sentences(line: &str) -> impl Iterator<Item = &str> {
    line.rsplit(". ").take(8).flat_map(|sentence| {
        let at = ["Therefore", "Thus", "Hence", " so ", "So "]
            .iter()
            .filter_map(|word| sentence.rfind(word))
            .max()
            .unwrap_or(0);
        [&sentence[at..], &sentence[..at]]
    })
}

/// A completion that is nothing but an answer: one short line without prose or marks.
pub(super) fn whole_answer(text: &str) -> Option<&str> {
    let bare = strip_answer(text);
    let short = bare.len() <= 256 && !bare.contains('\n');
    let marked = bare.contains("[[") || bare.contains("\\boxed") || bare.contains("####");
    let delimited = bare.matches('$').count() > 1 || bare.contains("\\(") || bare.contains("\\[");
    let plain = !marked && !delimited && !opens_with_word(bare) && !has_prose(bare);
    (short && plain && !bare.is_empty()).then_some(bare)
}

/// Three words of three letters or more outside of commands, or a word that introduces with a colon.
fn has_prose(text: &str) -> bool {
    let mut words = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii_alphabetic() {
            let start = at;
            while at < bytes.len() && bytes[at].is_ascii_alphabetic() {
                at += 1;
            }
            let command = start > 0 && matches!(bytes[start - 1], b'\\' | b'{');
            words += usize::from(!command && at - start >= 3);
        } else {
            at += 1;
        }
    }
    // "18 dollars" is still an answer; ":" or "：" introduces one that stands elsewhere.
    let cjk = text
        .chars()
        .filter(|c| matches!(c, '\u{4E00}'..='\u{9FFF}'))
        .count();
    words >= 3 || cjk >= 4 || ((words >= 1 || cjk >= 1) && text.contains([':', '：']))
}

/// The answer in a clause that follows a phrase: its formula, or what follows its last "is", or its
/// last number, or all of it.
pub(super) fn of_clause(line: &str) -> &str {
    let line = line.trim_start_matches("**").trim_start();
    let line = line.find("**").map_or(line, |at| &line[..at]);
    if let Some(formula) = leading_formula(line) {
        return formula;
    }
    let end = [
        ". ",
        "。",
        " because",
        " since",
        ", because",
        ", since",
        "<|",
        "</s>",
    ]
    .iter()
    .filter_map(|stop| line.find(stop))
    .min();
    let clause = line[..end.unwrap_or(line.len())].trim();
    // "The answer is, since …": the clause ends before it begins.
    let clause = if clause.trim_matches([',', '.', ' ']).is_empty() {
        line.trim()
    } else {
        clause
    };
    if !has_prose(clause) && !opens_with_word(clause) {
        return clause;
    }
    let verb = [" is ", " are ", " be ", " equals ", "是", "为"]
        .iter()
        .filter_map(|verb| clause.rfind(verb).map(|at| at + verb.len()))
        .max();
    if let Some(rest) = verb
        .map(|at| clause[at..].trim())
        .filter(|rest| !rest.is_empty())
    {
        if let Some(formula) = leading_formula(rest) {
            return formula;
        }
        if !has_prose(rest) && (has_number(rest) || rest.contains('\\')) && !opens_with_word(rest) {
            return rest.trim_end_matches('.');
        }
    }
    if let Some(formula) = last_formula(clause).filter(|f| is_substantial(f)) {
        return formula;
    }
    match last_number(clause) {
        Some(Cow::Borrowed(number)) => number,
        _ => clause,
    }
}

/// The formula that a text opens with, and those joined to it by commas or "and".
fn leading_formula(text: &str) -> Option<&str> {
    let (open, close) = DELIMITERS
        .into_iter()
        .find(|(open, _)| text.starts_with(open))?;
    let inner = &text[open.len()..];
    let mut end = inner.find(close).filter(|end| *end > 0)?;
    // "$5 and …" is a price.
    if open == "$" && has_prose(&inner[..end]) {
        return None;
    }
    for _ in 0..16 {
        let rest = &inner[end + close.len()..];
        let Some(next) = rest
            .find(open)
            .filter(|at| marks::is_connector(&rest[..*at]))
        else {
            break;
        };
        let Some(stop) = rest[next + open.len()..].find(close) else {
            break;
        };
        // Without anything between them they are one formula that was broken.
        end += close.len() + next + open.len() + stop;
    }
    Some(with_percent(inner, end, close.len()))
}

/// Takes a percent mark that stands outside of the delimiter.
fn with_percent(inner: &str, end: usize, close: usize) -> &str {
    let after = &inner[end + close..];
    let bare = after.trim_start();
    for mark in ["\\%", "%", "percent", "pct"] {
        if bare.starts_with(mark) {
            return &inner[..end + close + (after.len() - bare.len()) + mark.len()];
        }
    }
    inner[..end].trim()
}

/// The content of the last `$…$`, `\(…\)` or `\[…\]`.
fn last_formula(text: &str) -> Option<&str> {
    let mut best: Option<(usize, &str)> = None;
    for (open, close) in DELIMITERS {
        let found = if open == "$" {
            last_dollars(text)
        } else {
            last_pair(text, open, close)
        };
        let Some((start, end)) = found else { continue };
        let inner = &text[start..];
        let content = inner[..end - start].trim();
        let usable = !content.is_empty() && content.len() <= 1024;
        if usable && best.is_none_or(|(at, _)| end > at) {
            best = Some((end, with_percent(inner, end - start, close.len())));
        }
    }
    best.map(|(_, formula)| formula)
}

fn last_pair(text: &str, open: &str, close: &str) -> Option<(usize, usize)> {
    let end = text.rfind(close)?;
    let start = text[..end].rfind(open)? + open.len();
    Some((start, end))
}

/// The last `$…$`. Dollars pair from the left; one that opens prose is a price and pairs with none.
fn last_dollars(text: &str) -> Option<(usize, usize)> {
    let mut last = None;
    // In a longer line the pairing may begin at a closing dollar; such lines hold no answers.
    let mut start = text.len().saturating_sub(8 * 1024);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    start += text[start..].find('$')?;
    let escaped = |at: usize| at > 0 && text.as_bytes()[at - 1] == b'\\';
    while let Some(length) = text[start + 1..].find('$') {
        let end = start + 1 + length;
        let content = &text[start + 1..end];
        let words = content
            .split(' ')
            .any(|w| w.len() > 1 && w.bytes().all(|b| b.is_ascii_alphabetic()));
        let price = content.starts_with(|c: char| c.is_ascii_digit()) && words;
        if escaped(start)
            || escaped(end)
            || price
            || content.trim().is_empty()
            || has_prose(content)
        {
            start = end;
            continue;
        }
        last = Some((start + 1, end));
        let Some(next) = text[end + 1..].find('$') else {
            break;
        };
        start = end + 1 + next;
    }
    last
}

/// More than the name of something: "the largest $n$ is 34" answers 34.
fn is_substantial(formula: &str) -> bool {
    has_number(formula) || formula.contains(['\\', '+', '-', '=', '^', '/', '<', '>'])
}

/// Whether the last line ends like an answer.
pub(super) fn ends_answered(text: &str) -> bool {
    let line = text.trim_end().rsplit('\n').next().unwrap_or("");
    number::ends_answered(text) || last_formula(line).is_some_and(is_substantial)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(
            extract(text).map(|f| f.answer.into_owned()).as_deref(),
            Some(expected),
            "{text}"
        );
    }

    #[test]
    fn formulas() {
        check("so $x = \\sqrt{2}$, about 1.41.", "x = \\sqrt{2}");
        check(
            "The final answer is $\\frac{1}{2}$. I hope it is correct.",
            "\\frac{1}{2}",
        );
        check(
            "\\left(3, \\frac{\\pi}{2}\\right)",
            "\\left(3, \\frac{\\pi}{2}\\right)",
        );
        check("x^2 + 1", "x^2 + 1");
        check("We find \\[ y = 3 \\]", "y = 3");
        check("Final Answer: The largest $n$ is 34.", "34");
        check(
            "Final Answer: The volume of $ABCD$ is $\\sqrt{2}$ here.",
            "\\sqrt{2}",
        );
        check("Since $a < b$, it grows. It grows by 100%.", "100%");
        check("The answer is $1$ and $2$.", "1$ and $2");
        // Found by fuzzing: the clause was empty, and so was the answer.
        check("we see that it holds. The answer is, since 5", ", since 5");
        check("Answer: no real solution", "no real solution");
    }
}
