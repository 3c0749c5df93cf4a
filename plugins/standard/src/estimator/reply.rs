//! Reads a budget out of what a model says.

use std::ops::Range;

/// What was found in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A number in double brackets, as asked for.
    Asked(u32),
    /// A number come by in another way, which the note tells.
    Guessed(u32, String),
    /// No usable budget, and why.
    Unusable(String),
}

/// Reads the budget in `reply`: the last `[[…]]` that holds a number, else the last number at all.
///
/// Inside the brackets words and signs around the number are tolerated (`[[~50 tokens]]`,
/// `[[1,024]]`); of a range the lower end counts, since the minimum is asked for. Numbers below 1 or
/// above `limit` (the model's context, in tokens) are no budget: the reference code hands them to
/// the model all the same, and "less than -1 tokens" where there is no number.
///
/// # Examples
/// ```
/// use tale_plugin_standard::estimator::{Reading, read_budget};
/// assert_eq!(read_budget("Budget: [[12]]", None), Reading::Asked(12));
/// assert!(matches!(read_budget("about 30 tokens", None), Reading::Guessed(30, _)));
/// assert!(matches!(read_budget("[[0]]", None), Reading::Unusable(_)));
/// ```
#[must_use]
pub fn read_budget(reply: &str, limit: Option<u32>) -> Reading {
    let bracketed = brackets(reply).find_map(|inside| Number::find(inside, 0).map(|n| (inside, n)));
    let (number, note) = match bracketed {
        Some((inside, number)) if number.is_all_of(inside) => (number, None),
        Some((inside, number)) => (
            number,
            Some(format!("read from `[[{}]]`", shortened(inside))),
        ),
        None => match Number::last_in(reply) {
            Some(number) => (
                number,
                Some("no `[[…]]` in the reply; its last number".to_owned()),
            ),
            None if reply.trim().is_empty() => {
                return Reading::Unusable("the reply is empty".to_owned());
            }
            None => return Reading::Unusable("no number in the reply".to_owned()),
        },
    };
    if number.negative {
        return Reading::Unusable(format!("the estimate -{} is negative", number.digits));
    }
    match number.rounded_up() {
        Some(0) => Reading::Unusable("the estimate is 0".to_owned()),
        Some(budget) if limit.is_none_or(|l| budget <= l) => match note {
            None => Reading::Asked(budget),
            Some(note) => Reading::Guessed(budget, note),
        },
        _ => {
            let limit = limit.unwrap_or(u32::MAX);
            Reading::Unusable(format!(
                "the estimate {} is beyond {limit} tokens, all that fit",
                shortened(&number.digits)
            ))
        }
    }
}

/// The insides of all `[[…]]`, the last first.
fn brackets(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (before, _) = rest.rsplit_once("]]")?;
            rest = before;
            if let Some((head, inside)) = before.rsplit_once("[[") {
                // A `]]` between the two belongs to these brackets; the one found above is stray.
                if !inside.contains("]]") {
                    rest = head;
                    return Some(inside);
                }
            }
        }
    })
}

/// A number as written.
struct Number {
    negative: bool,
    /// The digits before the point, without thousands commas.
    digits: String,
    /// The digits after it.
    fraction: String,
    /// Where it stands, in bytes, its sign included.
    span: Range<usize>,
}

impl Number {
    /// The first number that begins at `from` or later.
    fn find(text: &str, from: usize) -> Option<Self> {
        let run = |at: usize| text[at..].bytes().take_while(u8::is_ascii_digit).count();
        let start = from + text[from..].find(|c: char| c.is_ascii_digit())?;
        let mut end = start + run(start);
        let mut digits = text[start..end].to_owned();
        // A comma belongs to the number where groups of three digits follow: `1,024`, not `1, 2`.
        let grouped = digits.len() <= 3;
        while grouped && text[end..].starts_with(',') && run(end + 1) == 3 {
            digits.push_str(&text[end + 1..end + 4]);
            end += 4;
        }
        let mut fraction = String::new();
        if text[end..].starts_with('.') && run(end + 1) > 0 {
            let after = end + 1 + run(end + 1);
            text[end + 1..after].clone_into(&mut fraction);
            end = after;
        }
        // A hyphen is a sign only where nothing stands before it: `10-15` is a range.
        let before = text[..start].strip_suffix(['-', '−']);
        let sign_at = before
            .filter(|b| !b.trim_end().ends_with(char::is_alphanumeric))
            .map(str::len);
        Some(Self {
            negative: sign_at.is_some(),
            digits,
            fraction,
            span: sign_at.unwrap_or(start)..end,
        })
    }

