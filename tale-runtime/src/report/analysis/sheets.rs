//! An [`Analysis`] as tables for people.

use super::{
    AlphaStep, Analysis, BudgetStep, CCA_BETA, Curves, HCA_K, Interval, OracleBound, SCA_ALPHA,
    SCA_K, Scores, SearchFindings, Share, training::Judged,
};
use crate::report::words;

/// A table with its title and what must be said under it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(in crate::report) struct Sheet {
    pub(in crate::report) title: String,
    pub(in crate::report) heads: Vec<String>,
    /// Texts; the first column names the row.
    pub(in crate::report) rows: Vec<Vec<String>>,
    pub(in crate::report) note: String,
}

impl Sheet {
    pub(in crate::report) fn new<const N: usize>(
        title: &str,
        heads: [&str; N],
        note: String,
    ) -> Self {
        Self {
            title: title.to_owned(),
            heads: heads.map(str::to_owned).to_vec(),
            rows: Vec::new(),
            note,
        }
    }

    /// As a Markdown table with its heading.
    pub(in crate::report) fn markdown(&self, level: &str) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| {
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let mut out = format!("{level} {}\n\n", self.title);
        out.push_str(&line(&mut self.heads.iter().cloned()));
        let sides = self.heads.iter().enumerate();
        out.push_str(&line(
            &mut sides.map(|(i, _)| if i == 0 { ":---" } else { "---:" }.to_owned()),
        ));
        for row in &self.rows {
            out.push_str(&line(&mut row.iter().map(|text| words::plain(text))));
        }
        if !self.note.is_empty() {
            out.push('\n');
            out.push_str(&self.note);
            out.push('\n');
        }
        out
    }
}

