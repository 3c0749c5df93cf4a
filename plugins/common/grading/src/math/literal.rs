//! Number literals: digit groups, decimals, repeating decimals, powers of ten.

use num_rational::BigRational;

use super::node::Node;
use crate::decimal::{Decimal, repeating};

/// A number as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Literal {
    pub(crate) value: Node,
    /// The digits, if it is written as a whole number: mixed fractions, bases and TeX's
    /// one-digit arguments need them.
    pub(crate) whole: Option<String>,
}

impl Literal {
    pub(crate) fn whole(digits: &str) -> Option<Self> {
        let decimal = Decimal::new(false, digits, "", 0)?;
        Some(Self {
            value: value_of(decimal),
            whole: Some(digits.to_owned()),
        })
    }
}

fn value_of(decimal: Decimal) -> Node {
    decimal.to_rational().map_or(Node::Huge(decimal), Node::Num)
}

/// How a comma between digits is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comma {
    Thousands,
    Separator,
}

/// Reads the literal at the start of `text`; gives it with the number of characters taken.
pub(crate) fn read(text: &[char], comma: Comma) -> Option<(Literal, usize)> {
    let (whole, mut at) = whole_part(text, comma);
    let mut fraction = String::new();
    let dot = text.get(at) == Some(&'.');
    // "5." closes a sentence, "5.." is no number either: a point needs a digit or a period after it.
    if dot && text.get(at + 1).is_some_and(char::is_ascii_digit) {
        at += 1;
        while let Some(c) = text.get(at).filter(|c| c.is_ascii_digit()) {
            fraction.push(*c);
            at += 1;
        }
        // TeX's small space may group decimals too: 3.141\,592.
        while let Some((group, next)) = spaced_group(text, at, false) {
            fraction.push_str(&group);
            at = next;
        }
    } else if dot && period(text, at + 1).is_some() {
        at += 1;
    } else if whole.is_empty() {
        return None;
    }
    let decimal_point = dot && text[..at].contains(&'.');
    if decimal_point
        && let Some((digits, next)) = period(text, at).or_else(|| ellipsis(text, at, &fraction))
    {
        let value = Node::Num(repeating(&whole, &fraction, &digits)?);
        return Some((Literal { value, whole: None }, next));
    }
    let (exponent, next) = exponent(text, at);
    let plain = fraction.is_empty() && !decimal_point && next == at;
    let value = match exponent {
        Some(exponent) => value_of(Decimal::new(false, &whole, &fraction, exponent)?),
        None => return None,
    };
    Some((
        Literal {
            value,
            whole: plain.then_some(whole),
        },
        next,
    ))
}

/// Digits with their group marks: `1,234`, `1{,}234`, `1\,234`, `1 234`, `12,34,567`.
fn whole_part(text: &[char], comma: Comma) -> (String, usize) {
    let mut digits: String = text.iter().take_while(|c| c.is_ascii_digit()).collect();
    let mut at = digits.len();
    if at == 0 || at > 3 || digits.starts_with('0') {
        return (digits, at);
    }
    if comma == Comma::Thousands
        && let Some((groups, next)) = comma_groups(text, at)
    {
        digits.push_str(&groups);
        return (digits, next);
    }
    while let Some((group, next)) = spaced_group(text, at, true) {
        digits.push_str(&group);
        at = next;
    }
    (digits, at)
}

/// Groups after commas, the last of three digits, those before of three, or of two as in India.
fn comma_groups(text: &[char], start: usize) -> Option<(String, usize)> {
    let (mut digits, mut at, mut lengths) = (String::new(), start, Vec::new());
    while let Some(next) = after_comma(text, at) {
        let group: String = text
            .get(next..)?
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .take(4)
            .collect();
        if !(group.len() == 3 || group.len() == 2) {
            break;
        }
        // Groups of one length, but for the last: a change of length that goes on is a list.
        if let [.., before, last] = lengths.as_slice()
            && before != last
        {
            return None;
        }
        at = next + group.len();
        lengths.push(group.len());
        digits.push_str(&group);
    }
    let (last, middle) = lengths.split_last()?;
    let uniform = middle.windows(2).all(|pair| pair[0] == pair[1]);
    // Indian groups begin with at most two digits.
    let indian = middle.first() == Some(&2);
    (*last == 3 && uniform && !(indian && start > 2)).then_some((digits, at))
}

fn after_comma(text: &[char], at: usize) -> Option<usize> {
    let length = match text.get(at..)? {
        [' ', '{', ',', '}', ' ', ..] => 5,
        ['{', ',', '}', ' ', ..] | ['{', ',', ' ', '}', ..] | [',', '\\', '!', ' ', ..] => 4,
        [' ', '{', ',', ' ', '}', ..] => 5,
        ['{', ',', '}', ..] | [',', '\\', '!', ..] | ['\\', '!', ',', ..] => 3,
        [',', ..] => 1,
        _ => return None,
    };
    Some(at + length)
}

