//! The bound on the work for one decision.

use std::cell::Cell;

/// Work units left. A unit is a few tens of nanoseconds; the whole is far below 10 ms.
#[derive(Debug)]
pub(crate) struct Budget(Cell<usize>);

impl Budget {
    /// Units for one comparison of two answers.
    pub(crate) const COMPARISON: usize = 30_000;

    pub(crate) const fn new(units: usize) -> Self {
        Self(Cell::new(units))
    }

    /// Takes units; `false`, and nothing left, if there are not that many.
    pub(crate) fn spend(&self, units: usize) -> bool {
        if let Some(left) = self.0.get().checked_sub(units) {
            self.0.set(left);
            true
        } else {
            self.0.set(0);
            false
        }
    }
}
