//! Estimators that have learned from searched budgets and ask no model: `regression` and `knn`.
//!
//! `tale estimator train` makes the model file that both read.

mod component;
mod features;
mod neighbours;
mod ridge;

use std::{collections::BTreeSet, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use component::{Knn, LearnedOptions, Regression};
use neighbours::Neighbours;
use ridge::Ridge;

use crate::prompts::hex;

/// The format of a model file; a change that older readers would misread raises its number.
const FORMAT: &str = "tale-estimator/1";

/// What a learned estimator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearnedKind {
    /// Ridge regression of the logarithm of the budget on twelve numbers of the question.
    Regression,
    /// The mean logarithm of the budgets of the nearest questions.
    Knn,
}

impl LearnedKind {
    /// The name of its component.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Knn => "knn",
        }
    }
}

/// How a learned estimator is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// What is trained.
    pub kind: LearnedKind,
    /// Weight of the ridge's penalty.
    pub lambda: f64,
    /// Neighbours asked.
    pub k: usize,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            kind: LearnedKind::Regression,
            lambda: 1.0,
            k: 7,
        }
    }
}

/// A trained estimator, as its file holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnedModel {
    format: String,
    kind: LearnedKind,
    /// SHA-256 of each question it was trained on, in short: see [`question_digest`].
    trained_on: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ridge: Option<Ridge>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    neighbours: Option<Neighbours>,
}

/// Why a model file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// It cannot be read.
    #[error("cannot read the model `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no JSON of this form.
    #[error("`{path}` is no model of an estimator")]
    Malformed {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is of another format or kind than the component that reads it.
    #[error("`{path}` holds {found}, not {expected}")]
    Unfit {
        /// The file.
        path: String,
        /// What it says it is.
        found: String,
        /// What it should be.
        expected: String,
    },
}

impl LearnedModel {
    /// Trains on questions with their budgets, in tokens; `None` without any. Takes some
    /// milliseconds a thousand questions.
    #[must_use]
    pub fn train(questions: &[(&str, u32)], how: Training) -> Option<Self> {
        if questions.is_empty() {
            return None;
        }
        // Budgets differ by factors, not by differences: 10 against 20 is as far as 100 against 200.
        let logs: Vec<(&str, f64)> = questions
            .iter()
            .map(|(text, budget)| (*text, f64::from((*budget).max(1)).ln()))
            .collect();
        let (ridge, neighbours) = match how.kind {
            LearnedKind::Regression => {
                let rows: Vec<Vec<f64>> = logs
                    .iter()
                    .map(|(text, _)| features::numbers(text).to_vec())
                    .collect();
                let y: Vec<f64> = logs.iter().map(|(_, y)| *y).collect();
                (Some(Ridge::fit(&rows, &y, how.lambda)), None)
            }
            LearnedKind::Knn => (None, Some(Neighbours::fit(&logs, how.k))),
        };
        Some(Self {
            format: FORMAT.to_owned(),
            kind: how.kind,
            trained_on: questions.iter().map(|(t, _)| question_digest(t)).collect(),
            ridge,
            neighbours,
        })
    }

    /// Reads a model file of the given kind.
    ///
    /// # Errors
    /// [`ModelError`] if it cannot be read or is something else.
    pub fn read(path: &Path, kind: LearnedKind) -> Result<Self, ModelError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ModelError::Read {
            path: shown.clone(),
            source,
        })?;
        let model: Self = serde_json::from_str(&text).map_err(|source| ModelError::Malformed {
            path: shown.clone(),
            source,
        })?;
        let is_whole = match kind {
            LearnedKind::Regression => model
                .ridge
                .as_ref()
                .is_some_and(|r| r.is_of_width(features::NAMES.len())),
            LearnedKind::Knn => model.neighbours.is_some(),
        };
        if model.format != FORMAT || model.kind != kind || !is_whole {
            return Err(ModelError::Unfit {
                path: shown,
                found: format!("a `{}` of format `{}`", model.kind.as_str(), model.format),
                expected: format!("a `{}` of format `{FORMAT}`", kind.as_str()),
            });
        }
        Ok(model)
    }

    /// The file's text.
    ///
    /// # Panics
    /// Never: numbers and names are valid JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names are valid JSON") + "\n"
    }

    /// The budget for a question, in tokens, at least 1.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and a budget beyond u32 is as good as none"
    )]
    pub fn predict(&self, text: &str) -> u32 {
        let log = match (&self.ridge, &self.neighbours) {
            (Some(ridge), _) => ridge.predict(&features::numbers(text)),
            (None, Some(neighbours)) => neighbours.predict(text),
            (None, None) => 0.0,
        };
        (log.exp().round() as u32).max(1)
    }

    /// Whether it was trained on this question.
    #[must_use]
    pub fn has_seen(&self, text: &str) -> bool {
        self.trained_on.contains(&question_digest(text))
    }

    /// How many different questions it was trained on.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.trained_on.len()
    }
}

/// The first half of the SHA-256 of a question's text, white space at its ends and runs of it inside
/// aside: by it a model file says what it was trained on without holding it.
#[must_use]
pub fn question_digest(text: &str) -> String {
    let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
    hex(&Sha256::digest(plain)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions() -> Vec<(String, u32)> {
        (1..40_u32)
            .map(|i| {
                let words = "apples ".repeat(i as usize);
                (format!("Ann buys {i} {words}. How many?"), 10 * i)
            })
            .collect()
    }

    fn train(kind: LearnedKind) -> LearnedModel {
        let questions = questions();
        let list: Vec<(&str, u32)> = questions.iter().map(|(t, b)| (t.as_str(), *b)).collect();
        let how = Training {
            kind,
            ..Training::default()
        };
        LearnedModel::train(&list, how).unwrap()
    }

    #[test]
    fn a_model_read_from_its_file_predicts_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.json");
        for kind in [LearnedKind::Regression, LearnedKind::Knn] {
            let model = train(kind);
            std::fs::write(&path, model.to_json()).unwrap();
            let read = LearnedModel::read(&path, kind).unwrap();
            for (text, _) in questions() {
                assert_eq!(read.predict(&text), model.predict(&text));
                assert!(read.has_seen(&format!(" {text}\n")));
            }
            assert!(!read.has_seen("What is 2+2?"));
            assert_eq!(read.questions(), 39);
        }
    }

    #[test]
    fn longer_questions_get_the_larger_budgets_they_were_trained_with() {
        let model = train(LearnedKind::Regression);
        let (short, long) = (&questions()[3].0, &questions()[35].0);
        assert!(model.predict(long) > 3 * model.predict(short));
        assert!(model.predict("") >= 1);
    }

    #[test]
    fn a_file_that_is_no_model_or_another_s_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.json");
        let read = |kind| LearnedModel::read(&path, kind).unwrap_err();
        assert!(matches!(read(LearnedKind::Knn), ModelError::Read { .. }));
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(
            read(LearnedKind::Knn),
            ModelError::Malformed { .. }
        ));
        std::fs::write(&path, train(LearnedKind::Knn).to_json()).unwrap();
        let unfit = read(LearnedKind::Regression).to_string();
        assert!(unfit.contains("holds a `knn`"), "{unfit}");
        let newer = train(LearnedKind::Knn)
            .to_json()
            .replace(FORMAT, "tale-estimator/2");
        std::fs::write(&path, newer).unwrap();
        assert!(matches!(read(LearnedKind::Knn), ModelError::Unfit { .. }));
    }

    #[test]
    fn nothing_to_learn_from_is_no_model() {
        assert_eq!(LearnedModel::train(&[], Training::default()), None);
    }
}
