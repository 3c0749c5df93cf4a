//! What a stage has come to (`stage.json` in its folder), and what is still to be done.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tale_api::TrainReport;

use super::{PostTrainError, made_from, name};
use crate::{
    plan::{self, Plan},
    registry::Registry,
    store::Reader,
};

const FILE: &str = "stage.json";

/// What a stage keeps of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// Whether nothing is left to do.
    pub(super) done: bool,
    /// Seconds of work, over all sessions that could say.
    pub(super) seconds: f64,
    /// What the folder's name is the digest of.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) made_from: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_loss: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_loss: Option<f64>,
    /// Of a training that is done; a path in it that lies in the folder is relative to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<TrainReport>,
}

impl Record {
    /// That of the stage in `folder`; an empty one where it has not begun, or where a file that was
    /// cut short says nothing.
    pub(super) fn read(folder: &Path) -> Result<Self, PostTrainError> {
        let path = folder.join(FILE);
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(PostTrainError::Write { path, source }),
        }
    }

    /// Replaces the file as a whole.
    pub(super) fn write(&self, folder: &Path) -> Result<(), PostTrainError> {
        let path = folder.join(FILE);
        let part = folder.join("stage.json.part");
        serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&part, text))
            .and_then(|()| fs::rename(&part, &path))
            .map_err(|source| PostTrainError::Write { path, source })
    }
}

/// A stage as `--dry-run` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct StagePlan {
    /// What it does.
    pub stage: String,
    /// Its folder; absent where that depends on what a stage before it finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// `done`, `begun` or `open`.
    pub state: &'static str,
    /// What it would ask.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forecast: Vec<Forecast>,
}

/// Calls of a stage to one model.
pub type Forecast = plan::Forecast;

/// The stages of `plan` in `dir`, without doing anything.
///
/// # Errors
/// A data set that cannot be read; questions that are trained on and held out.
///
/// # Panics
/// On a plan of a task that trains nothing.
pub async fn stages(
    plan: &Plan,
    registry: &Registry,
    dir: &Path,
) -> Result<Vec<StagePlan>, super::PreviewError> {
    let training = plan.training.as_ref().expect("a plan of a training");
    let held_out = super::overlap::check(plan, training, registry).await?;
    let search = plan.search_stage();
    let folder = dir.join(made_from::search(&search));
    let record = Record::read(&folder)?;
    let mut stages = vec![of_calls("search", &search, registry, folder.clone()).await?];
    // Where the search is done its pairs, and so the trainings, are known.
    let pairs = if record.done && Reader::open(&folder).is_ok() {
        Some(super::pairs::digest(&folder, training, &held_out)?)
    } else {
        None
    };
    let base = plan.base_stage();
    if training.adapter.is_some() {
        let folder = dir.join(made_from::base(&base));
        let what = "evaluation of the untrained model";
        stages.push(of_calls(what, &base, registry, folder).await?);
    }
    for trainer in &training.trainers {
        let folder = pairs.as_ref().map(|pairs| {
            let made_from = made_from::training(plan, training, trainer, pairs);
            dir.join(made_from::folder(&trainer.label, &made_from))
        });
        stages.push(StagePlan {
            stage: format!("training {}", trainer.label),
            state: folder.as_deref().map_or("open", state),
            folder: folder.clone(),
            forecast: Vec::new(),
        });
        let Some(adapter) = &training.adapter else {
            continue;
        };
        let what = format!("evaluation of {}", trainer.result());
        let asked = plan.trained_stage(adapter, trainer, Path::new("adapter"));
        let mut stage = of_calls(&what, &asked, registry, PathBuf::new()).await?;
        stage.folder =
            folder.map(|made_by| dir.join(made_from::trained(&base, trainer, &name(&made_by))));
        stage.state = stage.folder.as_deref().map_or("open", state);
        stages.push(stage);
    }
    Ok(stages)
}

async fn of_calls(
    what: &str,
    plan: &Plan,
    registry: &Registry,
    folder: PathBuf,
) -> Result<StagePlan, super::PreviewError> {
    Ok(StagePlan {
        stage: what.to_owned(),
        state: state(&folder),
        forecast: plan.preview(registry).await?.forecast,
        folder: Some(folder),
    })
}

fn state(folder: &Path) -> &'static str {
    match Record::read(folder) {
        Ok(record) if record.done => "done",
        _ if folder.join("run.sqlite").exists() || folder.join(FILE).exists() => "begun",
        _ => "open",
    }
}
