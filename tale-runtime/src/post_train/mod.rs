//! `task = "train"` and `task = "post-train"`: search → pairs → training → evaluation.
//!
//! Each stage is a run or a training of its own in a folder of the run directory, named by the
//! digest of what it is made from ([`made_from`]). So a changed stage makes new folders, an unchanged
//! one is found again, and what is done is not done twice. A stage that was killed goes on by its own
//! means: a run from its journal, a training from its checkpoint.
//!
//! At the end the samples of all evaluations are gathered into one journal, and the report is made
//! from that as from any other.

mod error;
mod made_from;
mod overlap;
mod pairs;
mod stage;
mod stop;
mod training;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use tale_api::TrainEvent;

use crate::{
    billing::Purse,
    pipeline::{Ending, Observer, PipelineError},
    plan::{Plan, TrainerPlan, TrainingPlan},
    registry::Registry,
    report::{
        self, ReportError, Summary,
        post_train::{PostTraining, SearchStage, TrainingStage},
    },
    run_dir,
    store::{self, Cell, DirLock, Part, Reader, Store, StoreError},
};

pub use error::{PostTrainError, PreviewError};
pub use overlap::Shared;
pub use pairs::explained;
pub use stage::{Forecast, StagePlan, stages};
pub use stop::Stop;

use made_from::{contents, name};
use pairs::Pairs;
use stage::Record;

/// The key under which the journal of a post-training keeps what is not in its samples.
const META: &str = report::post_train::META;

/// Who is told what happens.
pub trait Watch: Send + Sync {
    /// A stage begins, or is found done.
    fn stage(&self, text: &str);

    /// Somebody to watch the calls of a stage, which are paid out of `purse`.
    fn observer(&self, purse: &Arc<Purse>) -> Arc<dyn Observer>;

    /// What a trainer reports.
    fn training(&self) -> Arc<dyn Fn(TrainEvent) + Send + Sync>;
}

/// How a post-training ended, if it did not fail.
#[derive(Debug)]
pub enum Ended {
    /// All is done.
    Complete,
    /// All is done but for calls that failed, so many.
    SomeFailed(u64),
    /// It was asked to stop.
    Interrupted,
    /// The cap on the cost was reached; what stopped it.
    CapReached(PipelineError),
}

/// A post-training, ready to run.
pub struct PostTrain<'a> {
    /// The whole plan.
    pub plan: &'a Plan,
    /// Where its components come from.
    pub registry: &'a Registry,
    /// The run directory.
    pub dir: &'a Path,
    /// Who is told what happens.
    pub watch: &'a dyn Watch,
    /// Ends it.
    pub stop: Stop,
}

/// What ends the work early and is no error.
enum Halt {
    Interrupted,
    CapReached(PipelineError),
    Failed(PostTrainError),
}

impl<E: Into<PostTrainError>> From<E> for Halt {
    fn from(e: E) -> Self {
        match e.into() {
            PostTrainError::Pipeline(e) if e.is_cap_reached() => Self::CapReached(e),
            e => Self::Failed(e),
        }
    }
}

/// What the stages have come to.
#[derive(Default)]
struct Progress {
    search: Option<SearchStage>,
    trainings: Vec<TrainingStage>,
    /// Evaluations that have samples, with the columns of each.
    parts: Vec<Part>,
    errors: u64,
}

