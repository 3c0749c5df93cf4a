//! Right not only once: a rule for models that are not deterministic.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tale_api::{
    CreateEnv, Decision, Error, ErrorKind, Events, Feasibility, FeasibilityRequest,
    GenerateRequest, Llm, Question, Result, Verdict,
};
use tale_grading::api as grading;

/// Options of [`Majority`].
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MajorityOptions {
    /// Answers that are counted, that of the search included; more than half must be right.
    /// Default: 3.
    #[cfg_attr(test, schemars(range(min = 1, max = 99)))]
    pub k: u32,
}

impl Default for MajorityOptions {
    fn default() -> Self {
        Self { k: 3 }
    }
}

/// As [`Greedy`](super::Greedy), and then right in most of `k` answers.
///
/// One right answer of a model at a temperature above 0 may be luck, and a search that halves on luck
/// ends at budgets which the next answer breaks. The answer that the search holds counts as the
/// first and must itself be right and cheaper, for it is what the search keeps; the others are asked
/// one after the other, under seeds of their own, and no more of them than the decision needs.
#[derive(Clone, Copy, Debug)]
pub struct Majority {
    k: u32,
    seed: u64,
}

impl Majority {
    /// Creates the rule.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] where nothing would be counted.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: MajorityOptions, env: CreateEnv) -> Result<Self> {
        if options.k == 0 {
            return Err(Error::new(ErrorKind::InvalidOptions, "`k` is 0")
                .operation("create")
                .hint("3 answers are the smallest real majority"));
        }
        Ok(Self {
            k: options.k,
            seed: env.seed,
        })
    }
}

#[async_trait]
impl Feasibility for Majority {
    async fn is_feasible(
        &self,
        request: FeasibilityRequest,
        llm: Arc<dyn Llm>,
    ) -> Result<Decision> {
        let FeasibilityRequest {
            question,
            previous,
            candidate,
            messages,
        } = request;
        let greedy = Decision::by_cost(&previous, &candidate);
        if !greedy.feasible || self.k == 1 {
            return Ok(greedy);
        }
        if messages.is_empty() {
            return Ok(Decision::refuse("no prompt to ask again with"));
        }
        let Some(gold) = gold(&question, &candidate.text) else {
            return Ok(Decision::refuse("no answer to compare others with"));
        };
        let needed = self.k / 2 + 1;
        let (mut asked, mut right) = (1, 1);
        while right < needed && right + (self.k - asked) >= needed {
            let seed = self.seed.wrapping_add(u64::from(asked));
            let again = GenerateRequest {
                seed: Some(seed),
                ..GenerateRequest::new(messages.clone())
            };
            let answer = llm.generate(again, Events::ignored()).await?;
            asked += 1;
            right += u32::from(is_right(&question, &gold, &answer.text));
        }
        let counted = format!("right in {right} of {asked} answers");
        Ok(if right >= needed {
            Decision::accept(format!("{counted}; {}", greedy.reason))
        } else {
            Decision::refuse(counted)
        })
    }
}

/// What other answers are held against: the gold answer; where the data set grades by itself and
/// has none, the answer that it found right.
fn gold(question: &Question, right: &str) -> Option<String> {
    let gold = question.gold.clone();
    gold.or_else(|| grading::answer(question, right))
}

fn is_right(question: &Question, gold: &str, completion: &str) -> bool {
    grading::grade(question, gold, completion).verdict == Verdict::Correct
}

#[cfg(test)]
mod tests {
    use tale_api::{Attempt, Message};

    use super::*;
    use crate::estimator::testing::ScriptedLlm;

    async fn decide(k: u32, candidate: Attempt, llm: &Arc<ScriptedLlm>) -> Result<Decision> {
        let env = CreateEnv {
            seed: 1024,
            ..CreateEnv::default()
        };
        let rule = Majority::create(MajorityOptions { k }, env).await.unwrap();
        let request = FeasibilityRequest {
            question: Question {
                text: "3 + 4?".into(),
                gold: Some("7".into()),
                ..Question::default()
            },
            previous: Attempt::vanilla("[[7]]", 240, true),
            candidate,
            messages: vec![Message::user("3 + 4? in less than 120 tokens")],
        };
        let asked = Arc::clone(llm) as Arc<dyn Llm>;
        rule.is_feasible(request, asked).await
    }

    fn cheaper() -> Attempt {
        Attempt::under(120, "[[7]]", 96, true)
    }

    #[tokio::test]
    async fn a_majority_of_answers_under_other_seeds_must_be_right() {
        let right = Arc::new(ScriptedLlm::saying("It is [[7]]"));
        let decision = decide(5, cheaper(), &right).await.unwrap();
        assert!(decision.feasible, "{}", decision.reason);
        assert!(decision.reason.starts_with("right in 3 of 3 answers"));
        let seeds: Vec<_> = right.requests().iter().map(|r| r.seed).collect();
        assert_eq!(seeds, [Some(1025), Some(1026)]);
        assert!(
            right.requests()[0].messages[0]
                .content
                .contains("less than 120")
        );

        let wrong = Arc::new(ScriptedLlm::saying("It is [[8]]"));
        let decision = decide(5, cheaper(), &wrong).await.unwrap();
        assert_eq!(decision, Decision::refuse("right in 1 of 4 answers"));
    }

    #[tokio::test]
    async fn an_answer_that_is_wrong_or_no_cheaper_is_refused_without_a_call() {
        let llm = Arc::new(ScriptedLlm::saying("[[7]]"));
        for candidate in [
            Attempt::under(120, "[[8]]", 96, false),
            Attempt::under(120, "[[7]]", 240, true),
        ] {
            assert!(!decide(3, candidate, &llm).await.unwrap().feasible);
        }
        assert!(decide(1, cheaper(), &llm).await.unwrap().feasible);
        assert!(llm.requests().is_empty());
    }

    #[tokio::test]
    async fn without_a_gold_answer_the_others_must_agree_with_the_right_one() {
        let request = |text: &str| FeasibilityRequest {
            previous: Attempt::vanilla("[[7]]", 240, true),
            candidate: Attempt::under(120, text, 96, true),
            messages: vec![Message::user("3 + 4?")],
            ..FeasibilityRequest::default()
        };
        let rule = Majority { k: 3, seed: 0 };
        let llm: Arc<dyn Llm> = Arc::new(ScriptedLlm::saying("[[7]]"));
        let agreed = rule.is_feasible(request("[[7]]"), Arc::clone(&llm)).await;
        assert!(agreed.unwrap().feasible);
        let differs = rule.is_feasible(request("[[9]]"), Arc::clone(&llm)).await;
        assert!(!differs.unwrap().feasible);
        let unprompted = FeasibilityRequest {
            messages: Vec::new(),
            ..request("[[7]]")
        };
        assert!(!rule.is_feasible(unprompted, llm).await.unwrap().feasible);
    }

    #[tokio::test]
    async fn a_failing_model_fails_the_decision() {
        let broken = Error::new(ErrorKind::Unavailable, "no answer");
        let llm = Arc::new(ScriptedLlm::failing(broken));
        let error = decide(3, cheaper(), &llm).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn no_answers_are_no_majority() {
        let error = Majority::create(MajorityOptions { k: 0 }, CreateEnv::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidOptions);
    }
}
