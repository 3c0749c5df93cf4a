//! Numbers: from the marks to the last number.

use std::borrow::Cow;

use super::formula::{self, whole_answer};
use super::marks;
use super::{Extraction, Source};
use crate::math::strip_answer;

pub(super) const PHRASES: [&str; 22] = [
    "the answer is",
    "the answer to the question is",
    "the final answer is",
    "final answer is",
    "final answer:",
    "final answer**:",
    "final answer:**",
    "the correct answer is",
    "answer is",
    "answer:",
    "answer**:",
    "answer：",
    "the result is",
    "答案是",
    "答案为",
    "答案：",
    "答案:",
    "答：",
    "答:",
    "结果是",
    "结果为",
    "最终答案",
];

/// An answer with a mark, for the decision where a completion ends.
pub(super) fn marked(text: &str) -> Option<Extraction<'_>> {
    if let Some(answer) = marks::brackets(text).filter(|answer| has_number(answer)) {
        return Some(Extraction::new(answer, Source::Brackets));
    }
    if let Some(answer) = marks::final_answer(text).and_then(in_clause) {
        return Some(Extraction::new(answer, Source::Phrase));
    }
    if let Some(answer) = marks::boxed(text).filter(|answer| has_number(answer)) {
        return Some(Extraction::new(answer, Source::Boxed));
    }
    if let Some(answer) = marks::hashes(text).and_then(in_clause) {
        return Some(Extraction::new(answer, Source::Hashes));
    }
    let answer = marks::after_phrase(text, &PHRASES).and_then(in_clause)?;
    Some(Extraction::new(answer, Source::Phrase))
}

/// The last line holds a number and does not announce something.
pub(super) fn ends_answered(text: &str) -> bool {
    let line = text.trim_end().rsplit('\n').next().unwrap_or("");
    has_number(line) && !line.trim_end().ends_with([':', '：', '?', '？'])
}

/// The number of a completion.
pub(super) fn extract(text: &str) -> Option<Extraction<'_>> {
    if let Some(whole) = whole_answer(text).filter(|whole| has_number(whole)) {
        return Some(Extraction::new(whole, Source::Whole));
    }
    if let Some(found) = marked(text) {
        return Some(found);
    }
    last_number(text).map(|answer| Extraction::new(answer, Source::LastNumber))
}

/// "It costs 5" opens like a sentence; "sin 5", "Area = 5" and "no solution" do not.
pub(super) fn opens_with_word(text: &str) -> bool {
    let word: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
    let function = matches!(
        word.as_str(),
        "ln" | "log" | "sin" | "cos" | "tan" | "sqrt" | "pi" | "exp"
    );
    word.len() >= 2
        && !function
        && text[word.len()..].starts_with(' ')
        && !text[word.len()..].trim_start().starts_with('=')
        && has_number(text)
}

pub(super) fn has_number(text: &str) -> bool {
    text.chars()
        .any(|c| c.is_ascii_digit() || matches!(c, '½' | '¼' | '¾' | 'π' | '０'..='９'))
        || text.contains("\\pi")
}

/// The number of the clause after a phrase: the first, or the one after the last `=`.
pub(super) fn in_clause(line: &str) -> Option<&str> {
    let clause = formula::of_clause(line);
    let clause = clause.rfind('=').map_or(clause, |at| &clause[at + 1..]);
    if strip_answer(clause).contains('\\') && has_number(clause) {
        return Some(clause.trim());
    }
    first_number(clause).or_else(|| first_number(line))
}

/// A number in running text: where it starts and ends in bytes.
fn numbers(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let starts = bytes[at].is_ascii_digit()
                || (bytes[at] == b'.'
                    && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
                    && (at == 0 || !bytes[at - 1].is_ascii_digit()));
            if !starts {
                at += 1;
                continue;
            }
            let (start, end) = number_at(text, at);
            at = end;
            return Some((start, end));
        }
        None
    })
}

/// Extends a number from its first digit: sign, groups, decimals, exponent, fraction, percent.
fn number_at(text: &str, first: usize) -> (usize, usize) {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = first;
    while end < bytes.len() {
        let c = bytes[end];
        let inner = matches!(c, b',' | b'.') && digit(end + 1) && end > first;
        if c.is_ascii_digit() || inner || (c == b'.' && end == first) {
            end += 1;
        } else {
            break;
        }
    }
    // $118 000: after a currency mark a space groups digits; elsewhere it separates numbers.
    let priced = text[..first].ends_with(['$', '€', '£', '¥', '￥', '₹']);
    while priced && text[end..].starts_with(' ') && (1..=4).all(|k| digit(end + k) == (k < 4)) {
        end += 4;
    }
    // 5e-1, 1.5E+3
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if digit(end + 1 + sign) {
            end += 1 + sign;
            while digit(end) {
                end += 1;
            }
        }
    }
    end = fraction_end(text, first, end);
    if text[end..].starts_with('%') || text[end..].starts_with('％') {
        end += if text[end..].starts_with('%') {
            1
        } else {
            '％'.len_utf8()
        };
    } else if text[end..].starts_with("\\%") {
        end += 2;
    }
    (number_start(text, first), end)
}