impl PostTrain<'_> {
    /// Runs every stage that is not done, and writes the report on what there is.
    ///
    /// # Errors
    /// See [`PostTrainError`]. What was finished before is kept, and the same call goes on from there.
    ///
    /// # Panics
    /// On a plan of a task that trains nothing.
    pub async fn run(&self) -> Result<(Ended, Option<Summary>), PostTrainError> {
        let training = self.plan.training.as_ref().expect("a plan of a training");
        // What is refused leaves no folder.
        let held_out = overlap::check(self.plan, training, self.registry).await?;
        let _lock = DirLock::take(self.dir)?;
        self.check_owner()?;
        self.write_manifest()?;
        let mut progress = Progress::default();
        let halt = self.stages(training, &held_out, &mut progress).await.err();
        let summary = match halt {
            // A report that fails is not what ended it.
            Some(Halt::Failed(e)) => {
                let _ = self.report(&progress);
                return Err(e);
            }
            _ => self.report(&progress)?,
        };
        let ended = match halt {
            Some(Halt::Interrupted) => Ended::Interrupted,
            Some(Halt::CapReached(e)) => Ended::CapReached(e),
            _ if progress.errors > 0 => Ended::SomeFailed(progress.errors),
            _ => Ended::Complete,
        };
        Ok((ended, summary))
    }

    async fn stages(
        &self,
        training: &TrainingPlan,
        held_out: &overlap::HeldOut,
        progress: &mut Progress,
    ) -> Result<(), Halt> {
        let search = self.plan.search_stage();
        let folder = self.dir.join(made_from::search(&search));
        let record = self.calls("search", &search, &folder, progress).await?;
        let pairs = pairs::write(self.dir, &folder, training, held_out)?;
        progress.search = Some(SearchStage {
            folder: name(&folder),
            seconds: record.seconds,
            searches: Reader::open(&folder)
                .map_err(ReportError::from)
                .and_then(|reader| report::summarise(&reader))?
                .searches,
            pairs_file: name(&pairs.path),
            pairs: pairs.count,
            skipped: pairs
                .skipped
                .iter()
                .map(|(k, v)| ((*k).to_owned(), *v))
                .collect(),
        });
        self.watch.stage(&format!(
            "pairs: {} in {}",
            pairs.count,
            pairs.path.display()
        ));
        let base = self.plan.base_stage();
        if training.adapter.is_some() {
            let folder = self.dir.join(made_from::base(&base));
            self.calls(
                "evaluation of the untrained model",
                &base,
                &folder,
                progress,
            )
            .await?;
        }
        for trainer in &training.trainers {
            let trained = self.train(training, trainer, &pairs).await?;
            progress.trainings.push(trained.stage);
            if let Some(adapter) = &training.adapter {
                let plan = self.plan.trained_stage(adapter, trainer, &trained.adapter);
                let made_by = name(&trained.folder);
                let folder = self.dir.join(made_from::trained(&base, trainer, &made_by));
                let what = format!("evaluation of {}", trainer.result());
                self.calls(&what, &plan, &folder, progress).await?;
            }
        }
        Ok(())
    }

    /// Runs a stage that asks the model, unless it is done.
    async fn calls(
        &self,
        what: &str,
        plan: &Plan,
        folder: &Path,
        progress: &mut Progress,
    ) -> Result<Record, Halt> {
        let is_evaluation = plan.manifest.task == crate::manifest::Task::Evaluate;
        if is_evaluation {
            progress.parts.push(self.part(plan, folder));
        }
        let mut record = Record::read(folder)?;
        if record.done {
            self.watch
                .stage(&format!("{what}: done in {}", folder.display()));
            return Ok(record);
        }
        self.watch.stage(&format!("{what}: {}", folder.display()));
        record.made_from = made_from::of_calls(plan);
        let start = std::time::Instant::now();
        let before = record.seconds;
        let mut plan = plan.clone();
        plan.manifest.max_cost_usd = self.left_to_spend(folder)?;
        let ended = self.ask(&plan, folder).await;
        record.seconds = before + start.elapsed().as_secs_f64();
        let errors = match &ended {
            Ok((_, errors)) => *errors,
            Err(_) => 0,
        };
        record.done = matches!(ended, Ok((Ending::Complete, 0)));
        if folder.is_dir() {
            record.write(folder)?;
        }
        progress.errors += errors;
        match ended? {
            (Ending::Interrupted, _) => Err(Halt::Interrupted),
            (Ending::Complete, _) => Ok(record),
        }
    }

    /// Asks what the stage has still to ask, writes its report, and says how many samples failed.
    async fn ask(&self, plan: &Plan, folder: &Path) -> Result<(Ending, u64), Halt> {
        let store = Arc::new(Store::open(folder)?);
        run_dir::adopt(&store, plan).await?;
        let opened = tokio::select! {
            opened = plan.open(self.registry, Arc::clone(&store)) => opened?,
            () = self.stop.wait() => return Err(Halt::Interrupted),
        };
        run_dir::adopt_digests(&store, &opened.digests).await?;
        let observer = self.watch.observer(&opened.purse);
        let ended = opened.work.run(observer, self.stop.wait()).await;
        // Everything is committed and the journal free before the report reads it.
        drop(opened);
        drop(store);
        let summary = tokio::task::block_in_place(|| report::write(folder));
        // What ended the stage matters more than a report that fails for the same reason.
        let ended = ended?;
        let summary = summary?;
        let failed = |s: &report::SearchNumbers| s.endings.get("failed").copied().unwrap_or(0);
        let searches: u64 = summary.searches.iter().map(failed).sum();
        Ok((ended, summary.totals.errors.max(searches)))
    }

    /// Which samples of an evaluation go into the report, and as what.
    fn part(&self, plan: &Plan, folder: &Path) -> Part {
        let llms = plan.llms.iter().zip(&self.plan.llms);
        let mut columns = Vec::new();
        for (asked, shown) in llms {
            for dataset in &plan.datasets {
                for method in &plan.methods {
                    let old = Cell {
                        llm: asked.label.clone(),
                        dataset: dataset.label.clone(),
                        method: method.to_string(),
                    };
                    let mut new = Cell {
                        llm: shown.label.clone(),
                        ..old.clone()
                    };
                    if let Some(trainer) = asked.label.strip_prefix(&format!("{} + ", shown.label))
                    {
                        new.method = format!("tale-pt-{trainer}");
                    }
                    columns.push((old, new));
                }
            }
        }
        Part {
            dir: folder.to_owned(),
            columns,
        }
    }

    /// What the stage at `folder` may spend: the run's cap less what the others have spent.
    fn left_to_spend(&self, folder: &Path) -> Result<Option<f64>, StoreError> {
        let Some(cap) = self.plan.manifest.max_cost_usd else {
            return Ok(None);
        };
        let mut spent = 0.0;
        for entry in fs::read_dir(self.dir).into_iter().flatten().flatten() {
            let stage = entry.path();
            if stage == folder || !stage.join("run.sqlite").is_file() {
                continue;
            }
            spent += Reader::open(&stage)?.spent_usd()?.unwrap_or(0.0);
        }
        Ok(Some((cap - spent).max(0.0)))
    }

    /// Refuses a directory in which another task has worked.
    fn check_owner(&self) -> Result<(), PostTrainError> {
        let dir = self.dir.to_owned();
        if self.dir.join("run.sqlite").is_file() && store::meta_of(self.dir, META)?.is_none() {
            return Err(PostTrainError::OtherTask { dir });
        }
        Ok(())
    }

    fn write_manifest(&self) -> Result<(), PostTrainError> {
        let path = self.dir.join("manifest.toml");
        let text = self.plan.manifest.resolved_toml(&self.plan.secrets);
        fs::write(&path, text).map_err(|source| PostTrainError::Write { path, source })
    }

    /// Gathers what there is, and writes the report on it; `None` where nothing is evaluated yet.
    fn report(&self, progress: &Progress) -> Result<Option<Summary>, PostTrainError> {
        let Some(search) = &progress.search else {
            return Ok(None);
        };
        let is_there = |part: &&Part| part.dir.join("run.sqlite").is_file();
        let mut parts: Vec<Part> = Vec::new();
        for part in progress.parts.iter().filter(is_there) {
            // A column that the stage has not begun is not there.
            let begun: Vec<Cell> = Reader::open(&part.dir)?
                .cells()?
                .into_iter()
                .map(|(_, cell)| cell)
                .collect();
            let known = part.columns.iter().filter(|(old, _)| begun.contains(old));
            parts.push(Part {
                dir: part.dir.clone(),
                columns: known.cloned().collect(),
            });
        }
        let about = PostTraining {
            search: search.clone(),
            trainings: progress.trainings.clone(),
        };
        let mut meta = vec![
            (META, json!(about).to_string()),
            ("plan", run_dir::fingerprint(self.plan).to_string()),
            ("name", self.plan.manifest.name.clone()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        if let Some(first) = parts.first() {
            for key in ["prices", report::data::META] {
                meta.extend(store::meta_of(&first.dir, key)?.map(|value| (key, value)));
            }
        }
        tokio::task::block_in_place(|| {
            store::gather(self.dir, &parts, &meta)?;
            Ok(Some(report::write(self.dir)?))
        })
    }
}

/// A trained model, ready to be asked.
struct Trained {
    folder: PathBuf,
    /// The adapter in the form that the model takes; PEFT's where nobody asks it.
    adapter: PathBuf,
    stage: TrainingStage,
}

impl PostTrain<'_> {
    /// Trains, unless it is done.
    async fn train(
        &self,
        training: &TrainingPlan,
        trainer: &TrainerPlan,
        pairs: &Pairs,
    ) -> Result<Trained, Halt> {
        let made_from = made_from::training(self.plan, training, trainer, &pairs.digest);
        let folder = self.dir.join(made_from::folder(&trainer.label, &made_from));
        let mut record = Record::read(&folder)?;
        if record.done {
            let text = format!("training {}: done in {}", trainer.label, folder.display());
            self.watch.stage(&text);
        } else {
            let text = format!("training {}: {}", trainer.label, folder.display());
            self.watch.stage(&text);
            record.made_from = made_from;
            record = training::run(self, training, trainer, pairs, &folder, record).await?;
        }
        let report = record.report.clone().unwrap_or_default();
        let adapter = training::adapter(training, trainer, &folder, &report)?;
        Ok(Trained {
            stage: TrainingStage {
                name: trainer.label.clone(),
                result: trainer.result(),
                folder: name(&folder),
                adapter: adapter.display().to_string(),
                seconds: record.seconds,
                first_loss: record.first_loss,
                last_loss: record.last_loss,
                report,
            },
            folder,
            adapter,
        })
    }
}

/// Removes nothing from `value` but what changes no result.
fn without_manner(plan: &Plan) -> Value {
    let mut value = run_dir::fingerprint(plan);
    // The run directory lets these change within a run; here they make another one.
    value["dataset"] = json!(plan.manifest.dataset);
    value["evaluate"] = json!(plan.manifest.evaluate);
    for secret in &plan.secrets {
        crate::manifest::without_secret(&mut value, secret);
    }
    value
}

/// What tells the files that a plan reads from others.
fn files_of(plan: &Plan) -> Vec<Value> {
    let options = plan.llms.iter().map(|llm| &llm.component);
    let options = options.chain(plan.datasets.iter().map(|d| &d.component));
    let named = options.filter_map(|c| Some(PathBuf::from(c.options.get("path")?.as_str()?)));
    let prompts = plan.manifest.evaluate.prompts.iter().cloned();
    named
        .chain(prompts)
        .map(|path| contents(&plan.env.base_dir.join(path)))
        .collect()
}
