//! The counts behind the display.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    billing::Purse,
    pipeline::CellProgress,
    store::{CellId, Measure, Outcome, SearchEnding, SearchMeasure},
};

/// Tokens per second are those of so long a time.
const WINDOW: Duration = Duration::from_secs(10);

/// What has come of a run so far.
pub(super) struct Board {
    begun: Instant,
    lines: OnceLock<Vec<Line>>,
    purse: OnceLock<Arc<Purse>>,
    tokens: AtomicU64,
    window: Mutex<VecDeque<(Instant, u64)>>,
}

/// One method.
pub(super) struct Line {
    id: CellId,
    pub(super) name: String,
    pub(super) total: Option<u64>,
    state: Mutex<State>,
}

/// The counts of one method.
#[derive(Clone, Copy, Default)]
pub(super) struct State {
    pub(super) done: u64,
    resumed: u64,
    graded: u64,
    correct: u64,
    errors: u64,
    counted: u64,
    tokens: u64,
    /// Of searches: how many found something, and tokens of these before and after.
    searched: Option<Searched>,
    /// When the first answer of this session began to come.
    since: Option<Instant>,
}

/// What searches have come to.
#[derive(Clone, Copy, Default)]
struct Searched {
    found: u64,
    vanilla_tokens: u64,
    tokens: u64,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            lines: OnceLock::new(),
            purse: OnceLock::new(),
            tokens: AtomicU64::new(0),
            window: Mutex::new(VecDeque::new()),
        }
    }

    /// Sets up the lines; a second call changes nothing.
    pub(super) fn begin(&self, cells: &[CellProgress]) {
        let one = cells
            .windows(2)
            .all(|w| w[0].cell.llm == w[1].cell.llm && w[0].cell.dataset == w[1].cell.dataset);
        let name = |c: &CellProgress| {
            if one {
                c.cell.method.clone()
            } else {
                format!("{} · {} · {}", c.cell.llm, c.cell.dataset, c.cell.method)
            }
        };
        self.lines.get_or_init(|| {
            cells
                .iter()
                .map(|c| Line {
                    id: c.id,
                    name: name(c),
                    total: c.total,
                    state: Mutex::default(),
                })
                .collect()
        });
    }

    pub(super) fn lines(&self) -> &[Line] {
        self.lines.get().map_or(&[], Vec::as_slice)
    }

    /// The state of a column that has got one more result.
    fn one_more(&self, cell: CellId, resumed: bool) -> Option<MutexGuard<'_, State>> {
        let line = self.lines().iter().find(|l| l.id == cell)?;
        let mut s = locked(&line.state);
        s.done += 1;
        if resumed {
            s.resumed += 1;
        } else {
            s.since.get_or_insert_with(Instant::now);
        }
        Some(s)
    }

    pub(super) fn sample(&self, cell: CellId, m: &Measure, resumed: bool) {
        let Some(mut s) = self.one_more(cell, resumed) else {
            return;
        };
        match m.outcome {
            Outcome::Failed => s.errors += 1,
            Outcome::Ungraded => {}
            Outcome::Correct => {
                s.graded += 1;
                s.correct += 1;
            }
            Outcome::Wrong | Outcome::Undecided | Outcome::Empty => s.graded += 1,
        }
        if let Some(tokens) = m.output_tokens.filter(|_| m.outcome != Outcome::Failed) {
            s.counted += 1;
            s.tokens += u64::from(tokens);
        }
    }

    pub(super) fn searched(&self, cell: CellId, m: &SearchMeasure, resumed: bool) {
        let Some(mut s) = self.one_more(cell, resumed) else {
            return;
        };
        let searched = s.searched.get_or_insert_default();
        if let (Some(before), Some(after)) = (m.vanilla_tokens, m.tokens) {
            searched.vanilla_tokens += before;
            searched.tokens += after;
        }
        searched.found += u64::from(m.ending == SearchEnding::Found);
        s.errors += u64::from(m.ending == SearchEnding::Failed);
    }

    /// A piece of an answer: about one token.
    pub(super) fn delta(&self, cell: CellId) {
        self.tokens.fetch_add(1, Relaxed);
        if let Some(line) = self.lines().iter().find(|l| l.id == cell) {
            locked(&line.state).since.get_or_insert_with(Instant::now);
        }
    }

    /// Output tokens per second over the last seconds, once there is something to say. To be
    /// called regularly.
    pub(super) fn tokens_per_s(&self) -> Option<f64> {
        let now = (Instant::now(), self.tokens.load(Relaxed));
        let mut window = locked(&self.window);
        window.push_back(now);
        while window.len() > 2 && now.0.duration_since(window[0].0) > WINDOW {
            window.pop_front();
        }
        let (from, tokens) = window[0];
        let seconds = now.0.duration_since(from).as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "far fewer than 2⁵³ tokens in ten seconds"
        )]
        let rate = (now.1 - tokens) as f64 / seconds;
        (now.1 > tokens && seconds > 0.5).then_some(rate)
    }

    /// Samples done and, where all totals are known, samples to be done.
    pub(super) fn totals(&self) -> (u64, Option<u64>) {
        let done = self.lines().iter().map(|l| l.state().done).sum();
        (done, self.lines().iter().map(|l| l.total).sum())
    }

    /// Shows what `purse` has spent; a second call changes nothing.
    pub(super) fn watch(&self, purse: &Arc<Purse>) {
        self.purse.get_or_init(|| Arc::clone(purse));
    }

    /// `$0.0123 of $1.00`, as far as there is something to say.
    pub(super) fn money(&self) -> Option<String> {
        let spending = self.purse.get()?.spending();
        match (spending.spent, spending.cap) {
            (None, None) => None,
            (spent, Some(cap)) => Some(format!("${:.4} of ${cap:.2}", spent.unwrap_or(0.0))),
            (Some(spent), None) => Some(format!("${spent:.4}")),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Line {
    pub(super) fn state(&self) -> State {
        *locked(&self.state)
    }

    /// `58.3% right · 228 tokens · 2 failed · 3m 20s left`, as far as there is something to say.
    pub(super) fn says(&self) -> String {
        let s = self.state();
        let mut parts = Vec::new();
        if let Some(share) = per(s.correct, s.graded) {
            parts.push(format!("{:.1}% right", share * 100.0));
        }
        if let Some(mean) = per(s.tokens, s.counted) {
            parts.push(format!("{mean:.0} tokens"));
        }
        if let Some(searched) = s.searched {
            parts.push(format!("{} found", searched.found));
            if let Some(left) = per(searched.tokens, searched.vanilla_tokens) {
                parts.push(format!("{:.0}% fewer tokens", (1.0 - left) * 100.0));
            }
        }
        if s.errors > 0 {
            parts.push(format!("{} failed", s.errors));
        }
        if let Some(left) = self.left(&s) {
            parts.push(format!("{} left", clock(left)));
        }
        parts.join(" · ")
    }

    /// Time left at the pace of this session; what was found in the journal took none.
    fn left(&self, s: &State) -> Option<Duration> {
        let remaining = self.total?.checked_sub(s.done).filter(|&n| n > 0)?;
        let pace = s.since?.elapsed().as_secs_f64() / per(s.done - s.resumed, 1)?;
        Duration::try_from_secs_f64(pace * per(remaining, 1)?).ok()
    }
}

/// `a / b`; `None` where `b` is 0, and infinite never.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2⁵³"
)]
fn per(a: u64, b: u64) -> Option<f64> {
    (b > 0).then(|| a as f64 / b as f64)
}

