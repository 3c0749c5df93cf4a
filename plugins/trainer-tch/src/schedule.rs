//! The learning rate of a step.

use tale_training::Schedule;

use crate::options::Settings;

/// The rate of `step` (from 0) of `total`: it rises in a line over the warm-up's share of the steps,
/// then falls, as Transformers' schedules do.
pub(crate) fn learning_rate(settings: &Settings, step: u64, total: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^53")]
    let (step, total) = (step as f64, total as f64);
    let warmup = (settings.warmup * total).ceil();
    if step < warmup {
        return settings.learning_rate * step / warmup;
    }
    let done = (step - warmup) / (total - warmup).max(1.0);
    settings.learning_rate
        * match settings.schedule {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - done,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use tale_api::TrainMethod;

    /// `get_linear_schedule_with_warmup` and `get_cosine_schedule_with_warmup` of Transformers, 10
    /// steps of which 2 warm up.
    #[test]
    fn rates_are_those_of_transformers() {
        for (schedule, expected) in [
            (
                Schedule::Linear,
                [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125],
            ),
            (
                Schedule::Cosine,
                [
                    0.0,
                    0.5,
                    1.0,
                    0.961_939_77,
                    0.853_553_39,
                    0.691_341_72,
                    0.5,
                    0.308_658_28,
                    0.146_446_61,
                    0.038_060_23,
                ],
            ),
            (
                Schedule::Constant,
                [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            ),
        ] {
            let options = Options {
                schedule: Some(schedule),
                warmup: Some(0.2),
                learning_rate: Some(1.0),
                ..Options::default()
            };
            let settings = Settings::new(TrainMethod::Sft, options).unwrap();
            for (step, expected) in expected.into_iter().enumerate() {
                let rate = learning_rate(&settings, step as u64, 10);
                assert!(
                    (rate - expected).abs() < 1e-7,
                    "{schedule:?} {step}: {rate}"
                );
            }
        }
    }
}
