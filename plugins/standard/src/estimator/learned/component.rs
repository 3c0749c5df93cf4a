//! The components `regression` and `knn`.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde::Deserialize;
use tale_api::{CreateEnv, Error, ErrorKind, Estimate, EstimateRequest, Estimator, Llm, Result};

use super::{LearnedKind, LearnedModel};

/// Options of `regression` and `knn`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LearnedOptions {
    /// The model file that `tale estimator train` wrote, relative to the manifest's folder.
    pub path: PathBuf,
}

/// Budgets by ridge regression on numbers of the question.
#[derive(Clone, Debug)]
pub struct Regression(Learned);

/// Budgets of the nearest searched questions.
#[derive(Clone, Debug)]
pub struct Knn(Learned);

#[derive(Clone, Debug)]
struct Learned {
    model: Arc<LearnedModel>,
}

impl Regression {
    /// Reads the model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] if `path` is no model of this kind.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: LearnedOptions, env: CreateEnv) -> Result<Self> {
        Learned::open(&options, &env, LearnedKind::Regression).map(Self)
    }
}

impl Knn {
    /// Reads the model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] if `path` is no model of this kind.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: LearnedOptions, env: CreateEnv) -> Result<Self> {
        Learned::open(&options, &env, LearnedKind::Knn).map(Self)
    }
}

impl Learned {
    fn open(options: &LearnedOptions, env: &CreateEnv, kind: LearnedKind) -> Result<Self> {
        let path = env.base_dir.join(&options.path);
        let model = LearnedModel::read(&path, kind).map_err(|e| {
            let mut error = Error::new(ErrorKind::InvalidOptions, e.to_string()).hint(format!(
                "`tale estimator train search.jsonl --kind {} --out {}` makes one",
                kind.as_str(),
                options.path.display()
            ));
            if let Some(cause) = std::error::Error::source(&e) {
                error.causes.push(cause.to_string());
            }
            error
        })?;
        Ok(Self {
            model: Arc::new(model),
        })
    }

    /// The bare question is what it was trained on, whatever text the manifest would show.
    fn estimate(&self, request: &EstimateRequest) -> Estimate {
        let text = if request.question.text.is_empty() {
            &request.text
        } else {
            &request.question.text
        };
        let seen = self.model.has_seen(text);
        Estimate {
            budget: Some(self.model.predict(text)),
            // Kept with the sample and counted in the report: such a budget proves nothing.
            fallback: seen.then(|| "the estimator was trained on this question".to_owned()),
            ..Estimate::default()
        }
    }
}

#[async_trait]
impl Estimator for Regression {
    async fn estimate(&self, request: EstimateRequest, _: Arc<dyn Llm>) -> Result<Estimate> {
        Ok(self.0.estimate(&request))
    }
}

#[async_trait]
impl Estimator for Knn {
    async fn estimate(&self, request: EstimateRequest, _: Arc<dyn Llm>) -> Result<Estimate> {
        Ok(self.0.estimate(&request))
    }
}

#[cfg(test)]
mod tests {
    use tale_api::Question;

    use super::{super::Training, *};
    use crate::estimator::testing::ScriptedLlm;

    async fn ask(estimator: &impl Estimator, text: &str) -> Estimate {
        let llm = Arc::new(ScriptedLlm::saying("[[7]]"));
        let question = Question {
            text: text.to_owned(),
            ..Question::default()
        };
        let request = EstimateRequest {
            question,
            text: format!("Q: {text}"),
        };
        let estimate = estimator.estimate(request, llm.clone()).await.unwrap();
        assert_eq!(llm.requests().len(), 0);
        estimate
    }

    #[tokio::test]
    async fn a_question_of_the_training_is_marked_and_no_model_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let questions = [("How many apples?", 40), ("How many trains, and when?", 90)];
        let how = Training {
            kind: LearnedKind::Knn,
            ..Training::default()
        };
        let model = LearnedModel::train(&questions, how).unwrap();
        std::fs::write(dir.path().join("m.json"), model.to_json()).unwrap();
        let env = || CreateEnv {
            base_dir: dir.path().to_owned(),
            ..CreateEnv::default()
        };
        let options = || LearnedOptions {
            path: "m.json".into(),
        };
        let knn = Knn::create(options(), env()).await.unwrap();
        let known = ask(&knn, "How many  apples?").await;
        assert!(known.fallback.unwrap().contains("trained on"));
        let new = ask(&knn, "How many pears?").await;
        assert_eq!(new.fallback, None);
        assert!((40..=90).contains(&new.budget.unwrap()));
        let error = Regression::create(options(), env()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidOptions);
        assert!(error.hint.unwrap().contains("tale estimator train"));
    }
}
