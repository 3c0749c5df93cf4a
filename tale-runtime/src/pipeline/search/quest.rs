//! The search of one question: asked, judged, recorded.

use std::sync::Arc;

use tale_api::{
    Attempt, Decision, Error, ErrorKind, Events, FeasibilityRequest, GenerateEvent, Llm, Message,
};

use super::{Column, Next, Strategy, Trial};
use crate::{
    pipeline::{
        PipelineError, RecordedLlm,
        subject::{Failure, Subject, recorded},
    },
    store::{
        CallId, CallRow, NewAttempt, NewSample, NewSearch, Outcome, SearchEnding, SearchMeasure,
    },
};

/// A question to be searched.
pub(in crate::pipeline) struct Quest {
    pub(in crate::pipeline) column: Arc<Column>,
    pub(in crate::pipeline) subject: Subject,
}

/// What a search has come to so far. It is kept also where the search fails.
#[derive(Default)]
struct Log {
    /// The vanilla answer, then every candidate.
    attempts: Vec<NewAttempt>,
    /// The candidates as the rule reads them.
    trace: Vec<Trial>,
    /// The texts of all attempts, for the rule of feasibility.
    texts: Vec<String>,
}

/// How a search ended that did not fail.
struct End {
    ending: SearchEnding,
    /// Which attempt is kept; 0 is the vanilla answer.
    result: Option<usize>,
}

impl End {
    fn without_result(ending: SearchEnding) -> Self {
        Self {
            ending,
            result: None,
        }
    }
}

impl Log {
    /// The attempt at this place as a rule of feasibility sees it.
    fn attempt(&self, at: usize) -> Attempt {
        let attempt = &self.attempts[at];
        Attempt {
            budget: attempt.budget,
            text: self.texts[at].clone(),
            output_tokens: attempt.output_tokens.unwrap_or_default(),
            correct: attempt.outcome == Outcome::Correct,
        }
    }
}

impl Quest {
    /// Searches and records; the observer is told.
    pub(in crate::pipeline) async fn run(&self) -> Result<SearchMeasure, PipelineError> {
        let mut log = Log::default();
        let mut error = None;
        let end = match self.search(&mut log).await {
            Ok(end) => end,
            Err(Failure::Stop(e)) => return Err(e),
            Err(Failure::Sample(e)) => {
                error = Some(recorded(&e));
                End::without_result(SearchEnding::Failed)
            }
        };
        let samples = self.samples(&log, &end, error.as_ref());
        let column = &self.column;
        let search = NewSearch {
            cell: column.searched,
            position: self.subject.position,
            ending: end.ending,
            result: end.result,
            calls: distinct_calls(&log.attempts),
            attempts: log.attempts,
            error,
        };
        let put = column.store.put_search(self.subject.row(), search, samples);
        let measure = put.await?;
        column.observer.searched(column.searched, &measure, false);
        Ok(measure)
    }

    async fn search(&self, log: &mut Log) -> Result<End, Failure> {
        if self.subject.question.gold.is_none() && !self.subject.dataset.info.grades {
            // Nothing could be right, so nothing is asked.
            return Ok(End::without_result(SearchEnding::NoGold));
        }
        let vanilla_tokens = self.vanilla(log).await?;
        let is_right = match log.attempts[0].outcome {
            Outcome::Correct => true,
            Outcome::Ungraded => return Ok(End::without_result(SearchEnding::NoGold)),
            _ if self.column.starts_from_wrong => false,
            _ => return Ok(End::without_result(SearchEnding::VanillaWrong)),
        };
        let rule = self.column.rule;
        loop {
            match rule.next(vanilla_tokens, &log.trace) {
                Next::Try {
                    budget,
                    previous,
                    extra,
                } => self.candidate(log, budget, previous, extra).await?,
                Next::Done { result: Some(i) } => {
                    return Ok(End {
                        ending: SearchEnding::Found,
                        result: Some(i + 1),
                    });
                }
                Next::Done { result: None } if vanilla_tokens == 0 => {
                    return Ok(End::without_result(SearchEnding::VanillaZeroTokens));
                }
                Next::Done { result: None } if !is_right => {
                    return Ok(End::without_result(SearchEnding::VanillaWrong));
                }
                Next::Done { result: None } => {
                    return Ok(End {
                        ending: SearchEnding::NoShorterBudget,
                        // The reference code leaves such a question without a target.
                        result: (rule.strategy != Strategy::Reference).then_some(0),
                    });
                }
            }
        }
    }

    /// Asks without a budget; the answer's tokens.
    async fn vanilla(&self, log: &mut Log) -> Result<u64, Failure> {
        let (call, row) = self.ask(self.prompt(None)?).await?;
        let judgement = self.subject.judge(&row).await?;
        let counted = self.output_tokens(&row).await;
        log.attempts.push(NewAttempt {
            budget: None,
            call,
            outcome: judgement.outcome,
            answer: judgement.answer,
            output_tokens: counted.as_ref().ok().copied(),
            feasible: None,
            reason: Some(judgement.reason),
            extra: false,
            decision_calls: Vec::new(),
        });
        log.texts.push(row.completion);
        counted
    }

