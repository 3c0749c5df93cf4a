//! The rule on synthetic models.

use proptest::prelude::{
    Just, TestCaseError, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::*;

const PAPER: Rule = Rule {
    strategy: Strategy::Paper,
    max_steps: None,
};

fn rule(strategy: Strategy) -> Rule {
    Rule {
        strategy,
        max_steps: None,
    }
}

/// A model as a search sees it: for each budget, tokens and whether the answer is right.
type Model<'a> = &'a dyn Fn(u32) -> (u64, bool);

/// Searches with Algorithm 2 as the test of feasibility.
fn search(rule: Rule, vanilla: u64, model: Model<'_>) -> (Vec<Trial>, Option<usize>) {
    let mut trace: Vec<Trial> = Vec::new();
    for _ in 0..1000 {
        match rule.next(vanilla, &trace) {
            Next::Done { result } => return (trace, result),
            Next::Try {
                budget, previous, ..
            } => {
                assert!(budget > 0, "nobody can answer in less than 0 tokens");
                let (output_tokens, correct) = model(budget);
                let before = previous.map_or(vanilla, |p| trace[p].output_tokens);
                trace.push(Trial {
                    budget,
                    output_tokens,
                    feasible: correct && output_tokens < before,
                });
            }
        }
    }
    panic!("no end after {trace:?}");
}

fn budgets(trace: &[Trial]) -> Vec<u32> {
    trace.iter().map(|trial| trial.budget).collect()
}

/// Right and obedient down to `from`, wrong below.
fn obedient(from: u32) -> impl Fn(u32) -> (u64, bool) {
    move |budget| (u64::from(budget), budget >= from)
}

#[test]
fn halving_stops_at_the_first_refusal_and_keeps_the_budget_before() {
    let (trace, result) = search(PAPER, 240, &obedient(25));
    assert_eq!(budgets(&trace), [120, 60, 30, 15]);
    assert_eq!(result, Some(2));
}

#[test]
fn a_model_that_spends_more_under_a_smaller_budget_stops_the_search() {
    // Token elasticity: right all the way down, but dearer again below 60.
    let elastic = |budget: u32| (if budget < 60 { 200 } else { u64::from(budget) }, true);
    let (trace, result) = search(PAPER, 240, &elastic);
    assert_eq!(budgets(&trace), [120, 60, 30]);
    assert_eq!(result, Some(1));
}

#[test]
fn search_stops_at_a_budget_of_one() {
    let (trace, result) = search(PAPER, 5, &obedient(0));
    assert_eq!(budgets(&trace), [2, 1]);
    assert_eq!(result, Some(1));
    // Always five tokens, whatever is asked: the first candidate is no cheaper.
    let (trace, result) = search(PAPER, 5, &|_| (5, true));
    assert_eq!((budgets(&trace), result), (vec![2], None));
    // Judged by rightness alone, it goes all the way down and ends.
    let mut trace = Vec::new();
    while let Next::Try { budget, .. } = PAPER.next(5, &trace) {
        trace.push(Trial {
            budget,
            output_tokens: 5,
            feasible: true,
        });
    }
    assert_eq!(budgets(&trace), [2, 1]);
}

#[test]
fn an_answer_of_no_or_one_token_leaves_nothing_to_try() {
    for strategy in [
        Strategy::Paper,
        Strategy::AsPrinted,
        Strategy::Reference,
        Strategy::Refine {
            min_gain: 1,
            max_extra: 9,
        },
    ] {
        for vanilla in [0, 1] {
            let (trace, result) = search(rule(strategy), vanilla, &obedient(0));
            assert_eq!((trace.len(), result), (0, None), "{strategy:?} {vanilla}");
        }
    }
}

#[test]
fn algorithm_1_as_printed_tries_the_first_budget_twice_and_returns_the_refused_one() {
    let (trace, result) = search(rule(Strategy::AsPrinted), 240, &obedient(50));
    assert_eq!(budgets(&trace), [120, 120, 60, 30]);
    assert_eq!(result, Some(3));
    assert!(!trace[3].feasible);
    // Refused at once, and all the way down to 1.
    let (trace, result) = search(rule(Strategy::AsPrinted), 240, &obedient(500));
    assert_eq!((budgets(&trace), result), (vec![120], Some(0)));
    let (trace, result) = search(rule(Strategy::AsPrinted), 5, &obedient(0));
    assert_eq!((budgets(&trace), result), (vec![2, 2, 1], Some(2)));
}

#[test]
fn refining_bisects_between_the_accepted_and_the_refused_budget() {
    let refine = |min_gain, max_extra| {
        rule(Strategy::Refine {
            min_gain,
            max_extra,
        })
    };
    let (trace, result) = search(refine(1, 100), 240, &obedient(37));
    assert_eq!(budgets(&trace)[..3], [120, 60, 30]);
    assert_eq!(trace[result.unwrap()].budget, 37);
    let (trace, result) = search(refine(1, 2), 240, &obedient(37));
    assert_eq!(budgets(&trace), [120, 60, 30, 45, 37]);
    assert_eq!(result, Some(4));
    // 45 to 37 would gain less than ten tokens.
    let (trace, result) = search(refine(10, 100), 240, &obedient(37));
    assert_eq!((budgets(&trace), result), (vec![120, 60, 30, 45], Some(3)));
    // Refused at once: between vanilla and its half.
    let (trace, result) = search(refine(30, 100), 240, &obedient(170));
    assert_eq!(budgets(&trace), [120, 180, 150]);
    assert_eq!(result, Some(1));
}

#[test]
fn max_steps_ends_a_search_with_what_was_accepted() {
    let two = |strategy| Rule {
        strategy,
        max_steps: Some(2),
    };
    let (trace, result) = search(two(Strategy::Paper), 240, &obedient(1));
    assert_eq!((budgets(&trace), result), (vec![120, 60], Some(1)));
    let none = Rule {
        strategy: Strategy::Paper,
        max_steps: Some(0),
    };
    assert_eq!(search(none, 240, &obedient(1)).1, None);
}

fn any_strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
    prop_oneof![
        Just(Strategy::Paper),
        Just(Strategy::AsPrinted),
        Just(Strategy::Reference),
        proptest::strategy::Strategy::prop_map((0_u32..200, 0_u32..12), |(min_gain, max_extra)| {
            Strategy::Refine {
                min_gain,
                max_extra,
            }
        }),
    ]
}

