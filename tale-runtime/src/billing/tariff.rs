//! The prices of one model.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use tale_api::{Prices, Usage};

/// Prices in US dollars per 1,000,000 tokens, of one class of service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Input tokens that no cache of the provider's answered for.
    pub input: f64,
    /// Cached input tokens; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// Output tokens, reasoning included.
    pub output: f64,
}

impl Rates {
    fn times(self, factor: f64) -> Self {
        Self {
            input: self.input * factor,
            cached_input: self.cached_input.map(|price| price * factor),
            output: self.output * factor,
        }
    }

    /// The price of `usage` in US dollars.
    #[must_use]
    pub fn cost_usd(self, usage: &Usage) -> f64 {
        Prices::from(self).cost_usd(usage)
    }

    /// The most that so many tokens can cost, whatever part of the input is cached.
    fn at_most_usd(self, input_tokens: u64, output_tokens: u64) -> f64 {
        let input = self.input.max(self.cached_input.unwrap_or(0.0));
        let dearest = Self {
            input,
            cached_input: None,
            ..self
        };
        dearest.cost_usd(&Usage {
            input_tokens,
            output_tokens,
            ..Usage::default()
        })
    }
}

impl From<Rates> for Prices {
    fn from(rates: Rates) -> Self {
        Self {
            input: rates.input,
            cached_input: rates.cached_input,
            output: rates.output,
        }
    }
}

impl From<Prices> for Rates {
    fn from(prices: Prices) -> Self {
        Self {
            input: prices.input,
            cached_input: prices.cached_input,
            output: prices.output,
        }
    }
}

/// Where prices come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum PriceOrigin {
    /// `[llm.prices]` of the manifest.
    Manifest,
    /// A price file of the user's.
    File {
        /// The file.
        path: String,
        /// The entry's name.
        model: String,
        /// The entry's date.
        as_of: String,
        /// Where the entry was read.
        source: String,
    },
    /// What the plugin says of its model.
    Plugin,
    /// The price file that is built in.
    BuiltIn {
        /// The entry's name.
        model: String,
        /// The entry's date.
        as_of: String,
        /// Where the entry was read.
        source: String,
    },
}

impl fmt::Display for PriceOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest => write!(f, "prices of the manifest"),
            Self::Plugin => write!(f, "prices of the plugin"),
            Self::File {
                path, model, as_of, ..
            } => {
                write!(f, "prices of {as_of} for {model} in {path}")
            }
            Self::BuiltIn { model, as_of, .. } => write!(f, "prices of {as_of} for {model}"),
        }
    }
}

/// The prices of one model, by class of service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tariff {
    /// The usual class.
    pub base: Rates,
    /// Other classes, by the name that the provider gives them in its answers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, Rates>,
    /// Where they come from.
    pub origin: PriceOrigin,
}

/// Names by which providers call the usual class.
const USUAL: [&str; 4] = ["", "default", "standard", "auto"];

/// The batch API's class.
const BATCH: &str = "batch";

impl Tariff {
    /// A tariff; `batch` is a factor on all prices, unless `tiers` have a class of that name.
    #[must_use]
    pub fn new(
        base: Rates,
        batch: Option<f64>,
        mut tiers: BTreeMap<String, Rates>,
        origin: PriceOrigin,
    ) -> Self {
        if let Some(factor) = batch {
            tiers
                .entry(BATCH.to_owned())
                .or_insert_with(|| base.times(factor));
        }
        Self {
            base,
            tiers,
            origin,
        }
    }

    /// The prices of a class of service; none where they are not known.
    #[must_use]
    pub fn rates(&self, tier: Option<&str>) -> Option<Rates> {
        let tier = tier.unwrap_or_default();
        match self.tiers.get(tier) {
            Some(rates) => Some(*rates),
            None => USUAL.contains(&tier).then_some(self.base),
        }
    }

    /// The price of `usage` in US dollars; none where the class of service has no known price.
    #[must_use]
    pub fn cost_usd(&self, usage: &Usage, tier: Option<&str>) -> Option<f64> {
        Some(self.rates(tier)?.cost_usd(usage))
    }

    /// The most that a call of so many tokens can cost when `tier` is asked for: the usual class
    /// may answer in its place, and where its price is not known, any class.
    #[must_use]
    pub fn at_most_usd(&self, input_tokens: u64, output_tokens: u64, tier: Option<&str>) -> f64 {
        let cost = |rates: Rates| rates.at_most_usd(input_tokens, output_tokens);
        match self.rates(tier) {
            Some(rates) if tier == Some(BATCH) => cost(rates),
            Some(rates) => cost(rates).max(cost(self.base)),
            None => self
                .tiers
                .values()
                .copied()
                .map(cost)
                .fold(cost(self.base), f64::max),
        }
    }
}

impl From<Prices> for Tariff {
    /// What a plugin says of its model: one class.
    fn from(prices: Prices) -> Self {
        Self::new(prices.into(), None, BTreeMap::new(), PriceOrigin::Plugin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tariff() -> Tariff {
        let base = Rates {
            input: 2.0,
            cached_input: Some(0.5),
            output: 8.0,
        };
        let flex = Rates {
            input: 1.0,
            cached_input: None,
            output: 4.0,
        };
        let priority = Rates {
            input: 4.0,
            cached_input: None,
            output: 16.0,
        };
        let tiers = [("flex", flex), ("priority", priority)].map(|(n, r)| (n.to_owned(), r));
        Tariff::new(base, Some(0.5), tiers.into(), PriceOrigin::Manifest)
    }

    const USAGE: Usage = Usage {
        input_tokens: 1_000_000,
        cached_input_tokens: 400_000,
        output_tokens: 100_000,
        reasoning_tokens: 50_000,
    };

    #[track_caller]
    fn check(tier: Option<&str>, expected: Option<f64>) {
        let cost = tariff().cost_usd(&USAGE, tier);
        match (cost, expected) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-9, "{tier:?}: {a} is not {b}"),
            (a, b) => assert_eq!(a, b, "{tier:?}"),
        }
    }

    #[test]
    fn every_class_of_service_has_its_own_price() {
        check(None, Some(1.2 + 0.2 + 0.8));
        check(Some("default"), Some(2.2));
        check(Some("batch"), Some(1.1));
        check(Some("flex"), Some(1.0 + 0.4));
        check(Some("priority"), Some(4.0 + 1.6));
        check(Some("platinum"), None);
    }

    #[test]
    fn the_bound_covers_the_class_that_may_answer_in_its_place() {
        let bound = |tier| tariff().at_most_usd(1_000_000, 100_000, tier);
        assert!((bound(None) - 2.8).abs() < 1e-9);
        assert!((bound(Some("batch")) - 1.4).abs() < 1e-9);
        assert!((bound(Some("flex")) - 2.8).abs() < 1e-9);
        assert!((bound(Some("priority")) - 5.6).abs() < 1e-9);
        assert!((bound(Some("platinum")) - 5.6).abs() < 1e-9);
    }
}