/// `42s`, `3m 20s`, `2h 05m`.
pub(super) fn clock(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        _ => format!("{}h {:02}m", s / 3600, s / 60 % 60),
    }
}

/// A panic elsewhere must not silence the display: the counts are whole after every step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::Cell;

    pub(in crate::progress) fn cells() -> Vec<CellProgress> {
        ["direct", "vanilla-cot"]
            .iter()
            .zip(1..)
            .map(|(method, id)| CellProgress {
                id: CellId(id),
                cell: Cell {
                    llm: "qwen".into(),
                    dataset: "gsm8k".into(),
                    method: (*method).into(),
                },
                total: Some(4),
            })
            .collect()
    }

    pub(in crate::progress) fn measure(outcome: Outcome, tokens: u32) -> Measure {
        Measure {
            position: 0,
            repeat: 0,
            outcome,
            fell_back: false,
            budget: None,
            input_tokens: Some(10),
            output_tokens: Some(tokens),
            estimate_output_tokens: 0,
            cost_usd: None,
            latency_s: 1.0,
        }
    }

    #[test]
    fn a_line_says_what_is_known() {
        let board = Board::new();
        board.begin(&cells());
        assert_eq!(board.lines()[0].says(), "");
        board.sample(CellId(1), &measure(Outcome::Correct, 10), true);
        board.sample(CellId(1), &measure(Outcome::Wrong, 20), true);
        board.sample(CellId(1), &measure(Outcome::Failed, 0), true);
        // Nothing was done in this session, so there is no pace.
        assert_eq!(
            board.lines()[0].says(),
            "50.0% right · 15 tokens · 1 failed"
        );
        assert_eq!(board.totals(), (3, Some(8)));
        board.delta(CellId(1));
        board.sample(CellId(1), &measure(Outcome::Ungraded, 30), false);
        // All done: no time is left.
        assert_eq!(
            board.lines()[0].says(),
            "50.0% right · 20 tokens · 1 failed"
        );
    }

    #[test]
    fn a_search_says_how_many_it_found_and_what_they_save() {
        let search = |ending, tokens| SearchMeasure {
            position: 0,
            ending,
            budget: None,
            vanilla_tokens: Some(200),
            tokens,
            calls: 3,
            extra_calls: 0,
        };
        let board = Board::new();
        board.begin(&cells());
        let searched = |ending, tokens| board.searched(CellId(1), &search(ending, tokens), true);
        searched(SearchEnding::Found, Some(50));
        searched(SearchEnding::NoShorterBudget, Some(200));
        searched(SearchEnding::VanillaWrong, None);
        searched(SearchEnding::Failed, None);
        // 400 tokens became 250; a question without a result saves nothing and costs nothing.
        assert_eq!(
            board.lines()[0].says(),
            "1 found · 38% fewer tokens · 1 failed"
        );
        assert_eq!(board.totals(), (4, Some(8)));
    }

    #[test]
    fn what_the_journal_had_takes_no_time() {
        let board = Board::new();
        board.begin(&cells());
        for _ in 0..2 {
            board.sample(CellId(2), &measure(Outcome::Correct, 10), true);
        }
        let line = &board.lines()[1];
        let mut s = line.state();
        s.done += 1;
        s.since = Some(Instant::now().checked_sub(Duration::from_secs(30)).unwrap());
        // One sample took 30 s, one is left: not 10 s, as if three had taken them.
        assert_eq!(line.left(&s).unwrap().as_secs(), 30);
    }

    #[test]
    fn money_is_shown_once_there_is_some() {
        let board = Board::new();
        assert_eq!(board.money(), None);
        board.watch(&Arc::new(Purse::new(None, None)));
        assert_eq!(board.money(), None);
        let says = |cap, spent| {
            let board = Board::new();
            board.watch(&Arc::new(Purse::new(cap, spent)));
            board.money()
        };
        assert_eq!(says(None, Some(0.01234)).as_deref(), Some("$0.0123"));
        assert_eq!(says(Some(5.0), None).as_deref(), Some("$0.0000 of $5.00"));
    }

    #[test]
    fn several_models_are_named() {
        let mut cells = cells();
        cells[1].cell.llm = "smol".into();
        let board = Board::new();
        board.begin(&cells);
        assert_eq!(board.lines()[1].name, "smol · gsm8k · vanilla-cot");
    }

    #[test]
    fn clock_has_two_units_at_most() {
        let text = |s| clock(Duration::from_secs(s));
        assert_eq!([text(5), text(200), text(7500)], ["5s", "3m 20s", "2h 05m"]);
    }
}
