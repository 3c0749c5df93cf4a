//! From a completion to an outcome.

use tale_api::{Dataset, GradeRequest, Question, Verdict};
use tale_grading::api as grading;

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
            Some(gold) => grading::grade(question, gold, &call.completion),
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

fn ungraded(question: &Question, completion: &str) -> Judgement {
    Judgement {
        outcome: Outcome::Ungraded,
        answer: grading::answer(question, completion),
        reason: "the question has no gold answer".to_owned(),
    }
}