proptest! {
    /// A model here is a table: its entry at a hash of the budget says what it answers, so that it
    /// may be as whimsical as it likes.
    #[test]
    fn on_any_model_the_search_ends_costs_no_more_than_vanilla_and_replays(
        strategy in any_strategy(),
        max_steps in proptest::option::of(0_u32..10),
        vanilla in prop_oneof![0_u64..2000, Just(u64::from(u32::MAX)), Just(u64::MAX)],
        table in proptest::collection::vec((0_u64..3000, any::<bool>()), 1..40),
    ) {
        let rule = Rule { strategy, max_steps };
        let model = |budget: u32| table[budget as usize % table.len()];
        let (trace, result) = search(rule, vanilla, &model);

        prop_assert!(trace.len() <= 32 + 1 + 12);
        if let Some(most) = max_steps {
            prop_assert!(trace.len() <= most as usize);
        }
        if strategy == Strategy::AsPrinted {
            prop_assert_eq!(result, trace.len().checked_sub(1));
        } else {
            prop_assert_eq!(result, trace.iter().rposition(|trial| trial.feasible));
            if let Some(found) = result {
                prop_assert!(trace[found].output_tokens < vanilla);
                prop_assert!(u64::from(trace[found].budget) < vanilla);
            }
        }
        // Read from any point of its trace, the rule says what it said then.
        for step in 0..trace.len() {
            let next = rule.next(vanilla, &trace[..step]);
            let Next::Try { budget, .. } = next else {
                return Err(TestCaseError::fail("a replay ends early"));
            };
            prop_assert_eq!(budget, trace[step].budget);
        }
        prop_assert_eq!(rule.next(vanilla, &trace), Next::Done { result });
    }

    #[test]
    fn halving_asks_what_the_refined_search_asks_first(
        vanilla in 0_u64..5000,
        from in 0_u32..3000,
        min_gain in 0_u32..50,
    ) {
        let refine = rule(Strategy::Refine { min_gain, max_extra: 10 });
        let (coarse, a) = search(PAPER, vanilla, &obedient(from));
        let (fine, b) = search(refine, vanilla, &obedient(from));
        prop_assert_eq!(&fine[..coarse.len()], &coarse[..]);
        // On a model that obeys, more calls never find more tokens.
        let cost = |trace: &[Trial], at: Option<usize>| at.map_or(vanilla, |i| trace[i].output_tokens);
        prop_assert!(cost(&fine, b) <= cost(&coarse, a));
    }
}
