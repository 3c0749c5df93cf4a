//! How a pipeline tells what it is doing, without knowing who watches.

use crate::store::{Cell, CellId, Measure, SearchMeasure};

/// A column of the experiment as it stands when the work begins.
#[derive(Clone, Debug)]
pub struct CellProgress {
    /// Its id in the journal.
    pub id: CellId,
    /// Model, data set, method.
    pub cell: Cell,
    /// Samples to be made in all, where the data set's size is known.
    pub total: Option<u64>,
}

/// Watches a run. Called from many threads; must return soon.
pub trait Observer: Send + Sync {
    /// The work on these columns begins.
    fn begin(&self, cells: &[CellProgress]);

    /// A sample is committed. `resumed` says that it was found in the journal.
    fn sample(&self, cell: CellId, measure: &Measure, resumed: bool);

    /// The search of a question is committed. `resumed` says that it was found in the journal.
    fn searched(&self, _cell: CellId, _measure: &SearchMeasure, _resumed: bool) {}

    /// A part of an answer has come; about one token where the model streams.
    fn delta(&self, cell: CellId, text: &str);

    /// Something people should know and that is no error.
    fn note(&self, text: &str);

    /// The work is over, for whatever reason.
    fn end(&self);
}
