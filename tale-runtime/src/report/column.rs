//! One method's samples in 24 bytes each, so that a million of them can be compared.

use super::summary::{MethodRow, Tally};
use crate::store::{Cell, CellId, Measure, Outcome, Reader, StoreError};

/// What pairing and figures need of one sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) position: u64,
    /// Output tokens of the estimate's calls.
    pub(super) estimate: u32,
    output: u32,
    budget: u32,
    outcome: Outcome,
}

/// Stands for an unknown number of tokens and for no budget: a `u32` beside it instead of an
/// `Option` halves a point.
const NONE: u32 = u32::MAX;

impl Point {
    fn of(m: &Measure) -> Self {
        Self {
            position: m.position,
            estimate: m.estimate_output_tokens,
            output: m.output_tokens.unwrap_or(NONE),
            budget: m.budget.unwrap_or(NONE),
            outcome: m.outcome,
        }
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
        self.outcome != Outcome::Failed
    }

    /// Whether the answer was right, if it could be graded.
    pub(super) fn graded(self) -> Option<bool> {
        match self.outcome {
            Outcome::Correct => Some(true),
            Outcome::Wrong | Outcome::Undecided | Outcome::Empty => Some(false),
            Outcome::Ungraded | Outcome::Failed => None,
        }
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
        reader.for_each_measure(id, |m| {
            tally.add(&m);
            points.push(Point::of(&m));
            if m.outcome != Outcome::Failed {
                seconds.push(m.latency_s);
            }
        })?;
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
