//! Rules for feasibility rules.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Subject, Verdict, estimator::Scripted, fail, rules};
use crate::{
    messages::{Attempt, FeasibilityRequest, Message, Question, Result},
    traits::Llm,
};

rules! {
    "FEA-01" "a decision gives its reason in one line" => reason;
    "FEA-02" "interleaved calls do not influence each other" => stateless;
    "FEA-03" "answers that are empty, of 1 MB, beyond ASCII or with NUL are judged" => odd_answers;
}

/// Right and cheaper, right but dearer, wrong, and at the smallest budget.
fn requests() -> Vec<FeasibilityRequest> {
    let previous = Attempt::vanilla("48 + 24 = 72. [[72]]", 240, true);
    [
        Attempt::under(120, "[[72]]", 96, true),
        Attempt::under(120, "[[72]]", 300, true),
        Attempt::under(60, "[[7]]", 20, false),
        Attempt::under(1, "", 0, false),
    ]
    .into_iter()
    .map(|candidate| FeasibilityRequest {
        question: Question {
            id: "1".to_owned(),
            ..Question::default()
        },
        previous: previous.clone(),
        candidate,
        messages: vec![Message::user("In less than 120 tokens: 24 + 48?")],
    })
    .collect()
}

async fn reason(subject: &Subject<'_>) -> Verdict {
    let (rule, llm) = (subject.feasibility().await?, Scripted::saying("yes"));
    for request in requests() {
        let decision = rule
            .is_feasible(request, Arc::clone(&llm) as Arc<dyn Llm>)
            .await?;
        if decision.reason.is_empty() || decision.reason.contains('\n') {
            return fail(format!(
                "the reason is `{}`",
                decision.reason.escape_debug()
            ));
        }
    }
    Ok(())
}

async fn stateless(subject: &Subject<'_>) -> Verdict {
    let (rule, llm) = (subject.feasibility().await?, Scripted::saying("yes"));
    let decide = |request| rule.is_feasible(request, Arc::clone(&llm) as Arc<dyn Llm>);
    let mut alone = Vec::new();
    for request in requests() {
        alone.push(decide(request).await?.feasible);
    }
    let many = (0..16).flat_map(|_| requests()).map(decide);
    let together: Result<Vec<_>> = join_all(many).await.into_iter().collect();
    for (i, decision) in together?.iter().enumerate() {
        if decision.feasible != alone[i % alone.len()] {
            return fail("the same attempts are judged differently among others");
        }
    }
    Ok(())
}

async fn odd_answers(subject: &Subject<'_>) -> Verdict {
    let (rule, llm) = (subject.feasibility().await?, Scripted::saying("yes"));
    let long = "word ".repeat(1 << 20 >> 2);
    for text in ["", &long, "让我们 \u{feff}", "a\0b"] {
        let request = FeasibilityRequest {
            previous: Attempt::vanilla(text, 240, true),
            candidate: Attempt::under(120, text, 96, true),
            ..FeasibilityRequest::default()
        };
        let decision = rule
            .is_feasible(request, Arc::clone(&llm) as Arc<dyn Llm>)
            .await?;
        if decision.reason.len() > 10_000 {
            return fail("the reason repeats the whole answer");
        }
    }
    Ok(())
}