/// `3/4`, but neither a date nor a path: one slash between two whole numbers.
fn fraction_end(text: &str, first: usize, end: usize) -> usize {
    let bytes = text.as_bytes();
    let after = &text[end..];
    let Some(rest) = after.strip_prefix('/') else {
        return end;
    };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let slash_around =
        bytes.get(end + 1 + length) == Some(&b'/') || (first > 0 && bytes[first - 1] == b'/');
    if length == 0 || slash_around {
        end
    } else {
        end + 1 + length
    }
}

/// Takes a sign that is no operator and no hyphen, and the currency mark.
fn number_start(text: &str, first: usize) -> usize {
    let before = &text[..first];
    let bare = before.trim_end_matches(['$', '\\', '€', '£', '¥', '￥', '₹']);
    for minus in ['-', '−', '–'] {
        if let Some(head) = bare.strip_suffix(minus) {
            let operand = head
                .trim_end()
                .ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | '}' | ']' | '%'));
            // "5 - 3" subtracts, "is -3" negates: a space before the sign and none after it.
            let negates = !operand
                || (head.ends_with(' ')
                    && !head
                        .trim_end()
                        .ends_with(|c: char| c.is_ascii_digit() || matches!(c, ')' | '}')));
            return if negates { head.len() } else { first };
        }
    }
    first
}

fn first_number(text: &str) -> Option<&str> {
    let (start, end) = numbers(text).next()?;
    Some(trim_number(&text[start..end]))
}

/// The last number of a text; a `\frac` that ends it is taken whole.
pub(super) fn last_number(text: &str) -> Option<Cow<'_, str>> {
    // Numbers are short: the end of the text is enough unless it has none at all.
    let mut start = text.len().saturating_sub(4096);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let (tail, last) = match numbers(&text[start..]).last() {
        Some(last) if last.0 > 0 || start == 0 => (&text[start..], last),
        _ => (text, numbers(text).last()?),
    };
    if let Some(at) = ["\\frac", "\\dfrac", "\\tfrac"]
        .iter()
        .filter_map(|f| tail.rfind(f))
        .max()
    {
        let command = &tail[at..];
        if let Some(end) = fraction_command(command).filter(|end| at < last.0 && at + end > last.0)
        {
            let sign = number_start(tail, at);
            return Some(Cow::Borrowed(&tail[sign..at + end]));
        }
    }
    Some(Cow::Borrowed(trim_number(&tail[last.0..last.1])))
}

/// Bytes of `\frac{…}{…}`.
fn fraction_command(text: &str) -> Option<usize> {
    let open = text.find('{')?;
    if open > 6 {
        return None;
    }
    let first = open + 1 + marks::matching_brace(&text[open + 1..])? + 1;
    let rest = text[first..].strip_prefix('{')?;
    Some(first + 1 + marks::matching_brace(rest)? + 1)
}

fn trim_number(number: &str) -> &str {
    number.trim_end_matches([',', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(
            extract(text)
                .map(|found| found.answer.into_owned())
                .as_deref(),
            Some(expected),
            "{text}"
        );
    }

    #[test]
    fn marks_go_before_numbers() {
        check("1 + 1 = 2. Answer: [[18]] (see 5)", "18");
        check("so \\boxed{42} is it, 7", "42");
        check("steps 1 2\n#### 1,234", "1,234");
        check("Therefore, the answer is $18 for 3 days.", "18");
        check("The answer is 9 * 2 = 18 dollars.", "18");
        check("答案是：12个", "12");
    }

    #[test]
    fn last_numbers() {
        check("She has 16 eggs and sells 9, so $18.", "18");
        check("It costs $1,234.50.", "1,234.50");
        check("from 20 to -3 it fell by 5 - 2 = 3", "3");
        check("it is then -3.", "-3");
        check("that leaves 3/4 of the cake.", "3/4");
        check("so the share is $\\frac{1}{4}$ of it", "\\frac{1}{4}");
        check("about 25% of them.", "25%");
        check("18 dollars", "18 dollars");
        check("18.00", "18.00");
        check("10-5 people stay, that is 5-3=2", "2");
    }
}
