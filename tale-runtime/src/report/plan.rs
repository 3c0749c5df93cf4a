//! The facts about a run that its journal keeps as the resolved plan.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::store::{Reader, StoreError};

/// The journal's key for where the prices come from, by the models' names in results.
pub(crate) const PRICES: &str = "prices";

/// The resolved plan, as far as a report speaks of it. Whatever an older or newer `tale` left out
/// is absent here and in the report.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) name: Option<String>,
    pub(super) seed: Option<u64>,
    /// The `tale` that ran it.
    pub(super) version: Option<String>,
    /// Where the prices of each model come from, in words; nothing of one without prices.
    prices: BTreeMap<String, String>,
    /// The whole plan, for the page to show.
    pub(super) whole: Option<Value>,
}

impl Plan {
    pub(super) fn read(reader: &Reader) -> Result<Self, StoreError> {
        let whole: Option<Value> = reader
            .meta("plan")?
            .and_then(|text| serde_json::from_str(&text).ok());
        let text = |key: &str| Some(whole.as_ref()?.get(key)?.as_str()?.to_owned());
        Ok(Self {
            name: reader.meta("name")?.or_else(|| text("name")),
            seed: whole.as_ref().and_then(|w| w.get("seed")?.as_u64()),
            version: reader.meta("version")?,
            prices: reader
                .meta(PRICES)?
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            whole,
        })
    }

    /// By which prices costs were counted: `prices of 2025-08-07 for gpt-4o-mini`, with the models'
    /// names where they differ. `None` where nothing has a price.
    pub(super) fn prices(&self) -> Option<String> {
        let (_, first) = self.prices.first_key_value()?;
        if self.prices.values().all(|origin| origin == first) {
            return Some(first.clone());
        }
        let each = self
            .prices
            .iter()
            .map(|(llm, origin)| format!("{origin} ({llm})"));
        Some(each.collect::<Vec<_>>().join(", "))
    }

    /// The manifest's factor on estimates; 1 where it says nothing.
    pub(super) fn alpha(&self) -> f64 {
        let whole = self.whole.as_ref();
        whole
            .and_then(|w| w.pointer("/estimator/alpha")?.as_f64())
            .unwrap_or(1.0)
    }
}
