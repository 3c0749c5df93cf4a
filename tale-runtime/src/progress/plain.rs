//! A line now and then.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    board::{Board, clock},
    ticker::Ticker,
};
use crate::{
    billing::Purse,
    pipeline::{CellProgress, Observer},
    store::{CellId, Measure, SearchMeasure},
};

type Out = Box<dyn Write + Send>;

/// Writes a line on where the run stands every ten seconds, later every minute, and at the end.
pub struct Plain {
    board: Arc<Board>,
    out: Arc<Mutex<Out>>,
    ticker: Mutex<Option<Ticker>>,
}

impl Plain {
    /// On stderr.
    #[must_use]
    pub fn new() -> Self {
        Self::to(Box::new(io::stderr()))
    }

    /// Showing what `purse` has spent, too.
    #[must_use]
    pub fn watching(self, purse: &Arc<Purse>) -> Self {
        self.board.watch(purse);
        self
    }

    fn to(out: Out) -> Self {
        Self {
            board: Arc::new(Board::new()),
            out: Arc::new(Mutex::new(out)),
            ticker: Mutex::new(None),
        }
    }
}

impl Default for Plain {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Plain {
    fn begin(&self, cells: &[CellProgress]) {
        self.board.begin(cells);
        let (board, out) = (Arc::clone(&self.board), Arc::clone(&self.out));
        let pause = {
            let board = Arc::clone(&self.board);
            move || pause(board.elapsed())
        };
        let ticker = Ticker::start(pause, move || write(&out, &status(&board)));
        *self.ticker.lock().unwrap_or_else(PoisonError::into_inner) = Some(ticker);
    }

    fn sample(&self, cell: CellId, measure: &Measure, resumed: bool) {
        self.board.sample(cell, measure, resumed);
    }

    fn searched(&self, cell: CellId, measure: &SearchMeasure, resumed: bool) {
        self.board.searched(cell, measure, resumed);
    }

    fn delta(&self, cell: CellId, _: &str) {
        self.board.delta(cell);
    }

    fn note(&self, text: &str) {
        write(&self.out, text);
    }

    fn end(&self) {
        let ticker = self
            .ticker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(ticker) = ticker {
            drop(ticker);
            write(&self.out, &status(&self.board));
        }
    }
}

/// Somebody waits for the first lines; nobody reads 8,000 of a night's.
fn pause(elapsed: Duration) -> Duration {
    Duration::from_secs(match elapsed.as_secs() {
        0..120 => 10,
        120..600 => 30,
        _ => 60,
    })
}

/// `1m 20s: direct 24/24 (62.5% right · 5 tokens), vanilla-cot 3/24; 52 tokens/s`.
fn status(board: &Board) -> String {
    let lines: Vec<String> = board
        .lines()
        .iter()
        .map(|line| {
            let total = line.total.map_or_else(String::new, |t| format!("/{t}"));
            let says = line.says();
            let says = if says.is_empty() {
                says
            } else {
                format!(" ({says})")
            };
            format!("{} {}{total}{says}", line.name, line.state().done)
        })
        .collect();
    let rate = board
        .tokens_per_s()
        .map_or_else(String::new, |r| format!("; {r:.0} tokens/s"));
    let money = board.money().map_or_else(String::new, |m| format!("; {m}"));
    let elapsed = clock(board.elapsed());
    format!("{elapsed}: {}{rate}{money}", lines.join(", "))
}

/// Nobody can be told that stderr is gone.
fn write(out: &Mutex<Out>, text: &str) {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        progress::board::tests::{cells, measure},
        store::Outcome,
    };

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_last_line_says_where_the_run_stands() {
        let out = Shared::default();
        let plain = Plain::to(Box::new(out.clone()));
        plain.begin(&cells());
        plain.note("a note");
        plain.sample(CellId(1), &measure(Outcome::Correct, 5), false);
        for _ in 0..4 {
            plain.sample(CellId(2), &measure(Outcome::Wrong, 200), true);
        }
        plain.end();
        plain.end();
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "a note\n0s: direct 1/4 (100.0% right · 5 tokens · 0s left), \
             vanilla-cot 4/4 (0.0% right · 200 tokens)\n"
        );
    }

    #[test]
    fn a_night_is_some_hundred_lines() {
        let (mut t, mut lines) = (Duration::ZERO, 0);
        while t < Duration::from_hours(8) {
            t += pause(t);
            lines += 1;
        }
        assert!(lines < 520, "{lines}");
    }
}
