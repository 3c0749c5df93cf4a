//! What people see while a run works, on stderr.
//!
//! * [`Live`] is a table that redraws itself, a line per method. For a terminal.
//! * [`Plain`] is a line now and then, so that a log shows life.
//! * [`Silent`] is nothing.
//!
//! The pipeline only counts up here; a thread of its own does the drawing, so that a replay of a
//! million samples is not held up by a terminal.

mod board;
mod live;
mod log;
mod plain;
mod ticker;

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use crate::{
    billing::Purse,
    pipeline::{CellProgress, Observer},
    store::{CellId, Measure},
};

pub use live::Live;
pub use log::LogWriter;
pub use plain::Plain;

/// [`Live`] where stderr is a terminal, [`Plain`] where it is a file or a pipe; both show what
/// `purse` has spent.
#[must_use]
pub fn for_people(purse: &Arc<Purse>) -> Arc<dyn Observer> {
    if io::stderr().is_terminal() {
        Arc::new(Live::new().watching(purse))
    } else {
        Arc::new(Plain::new().watching(purse))
    }
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn begin(&self, _: &[CellProgress]) {}
    fn sample(&self, _: CellId, _: &Measure, _: bool) {}
    fn delta(&self, _: CellId, _: &str) {}
    fn note(&self, _: &str) {}
    fn end(&self) {}
}
