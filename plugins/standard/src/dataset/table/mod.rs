//! The data set `table`: any JSONL, CSV or Parquet, its fields named by options.

mod options;
mod record;

use std::path::Path;

use serde::Deserialize;
use tale_api::{CreateEnv, DatasetInfo, Error, ErrorKind, Result};

use super::{
    FileDataset, Part, Reading,
    compose::{Source, Templates},
    files,
};
pub use options::{Fields, TableOptions};

/// How records become questions.
#[derive(Debug)]
pub struct Table {
    options: TableOptions,
    templates: Templates,
    question: Source,
    gold: Option<Source>,
    id: Option<Source>,
    choice: Choice,
    seed: u64,
}

#[derive(Debug)]
enum Choice {
    One(String),
    Each(Vec<Source>),
}

impl Table {
    /// Opens the data set.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no such file, [`ErrorKind::InvalidOptions`] for an
    /// empty name of a field or mark, and a template that cannot be read.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: TableOptions, env: CreateEnv) -> Result<FileDataset<Self>> {
        Self::open(&options, &env)
    }

    /// As [`Table::create`].
    ///
    /// # Errors
    /// As [`Table::create`].
    pub(in crate::dataset) fn open(
        options: &TableOptions,
        env: &CreateEnv,
    ) -> Result<FileDataset<Self>> {
        let reading = options.reading();
        Self::over(options, &reading, env)
    }

    /// As [`Table::create`], of CSV that knows no quotes and no fixed number of columns.
    ///
    /// # Errors
    /// As [`Table::create`].
    pub(in crate::dataset) fn open_plain(
        options: &TableOptions,
        env: &CreateEnv,
    ) -> Result<FileDataset<Self>> {
        let reading = Reading {
            is_plain: true,
            ..options.reading()
        };
        Self::over(options, &reading, env)
    }

    fn over(
        options: &TableOptions,
        reading: &Reading,
        env: &CreateEnv,
    ) -> Result<FileDataset<Self>> {
        // Options first: what is wrong with them is wrong whatever file it is.
        Self::new(options.clone(), env.seed)?;
        let files = files::at(&options.path, env, reading)?;
        let origin = Origin::beside(&env.base_dir.join(&options.path));
        let about = DatasetInfo {
            name: options.name.clone().unwrap_or_else(|| name(&options.path)),
            license: options.license.clone().or(origin.licence),
            source: options.source.clone().or(origin.source),
            ..DatasetInfo::default()
        };
        let several = files.len() > 1;
        let parts = files
            .into_iter()
            .map(|file| {
                let prefix = several.then(|| format!("{}:", file.stem()));
                let records = Self::new(options.clone(), env.seed)?;
                Ok(Part {
                    file,
                    records,
                    prefix,
                })
            })
            .collect::<Result<_>>()?;
        Ok(FileDataset::new(parts, about))
    }

    /// Reads the options; `seed` is the run's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`].
    pub(in crate::dataset) fn new(options: TableOptions, seed: u64) -> Result<Self> {
        let invalid =
            |what: &str| Error::new(ErrorKind::InvalidOptions, what.to_owned()).operation("create");
        if options.gold_after.as_deref() == Some("") {
            return Err(invalid("`gold_after` is empty"));
        }
        if options.max_line_bytes == 0 {
            return Err(invalid("`max_line_bytes` is 0"));
        }
        let mut templates = Templates::new();
        let mut maybe = |name: &str, written: &Option<String>| {
            let written = written.as_deref();
            written.map(|w| templates.source(name, w)).transpose()
        };
        let gold = maybe("gold", &options.gold)?;
        let id = maybe("id", &options.id)?;
        let question = templates.source("question", &options.question)?;
        let choice = match &options.options {
            Fields::One(field) => match templates.source("options", field)? {
                Source::Field(field) => Choice::One(field),
                Source::Template(_) => {
                    return Err(
                        invalid("`options` is one template, and a choice has several")
                            .hint("write a list, with a field or template for each option"),
                    );
                }
            },
            Fields::Each(fields) => {
                let named = |(i, field): (usize, &String)| {
                    templates.source(&format!("options[{i}]"), field)
                };
                Choice::Each(
                    fields
                        .iter()
                        .enumerate()
                        .map(named)
                        .collect::<Result<_>>()?,
                )
            }
        };
        Ok(Self {
            seed: options.shuffle_seed.unwrap_or(seed),
            options,
            templates,
            question,
            gold,
            id,
            choice,
        })
    }
}

fn name(path: &Path) -> String {
    let stem = path.file_stem().or(path.file_name());
    stem.map_or_else(|| "table".to_owned(), |s| s.to_string_lossy().into_owned())
}

/// What `tale dataset fetch` notes beside the files that it got.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Origin {
    licence: Option<String>,
    source: Option<String>,
}

impl Origin {
    /// The note in the folder at `path`, or in that of the file there.
    fn beside(path: &Path) -> Self {
        let folder = if path.is_dir() {
            Some(path)
        } else {
            path.parent()
        };
        folder
            .and_then(|folder| std::fs::read(folder.join("origin.json")).ok())
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default()
    }
}
