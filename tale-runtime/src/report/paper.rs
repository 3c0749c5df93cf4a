//! A run beside the paper's own figures, which stand in `catalogue/paper.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{
    analysis::{
        sheets::{Sheet, estimators_markdown, share},
        training::Judged,
    },
    summary::{MethodRow, Summary},
    words,
};

/// The paper's figures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Paper {
    source: String,
    table: Vec<Table>,
    figure: Vec<Single>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    what: String,
    model: String,
    /// The table is shown only where the run has methods that begin so.
    #[serde(default)]
    of: String,
    rows: Vec<Row>,
    #[serde(default)]
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a checksum of the rows, for the test")
    )]
    average: Vec<Average>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    dataset: String,
    label: String,
    method: String,
    accuracy: f64,
    tokens: f64,
    expense: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "a checksum of the rows, for the test")
)]
struct Average {
    method: String,
    accuracy: f64,
    tokens: f64,
    expense: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Single {
    key: String,
    what: String,
    #[serde(rename = "where")]
    place: String,
    value: f64,
    unit: String,
}

impl Single {
    /// `90.91%`, `109.64 tokens`.
    fn text(&self) -> String {
        let space = if self.unit == "%" { "" } else { " " };
        format!("{}{space}{}", self.value, self.unit)
    }
}

static PAPER: LazyLock<Paper> = LazyLock::new(|| {
    toml::from_str(include_str!("../../catalogue/paper.toml"))
        .expect("a test reads the figures that are built in")
});

/// The run beside the paper, table by table, in Markdown, with what is not alike. Says so where there
/// is nothing to compare.
#[must_use]
pub fn beside_paper(summary: &Summary) -> String {
    let paper = &*PAPER;
    let mut parts = vec![format!(
        "# {} beside the paper ({})",
        words::plain(&summary.name),
        paper.source
    )];
    let tables: Vec<String> = paper
        .table
        .iter()
        .filter_map(|t| table(t, summary))
        .map(|sheet| sheet.markdown("##").trim_end().to_owned())
        .collect();
    let singles = singles(paper, summary);
    if tables.is_empty() && singles.rows.is_empty() {
        parts.push(
            "Nothing to compare: the paper's figures are of GSM8K, GSM8K-Zero and MathBench under \
             `direct`, `vanilla-cot` and `tale-ep`, of searches and of sweeps."
                .to_owned(),
        );
    }
    parts.extend(tables);
    if !singles.rows.is_empty() {
        parts.push(singles.markdown("##").trim_end().to_owned());
    }
    parts.push(caveats(summary));
    parts.join("\n\n") + "\n"
}

/// Estimators against the searches of another run, and the paper's own two figures (A.2).
pub(crate) fn estimators_beside_paper(estimators: &[Judged]) -> String {
    let mut text = estimators_markdown(estimators);
    text.push_str("\nIn the paper:\n\n");
    for f in PAPER.figure.iter().filter(|f| f.place.ends_with("A.2")) {
        text.push_str(&format!("- {}: {}\n", f.what, f.text()));
    }
    text
}

/// Rows of the run at a data set and method of the table.
fn table(table: &Table, summary: &Summary) -> Option<Sheet> {
    if !summary.rows.iter().any(|r| r.method.starts_with(&table.of)) {
        return None;
    }
    let mut sheet = Sheet::new(
        &format!("{}: {}", table.name, table.what),
        [
            "data set, method",
            "paper: accuracy",
            "tokens",
            "10⁻⁵ $",
            "here: n",
            "accuracy",
            "95% interval",
            "tokens",
            "10⁻⁵ $",
            "model",
        ],
        format!(
            "Paper: {}. Tokens are mean output tokens of the answering call; the expense is of all \
             calls of a method.",
            table.model
        ),
    );
    for row in &table.rows {
        for ours in summary.rows.iter().filter(|r| is_same(row, r)) {
            sheet.rows.push(vec![
                format!("{}, {}", row.label, words::method(&row.method)),
                format!("{:.2}%", row.accuracy),
                format!("{:.1}", row.tokens),
                row.expense.map_or_else(words::dash, |e| format!("{e:.1}")),
                words::count(ours.n),
                words::percent(ours.accuracy),
                words::percents(ours.accuracy_ci95),
                words::mean(ours.output_tokens),
                words::mean(ours.expense_1e5_usd),
                ours.llm.clone(),
            ]);
        }
    }
    (!sheet.rows.is_empty()).then_some(sheet)
}

/// Whether a row of the run is of the paper's data set and method. A data set's name in results may
/// say more than ours: `gsm8k-test` is GSM8K, `gsm8k-zero` is not.
fn is_same(paper: &Row, ours: &MethodRow) -> bool {
    let zero = |name: &str| name.contains("zero");
    ours.method == paper.method
        && ours.dataset.starts_with(&paper.dataset)
        && zero(&ours.dataset) == zero(&paper.dataset)
}

/// The figures of the text that the run has too.
fn singles(paper: &Paper, summary: &Summary) -> Sheet {
    let mut sheet = Sheet::new(
        "Figures of the text",
        ["what", "paper", "here", "model, data set"],
        String::new(),
    );
    let mut add = |key: &str, here: String, whose: String| {
        for figure in paper.figure.iter().filter(|f| f.key == key) {
            sheet.rows.push(vec![
                format!("{} ({})", figure.what, figure.place),
                figure.text(),
                here.clone(),
                whose.clone(),
            ]);
        }
    };
    for a in &summary.analysis {
        let whose = format!("{}, {}", a.llm, a.dataset);
        if let Some(monotone) = a.curves.as_ref().and_then(|c| c.monotone) {
            add("monotone", share(Some(monotone)), whose);
        }
    }
    sheet
}

/// What is not like for like.
fn caveats(summary: &Summary) -> String {
    let mut said = vec![
        "- **The model.** The paper's are GPT-4o-mini, Yi-lightning, GPT-4o and Llama-3.1-8B; the run's \
         stands in each row. Another model moves every figure.",
        "- **The sample.** The run's questions need not be the paper's. n and interval of the run \
         stand in each row; the interval is over the choice of questions only.",
        "- **The count of tokens.** The paper's code counts with the tokenizer of GPT-4; the run with \
         the provider's or the model's own.",
    ];
    if summary.rows.iter().all(|r| r.expense_1e5_usd.is_none()) {
        said.push("- **The expense.** The run's models have no price.");
    }
    format!("## Not like for like\n\n{}", said.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper prints means of its rows; ours must have them too, or a digit is wrong.
    #[test]
    fn rows_of_a_table_average_to_its_last_row() {
        let mut checked = 0;
        for table in &PAPER.table {
            for average in &table.average {
                let rows: Vec<&Row> = table
                    .rows
                    .iter()
                    .filter(|r| r.method == average.method)
                    .collect();
                #[expect(clippy::cast_precision_loss, reason = "six rows")]
                let mean = |of: fn(&Row) -> f64| {
                    rows.iter().map(|r| of(r)).sum::<f64>() / rows.len() as f64
                };
                for (ours, printed) in [
                    (mean(|r| r.accuracy), average.accuracy),
                    (mean(|r| r.tokens), average.tokens),
                    (mean(|r| r.expense.unwrap()), average.expense),
                ] {
                    assert!(
                        (ours - printed).abs() < 0.0051,
                        "{}: {ours} {printed}",
                        table.name
                    );
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 9);
    }

    #[test]
    fn gsm8k_zero_is_not_gsm8k() {
        let row = &PAPER.table[0].rows[0];
        let of = |dataset: &str| {
            let text = serde_json::json!({
                "llm": "m", "dataset": dataset, "method": "direct", "n": 1, "errors": 0,
                "accuracy": 1.0, "accuracy_ci95": [0.2, 1.0], "output_tokens": 5.0,
                "all_output_tokens": 5.0, "expense_1e5_usd": null, "latency_s": 1.0, "graded": 1,
                "correct": 1, "undecided": 0, "empty": 0, "ungraded": 0, "fallbacks": 0,
                "budget": null, "input_tokens": 9.0, "uncounted": 0, "unpriced": 1
            });
            serde_json::from_value::<MethodRow>(text).unwrap()
        };
        assert!(is_same(row, &of("gsm8k")));
        assert!(is_same(row, &of("gsm8k-test")));
        assert!(!is_same(row, &of("gsm8k-zero")));
        assert!(!is_same(row, &of("mathbench-high")));
    }
}
