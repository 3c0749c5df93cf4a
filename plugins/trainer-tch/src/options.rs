//! What a manifest can set, and the checks that need no file.
//!
//! `sft.schema.json` and `dpo.schema.json` say the same; a test holds them together.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tale_api::{Error, ErrorKind, Result, TrainMethod};
use tale_training::{Schedule, TooLong};

/// The options of both components; what is absent takes the method's default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grad_norm: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projections: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub too_long: Option<TooLong>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_checkpointing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_questions: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_every: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_max_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
}

/// Options with every default in its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Settings {
    pub(crate) method: TrainMethod,
    pub(crate) device: String,
    pub(crate) threads: Option<u32>,
    pub(crate) epochs: u32,
    /// Pairs of an optimiser step.
    pub(crate) batch: usize,
    pub(crate) micro_batch_tokens: usize,
    pub(crate) learning_rate: f64,
    pub(crate) weight_decay: f64,
    pub(crate) schedule: Schedule,
    pub(crate) warmup: f64,
    /// Zero: no clipping.
    pub(crate) max_grad_norm: f64,
    pub(crate) rank: usize,
    pub(crate) alpha: f64,
    pub(crate) projections: Vec<String>,
    pub(crate) max_length: Option<usize>,
    pub(crate) too_long: TooLong,
    pub(crate) activation_checkpointing: bool,
    pub(crate) checkpoint_steps: u64,
    /// Questions that are asked during the training. They change no weight, so two trainings that
    /// differ in them are the same: what is written of a job leaves them out.
    #[serde(skip)]
    pub(crate) eval_questions: Option<PathBuf>,
    /// Steps from one time to the next.
    #[serde(skip)]
    pub(crate) eval_every: u64,
    #[serde(skip)]
    pub(crate) eval_max_tokens: usize,
    pub(crate) reference: bool,
    pub(crate) beta: f64,
}

impl Settings {
    /// The paper's hyperparameters where nothing else is said: rank 8 and alpha 32; SFT 3 epochs at
    /// 1e-4 with a decay of 0.01, DPO 2 epochs at 3e-5 with 0.001; batches of 16. Its code adds the
    /// projections, and the clipping of DPO; the clipping of SFT is that of Transformers' trainer,
    /// which the code uses.
    pub(crate) fn new(method: TrainMethod, options: Options) -> Result<Self> {
        let is_dpo = method == TrainMethod::Dpo;
        if !is_dpo && (options.reference.is_some() || options.beta.is_some()) {
            return Err(invalid("`reference` and `beta` are options of `dpo`"));
        }
        let by_method = |sft: f64, dpo: f64| if is_dpo { dpo } else { sft };
        // As printed (section 4.3) DPO has neither a reference model nor a β.
        let reference = options.reference.unwrap_or(false);
        let settings = Self {
            method,
            device: options.device.unwrap_or_else(|| "auto".to_owned()),
            threads: options.threads,
            epochs: options.epochs.unwrap_or(if is_dpo { 2 } else { 3 }),
            batch: options.batch.unwrap_or(16),
            micro_batch_tokens: options.micro_batch_tokens.unwrap_or(2048),
            learning_rate: options.learning_rate.unwrap_or(by_method(1e-4, 3e-5)),
            weight_decay: options.weight_decay.unwrap_or(by_method(0.01, 0.001)),
            schedule: options.schedule.unwrap_or(Schedule::Linear),
            warmup: options.warmup.unwrap_or(0.0),
            max_grad_norm: options.max_grad_norm.unwrap_or(by_method(1.0, 5.0)),
            rank: options.rank.unwrap_or(8),
            alpha: options.alpha.unwrap_or(32.0),
            projections: options
                .projections
                .unwrap_or_else(|| ["q_proj", "v_proj"].map(str::to_owned).to_vec()),
            max_length: options.max_length,
            too_long: options.too_long.unwrap_or(TooLong::Drop),
            activation_checkpointing: options.activation_checkpointing.unwrap_or(false),
            checkpoint_steps: options.checkpoint_steps.unwrap_or(20),
            eval_questions: options.eval_questions,
            eval_every: options.eval_every.unwrap_or(20),
            eval_max_tokens: options.eval_max_tokens.unwrap_or(256),
            reference,
            beta: options.beta.unwrap_or(if reference { 0.5 } else { 1.0 }),
        };
        settings.checked()
    }

    fn checked(self) -> Result<Self> {
        let counts = [
            ("epochs", self.epochs as usize),
            ("batch", self.batch),
            ("micro_batch_tokens", self.micro_batch_tokens),
            ("rank", self.rank),
            ("projections", self.projections.len()),
            ("threads", self.threads.unwrap_or(1) as usize),
            (
                "checkpoint_steps",
                usize::try_from(self.checkpoint_steps).unwrap_or(usize::MAX),
            ),
            (
                "eval_every",
                usize::try_from(self.eval_every).unwrap_or(usize::MAX),
            ),
            ("eval_max_tokens", self.eval_max_tokens),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(invalid(format!("`{name}` is 0 or empty")));
        }
        if self.max_length.is_some_and(|length| length < 2) {
            return Err(invalid("`max_length` is below 2 tokens"));
        }
        for (name, value, least, most) in [
            ("learning_rate", self.learning_rate, f64::MIN_POSITIVE, 1.0),
            ("weight_decay", self.weight_decay, 0.0, 1.0),
            ("warmup", self.warmup, 0.0, 1.0),
            ("max_grad_norm", self.max_grad_norm, 0.0, f64::MAX),
            ("alpha", self.alpha, f64::MIN_POSITIVE, f64::MAX),
            ("beta", self.beta, f64::MIN_POSITIVE, f64::MAX),
        ] {
            // NaN lies in no range.
            if !(least..=most).contains(&value) {
                return Err(invalid(format!("`{name}` is {value}, out of its range")));
            }
        }
        Ok(self)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOptions, message)
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
