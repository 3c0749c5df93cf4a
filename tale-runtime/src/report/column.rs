//! One method's samples in 24 bytes each, so that a million of them can be compared.

use super::summary::{MethodRow, Tally};
use crate::store::{Cell, CellId, Measure, Outcome, Reader, StoreError};

/// What pairing and figures need of one question: its sample, or the mean of its repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) position: u64,
    /// Output tokens of the estimate's calls.
    pub(super) estimate: u32,
    output: u32,
    budget: u32,
    /// Repeats that could be graded; [`UNANSWERED`] where the model answered none.
    graded: u16,
    /// Right ones among them.
    right: u16,
}

/// Stands for an unknown number of tokens and for no budget: a `u32` beside it instead of an
/// `Option` halves a point.
const NONE: u32 = u32::MAX;

/// Stands for a question that the model did not answer.
const UNANSWERED: u16 = u16::MAX;

impl Point {
    fn of(m: &Measure) -> Self {
        let (graded, right) = match m.outcome {
            Outcome::Correct => (1, 1),
            Outcome::Wrong | Outcome::Undecided | Outcome::Empty => (1, 0),
            Outcome::Ungraded => (0, 0),
            Outcome::Failed => (UNANSWERED, 0),
        };
        Self {
            position: m.position,
            estimate: m.estimate_output_tokens,
            output: m.output_tokens.unwrap_or(NONE),
            budget: m.budget.unwrap_or(NONE),
            graded,
            right,
        }
    }

    /// One point for the repeats of a question: means over those that were answered.
    fn merged(repeats: &[Measure]) -> Option<Self> {
        let points: Vec<Self> = repeats.iter().map(Self::of).collect();
        let first = *points.first()?;
        let answered: Vec<Self> = points.into_iter().filter(|p| p.answered()).collect();
        if answered.len() < 2 {
            return Some(answered.first().copied().unwrap_or(first));
        }
        let mean = |value: &dyn Fn(&Self) -> Option<u32>| {
            let values: Vec<u64> = answered
                .iter()
                .filter_map(|p| value(p).map(u64::from))
                .collect();
            let n = values.len() as u64;
            let sum: u64 = values.iter().sum();
            // Rounded, halves upwards.
            let mean = (2 * sum + n).checked_div(2 * n);
            mean.and_then(|mean| u32::try_from(mean).ok())
        };
        Some(Self {
            position: first.position,
            estimate: mean(&|p| Some(p.estimate)).unwrap_or(0),
            output: mean(&|p| p.output()).unwrap_or(NONE),
            budget: mean(&|p| p.budget()).unwrap_or(NONE),
            graded: answered.iter().map(|p| p.graded).sum(),
            right: answered.iter().map(|p| p.right).sum(),
        })
    }

    /// Output tokens of the answering call.
    pub(super) fn output(self) -> Option<u32> {
        (self.output != NONE).then_some(self.output)
    }

    /// The budget asked for, in tokens.
    pub(super) fn budget(self) -> Option<u32> {
        (self.budget != NONE).then_some(self.budget)
    }

    /// Whether the model answered.
    pub(super) fn answered(self) -> bool {
        self.graded != UNANSWERED
    }

    /// Whether the answer was right, if it could be graded; of several answers, whether more than
    /// half were.
    pub(super) fn mostly_right(self) -> Option<bool> {
        self.graded().map(|share| share > 0.5)
    }

    /// The share of right answers among the graded ones: 0 or 1 where there is one.
    pub(super) fn graded(self) -> Option<f64> {
        (self.answered() && self.graded > 0).then(|| f64::from(self.right) / f64::from(self.graded))
    }
}

/// One method's samples, ordered by position, and their sums.
pub(super) struct Column {
    pub(super) cell: Cell,
    pub(super) points: Vec<Point>,
    /// Seconds of each answered sample, the estimate's calls included, in the same order.
    pub(super) seconds: Vec<f64>,
    pub(super) row: MethodRow,
}

impl Column {
    pub(super) fn read(reader: &Reader, id: CellId, cell: &Cell) -> Result<Self, StoreError> {
        let mut tally = Tally::default();
        let (mut points, mut seconds) = (Vec::new(), Vec::new());
        let mut repeats: Vec<Measure> = Vec::new();
        reader.for_each_measure(id, |m| {
            if m.outcome != Outcome::Failed {
                seconds.push(m.latency_s);
            }
            if repeats.first().is_some_and(|r| r.position != m.position) {
                tally.question(&repeats);
                points.extend(Point::merged(&repeats));
                repeats.clear();
            }
            repeats.push(m);
        })?;
        if !repeats.is_empty() {
            tally.question(&repeats);
            points.extend(Point::merged(&repeats));
        }
        points.shrink_to_fit();
        Ok(Self {
            cell: cell.clone(),
            points,
            seconds,
            row: tally.row(cell),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_points_stay_small() {
        assert_eq!(size_of::<Point>(), 24);
    }
}
