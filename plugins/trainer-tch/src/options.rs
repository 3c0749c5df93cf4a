//! What a manifest can set, and the checks that need no file.
//!
//! `sft.schema.json` and `dpo.schema.json` say the same; a test holds them together.

use std::{ops::Deref, path::PathBuf};

use serde::Serialize;
use tale_api::{Result, TrainMethod};
use tale_training::{Hyperparameters, positive, trainer_options};

trainer_options! {
    /// The options of both components; what is absent takes the method's default.
    pub struct Options {
        pub micro_batch_tokens: Option<usize>,
        pub eval_questions: Option<PathBuf>,
        pub eval_every: Option<u64>,
        pub eval_max_tokens: Option<usize>,
    }
}

/// Options with every default in its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Settings {
    #[serde(flatten)]
    pub(crate) common: Hyperparameters,
    /// Tokens computed at a time.
    pub(crate) micro_batch_tokens: usize,
    /// Questions that are asked during the training. They change no weight, so two trainings that
    /// differ in them are the same: what is written of a job leaves them out.
    #[serde(skip)]
    pub(crate) eval_questions: Option<PathBuf>,
    /// Steps from one time to the next.
    #[serde(skip)]
    pub(crate) eval_every: u64,
    #[serde(skip)]
    pub(crate) eval_max_tokens: usize,
}

impl Deref for Settings {
    type Target = Hyperparameters;

    fn deref(&self) -> &Hyperparameters {
        &self.common
    }
}

impl Settings {
    /// The schema of the method's options.
    pub(crate) fn schema(&self) -> &'static str {
        match self.method {
            TrainMethod::Dpo => include_str!("dpo.schema.json"),
            _ => include_str!("sft.schema.json"),
        }
    }

    /// # Errors
    /// [`ErrorKind::InvalidOptions`](tale_api::ErrorKind::InvalidOptions) naming what cannot be.
    pub(crate) fn new(method: TrainMethod, options: Options) -> Result<Self> {
        let settings = Self {
            common: options.hyperparameters(method, "dpo")?,
            micro_batch_tokens: options.micro_batch_tokens.unwrap_or(2048),
            eval_questions: options.eval_questions,
            eval_every: options.eval_every.unwrap_or(20),
            eval_max_tokens: options.eval_max_tokens.unwrap_or(256),
        };
        positive(&[
            ("micro_batch_tokens", settings.micro_batch_tokens as u64),
            ("eval_every", settings.eval_every),
            ("eval_max_tokens", settings.eval_max_tokens as u64),
        ])?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(method: TrainMethod, json: serde_json::Value) -> Result<Settings, String> {
        let options = serde_json::from_value(json).map_err(|e| e.to_string())?;
        Settings::new(method, options).map_err(|e| e.message)
    }

    #[test]
    fn the_papers_hyperparameters_are_the_defaults() {
        let sft = settings(TrainMethod::Sft, serde_json::json!({})).unwrap();
        assert_eq!((sft.epochs, sft.batch, sft.rank), (3, 16, 8));
        assert_eq!(
            (sft.learning_rate, sft.weight_decay, sft.alpha),
            (1e-4, 0.01, 32.0)
        );
        let dpo = settings(TrainMethod::Dpo, serde_json::json!({})).unwrap();
        assert_eq!(
            (dpo.epochs, dpo.learning_rate, dpo.weight_decay),
            (2, 3e-5, 0.001)
        );
        assert_eq!((dpo.reference, dpo.beta), (false, 1.0));
        let code = settings(TrainMethod::Dpo, serde_json::json!({"reference": true})).unwrap();
        assert_eq!((code.reference, code.beta), (true, 0.5));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (json, named) in [
            (serde_json::json!({"batch": 0}), "`batch`"),
            (serde_json::json!({"eval_every": 0}), "`eval_every`"),
            (
                serde_json::json!({"learning_rate": -1.0}),
                "`learning_rate`",
            ),
            (serde_json::json!({"beta": 0.1}), "options of `dpo`"),
            (serde_json::json!({"epoch": 1}), "unknown field `epoch`"),
        ] {
            let error = settings(TrainMethod::Sft, json).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_schemas_name_exactly_these_options() {
        let error = serde_json::from_str::<Options>(r#"{"?": 1}"#)
            .unwrap_err()
            .to_string();
        let mut known: Vec<&str> = error
            .split("expected one of")
            .nth(1)
            .unwrap()
            .split('`')
            .skip(1)
            .step_by(2)
            .collect();
        known.sort_unstable();
        for (schema, lacks) in [
            (include_str!("sft.schema.json"), 2),
            (include_str!("dpo.schema.json"), 0),
        ] {
            let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
            let mut named: Vec<&str> = schema["properties"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            named.sort_unstable();
            assert_eq!(named.len() + lacks, known.len());
            assert!(named.iter().all(|name| known.contains(name)), "{named:?}");
        }
    }
}