    /// Asks under `budget` and has the answer judged against that of the trial `previous`.
    async fn candidate(
        &self,
        log: &mut Log,
        budget: u32,
        previous: Option<usize>,
        extra: bool,
    ) -> Result<(), Failure> {
        let messages = self.prompt(Some(budget))?;
        let (call, row) = self.ask(messages.clone()).await?;
        let judgement = self.subject.judge(&row).await?;
        let output_tokens = self.output_tokens(&row).await?;
        let correct = judgement.outcome == Outcome::Correct;
        let judged = Attempt::under(budget, row.completion.clone(), output_tokens, correct);
        let deciding = Arc::new(RecordedLlm::new(Arc::clone(&self.column.llm.ledger)));
        let at = previous.map_or(0, |trial| trial + 1);
        let request = FeasibilityRequest {
            question: (*self.subject.question).clone(),
            previous: log.attempt(at),
            candidate: judged,
            messages,
        };
        let decided = self.decide(request, &deciding).await;
        let decision = decided.as_ref().ok();
        log.attempts.push(NewAttempt {
            budget: Some(budget),
            call,
            outcome: judgement.outcome,
            answer: judgement.answer,
            output_tokens: Some(output_tokens),
            feasible: decision.map(|d| d.feasible),
            reason: Some(decision.map_or(judgement.reason, |d| d.reason.clone())),
            extra,
            decision_calls: deciding.calls(),
        });
        log.texts.push(row.completion);
        log.trace.push(Trial {
            budget,
            output_tokens,
            feasible: decided?.feasible,
        });
        Ok(())
    }

    async fn decide(
        &self,
        request: FeasibilityRequest,
        llm: &Arc<RecordedLlm>,
    ) -> Result<Decision, Failure> {
        let llm = Arc::clone(llm) as Arc<dyn Llm>;
        let decided = self.column.feasibility.is_feasible(request, llm).await;
        decided.map_err(|e| self.subject.failure(e))
    }

    fn prompt(&self, budget: Option<u32>) -> Result<Vec<Message>, Failure> {
        self.subject.render(&*self.column.render, budget)
    }

    async fn ask(&self, messages: Vec<Message>) -> Result<(CallId, CallRow), Failure> {
        let column = &self.column;
        let request = column.llm.ledger.request(messages);
        let _permit = column.gate.acquire().await;
        let asked = column.llm.ledger.ask(request, self.events()).await;
        asked.map_err(|e| self.subject.failure(e))
    }

    /// Tokens of the vanilla answer; none where there is no answer, or nobody can count.
    pub(in crate::pipeline) async fn count_vanilla(&self) -> Option<u64> {
        let (_, row) = self.ask(self.prompt(None).ok()?).await.ok()?;
        self.output_tokens(&row).await.ok()
    }

    /// Tokens of an answer: the provider's count, else that of the model's tokenizer.
    async fn output_tokens(&self, call: &CallRow) -> Result<u64, Failure> {
        if let Some(tokens) = call.output_tokens {
            return Ok(tokens);
        }
        let llm = RecordedLlm::new(Arc::clone(&self.column.llm.ledger));
        let mut tokens = 0;
        for text in [Some(&call.completion), call.reasoning.as_ref()] {
            let Some(text) = text else { continue };
            tokens += llm.count_tokens(text).await.map_err(|e| {
                let problem = "the model reports no usage and cannot count tokens";
                Failure::Sample(
                    Error::new(ErrorKind::InvalidData, problem)
                        .caused_by(&e)
                        .hint("a search compares tokens: ask a provider that reports usage"),
                )
            })?;
        }
        Ok(tokens)
    }

    fn events(&self) -> Events<GenerateEvent> {
        let (observer, cell) = (Arc::clone(&self.column.observer), self.column.searched);
        Events::to(move |event| match event {
            GenerateEvent::Delta { text } | GenerateEvent::ReasoningDelta { text } => {
                observer.delta(cell, &text);
            }
            _ => {}
        })
    }

    /// The samples that follow from a search: the vanilla answer and the one that was kept, so that a
    /// report compares the two like any two methods.
    fn samples(&self, log: &Log, end: &End, error: Option<&(String, String)>) -> Vec<NewSample> {
        let sample = |cell, attempt: &NewAttempt| NewSample {
            outcome: attempt.outcome,
            answer: attempt.answer.clone(),
            reason: attempt.reason.clone(),
            budget: attempt.budget,
            answer_call: Some(attempt.call),
            ..NewSample::unanswered(cell, self.subject.position, 0)
        };
        let vanilla = log.attempts.first();
        let mut samples: Vec<NewSample> = vanilla
            .map(|attempt| sample(self.column.vanilla, attempt))
            .into_iter()
            .collect();
        if let Some(attempt) = end.result.and_then(|i| log.attempts.get(i)) {
            let mut kept = sample(self.column.searched, attempt);
            kept.fallback = (end.result == Some(0)).then(|| end.ending.as_str().to_owned());
            samples.push(kept);
        }
        if let Some(error) = error {
            samples.push(NewSample {
                error: Some(error.clone()),
                ..NewSample::unanswered(self.column.searched, self.subject.position, 0)
            });
        }
        samples
    }
}

fn distinct_calls(attempts: &[NewAttempt]) -> u64 {
    let mut calls: Vec<i64> = attempts
        .iter()
        .flat_map(|a| a.decision_calls.iter().chain([&a.call]))
        .map(|id| id.0)
        .collect();
    calls.sort_unstable();
    calls.dedup();
    calls.len() as u64
}
