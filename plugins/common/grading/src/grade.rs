//! From a completion and a gold answer to a grade.

use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;
use crate::extract::{extract, letters};
use crate::gold::gold;
use crate::hints::Hints;
use crate::kind::{AnswerKind, Verdict};
use crate::math::{compare, fold_text, strip_answer};
use crate::number;
use crate::text::exact_match;

/// What is graded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GradeRequest<'a> {
    /// The kind of answer the question asks for.
    pub kind: AnswerKind,
    /// The model's text as it came.
    pub completion: &'a str,
    /// The gold answer as the data set writes it; a GSM8K solution with `####` will do.
    pub gold: &'a str,
    /// The number of options of a choice; 0 if unknown or no choice.
    pub choices: usize,
    /// The question, if known: it says whether `50%` may be `50`.
    pub question: Option<&'a str>,
}

/// The grade of one completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// The answer as extracted; `None` if the completion holds none.
    pub answer: Option<String>,
    /// Whether it equals the gold answer.
    pub verdict: Verdict,
    /// Why, in one short line.
    pub reason: String,
}

impl Grade {
    fn new(answer: Option<String>, verdict: Verdict, reason: &str) -> Self {
        Self {
            answer,
            verdict,
            reason: reason.to_owned(),
        }
    }
}

/// Grades a completion: extracts its answer and compares it with the gold answer.
///
/// Never panics, keeps no state, and takes a bounded time (below 10 ms) for any input.
/// A completion without an answer is wrong; an answer that cannot be compared is undecided.
///
/// ```
/// use tale_grading::{AnswerKind, GradeRequest, Verdict, grade};
/// let grade = grade(&GradeRequest {
///     kind: AnswerKind::Number,
///     completion: "9 * 2 = $18. Answer: [[18.0]]",
///     gold: "#### 18",
///     choices: 0,
///     question: None,
/// });
/// assert_eq!((grade.verdict, grade.answer.as_deref()), (Verdict::Correct, Some("18.0")));
/// ```
#[must_use]
pub fn grade(request: &GradeRequest<'_>) -> Grade {
    let gold = gold(request.kind, request.gold);
    if gold.is_empty() {
        return Grade::new(None, Verdict::Undecided, "the gold answer is empty");
    }
    let Some(found) = extract(request.kind, request.completion, request.choices) else {
        return Grade::new(None, Verdict::Wrong, "no answer found in the completion");
    };
    let answer = found.answer.into_owned();
    let hints = request
        .question
        .map(Hints::from_question)
        .unwrap_or_default();
    let (verdict, reason) = equivalent(request.kind, &answer, &gold, hints);
    Grade::new(Some(answer), verdict, reason)
}

/// Decides whether two answers are equal, with a reason of one short line.
///
/// Symmetric, and reflexive for every text. `hints` say how the question wants its answer read;
/// [`Hints::default`] where nothing is known.
///
/// ```
/// use tale_grading::{AnswerKind, Hints, Verdict, equivalent};
/// let equal = |a, b| equivalent(AnswerKind::Math, a, b, Hints::default()).0;
/// assert_eq!(equal("2\\sqrt{3}", "\\sqrt{12}"), Verdict::Correct);
/// assert_eq!(equal("(0,1)", "[0,1]"), Verdict::Wrong);
/// ```
#[must_use]
pub fn equivalent(kind: AnswerKind, a: &str, b: &str, hints: Hints) -> (Verdict, &'static str) {
    match kind {
        AnswerKind::Number => numbers(a, b, hints),
        AnswerKind::Math => compare::answers(a, b, hints),
        AnswerKind::Choice => choices(a, b),
        AnswerKind::Text if exact_match(a, b) => (Verdict::Correct, "the same text"),
        AnswerKind::Text => (Verdict::Wrong, "different texts"),
    }
}

fn numbers(a: &str, b: &str, hints: Hints) -> (Verdict, &'static str) {
    match (number::plain(a), number::plain(b)) {
        (Some(a), Some(b)) if a == b => (Verdict::Correct, "equal numbers"),
        (Some(_), Some(_)) => (Verdict::Wrong, "different numbers"),
        // A European decimal comma is known to the plain reader only: pass its value on.
        (Some(x), None) if has_decimal_comma(a) => mixed(&x, b, hints),
        (None, Some(y)) if has_decimal_comma(b) => mixed(&y, a, hints),
        _ => compare::answers(a, b, hints),
    }
}

fn has_decimal_comma(text: &str) -> bool {
    text.contains(',')
}

fn mixed(plain: &Decimal, other: &str, hints: Hints) -> (Verdict, &'static str) {
    compare::answers(&plain.to_string(), other, hints)
}

fn choices(a: &str, b: &str) -> (Verdict, &'static str) {
    match (letters(a, 26), letters(b, 26)) {
        (Some(a), Some(b)) if a == b => (Verdict::Correct, "the same option"),
        (Some(_), Some(_)) => (Verdict::Wrong, "another option"),
        // Options compared by their text, where letters are missing.
        _ if fold_text(strip_answer(a)) == fold_text(strip_answer(b)) => {
            (Verdict::Correct, "the same text")
        }
        (None, None) => (Verdict::Undecided, "neither side names an option"),
        _ => (Verdict::Undecided, "one side names no option"),
    }
}
