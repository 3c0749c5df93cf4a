//! The budget search as a pure function: given what has been tried, what is next?
//!
//! Nothing here asks a model or keeps a state. [`Rule::next`] reads the whole trace each time, so a
//! search that was killed goes on by reading its trace again, and a recorded trace can be checked
//! against the rule that made it. A trace has some ten steps, so reading it costs nothing.

use super::Trial;

/// How budgets are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Algorithm 1 as the paper means it: halve until a candidate is refused or 1 was tried; the
    /// result is the last accepted budget.
    Paper,
    /// Algorithm 1 as it is printed: it tries the first candidate twice, and its result is the
    /// budget that was refused.
    AsPrinted,
    /// As the reference code: the same candidates as [`Strategy::Paper`], but no result where none
    /// is accepted. The code then goes on to ask for "less than 0 tokens"; this stops at 1.
    Reference,
    /// [`Strategy::Paper`], then bisection between the last accepted and the refused budget.
    Refine {
        /// Ends it once a candidate would lower the budget by less, or the last accepted one saved
        /// fewer output tokens than this.
        min_gain: u32,
        /// The most candidates after halving has stopped.
        max_extra: u32,
    },
}

/// A strategy and how long it may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How budgets are tried.
    pub strategy: Strategy,
    /// The most candidates of a question; absent is no limit. Halving ends by itself after 32 at
    /// most.
    pub max_steps: Option<u32>,
}

/// What comes next in a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask under this budget, and judge the answer against that of an earlier trial.
    Try {
        /// In tokens, at least 1.
        budget: u32,
        /// Which trial was accepted last; `None` is the vanilla chain of thought.
        previous: Option<usize>,
        /// Whether this is a candidate beyond halving.
        extra: bool,
    },
    /// The search is over.
    Done {
        /// Which trial is its result; `None`: no budget was found.
        result: Option<usize>,
    },
}

impl Rule {
    /// What comes after `trace` in the search of a question that the vanilla chain of thought
    /// answers with `vanilla_tokens` output tokens.
    ///
    /// Equal arguments give equal results, and a trace grown by what this asks for ends: budgets
    /// fall, and where they rise again ([`Strategy::Refine`]) the gap to the last accepted one
    /// halves.
    #[must_use]
    pub fn next(&self, vanilla_tokens: u64, trace: &[Trial]) -> Next {
        let start = u32::try_from(vanilla_tokens).unwrap_or(u32::MAX);
        let next = match self.strategy {
            Strategy::Paper | Strategy::Reference => halve(start, trace).next(),
            Strategy::AsPrinted => as_printed(start, trace),
            Strategy::Refine {
                min_gain,
                max_extra,
            } => refine(start, trace, min_gain, max_extra),
        };
        let spent = u32::try_from(trace.len()).unwrap_or(u32::MAX);
        match next {
            Next::Try { .. } if self.max_steps.is_some_and(|most| spent >= most) => Next::Done {
                result: match self.strategy {
                    Strategy::AsPrinted => trace.len().checked_sub(1),
                    _ => last_accepted(trace),
                },
            },
            next => next,
        }
    }
}

/// How far halving has come.
enum Halving {
    /// It goes on.
    On(Next),
    /// The trial at this place was refused; those after it are no part of halving.
    Refused(usize),
    /// A budget of 1 was accepted, or there is nothing below the start.
    Exhausted(Option<usize>),
}

impl Halving {
    fn next(self) -> Next {
        match self {
            Self::On(next) => next,
            Self::Refused(at) => Next::Done {
                result: at.checked_sub(1),
            },
            Self::Exhausted(result) => Next::Done { result },
        }
    }
}

/// Lines 1 to 13 of Algorithm 1 with the candidate kept apart from what was accepted.
fn halve(start: u32, trace: &[Trial]) -> Halving {
    if let Some(refused) = trace.iter().position(|trial| !trial.feasible) {
        return Halving::Refused(refused);
    }
    let budget = trace.last().map_or(start, |trial| trial.budget) / 2;
    let previous = trace.len().checked_sub(1);
    if budget == 0 {
        return Halving::Exhausted(previous);
    }
    Halving::On(Next::Try {
        budget,
        previous,
        extra: false,
    })
}

/// Algorithm 1, line by line. Its `right` lags one step behind, so that the first candidate comes
/// twice, both times against the vanilla answer, and it returns what it tried last, refused or not.
fn as_printed(start: u32, trace: &[Trial]) -> Next {
    let result = trace.len().checked_sub(1);
    if trace.last().is_some_and(|trial| !trial.feasible) {
        return Next::Done { result };
    }
    let (right, previous) = match trace {
        [] | [_] => (start, None),
        [.., last] => (last.budget, result),
    };
    match right / 2 {
        0 => Next::Done { result },
        budget => Next::Try {
            budget,
            previous,
            extra: false,
        },
    }
}

fn refine(start: u32, trace: &[Trial], min_gain: u32, max_extra: u32) -> Next {
    let refused = match halve(start, trace) {
        Halving::Refused(at) => at,
        halving => return halving.next(),
    };
    let extra = &trace[refused + 1..];
    let (mut accepted, mut floor) = (refused.checked_sub(1), trace[refused].budget);
    let mut saved = None;
    for (i, trial) in extra.iter().enumerate() {
        if trial.feasible {
            let at = refused + 1 + i;
            saved = accepted.map(|a| trace[a].output_tokens.saturating_sub(trial.output_tokens));
            accepted = Some(at);
        } else {
            floor = trial.budget;
        }
    }
    let done = Next::Done { result: accepted };
    let ceiling = accepted.map_or(start, |a| trace[a].budget);
    let budget = floor + ceiling.saturating_sub(floor) / 2;
    let lowered = ceiling.saturating_sub(budget);
    let too_little = lowered < min_gain.max(1) || budget <= floor;
    let saved_too_little = saved.is_some_and(|tokens| tokens < u64::from(min_gain));
    if too_little || saved_too_little || extra.len() >= max_extra as usize {
        return done;
    }
    Next::Try {
        budget,
        previous: accepted,
        extra: true,
    }
}

fn last_accepted(trace: &[Trial]) -> Option<usize> {
    trace.iter().rposition(|trial| trial.feasible)
}

#[cfg(test)]
mod tests;
