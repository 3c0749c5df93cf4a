//! From columns of a journal to an [`Analysis`].

use std::collections::BTreeMap;

use tale_plugin_standard::Method;

use super::{
    AlphaStep, Analysis, BudgetStep, CCA_BETA, Curves, HCA_K, IdealRanges, Interval, OracleBound,
    SCA_ALPHA, SCA_K, Scores, Share,
    curves::Curve,
    ideal::{Range, Trial, ideal_range},
    oracle::Oracle,
    scores::{Answer, cca, front, hca, ock_score, sca},
};
use crate::report::{
    column::{Column, Point},
    stats::{mean95, quantile, ratio, resample95},
    summary::{MethodRow, neat},
};

/// Takes the columns of one model and data set, one after the other.
#[derive(Default)]
pub(in crate::report) struct Gather {
    methods: Vec<(Scores, f64)>,
    oracle: Oracle,
    budgets: Vec<BudgetStep>,
    rows: Vec<MethodRow>,
    /// Trials of each question, by its position.
    trials: BTreeMap<u64, Vec<Trial>>,
    /// Methods among these.
    curve_methods: usize,
    /// Budget that a search found, by position.
    searched: BTreeMap<u64, u32>,
}

/// The sweep's method that asks for the searched budget itself.
const SEARCHED_ITSELF: &str = "searched-x1";

impl Gather {
    pub(in crate::report) fn add(&mut self, column: &Column) {
        let method = &column.cell.method;
        self.rows.push(column.row.clone());
        if let Some(scores) = scores(column) {
            self.methods.push(scores);
        }
        for p in &column.points {
            if let (Some(right), Some(tokens)) = (p.mostly_right(), length(p)) {
                self.oracle.add(p.position, right, tokens);
            }
        }
        if let Some(step) = budget_step(column) {
            self.budgets.push(step);
        }
        if is_estimated(method) {
            // Its budgets follow the question; a curve wants budgets that do not.
            return;
        }
        let mut any = false;
        for p in &column.points {
            if let (Some(budget), Some(tokens), Some(right)) =
                (p.budget(), p.output(), p.mostly_right())
            {
                any = true;
                self.trials.entry(p.position).or_default().push(Trial {
                    budget,
                    tokens,
                    right,
                });
                if method == SEARCHED_ITSELF {
                    self.searched.insert(p.position, budget);
                }
            }
        }
        self.curve_methods += usize::from(any);
    }

    /// Takes the budget that a search found for the question at `position`.
    pub(in crate::report) fn found(&mut self, position: u64, budget: u32) {
        self.searched.insert(position, budget);
    }

    /// Questions under at least two budgets, as curves, for the figure.
    pub(in crate::report) fn curves(&self) -> Vec<Curve> {
        let several = |list: &&Vec<Trial>| list.len() > 1;
        self.trials
            .values()
            .filter(several)
            .map(|list| Curve::new(list))
            .collect()
    }

    /// `alpha` is the manifest's factor on estimates.
    pub(in crate::report) fn finish(self, llm: &str, dataset: &str, alpha: f64) -> Analysis {
        let curves = self.curve_numbers();
        let points: Vec<(f64, f64)> = self
            .methods
            .iter()
            .map(|(s, accuracy)| (s.tokens.value, *accuracy))
            .collect();
        let on_front = front(&points);
        let mut methods: Vec<Scores> = self.methods.into_iter().map(|(s, _)| s).collect();
        for (scores, on) in methods.iter_mut().zip(on_front) {
            scores.on_front = on;
        }
        let count = methods.len() as u64;
        let oracle = self.oracle.bound().filter(|_| count > 1).and_then(|b| {
            Some(OracleBound {
                methods: count,
                accuracy: Share::new(b.right, b.n)?,
                tokens: mean_of(b.tokens.iter().copied())?,
            })
        });
        let mut budgets = self.budgets;
        budgets.sort_by(|a, b| a.budget.total_cmp(&b.budget));
        Analysis {
            llm: llm.to_owned(),
            dataset: dataset.to_owned(),
            methods,
            oracle,
            alphas: alphas(&self.rows, alpha),
            budgets,
            curves,
            search: None,
        }
    }

    fn curve_numbers(&self) -> Option<Curves> {
        if self.curve_methods < 2 {
            return None;
        }
        let (mut n, mut elastic, mut turns) = (0, 0, Vec::new());
        let (mut monotone, mut judged) = (0, 0);
        let (mut somewhere, mut mixed) = (0, 0);
        let mut ranges = Vec::new();
        for (position, list) in &self.trials {
            let curve = Curve::new(list);
            let Some(turn) = curve.turn() else { continue };
            n += 1;
            elastic += u64::from(turn.is_elastic());
            turns.push((turn.at_smallest, turn.fewest));
            if let Some(is) = self
                .searched
                .get(position)
                .and_then(|b| curve.is_monotone(*b))
            {
                judged += 1;
                monotone += u64::from(is);
            }
            if let Some(is) = curve.is_monotone_somewhere() {
                mixed += 1;
                somewhere += u64::from(is);
            }
            ranges.extend(ideal_range(curve.trials()));
        }
        (n > 0).then(|| Curves {
            n,
            elastic: Share::new(elastic, n),
            rise: ratio_of(&turns),
            monotone: Share::new(monotone, judged),
            monotone_somewhere: Share::new(somewhere, mixed),
            ideal: ideal_ranges(&ranges),
        })
    }
}