/// Three digits after a space or TeX's small space, where nothing suggests another reading.
fn spaced_group(text: &[char], at: usize, plain_space: bool) -> Option<(String, usize)> {
    let rest = text.get(at..)?;
    let skip = match rest {
        ['\\', ',' | '!' | ' ' | ';' | ':', ..] => 2,
        ['{', '\\', ',', '}', ..] => 4,
        [' ', ..] if plain_space => 1,
        ['\'', ..] if plain_space => 1,
        _ => return None,
    };
    let group: String = rest
        .get(skip..)?
        .iter()
        .take_while(|c| c.is_ascii_digit())
        .collect();
    let next = at + skip + group.len();
    // "1 123/456" is a mixed fraction, not a quotient of 1123.
    let fraction = text.get(next) == Some(&'/');
    (group.len() == 3 && !fraction).then_some((group, next))
}

/// A repeating period: `\overline{3}`, `\bar{3}`, `\dot{3}`, `(3)`, or a combining overline.
fn period(text: &[char], at: usize) -> Option<(String, usize)> {
    let rest = text.get(at..)?;
    for opening in ["\\overline{", "\\bar{", "\\dot{", "\\overline ", "("] {
        let mark: Vec<char> = opening.chars().collect();
        if !rest.starts_with(&mark) {
            continue;
        }
        let digits: String = rest[mark.len()..]
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .collect();
        let mut next = at + mark.len() + digits.len();
        let closing = match opening {
            "(" => Some(')'),
            "\\overline " => None,
            _ => Some('}'),
        };
        if digits.is_empty() || closing.is_some_and(|c| text.get(next) != Some(&c)) {
            return None;
        }
        next += usize::from(closing.is_some());
        return Some((digits, next));
    }
    // U+0305 follows each digit that it covers.
    let mut digits = String::new();
    let mut next = at;
    while let (Some(c), Some('\u{0305}' | '\u{0304}')) = (text.get(next), text.get(next + 1)) {
        digits.push(*c);
        next += 2;
    }
    (!digits.is_empty()).then_some((digits, next))
}

/// `0.333…`: the shortest period that fills the digits, seen at least twice (thrice if of one digit).
fn ellipsis(text: &[char], at: usize, fraction: &str) -> Option<(String, usize)> {
    let rest = text.get(at..)?;
    let length = ["...", "…", "\\ldots", "\\dots", "\\cdots"]
        .into_iter()
        .find_map(|mark| {
            let mark: Vec<char> = mark.chars().collect();
            rest.starts_with(&mark).then_some(mark.len())
        })?;
    let digits = fraction.as_bytes();
    for size in 1..=digits.len().min(20) / 2 {
        let period = &digits[digits.len() - size..];
        let seen = digits
            .rchunks(size)
            .take_while(|chunk| *chunk == period)
            .count();
        if seen >= if size == 1 { 3 } else { 2 } {
            return Some((String::from_utf8_lossy(period).into_owned(), at + length));
        }
    }
    None
}

/// `e-3`, `E+12`: the power of ten; 0 if there is none, `None` if it does not fit.
fn exponent(text: &[char], at: usize) -> (Option<i64>, usize) {
    let Some('e' | 'E') = text.get(at) else {
        return (Some(0), at);
    };
    let mut next = at + 1;
    let mut digits = String::new();
    if let Some(sign @ ('+' | '-')) = text.get(next) {
        digits.push(*sign);
        next += 1;
    }
    let start = next;
    while let Some(c) = text.get(next).filter(|c| c.is_ascii_digit()) {
        digits.push(*c);
        next += 1;
    }
    // "2e" and "2e+x" hold Euler's number.
    if next == start {
        return (Some(0), at);
    }
    (digits.parse().ok(), next)
}

/// A fraction of two whole literals.
pub(crate) fn fraction(numerator: &Node, denominator: &Node) -> Option<BigRational> {
    let (Node::Num(n), Node::Num(d)) = (numerator, denominator) else {
        return None;
    };
    if d.numer().bits() == 0 {
        None
    } else {
        Some(n / d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, value: &str, rest: &str) {
        let chars: Vec<char> = text.chars().collect();
        let (literal, taken) = read(&chars, Comma::Thousands).unwrap();
        let Node::Num(number) = literal.value else {
            panic!("{text}: no exact number")
        };
        let left: String = chars[taken..].iter().collect();
        assert_eq!(
            (number.to_string().as_str(), left.as_str()),
            (value, rest),
            "{text}"
        );
    }

    #[test]
    fn digit_groups() {
        check("1,234", "1234", "");
        check("12,345,678.5", "24691357/2", "");
        check("1,23,456", "123456", "");
        check("1{,}234", "1234", "");
        check("1\\,234", "1234", "");
        check("1 234 567", "1234567", "");
        check("1,23", "1", ",23");
        check("1234,567", "1234", ",567");
        check("0,125", "0", ",125");
        check("1 123/456", "1", " 123/456");
    }

    #[test]
    fn decimals() {
        check(".5", "1/2", "");
        check("18.", "18", ".");
        check("5e-1", "1/2", "");
        check("2e", "2", "e");
        check("0.\\overline{3}", "1/3", "");
        check("0.(142857)", "1/7", "");
        check("0.1(6)", "1/6", "");
        check("0.333...", "1/3", "");
        check("0.3333…", "1/3", "");
    }

    #[test]
    fn huge_literals_stay_digits() {
        for text in ["1e999999".to_owned(), "9".repeat(10_000)] {
            let chars: Vec<char> = text.chars().collect();
            let (literal, taken) = read(&chars, Comma::Thousands).unwrap();
            assert!(matches!(literal.value, Node::Huge(_)));
            assert_eq!(taken, text.len());
        }
    }
}
