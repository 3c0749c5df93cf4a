//! Plain numbers, read without the parser of mathematics: what nearly every GSM8K answer is.

use crate::decimal::Decimal;
use crate::math::strip_answer;

/// Reads digits with sign, thousands marks, a decimal mark and an exponent; currency and closing
/// punctuation are dropped. Everything else (percent, fractions, units) is left to mathematics.
///
/// European forms count where they cannot be English ones: `1.234,56`, `1.234.567`, `0,5`, `12,34`.
pub(crate) fn plain(text: &str) -> Option<Decimal> {
    let text = strip_answer(text);
    let (negative, text) = match text.strip_prefix(['-', '−', '–']) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let text = text
        .trim_start_matches(['$', '\\', '€', '£', '¥', '￥', '₹'])
        .trim_start();
    // "$-5" as well as "-$5".
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) if !negative => (true, rest),
        _ => (negative, text),
    };
    let text = text.trim_end_matches(['€', '元', '$']).trim_end();
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b',' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return None;
    }
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = split(mantissa)?;
    Decimal::new(negative, &whole, &fraction, exponent)
}

/// Whole and fractional digits, by the marks.
fn split(mantissa: &str) -> Option<(String, String)> {
    let commas = mantissa.matches(',').count();
    let points = mantissa.matches('.').count();
    match (commas, points) {
        (0, 0) => Some((mantissa.to_owned(), String::new())),
        (0, 1) => {
            let (whole, fraction) = mantissa.split_once('.')?;
            Some((whole.to_owned(), fraction.to_owned()))
        }
        (0, _) => Some((groups(mantissa, '.')?, String::new())),
        (_, 0) => match groups(mantissa, ',') {
            Some(whole) => Some((whole, String::new())),
            // One comma that groups nothing is a decimal mark: 0,5 and 12,34.
            None if commas == 1 => {
                let (whole, fraction) = mantissa.split_once(',')?;
                (!fraction.is_empty()).then(|| (whole.to_owned(), fraction.to_owned()))
            }
            None => None,
        },
        (_, 1) if mantissa.rfind('.') > mantissa.rfind(',') => {
            let (whole, fraction) = mantissa.split_once('.')?;
            Some((groups(whole, ',')?, fraction.to_owned()))
        }
        (1, _) => {
            let (whole, fraction) = mantissa.split_once(',')?;
            Some((groups(whole, '.')?, fraction.to_owned()))
        }
        _ => None,
    }
}

/// Joins groups of three digits (the first of one to three), or Indian groups of two before the last.
fn groups(text: &str, mark: char) -> Option<String> {
    let parts: Vec<&str> = text.split(mark).collect();
    let (first, rest) = parts.split_first()?;
    let (last, middle) = rest.split_last()?;
    let western = middle.iter().all(|part| part.len() == 3) && (1..=3).contains(&first.len());
    let indian = mark == ','
        && !middle.is_empty()
        && middle.iter().all(|part| part.len() == 2)
        && (1..=2).contains(&first.len());
    (last.len() == 3 && (western || indian) && *first != "0").then(|| parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) {
        assert_eq!(plain(a), plain(b), "{a} and {b}");
        assert!(plain(a).is_some(), "{a}");
    }

    #[test]
    fn one_number_many_forms() {
        same("1,234", "1234");
        same("$1,234.50", "1234.5");
        same("1.234,56", "1234.56");
        same("1.234.567", "1234567");
        same("0,5", "5e-1");
        same("12,34,567", "1234567");
        same("-$5", "$-5");
        same("18.", "18.0");
        same("10e999998", "1e999999");
    }

    #[test]
    fn what_is_no_plain_number() {
        for text in [
            "",
            "1/2",
            "50%",
            "18 dollars",
            "1,2,3",
            "x",
            "1e",
            ".",
            "1e99999999999999999999",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
    }
}
