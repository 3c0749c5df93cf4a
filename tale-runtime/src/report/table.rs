//! The table of results, for the terminal and for Markdown.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::{
    data,
    summary::{BASELINE, MethodRow, Paired, Summary},
    words,
};

/// A column of the table: its head, its cells, and when to give it up in a narrow terminal.
struct Column {
    head: &'static str,
    cells: Vec<String>,
    is_text: bool,
    /// 0 stays; otherwise the highest goes first.
    expendable: u8,
}

/// The table for a terminal of `width` characters; of the terminal at hand if `None`, and
/// unbounded where there is none. Several runs stand one
/// below the other, named. Columns that do not fit are left out, least important first.
#[must_use]
pub fn terminal(runs: &[Summary], width: Option<u16>) -> String {
    let mut columns = columns(runs);
    let limit = width
        .or_else(|| Table::new().width())
        .map_or(usize::MAX, usize::from);
    loop {
        let table = comfy(&columns).to_string();
        let wide = table.lines().map(|l| l.chars().count()).max().unwrap_or(0);
        let least = (0..columns.len()).max_by_key(|&i| columns[i].expendable);
        match least {
            Some(i) if wide > limit && columns[i].expendable > 0 => drop(columns.remove(i)),
            _ => return table,
        }
    }
}

/// The table in Markdown, with all columns.
#[must_use]
pub fn markdown(runs: &[Summary]) -> String {
    pipes(&columns(runs))
}

/// The paired comparisons of a run in Markdown; `None` if there are none.
#[must_use]
pub fn paired_markdown(summary: &Summary) -> Option<String> {
    let pairs = &summary.paired;
    if pairs.is_empty() {
        return None;
    }
    let mixed = summary.is_mixed();
    let mut columns = Vec::new();
    let mut add = |head, is_text, cells: Vec<String>| {
        columns.push(Column {
            head,
            cells,
            is_text,
            expendable: 0,
        });
    };
    if mixed {
        add("model", true, pairs.iter().map(|p| p.llm.clone()).collect());
        add(
            "data set",
            true,
            pairs.iter().map(|p| p.dataset.clone()).collect(),
        );
    }
    add("method", true, pairs.iter().map(|p| p.a.clone()).collect());
    add(
        "n",
        false,
        pairs.iter().map(|p| words::count(p.n)).collect(),
    );
    let delta = pairs
        .iter()
        .map(|p| words::points(p.accuracy_delta))
        .collect();
    add("accuracy, points", false, delta);
    add(
        "right only here",
        false,
        pairs.iter().map(|p| words::count(p.only_a)).collect(),
    );
    add(
        "only in vanilla CoT",
        false,
        pairs.iter().map(|p| words::count(p.only_b)).collect(),
    );
    add(
        "p (McNemar)",
        false,
        pairs.iter().map(|p| words::p_value(p.p_value)).collect(),
    );
    add(
        "tokens, of vanilla CoT's",
        false,
        pairs
            .iter()
            .map(|p| words::ratio(p.output_tokens_ratio))
            .collect(),
    );
    add(
        "95% interval",
        false,
        pairs
            .iter()
            .map(|p| words::ratios(p.output_tokens_ratio_ci95))
            .collect(),
    );
    add(
        "with estimates",
        false,
        pairs
            .iter()
            .map(|p| words::ratio(p.all_output_tokens_ratio))
            .collect(),
    );
    add(
        "95% interval",
        false,
        pairs
            .iter()
            .map(|p| words::ratios(p.all_output_tokens_ratio_ci95))
            .collect(),
    );
    Some(pipes(&columns))
}

