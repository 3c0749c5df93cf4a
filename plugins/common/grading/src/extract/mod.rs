//! Finds the final answer in a completion.
//!
//! The marks are tried from the clearest to the weakest, and of each the last one counts: a model corrects
//! itself at the end. What it writes after a finished answer (a second question, a new turn) is cut off
//! first, see `runon`.

mod choice;
mod formula;
mod marks;
mod number;
mod runon;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::kind::AnswerKind;

pub(crate) use choice::letters;
pub(crate) use marks::boxed;

/// Bytes of a completion that are looked at; of a longer one the end, where the answer stands.
pub const MAX_COMPLETION_BYTES: usize = 128 * 1024;

/// What marked the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Double square brackets, the format that TALE's prompts ask for.
    Brackets,
    /// `\boxed{…}`.
    Boxed,
    /// What follows `####`, as in GSM8K.
    Hashes,
    /// A phrase such as "the answer is" or "答案是".
    Phrase,
    /// An option mark of a choice: `(A)`, `A.`, `**A**`.
    Mark,
    /// The last formula.
    Formula,
    /// The last number.
    LastNumber,
    /// The last capital letter in range of the last line.
    LastLetter,
    /// The last fenced block of code, for texts.
    Fence,
    /// The whole completion.
    Whole,
}

/// An answer found in a completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction<'a> {
    /// The answer as written, without the mark. For choices the letters, in upper case.
    pub answer: Cow<'a, str>,
    /// What marked it.
    pub source: Source,
}

impl<'a> Extraction<'a> {
    fn new(answer: impl Into<Cow<'a, str>>, source: Source) -> Self {
        Self {
            answer: answer.into(),
            source,
        }
    }
}

/// Finds the final answer in `completion`, or `None` if there is none.
///
/// # Arguments
/// * `kind`: what is looked for.
/// * `completion`: the model's text. Of one longer than [`MAX_COMPLETION_BYTES`] only the end is read;
///   reasoning up to a closing `</think>` is passed over.
/// * `choices`: the number of options, for [`AnswerKind::Choice`] only; 0 if unknown, then letters
///   up to J are taken.
///
/// # Examples
/// ```
/// use tale_grading::{AnswerKind, extract};
/// let found = extract(AnswerKind::Number, "3 + 15 = 18. Answer: [[18]]\n\nQ: Next? [[7]]", 0);
/// assert_eq!(found.unwrap().answer, "18");
/// let found = extract(AnswerKind::Choice, "The correct answer is (B) 12", 4);
/// assert_eq!(found.unwrap().answer, "B");
/// ```
#[must_use]
pub fn extract(kind: AnswerKind, completion: &str, choices: usize) -> Option<Extraction<'_>> {
    let text = after_reasoning(window(completion)).trim();
    if text.is_empty() {
        return None;
    }
    // Fullwidth digits and letters, as Chinese input methods give them: read as their ASCII twins.
    if kind != AnswerKind::Text && text.chars().any(is_fullwidth) {
        let ascii: String = text.chars().map(to_ascii).collect();
        let found = in_text(kind, &ascii, choices).filter(|f| !f.answer.trim().is_empty())?;
        return Some(Extraction::new(found.answer.into_owned(), found.source));
    }
    in_text(kind, text, choices).filter(|found| !found.answer.trim().is_empty())
}

fn is_fullwidth(c: char) -> bool {
    matches!(c, '０'..='９' | 'Ａ'..='Ｚ' | 'ａ'..='ｚ')
}

fn to_ascii(c: char) -> char {
    if is_fullwidth(c) {
        char::from_u32(u32::from(c) - 0xFF01 + 0x21).unwrap_or(c)
    } else {
        c
    }
}

fn in_text(kind: AnswerKind, text: &str, choices: usize) -> Option<Extraction<'_>> {
    match kind {
        AnswerKind::Number => {
            let text = runon::cut(
                text,
                &|t| number::marked(t).is_some(),
                &number::ends_answered,
            );
            number::extract(text)
        }
        AnswerKind::Math => {
            let text = runon::cut(
                text,
                &|t| formula::marked(t).is_some(),
                &formula::ends_answered,
            );
            formula::extract(text)
        }
        AnswerKind::Choice => {
            let strong = |t: &str| choice::marked(t, choices).is_some();
            let text = runon::cut(text, &strong, &|t| choice::ends_answered(t, choices));
            choice::extract(text, choices)
        }
        AnswerKind::Text => {
            let text = runon::cut(text, &|t| marks::brackets(t).is_some(), &|t| {
                !t.trim().is_empty()
            });
            marks::brackets(text)
                .map(|answer| Extraction::new(answer, Source::Brackets))
                .or_else(|| Some(Extraction::new(fenced(text)?, Source::Fence)))
                .or_else(|| Some(Extraction::new(text.trim(), Source::Whole)))
        }
    }
}

/// What stands in the last closed block between lines that begin with three backticks.
fn fenced(text: &str) -> Option<&str> {
    let mut block = None;
    let mut start = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            block = start.map_or(block, |start| Some(&text[start..at]));
            start = start.is_none().then_some(at + line.len());
        }
        at += line.len();
    }
    block
        .map(str::trim_end)
        .filter(|block| !block.trim().is_empty())
}

/// The end of an overlong completion, cut between characters.
fn window(text: &str) -> &str {
    let mut start = text.len().saturating_sub(MAX_COMPLETION_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// What follows the reasoning of a reasoning model, if anything does.
fn after_reasoning(text: &str) -> &str {
    match text.rfind("</think>") {
        Some(at) if !text[at + 8..].trim().is_empty() => &text[at + 8..],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(completion: &str) -> (&str, Source) {
        let found = in_text(AnswerKind::Text, completion, 0).unwrap();
        match found.answer {
            Cow::Borrowed(answer) => (answer, found.source),
            Cow::Owned(_) => unreachable!("a text is never rewritten"),
        }
    }

    #[test]
    fn a_program_is_the_last_fenced_block_of_a_text() {
        let prose = "First:\n```python\nx = 1\n```\nBetter:\n```python\ndef f():\n    pass\n```\nThat is it.";
        assert_eq!(text(prose), ("def f():\n    pass", Source::Fence));
        assert_eq!(text("```\na\n```\nso [[b]]"), ("b", Source::Brackets));
        for whole in ["no block", "```\nnever closed", "``````", "```\n\n```"] {
            assert_eq!(text(whole), (whole, Source::Whole));
        }
    }
}
