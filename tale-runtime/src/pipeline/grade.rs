//! From a completion to an outcome.

use tale_api::{AnswerKind, Dataset, Grade, GradeRequest, Question, Verdict};

use crate::store::{CallRow, Outcome};

/// A judged sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The outcome.
    pub outcome: Outcome,
    /// The answer found in the text.
    pub answer: Option<String>,
    /// Why, in one line.
    pub reason: String,
}

/// Judges the answer of `call` to `question`: by the data set's own rule where it has one, else by
/// the question's kind of answer.
///
/// # Errors
/// Those of the data set's rule.
pub async fn judge(
    dataset: &dyn Dataset,
    grades_itself: bool,
    question: &Question,
    call: &CallRow,
) -> tale_api::Result<Judgement> {
    if call.finish_reason == "length" && call.completion.trim().is_empty() {
        return Ok(Judgement {
            outcome: Outcome::Empty,
            answer: None,
            reason: "cut at max_tokens before any visible text".to_owned(),
        });
    }
    let grade = if grades_itself {
        let completion = call.completion.clone();
        dataset
            .grade(GradeRequest {
                question: question.clone(),
                completion,
            })
            .await?
    } else {
        match &question.gold {
            Some(gold) => by_kind(question, gold, &call.completion),
            None => return Ok(ungraded(question, &call.completion)),
        }
    };
    let outcome = match grade.verdict {
        Verdict::Correct => Outcome::Correct,
        Verdict::Wrong => Outcome::Wrong,
        Verdict::Undecided => Outcome::Undecided,
    };
    Ok(Judgement {
        outcome,
        answer: grade.answer,
        reason: grade.reason,
    })
}

fn by_kind(question: &Question, gold: &str, completion: &str) -> Grade {
    let grade = tale_grading::grade(&tale_grading::GradeRequest {
        kind: kind(question.kind),
        completion,
        gold,
        choices: question.options.len(),
        question: Some(&question.text),
    });
    let verdict = match grade.verdict {
        tale_grading::Verdict::Correct => Verdict::Correct,
        tale_grading::Verdict::Wrong => Verdict::Wrong,
        tale_grading::Verdict::Undecided => Verdict::Undecided,
    };
    Grade {
        answer: grade.answer,
        verdict,
        reason: grade.reason,
    }
}

fn ungraded(question: &Question, completion: &str) -> Judgement {
    let found = tale_grading::extract(kind(question.kind), completion, question.options.len());
    Judgement {
        outcome: Outcome::Ungraded,
        answer: found.map(|extraction| extraction.answer.into_owned()),
        reason: "the question has no gold answer".to_owned(),
    }
}

fn kind(kind: AnswerKind) -> tale_grading::AnswerKind {
    match kind {
        AnswerKind::Number => tale_grading::AnswerKind::Number,
        AnswerKind::Choice => tale_grading::AnswerKind::Choice,
        AnswerKind::Math => tale_grading::AnswerKind::Math,
        // A kind that a newer data set knows and this version does not is compared as text.
        _ => tale_grading::AnswerKind::Text,
    }
}
