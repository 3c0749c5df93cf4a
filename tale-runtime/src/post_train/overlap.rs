//! No question that is held out may be trained on.

use std::collections::{BTreeMap, HashSet};

use tale_plugin_standard::estimator::question_digest;

use super::PostTrainError;
use crate::{
    manifest::Overlap,
    pipeline::asked_text,
    plan::{DatasetPlan, Plan, TrainingPlan},
    registry::Registry,
};

/// Questions named in an error, at most.
const NAMED: usize = 5;

/// The questions that are held out, by the digests of their texts.
#[derive(Debug, Default)]
pub(super) struct HeldOut(HashSet<String>);

impl HeldOut {
    /// Whether the question is held out, white space aside.
    pub(super) fn has(&self, question: &str) -> bool {
        self.0.contains(&question_digest(question))
    }
}

/// Questions that are both searched and held out.
#[derive(Debug)]
pub struct Shared {
    /// How many of the searched ones.
    pub count: u64,
    /// Some of them: data set and id where it is searched, and where it is held out.
    pub some: Vec<[String; 2]>,
}

/// Reads the held-out questions, and refuses those that are trained on unless the manifest says
/// otherwise. The text tells questions apart: an id may mean another question in another file, and a
/// question may stand in a file twice.
pub(super) async fn check(
    plan: &Plan,
    training: &TrainingPlan,
    registry: &Registry,
) -> Result<HeldOut, PostTrainError> {
    let mut held_out = BTreeMap::new();
    for dataset in &plan.held_out {
        each(plan, dataset, registry, |digest, id| {
            held_out.insert(digest, id);
        })
        .await?;
    }
    if training.overlap == Overlap::Refuse && !held_out.is_empty() {
        let mut shared = Shared {
            count: 0,
            some: Vec::new(),
        };
        for dataset in &plan.datasets {
            each(plan, dataset, registry, |digest, id| {
                if let Some(other) = held_out.get(&digest) {
                    shared.count += 1;
                    if shared.some.len() < NAMED {
                        shared.some.push([id, other.clone()]);
                    }
                }
            })
            .await?;
        }
        if shared.count > 0 {
            return Err(PostTrainError::Overlap(shared));
        }
    }
    Ok(HeldOut(held_out.into_keys().collect()))
}

/// Hands every question that is asked to `visit`: the digest of its text, and its data set and id.
async fn each(
    plan: &Plan,
    dataset: &DatasetPlan,
    registry: &Registry,
    mut visit: impl FnMut(String, String),
) -> Result<(), PostTrainError> {
    let setup = plan.open_dataset(registry, dataset).await?;
    let mut questions = setup.questions().await?;
    while let Some((_, question)) = questions.next().await? {
        let id = format!("{} `{}`", dataset.label, question.id);
        visit(question_digest(&asked_text(&question)), id);
    }
    Ok(())
}
