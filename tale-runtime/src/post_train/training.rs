//! The stage that trains.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tale_api::{Events, TrainEvent, TrainJob, TrainReport};
use tale_weights::{Model, adapter::Adapter};

use super::{Halt, PostTrain, PostTrainError, pairs::Pairs, stage::Record};
use crate::{
    manifest::AdapterForm,
    plan::{TrainerPlan, TrainingPlan, open},
};

/// Trains into `folder`, or goes on there.
pub(super) async fn run(
    work: &PostTrain<'_>,
    training: &TrainingPlan,
    trainer: &TrainerPlan,
    pairs: &Pairs,
    folder: &Path,
    record: Record,
) -> Result<Record, Halt> {
    fs::create_dir_all(folder).map_err(|source| PostTrainError::Write {
        path: folder.to_owned(),
        source,
    })?;
    record.write(folder)?;
    let component = &trainer.component;
    let plugin = open::load(work.registry, component)?;
    let name = &component.located.component.name;
    let created = plugin
        .trainer(name, component.options.clone(), &work.plan.env)
        .await
        .map_err(|e| open::failed(component, e))?;
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let job = TrainJob {
        base_model: absolute(&training.base),
        pairs: absolute(&pairs.path),
        method: trainer.method,
        hyperparameters: BTreeMap::new(),
        output_dir: absolute(folder),
        seed: work.plan.manifest.seed,
    };
    let so_far = Arc::new(Mutex::new(SoFar {
        folder: folder.to_owned(),
        before: record.seconds,
        start: Instant::now(),
        record,
    }));
    let (tell, keep) = (work.watch.training(), Arc::clone(&so_far));
    let events = Events::to(move |event: TrainEvent| {
        keep.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .hear(&event);
        tell(event);
    });
    let report = tokio::select! {
        report = created.train(job, events) => report,
        () = work.stop.wait() => {
            so_far.lock().unwrap_or_else(PoisonError::into_inner).save();
            return Err(Halt::Interrupted);
        }
    };
    let mut so_far = so_far.lock().unwrap_or_else(PoisonError::into_inner);
    let mut report = report.map_err(|source| {
        so_far.save();
        PostTrainError::Trainer {
            trainer: trainer.label.clone(),
            source,
        }
    })?;
    // Relative, so that a run directory may be moved.
    if let Ok(inside) = report.adapter.strip_prefix(absolute(folder)) {
        report.adapter = inside.to_path_buf();
    }
    so_far.tick();
    so_far.record.done = true;
    so_far.record.report = Some(report);
    so_far.record.write(folder)?;
    Ok(so_far.record.clone())
}

/// What is known of a training under way.
struct SoFar {
    folder: PathBuf,
    before: f64,
    start: Instant,
    record: Record,
}

impl SoFar {
    fn hear(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Step { loss, .. } => {
                self.record.first_loss.get_or_insert(*loss);
                self.record.last_loss = Some(*loss);
            }
            // What a kill leaves goes on from a checkpoint; its time and losses do so too.
            TrainEvent::Checkpoint { .. } => self.save(),
            _ => {}
        }
    }

    fn tick(&mut self) {
        self.record.seconds = self.before + self.start.elapsed().as_secs_f64();
    }

    /// Keeps time and losses. A disk that is full stops the trainer, which will say so.
    fn save(&mut self) {
        self.tick();
        let _ = self.record.write(&self.folder);
    }
}

/// The adapter of a training that is done, in the form that the model takes.
pub(super) fn adapter(
    training: &TrainingPlan,
    trainer: &TrainerPlan,
    folder: &Path,
    report: &TrainReport,
) -> Result<PathBuf, PostTrainError> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let peft = folder.join(&report.adapter);
    let path = match training.adapter.as_ref().map(|a| a.form) {
        Some(AdapterForm::Gguf) => folder.join("adapter.gguf"),
        _ => peft.clone(),
    };
    if path.exists() {
        return Ok(path);
    }
    if peft.exists() && path != peft {
        // A trainer that writes PEFT's form only.
        let written = Adapter::read(&peft)
            .and_then(|adapter| adapter.write_gguf(Model::open(&training.base)?.config(), &path));
        return match written {
            Ok(()) => Ok(path),
            Err(source) => Err(PostTrainError::Trainer {
                trainer: trainer.label.clone(),
                source,
            }),
        };
    }
    Err(PostTrainError::NoAdapter {
        trainer: trainer.label.clone(),
        path,
    })
}