    fn last_in(text: &str) -> Option<Self> {
        let mut last = Self::find(text, 0)?;
        while let Some(next) = Self::find(text, last.span.end) {
            last = next;
        }
        Some(last)
    }

    fn is_all_of(&self, text: &str) -> bool {
        self.fraction.is_empty()
            && text[..self.span.start].trim().is_empty()
            && text[self.span.end..].trim().is_empty()
    }

    /// A part of a token is a token.
    fn rounded_up(&self) -> Option<u32> {
        let whole: u32 = self.digits.parse().ok()?;
        if self.fraction.bytes().any(|b| b != b'0') {
            whole.checked_add(1)
        } else {
            Some(whole)
        }
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: &str, expected: Option<u32>) {
        let found = match read_budget(reply, Some(4096)) {
            Reading::Asked(n) | Reading::Guessed(n, _) => Some(n),
            Reading::Unusable(_) => None,
        };
        assert_eq!(found, expected, "{reply:?}");
    }

    #[test]
    fn the_form_asked_for_is_read_as_it_stands() {
        for reply in [
            "[[12]]",
            "Budget: [[12]]",
            "[[ 12 ]].",
            "Step 1: 50 tokens.\nBudget: [[12]]\n",
            "[[99]] no, [[12]]",
        ] {
            assert_eq!(read_budget(reply, None), Reading::Asked(12), "{reply}");
        }
    }

    #[test]
    fn words_and_signs_in_the_brackets_are_tolerated() {
        check("[[~50 tokens]]", Some(50));
        check("[[budget: 50]]", Some(50));
        check("[[1,024]]", Some(1024));
        check("[[12.5]]", Some(13));
        check("[[12.0]]", Some(12));
        check("[[10-15]]", Some(10));
        check("[[10 - 15]]", Some(10));
        check("[[[12]]]", Some(12));
        check("[[≈ 20]]", Some(20));
        check("[[x-2]]", Some(2));
    }

    #[test]
    fn brackets_without_a_number_are_passed_over() {
        check(
            "Budget: [[12]]. I followed the format [[budget]].",
            Some(12),
        );
        check("[[budget]]: 12", Some(12));
        check("[[]] 7", Some(7));
    }

    #[test]
    fn without_brackets_the_last_number_counts_and_it_is_noted() {
        let Reading::Guessed(30, note) = read_budget("2 steps of 15, so 30 tokens.", None) else {
            panic!()
        };
        assert!(note.contains("last number"), "{note}");
        check("Budget: [12]", Some(12));
        check("from 10-15", Some(15));
        check("at most 1,024.", Some(1024));
        check("1, 2, 3", Some(3));
        check("Tokens:\n- 12", Some(12));
    }

    #[test]
    fn what_cannot_be_a_budget_is_none() {
        for reply in [
            "",
            "  \n",
            "I cannot tell.",
            "[[0]]",
            "[[-5]]",
            "[[−5]]",
            "[[0.0]]",
            "[[5000]]",
            "[[99999999999999999999999]]",
            "-7",
            "[[budget]]",
        ] {
            check(reply, None);
        }
        assert_eq!(read_budget("[[5000]]", None), Reading::Asked(5000));
    }

    #[test]
    fn the_reason_is_short_however_long_the_reply() {
        let Reading::Unusable(reason) = read_budget(&"9".repeat(100_000), None) else {
            panic!()
        };
        assert!(reason.len() < 200, "{reason}");
    }
}