/// What the numbers of the table leave unsaid, a line each: samples that failed, were cut, could
/// not be graded, or got their budget from the fallback.
#[must_use]
pub fn notes(summary: &Summary) -> Vec<String> {
    let mixed = summary.is_mixed();
    let line = |r: &MethodRow| {
        let some = |n: u64, one: &str, many: &str| {
            (n > 0).then(|| format!("{} {}", words::count(n), if n == 1 { one } else { many }))
        };
        let said: Vec<String> = [
            some(
                r.errors,
                "failed and counts nowhere",
                "failed and count nowhere",
            ),
            some(
                r.fallbacks,
                "budget came by the fallback",
                "budgets came by the fallback",
            ),
            some(
                r.empty,
                "answer was cut before any text, and counts as wrong",
                "answers were cut before any text, and count as wrong",
            ),
            some(
                r.undecided,
                "answer could not be judged, and counts as wrong",
                "answers could not be judged, and count as wrong",
            ),
            some(
                r.ungraded,
                "question has no gold answer",
                "questions have no gold answer",
            ),
            some(
                r.uncounted,
                "answer came without a token count",
                "answers came without a token count",
            ),
            // Without any price there is no column that these could be missing from.
            some(
                if r.unpriced < r.n { r.unpriced } else { 0 },
                "answer has no price",
                "answers have no price",
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!said.is_empty()).then(|| {
            let whose = if mixed {
                format!("{}, {}, {}", r.llm, r.dataset, r.method)
            } else {
                r.method.clone()
            };
            format!(
                "{whose}: of {} samples, {}.",
                words::count(r.n + r.errors),
                said.join("; ")
            )
        })
    };
    let rows = summary.rows.iter().filter_map(line);
    rows.chain(data::sentences(&summary.datasets, &summary.circular))
        .collect()
}

fn columns(runs: &[Summary]) -> Vec<Column> {
    let rows: Vec<(&Summary, &MethodRow)> = runs
        .iter()
        .flat_map(|s| s.rows.iter().map(move |r| (s, r)))
        .collect();
    let differ = |of: fn(&MethodRow) -> &str| rows.windows(2).any(|w| of(w[0].1) != of(w[1].1));
    let mut columns = Vec::new();
    let mut text = |head, of: &dyn Fn(&Summary, &MethodRow) -> String| {
        let cells = rows.iter().map(|(s, r)| of(s, r)).collect();
        columns.push(Column {
            head,
            cells,
            is_text: true,
            expendable: 0,
        });
    };
    if runs.len() > 1 {
        text("run", &|s, _| s.name.clone());
    }
    if differ(|r| &r.llm) {
        text("model", &|_, r| r.llm.clone());
    }
    if differ(|r| &r.dataset) {
        text("data set", &|_, r| r.dataset.clone());
    }
    text("method", &|_, r| r.method.clone());
    let mut number = |head, expendable, of: &dyn Fn(&Summary, &MethodRow) -> String| {
        let cells = rows.iter().map(|(s, r)| of(s, r)).collect();
        columns.push(Column {
            head,
            cells,
            is_text: false,
            expendable,
        });
    };
    number("n", 0, &|_, r| words::count(r.n));
    number("accuracy", 0, &|_, r| words::percent(r.accuracy));
    number("95% interval", 4, &|_, r| words::percents(r.accuracy_ci95));
    number("output tokens", 0, &|_, r| words::mean(r.output_tokens));
    if rows
        .iter()
        .any(|(_, r)| r.all_output_tokens != r.output_tokens)
    {
        number("with estimate", 2, &|_, r| words::mean(r.all_output_tokens));
    }
    if rows.iter().any(|(_, r)| r.method == BASELINE) {
        number("of vanilla CoT's", 1, &|s, r| {
            of_vanilla(r, s.pair(&r.llm, &r.dataset, &r.method))
        });
    }
    if rows.iter().any(|(_, r)| r.expense_1e5_usd.is_some()) {
        number("10⁻⁵ $", 3, &|_, r| words::mean(r.expense_1e5_usd));
    }
    number("seconds", 5, &|_, r| words::seconds(r.latency_s));
    if rows.iter().any(|(_, r)| r.errors > 0) {
        number("errors", 3, &|_, r| words::count(r.errors));
    }
    columns
}

/// Output tokens, the estimate's included, against vanilla CoT's on the same questions. Vanilla CoT
/// itself is all of its own, once it has answered anything.
pub(super) fn of_vanilla(r: &MethodRow, pair: Option<&Paired>) -> String {
    if r.method == BASELINE {
        return words::ratio(r.all_output_tokens.map(|_| 1.0));
    }
    words::ratio(pair.and_then(|p| p.all_output_tokens_ratio))
}

/// comfy-table's `UTF8_HORIZONTAL_ONLY` without the lines between rows.
const RULES_ABOVE_AND_BELOW: &str = "  ── ──      ──    ";

fn comfy(columns: &[Column]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(RULES_ABOVE_AND_BELOW)
        .set_content_arrangement(ContentArrangement::Disabled);
    let cell = |column: &Column, text: &str| {
        let side = if column.is_text {
            CellAlignment::Left
        } else {
            CellAlignment::Right
        };
        Cell::new(text).set_alignment(side)
    };
    table.set_header(columns.iter().map(|c| cell(c, c.head)));
    for i in 0..columns.first().map_or(0, |c| c.cells.len()) {
        table.add_row(columns.iter().map(|c| cell(c, &c.cells[i])));
    }
    table
}

/// GitHub's tables, with the side each column keeps to; comfy-table's Markdown knows no sides.
fn pipes(columns: &[Column]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped = |column: &Column, text: &str| {
        if column.is_text {
            words::plain(text)
        } else {
            text.to_owned()
        }
    };
    let mut out = line(columns.iter().map(|c| c.head.to_owned()).collect());
    let side = |c: &Column| if c.is_text { ":---" } else { "---:" }.to_owned();
    out.push_str(&line(columns.iter().map(side).collect()));
    for i in 0..columns.first().map_or(0, |c| c.cells.len()) {
        out.push_str(&line(
            columns.iter().map(|c| escaped(c, &c.cells[i])).collect(),
        ));
    }
    out
}