/// Medians of the ends; `None` without a range.
pub(in crate::report) fn ideal_ranges(ranges: &[Range]) -> Option<IdealRanges> {
    let median = |of: fn(&Range) -> u32| {
        let mut ends: Vec<f64> = ranges.iter().map(|r| f64::from(of(r))).collect();
        ends.sort_by(f64::total_cmp);
        quantile(&ends, 0.5)
    };
    (!ranges.is_empty()).then(|| IdealRanges {
        n: ranges.len() as u64,
        low: median(|r| r.low),
        high: median(|r| r.high),
    })
}

/// Whether an estimator sets the budgets of the method.
pub(crate) fn is_estimated(method: &str) -> bool {
    method.parse().is_ok_and(|m: Method| m.needs_estimate())
}

/// Output tokens with the estimate's.
fn length(p: &Point) -> Option<u32> {
    Some(p.output()?.saturating_add(p.estimate))
}

/// The scores of a column, not yet compared with others, and its accuracy.
fn scores(column: &Column) -> Option<(Scores, f64)> {
    let answers: Vec<Answer> = column
        .points
        .iter()
        .filter_map(|p| {
            Some(Answer {
                right: p.mostly_right()?,
                tokens: length(p)?,
            })
        })
        .collect();
    let n = answers.len() as u64;
    let right = answers.iter().filter(|a| a.right).count() as u64;
    let accuracy = Share::new(right, n)?.value;
    let tokens = mean_of(answers.iter().map(|a| a.tokens))?;
    let hca = HCA_K
        .iter()
        .filter_map(|k| Share::new(hca(&answers, *k), n));
    let scored = |statistic: &dyn Fn(&[Answer]) -> Option<f64>| -> Option<Interval> {
        Some(Interval {
            value: neat(statistic(&answers)?),
            ci95: resample95(&answers, |list| statistic(list).unwrap_or_default())
                .map(|ci| ci.map(neat)),
        })
    };
    let scores = Scores {
        method: column.cell.method.clone(),
        n,
        tokens,
        seconds: mean_interval(&column.seconds),
        on_front: false,
        hca: hca.collect(),
        sca: scored(&|list| sca(list, SCA_K, SCA_ALPHA))?,
        cca: scored(&|list| cca(list, SCA_K, SCA_ALPHA, CCA_BETA))?,
        ock_score: neat(ock_score(accuracy, tokens.value)),
    };
    Some((scores, accuracy))
}

fn budget_step(column: &Column) -> Option<BudgetStep> {
    let asked: Vec<(&Point, u32, u32)> = column
        .points
        .iter()
        .filter_map(|p| Some((p, p.budget()?, p.output()?)))
        .collect();
    let pairs: Vec<(u32, u32)> = asked.iter().map(|&(_, b, t)| (t, b)).collect();
    let graded: Vec<bool> = asked
        .iter()
        .filter_map(|(p, ..)| p.mostly_right())
        .collect();
    let right = graded.iter().filter(|r| **r).count() as u64;
    let within = pairs.iter().filter(|(used, asked)| used <= asked).count() as u64;
    let n = pairs.len() as u64;
    Some(BudgetStep {
        method: column.cell.method.clone(),
        n,
        budget: mean_of(pairs.iter().map(|p| p.1))?.value,
        accuracy: Share::new(right, graded.len() as u64),
        tokens: mean_of(pairs.iter().map(|p| p.0))?,
        used_of_asked: ratio_of(&pairs)?,
        within: Share::new(within, n)?,
    })
}

fn alphas(rows: &[MethodRow], manifest: f64) -> Vec<AlphaStep> {
    let mut steps: Vec<AlphaStep> = rows
        .iter()
        .filter_map(|r| {
            let method: Method = r.method.parse().ok()?;
            method.needs_estimate().then(|| AlphaStep {
                alpha: method.alpha().unwrap_or(manifest),
                method: r.method.clone(),
                n: r.n,
                budget: r.budget,
                accuracy: r.accuracy,
                accuracy_ci95: r.accuracy_ci95,
                output_tokens: r.output_tokens,
            })
        })
        .collect();
    if steps.len() < 2 {
        return Vec::new();
    }
    steps.sort_by(|a, b| a.alpha.total_cmp(&b.alpha));
    steps
}

/// The mean with its interval; `None` of nothing.
pub(in crate::report) fn mean_of(values: impl Iterator<Item = u32>) -> Option<Interval> {
    mean_interval(&values.map(f64::from).collect::<Vec<_>>())
}

fn mean_interval(values: &[f64]) -> Option<Interval> {
    let (value, ci95) = mean95(values)?;
    Some(Interval {
        value: neat(value),
        ci95: ci95.map(|ci| ci.map(neat)),
    })
}

/// Σ first / Σ second with its interval.
pub(in crate::report) fn ratio_of(pairs: &[(u32, u32)]) -> Option<Interval> {
    let r = ratio(pairs)?;
    Some(Interval {
        value: neat(r.value),
        ci95: r.ci95.map(|ci| ci.map(neat)),
    })
}
