//! What a post-training did before its models were asked: the search, the pairs, the trainings.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tale_api::TrainReport;

use super::{
    analysis::sheets::Sheet,
    search::SearchNumbers,
    summary::{BASELINE, Summary},
    words,
};
use crate::store::{Reader, StoreError};

/// The journal's key for it.
pub(crate) const META: &str = "post_train";

/// How results call a trained model: this, and the trainer's name.
pub(super) const TRAINED: &str = "tale-pt-";

/// What led to the trained models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostTraining {
    /// The search and its pairs.
    pub search: SearchStage,
    /// The trainings that are done, in the order of the manifest.
    pub trainings: Vec<TrainingStage>,
}

/// The search and the pairs that it gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchStage {
    /// Its folder in the run directory.
    pub folder: String,
    /// How long it took.
    pub seconds: f64,
    /// What it found.
    pub searches: Vec<SearchNumbers>,
    /// The file of the pairs in the run directory.
    pub pairs_file: String,
    /// How many there are.
    pub pairs: u64,
    /// Questions without a pair, by reason.
    pub skipped: BTreeMap<String, u64>,
}

/// A training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingStage {
    /// The trainer's name.
    pub name: String,
    /// The method under which the trained model stands in the tables.
    pub result: String,
    /// Its folder in the run directory.
    pub folder: String,
    /// The adapter, in the form in which the model was given it.
    pub adapter: String,
    /// How long it took.
    pub seconds: f64,
    /// Loss of the first step.
    pub first_loss: Option<f64>,
    /// Loss of the last step.
    pub last_loss: Option<f64>,
    /// What the trainer says.
    pub report: TrainReport,
}

/// What the journal knows of a post-training; absent in that of another task.
pub(super) fn read(reader: &Reader) -> Result<Option<PostTraining>, StoreError> {
    let text = reader.meta(META)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// The paper's Tables 5 and 6 with the run's numbers, and what led to them.
pub(super) fn sheets(summary: &Summary) -> Vec<Sheet> {
    let Some(about) = &summary.post_train else {
        return Vec::new();
    };
    let mut sheets = Vec::new();
    if !summary.rows.is_empty() {
        let five = ["direct", BASELINE];
        let note = "No budget in the prompt: vanilla CoT's prompt, asked of the model before and \
                    after training. Points and tokens against vanilla CoT on the same questions.";
        let title = "Post-trained models (the paper's Table 5)";
        sheets.push(compared(summary, title, &five, note));
        let title = "Estimated budgets and post-training (the paper's Table 6)";
        let note = "TALE-EP's tokens are those of the answers; its estimates come on top.";
        sheets.push(compared(summary, title, &["tale-ep"], note));
    }
    sheets.push(trainings(about));
    sheets.retain(|sheet| !sheet.rows.is_empty());
    sheets
}

/// Rows of `methods` and of the trained models.
fn compared(summary: &Summary, title: &str, methods: &[&str], note: &str) -> Sheet {
    let heads = [
        "data set, method",
        "n",
        "accuracy",
        "95% interval",
        "points",
        "p (McNemar)",
        "output tokens",
        "of vanilla CoT's",
        "95% interval",
    ];
    let mut sheet = Sheet {
        title: title.to_owned(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: Vec::new(),
        note: note.to_owned(),
    };
    let is_trained = |method: &str| method.starts_with(TRAINED);
    let shown = summary
        .rows
        .iter()
        .filter(|r| is_trained(&r.method) || methods.contains(&r.method.as_str()));
    for row in shown {
        let pair = summary.pair(&row.llm, &row.dataset, &row.method);
        let of = |text: fn(Option<f64>) -> String, value: Option<f64>| text(value);
        sheet.rows.push(vec![
            format!("{}, {}", row.dataset, words::method(&row.method)),
            words::count(row.n),
            words::percent(row.accuracy),
            words::percents(row.accuracy_ci95),
            of(words::points, pair.and_then(|p| p.accuracy_delta)),
            of(words::p_value, pair.and_then(|p| p.p_value)),
            words::mean(row.output_tokens),
            if row.method == BASELINE {
                "100%".to_owned()
            } else {
                of(words::ratio, pair.and_then(|p| p.output_tokens_ratio))
            },
            words::ratios(pair.and_then(|p| p.output_tokens_ratio_ci95)),
        ]);
    }
    // The comparison is with the trained models; without one there is none yet.
    if !summary.rows.iter().any(|r| is_trained(&r.method)) {
        sheet.rows.clear();
    }
    sheet
}

fn trainings(about: &PostTraining) -> Sheet {
    let heads = [
        "training",
        "pairs",
        "steps",
        "loss",
        "tokens a second",
        "time",
        "folder",
    ];
    let mut sheet = Sheet {
        title: "What it took to train".to_owned(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: Vec::new(),
        note: pairs_sentence(&about.search),
    };
    let loss = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.4}"));
    for t in &about.trainings {
        sheet.rows.push(vec![
            t.name.clone(),
            words::count(t.report.pairs),
            words::count(t.report.steps),
            format!("{} → {}", loss(t.first_loss), loss(t.last_loss)),
            words::mean(t.report.metrics.get("tokens_per_s").copied()),
            duration(t.seconds),
            t.folder.clone(),
        ]);
    }
    sheet
}

/// Where the pairs come from.
pub(super) fn pairs_sentence(search: &SearchStage) -> String {
    let mut text = format!(
        "{} pairs from a search of {} ({}).",
        words::count(search.pairs),
        duration(search.seconds),
        search.pairs_file
    );
    if !search.skipped.is_empty() {
        let reasons = search.skipped.iter();
        let reasons: Vec<_> = reasons
            .map(|(reason, n)| format!("{} {reason}", words::count(*n)))
            .collect();
        text.push_str(&format!(" Questions without one: {}.", reasons.join(", ")));
    }
    text
}

/// Time as one says it.
fn duration(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds)
        .unwrap_or_default()
        .as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
