//! The data set `gpqa`: graduate-level multiple choice (arXiv 2311.12022).

use std::path::PathBuf;

use serde::Deserialize;
use tale_api::{AnswerKind, CreateEnv, Result};

use super::{
    FileDataset, OnError,
    table::{Fields, Table, TableOptions},
};

/// Options of `gpqa`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GpqaOptions {
    /// `gpqa_diamond.csv`, `gpqa_main.csv` or `gpqa_extended.csv`, or the same as Parquet, relative
    /// to the manifest's folder.
    pub path: PathBuf,
    /// Seed of the order of options. Default: the run's.
    pub seed: Option<u64>,
    /// Asks each question in the four rotations of its options, which are one task together.
    #[serde(default)]
    pub circular: bool,
    /// What happens at a record that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
}

/// GPQA as its authors publish it: the right answer in a column of its own, three wrong ones in
/// others. Their order is drawn by seed: the reference code asks all questions with the right one
/// as A.
#[derive(Clone, Copy, Debug)]
pub struct Gpqa;

impl Gpqa {
    /// Opens the data set.
    ///
    /// # Errors
    /// [`NotFound`](tale_api::ErrorKind::NotFound) where there is no such file.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: GpqaOptions, env: CreateEnv) -> Result<FileDataset<Table>> {
        let columns = [
            "Correct Answer",
            "Incorrect Answer 1",
            "Incorrect Answer 2",
            "Incorrect Answer 3",
        ];
        // The gold is the first of the options by place, not by text: two may read alike.
        let known = TableOptions {
            name: Some("gpqa".to_owned()),
            id: Some("Record ID".to_owned()),
            options: Fields::Each(columns.map(str::to_owned).to_vec()),
            shuffle_options: true,
            shuffle_seed: options.seed,
            circular: options.circular,
            on_error: options.on_error,
            license: Some("CC-BY-4.0".to_owned()),
            source: Some("https://github.com/idavidrein/gpqa".to_owned()),
            ..TableOptions::known(options.path, "Question", "{{ 'A' }}", AnswerKind::Choice)
        };
        Table::open(&known, &env)
    }
}
