//! What goes wrong, and for which request.

use clap::ValueEnum;
use serde::Serialize;

use crate::{Config, answer::mix};

/// Something that goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 429, without a word on when to come back.
    TooMany,
    /// 429 with `retry-after-ms`.
    TooManyAfter,
    /// 429 with the rate-limit headers of OpenAI.
    TooManyHeaders,
    /// 500 with a JSON error.
    Error500,
    /// 503 with an empty body.
    Error503,
    /// The connection is reset before the answer.
    Reset,
    /// Nothing comes any more, and the connection stays open.
    Stall,
    /// 200 with bytes that are no JSON.
    Garbage,
    /// The answer ends in the middle.
    Half,
    /// An answer whose usage cannot be.
    Usage,
    /// An answer under another content type.
    ContentType,
    /// 200 with a page for people.
    Html,
    /// 200 with an error inside.
    ErrorInside,
    /// An answer that names another model.
    OtherModel,
    /// 200 with nothing.
    Empty,
    /// An answer in small pieces, slowly.
    Drip,
}

impl Fault {
    /// Whether the client has its answer all the same.
    #[must_use]
    pub fn answers(self) -> bool {
        matches!(
            self,
            Self::Usage | Self::ContentType | Self::OtherModel | Self::Drip
        )
    }

    /// What goes wrong with a request, if anything: by its digest and how often it has come, never
    /// by the order of different requests.
    pub(crate) fn of(config: &Config, digest: u64, tries: u32) -> Option<Self> {
        if config.fault_rate <= 0.0 || tries >= config.most_in_a_row {
            return None;
        }
        let draw = mix(digest ^ mix(config.seed ^ u64::from(tries) << 32));
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = (draw >> 11) as f64 / (1_u64 << 53) as f64;
        if share >= config.fault_rate {
            return None;
        }
        let kinds = if config.fault.is_empty() {
            Self::value_variants()
        } else {
            &config.fault
        };
        let index = usize::try_from(mix(draw) % kinds.len() as u64).unwrap_or(0);
        Some(kinds[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_asked_share_goes_wrong_and_each_kind_comes_up() {
        let config = Config {
            fault_rate: 0.3,
            ..Config::default()
        };
        let faults: Vec<_> = (0..10_000)
            .filter_map(|i| Fault::of(&config, mix(i), 0))
            .collect();
        assert!((2800..3200).contains(&faults.len()), "{}", faults.len());
        for kind in Fault::value_variants() {
            assert!(faults.contains(kind), "{kind:?}");
        }
    }

    #[test]
    fn a_request_comes_through_in_the_end() {
        let config = Config {
            fault_rate: 1.0,
            ..Config::default()
        };
        assert!(Fault::of(&config, 7, 3).is_some());
        assert!(Fault::of(&config, 7, 4).is_none());
    }
}