/// Every table that there is something to show in.
pub(in crate::report) fn of(analysis: &Analysis) -> Vec<Sheet> {
    let several = analysis.methods.len() > 1;
    [
        several.then(|| efficiency(&analysis.methods, analysis.oracle.as_ref())),
        (!analysis.alphas.is_empty()).then(|| alphas(&analysis.alphas)),
        (!analysis.budgets.is_empty()).then(|| budgets(&analysis.budgets)),
        analysis.curves.as_ref().map(curves),
        analysis.search.as_ref().map(search),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn efficiency(methods: &[Scores], oracle: Option<&OracleBound>) -> Sheet {
    let [a, b, c] = HCA_K.map(|k| format!("HCA {k}"));
    let mut sheet = Sheet::new(
        "Accuracy for its tokens",
        [
            "method",
            "on the front",
            "tokens",
            "95% interval",
            &a,
            &b,
            &c,
            "SCA",
            "CCA",
            "OckScore",
            "seconds",
            "95% interval",
        ],
        format!(
            "On the front: no other method is as accurate for fewer tokens, or more accurate for as \
             many. HCA k: right within k tokens; SCA, CCA: k = {SCA_K}, α = {SCA_ALPHA}, β = {CCA_BETA} \
             (arXiv 2407.19825; intervals in summary.json). OckScore: accuracy in per cent less \
             10 ln(tokens / 10,000 + 1) (arXiv 2511.05722). Tokens and seconds \
             are those of the answer with the estimate's (A.7). The oracle takes, question by question, the cheapest right answer of all \
             methods, else the cheapest: a bound that no choice of methods passes."
        ),
    );
    for m in methods {
        let mut row = vec![
            m.method.clone(),
            if m.on_front { "yes" } else { "" }.to_owned(),
            words::mean(Some(m.tokens.value)),
            interval(m.tokens),
        ];
        row.extend(m.hca.iter().map(|s| words::percent(Some(s.value))));
        row.push(words::percent(Some(m.sca.value)));
        row.push(words::percent(Some(m.cca.value)));
        row.push(format!("{:.1}", m.ock_score).replace('-', "−"));
        row.push(words::seconds(m.seconds.map(|s| s.value)));
        row.push(
            m.seconds
                .and_then(|s| s.ci95)
                .map_or_else(words::dash, |[low, high]| {
                    format!(
                        "{}–{}",
                        words::seconds(Some(low)),
                        words::seconds(Some(high))
                    )
                }),
        );
        sheet.rows.push(row);
    }
    if let Some(o) = oracle {
        sheet.rows.push(vec![
            format!(
                "oracle of {}: {} right ({})",
                o.methods,
                words::percent(Some(o.accuracy.value)),
                words::percents(Some(o.accuracy.ci95))
            ),
            String::new(),
            words::mean(Some(o.tokens.value)),
            interval(o.tokens),
        ]);
        let width = sheet.heads.len();
        if let Some(last) = sheet.rows.last_mut() {
            last.resize(width, String::new());
        }
    }
    sheet
}

fn alphas(steps: &[AlphaStep]) -> Sheet {
    let mut sheet = Sheet::new(
        "Factors on the estimate (paper A.8)",
        [
            "method",
            "α",
            "n",
            "budget",
            "accuracy",
            "95% interval",
            "output tokens",
        ],
        "The same estimates, multiplied before they are asked for.".to_owned(),
    );
    for s in steps {
        sheet.rows.push(vec![
            s.method.clone(),
            s.alpha.to_string(),
            words::count(s.n),
            words::mean(s.budget),
            words::percent(s.accuracy),
            words::percents(s.accuracy_ci95),
            words::mean(s.output_tokens),
        ]);
    }
    sheet
}

fn budgets(steps: &[BudgetStep]) -> Sheet {
    let mut sheet = Sheet::new(
        "Budget by budget",
        [
            "method", "n", "budget", "accuracy", "95% interval", "output tokens", "95% interval",
            "used ÷ asked", "95% interval", "within budget",
        ],
        "Means over the answers that had a budget. Used ÷ asked is sum over sum; its interval is over \
         the choice of questions."
            .to_owned(),
    );
    for s in steps {
        sheet.rows.push(vec![
            s.method.clone(),
            words::count(s.n),
            words::mean(Some(s.budget)),
            words::percent(s.accuracy.map(|a| a.value)),
            words::percents(s.accuracy.map(|a| a.ci95)),
            words::mean(Some(s.tokens.value)),
            interval(s.tokens),
            format!("{:.2}", s.used_of_asked.value),
            s.used_of_asked
                .ci95
                .map_or_else(words::dash, |[a, b]| format!("{a:.2}–{b:.2}")),
            words::percent(Some(s.within.value)),
        ]);
    }
    sheet
}

/// How estimators compare on the same questions (paper A.2), in Markdown.
pub(crate) fn estimators_markdown(estimators: &[Judged]) -> String {
    let mut sheet = Sheet::new(
        "Estimators on questions they have not seen",
        [
            "estimator", "n", "in range", "95% interval", "tokens out of range", "mean error",
        ],
        "In range: within the question's ideal budget range (paper A.1, A.2). Tokens out of range: mean \
         distance of the others to the nearer end. Mean error: distance to the middle of the range, \
         over all."
            .to_owned(),
    );
    for e in estimators {
        let q = e.quality;
        let share = Share::new(q.in_range, q.n);
        sheet.rows.push(vec![
            e.estimator.clone(),
            words::count(q.n),
            words::percent(share.map(|s| s.value)),
            words::percents(share.map(|s| s.ci95)),
            words::mean(q.out_of_range_distance),
            words::mean(q.mean_abs_error),
        ]);
    }
    sheet.markdown("##")
}

fn curves(c: &Curves) -> Sheet {
    let mut sheet = facts(
        "Questions under several budgets",
        format!(
            "{} questions under at least two budgets. Elastic: more tokens under the smallest budget \
             than under the best one. Monotone: right under every budget of at least the searched one \
             and wrong under every smaller one, where there are budgets on both sides.",
            words::count(c.n)
        ),
    );
    let mut row = |what: &str, value: String| sheet.rows.push(vec![what.to_owned(), value]);
    row("elastic", share(c.elastic));
    row(
        "tokens under the smallest budget ÷ the fewest",
        c.rise.map_or_else(words::dash, times),
    );
    row("monotone about the searched budget", share(c.monotone));
    row("monotone about some budget", share(c.monotone_somewhere));
    row("ideal budget range (A.1), medians", ideal(c.ideal));
    sheet
}

fn search(s: &SearchFindings) -> Sheet {
    let mut sheet = facts(
        "What the searches found",
        format!(
            "{} questions whose search has a result: a smaller budget, or the vanilla answer where \
             that is right.",
            words::count(s.n)
        ),
    );
    let mut row = |what: &str, value: String| sheet.rows.push(vec![what.to_owned(), value]);
    row("a smaller budget found", share(s.found));
    row(
        "budgets found: 5, 25, 50, 75, 95% of them are at most",
        s.budgets
            .map_or_else(words::dash, |q| q.map(|x| format!("{x:.0}")).join(", ")),
    );
    row(
        "tokens of vanilla CoT's",
        s.kept_of_vanilla.map_or_else(words::dash, |i| {
            format!(
                "{} ({})",
                words::ratio(Some(i.value)),
                words::ratios(i.ci95)
            )
        }),
    );
    row(
        "calls a question",
        s.calls
            .map_or_else(words::dash, |i| format!("{:.2} ({})", i.value, interval(i))),
    );
    row("ideal budget range (A.1), medians", ideal(s.ideal));
    row("elastic", share(s.elastic));
    sheet
}

/// A table of two columns.
fn facts(title: &str, note: String) -> Sheet {
    Sheet::new(title, ["", "of the questions"], note)
}

fn ideal(ranges: Option<super::IdealRanges>) -> String {
    ranges.map_or_else(words::dash, |r| {
        format!(
            "{:.0}–{:.0} tokens (n = {})",
            r.low,
            r.high,
            words::count(r.n)
        )
    })
}

fn times(i: Interval) -> String {
    let ci = i
        .ci95
        .map_or_else(String::new, |[a, b]| format!(" ({a:.2}–{b:.2})"));
    format!("{:.2}{ci}", i.value)
}

/// `90.9% (87.1–93.6%, 100 of 110)`.
pub(in crate::report) fn share(s: Option<Share>) -> String {
    s.map_or_else(words::dash, |s| {
        format!(
            "{} ({}, {} of {})",
            words::percent(Some(s.value)),
            words::percents(Some(s.ci95)),
            words::count(s.of),
            words::count(s.n)
        )
    })
}

/// An interval of means: `38.8–75.5`.
pub(in crate::report) fn interval(i: Interval) -> String {
    i.ci95.map_or_else(words::dash, |[low, high]| {
        format!("{}–{}", words::mean(Some(low)), words::mean(Some(high)))
    })
}
