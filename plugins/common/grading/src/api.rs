//! Grading in the terms of `tale-api`: questions in, its grades out.

use tale_api::{AnswerKind, Grade, Question, Verdict};

/// Judges `completion` as an answer to `question` whose right answer is `gold`.
#[must_use]
pub fn grade(question: &Question, gold: &str, completion: &str) -> Grade {
    let grade = crate::grade(&crate::GradeRequest {
        kind: kind(question.kind),
        completion,
        gold,
        choices: question.options.len(),
        question: Some(&question.text),
    });
    let verdict = match grade.verdict {
        crate::Verdict::Correct => Verdict::Correct,
        crate::Verdict::Wrong => Verdict::Wrong,
        crate::Verdict::Undecided => Verdict::Undecided,
    };
    Grade {
        answer: grade.answer,
        verdict,
        reason: grade.reason,
    }
}

/// The answer that stands in `completion`, if one can be found.
#[must_use]
pub fn answer(question: &Question, completion: &str) -> Option<String> {
    let found = crate::extract(kind(question.kind), completion, question.options.len());
    found.map(|extraction| extraction.answer.into_owned())
}

fn kind(kind: AnswerKind) -> crate::AnswerKind {
    match kind {
        AnswerKind::Number => crate::AnswerKind::Number,
        AnswerKind::Choice => crate::AnswerKind::Choice,
        AnswerKind::Math => crate::AnswerKind::Math,
        // A kind that a newer data set knows and this version does not is compared as text.
        _ => crate::AnswerKind::Text,
    }
}
