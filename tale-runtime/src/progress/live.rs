//! The table that redraws itself.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    board::{Board, clock},
    log,
    ticker::Ticker,
};
use crate::{
    billing::Purse,
    pipeline::{CellProgress, Observer},
    store::{CellId, Measure, SearchMeasure},
};

/// Often enough to look alive, seldom enough to cost nothing.
const REDRAW: Duration = Duration::from_millis(200);

/// A head line with the pace of the run, and a line per method: bar, samples done, accuracy so
/// far, mean output tokens, failures, time left. Gone when the run ends, so that the table of
/// results stands alone.
pub struct Live {
    board: Arc<Board>,
    display: MultiProgress,
    ticker: Mutex<Option<Ticker>>,
}

impl Live {
    /// On stderr. Shows nothing where that is no terminal.
    #[must_use]
    pub fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    /// Showing what `purse` has spent, too.
    #[must_use]
    pub fn watching(self, purse: &Arc<Purse>) -> Self {
        self.board.watch(purse);
        self
    }

    fn on(target: ProgressDrawTarget) -> Self {
        Self {
            board: Arc::new(Board::new()),
            display: MultiProgress::with_draw_target(target),
            ticker: Mutex::new(None),
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Live {
    fn begin(&self, cells: &[CellProgress]) {
        self.board.begin(cells);
        log::show(Some(self.display.clone()));
        let rows = Rows::new(Arc::clone(&self.board), &self.display);
        rows.draw();
        let ticker = Ticker::start(|| REDRAW, move || rows.draw());
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
        // Above the table; a terminal that is gone is no reason to stop.
        let _ = self.display.println(text);
    }

    fn end(&self) {
        drop(
            self.ticker
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        log::show(None);
        let _ = self.display.clear();
    }
}

struct Rows {
    board: Arc<Board>,
    head: ProgressBar,
    bars: Vec<ProgressBar>,
}

impl Rows {
    fn new(board: Arc<Board>, display: &MultiProgress) -> Self {
        let head = display.add(ProgressBar::no_length().with_style(style("{spinner} {msg}")));
        let width = board
            .lines()
            .iter()
            .map(|l| l.name.chars().count())
            .max()
            .unwrap_or(0);
        let bars = board
            .lines()
            .iter()
            .map(|line| {
                let (bar, done) = match line.total {
                    Some(n) => (ProgressBar::new(n), "{bar:20} {pos:>6}/{len:<6}"),
                    None => (ProgressBar::no_length(), "{pos:>6} done"),
                };
                let template = format!("  {{prefix:{width}}} {done} {{msg}}");
                display.add(
                    bar.with_style(style(&template))
                        .with_prefix(line.name.clone()),
                )
            })
            .collect();
        Self { board, head, bars }
    }

    fn draw(&self) {
        let (done, total) = self.board.totals();
        let total = total.map_or_else(String::new, |n| format!(" of {n}"));
        let rate = self.board.tokens_per_s();
        let rate = rate.map_or_else(String::new, |r| format!(" · {r:.0} tokens/s"));
        let money = self.board.money();
        let money = money.map_or_else(String::new, |m| format!(" · {m}"));
        let elapsed = clock(self.board.elapsed());
        self.head
            .set_message(format!("{done}{total} samples · {elapsed}{rate}{money}"));
        self.head.tick();
        for (bar, line) in self.bars.iter().zip(self.board.lines()) {
            bar.set_position(line.state().done);
            bar.set_message(line.says());
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates of this file are well formed")
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        progress::board::tests::{cells, measure},
        store::Outcome,
    };

    /// A terminal that remembers what was written to it.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl indicatif::TermLike for Paper {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, s: &str) -> std::io::Result<()> {
            self.write_str(s)?;
            self.write_str("\n")
        }
        fn write_str(&self, s: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().push_str(s);
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_method_has_a_line_that_moves() {
        let paper = Paper::default();
        let live = Live::on(ProgressDrawTarget::term_like_with_hz(
            Box::new(paper.clone()),
            255,
        ));
        live.begin(&cells());
        live.sample(CellId(1), &measure(Outcome::Correct, 5), false);
        live.sample(CellId(2), &measure(Outcome::Wrong, 200), true);
        std::thread::sleep(3 * REDRAW);
        live.note("a note");
        live.end();
        live.end();
        let text = paper.0.lock().unwrap().clone();
        assert!(text.contains("2 of 8 samples · 0s"), "{text}");
        assert!(text.contains("direct      ━━━━━"), "{text}");
        assert!(
            text.contains("     1/4      100.0% right · 5 tokens"),
            "{text}"
        );
        assert!(
            text.contains("     1/4      0.0% right · 200 tokens"),
            "{text}"
        );
        assert!(text.contains("a note"), "{text}");
    }
}
