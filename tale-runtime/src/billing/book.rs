//! Dated prices as data, looked up by a model's name.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{PriceOrigin, Rates, Tariff};

/// The environment variable that names a price file of the user's.
pub const VARIABLE: &str = "TALE_PRICES";

const BUILT_IN: &str = include_str!("../../catalogue/prices.toml");

/// Prices of many models.
#[derive(Clone, Debug)]
pub struct PriceBook {
    entries: Vec<Entry>,
    /// The file, if it is not the built-in one.
    path: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    price: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    model: String,
    as_of: String,
    #[serde(default)]
    source: String,
    input: f64,
    #[serde(default)]
    cached_input: Option<f64>,
    output: f64,
    #[serde(default)]
    batch: Option<f64>,
    #[serde(default)]
    tiers: BTreeMap<String, Rates>,
}

/// Why a price file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PriceBookError {
    /// It cannot be read.
    #[error("cannot read price file `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no price file.
    #[error("price file `{path}` cannot be used")]
    Parse {
        /// The file.
        path: String,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A price or a factor is no number of 0 or more.
    #[error("price file `{path}`: a price of `{model}` is not 0 or more")]
    Negative {
        /// The file.
        path: String,
        /// The entry's name.
        model: String,
    },
}

impl PriceBook {
    /// The prices that are built in.
    ///
    /// # Panics
    /// Never: a test reads the built-in file.
    #[must_use]
    pub fn built_in() -> Self {
        let file: File = toml::from_str(BUILT_IN).expect("a test reads the built-in prices");
        Self {
            entries: file.price,
            path: None,
        }
    }

    /// Reads a price file; the head of `catalogue/prices.toml` says what one looks like.
    ///
    /// # Errors
    /// See [`PriceBookError`].
    pub fn read(path: &Path) -> Result<Self, PriceBookError> {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| PriceBookError::Read {
            path: shown.clone(),
            source,
        })?;
        Self::parse(&text, shown)
    }

    fn parse(text: &str, path: String) -> Result<Self, PriceBookError> {
        let file: File = toml::from_str(text).map_err(|source| PriceBookError::Parse {
            path: path.clone(),
            source: Box::new(source),
        })?;
        if let Some(entry) = file.price.iter().find(|entry| !entry.is_sound()) {
            return Err(PriceBookError::Negative {
                path,
                model: entry.model.clone(),
            });
        }
        Ok(Self {
            entries: file.price,
            path: Some(path),
        })
    }

    /// The prices of `model`: those of the entry with the longest name that it, or the model of
    /// which it is a dated snapshot, bears.
    #[must_use]
    pub fn find(&self, model: &str) -> Option<Tariff> {
        let entry = self
            .entries
            .iter()
            .filter(|entry| is_of(model, &entry.model))
            .max_by_key(|entry| entry.model.len())?;
        let (name, as_of) = (entry.model.clone(), entry.as_of.clone());
        let source = entry.source.clone();
        let origin = match &self.path {
            Some(path) => PriceOrigin::File {
                path: path.clone(),
                model: name,
                as_of,
                source,
            },
            None => PriceOrigin::BuiltIn {
                model: name,
                as_of,
                source,
            },
        };
        let base = Rates {
            input: entry.input,
            cached_input: entry.cached_input,
            output: entry.output,
        };
        Some(Tariff::new(base, entry.batch, entry.tiers.clone(), origin))
    }
}

impl Entry {
    fn is_sound(&self) -> bool {
        let tiers = self.tiers.values();
        let of_tiers = tiers.flat_map(|r| [Some(r.input), r.cached_input, Some(r.output)]);
        [
            Some(self.input),
            self.cached_input,
            Some(self.output),
            self.batch,
        ]
        .into_iter()
        .chain(of_tiers)
        .flatten()
        .all(|price| price >= 0.0 && price.is_finite())
    }
}

/// Whether `model` is the model `name` or a dated snapshot of it. `gpt-4o-audio-preview` and
/// `gpt-5-pro` are other models with other prices.
fn is_of(model: &str, name: &str) -> bool {
    let Some(rest) = model.strip_prefix(name) else {
        return false;
    };
    let Some(suffix) = rest.strip_prefix(['-', '@']) else {
        return rest.is_empty();
    };
    let digits = |part: &str, n: usize| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    match suffix.split('-').collect::<Vec<_>>().as_slice() {
        ["latest"] => true,
        [date] => digits(date, 4) || digits(date, 6) || digits(date, 8),
        [year, month, day] => digits(year, 4) && digits(month, 2) && digits(day, 2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_prices_are_dated_sourced_and_sound() {
        let book = PriceBook::built_in();
        assert!(book.entries.len() >= 18);
        for entry in &book.entries {
            assert!(entry.is_sound(), "{}", entry.model);
            assert!(entry.source.starts_with("https://"), "{}", entry.model);
            assert!(
                is_of(&format!("m-{}", entry.as_of), "m"),
                "{}: no date",
                entry.model
            );
            assert!(entry.output >= entry.input, "{}", entry.model);
            let same = book.entries.iter().filter(|e| e.model == entry.model);
            assert_eq!(same.count(), 1, "{}", entry.model);
        }
    }

    #[test]
    fn a_snapshot_costs_what_its_model_costs_and_the_longest_name_wins() {
        let book = PriceBook::built_in();
        for (model, input) in [
            ("gpt-4o", Some(2.5)),
            ("gpt-4o-2024-08-06", Some(2.5)),
            ("gpt-4o-2024-05-13", Some(5.0)),
            ("gpt-4o-mini-2024-07-18", Some(0.15)),
            ("gpt-4-0613", Some(30.0)),
            ("gpt-5-mini", Some(0.25)),
            ("o3-mini-2025-01-31", Some(1.1)),
            ("yi-lightning", Some(0.14)),
            // Other models, or names that somebody else gave.
            ("gpt-4o-audio-preview", None),
            ("gpt-5-pro", None),
            ("gpt-5.1", None),
            ("openai/gpt-4o", None),
            ("ft:gpt-4o-mini-2024-07-18:us::1", None),
            ("qwen2.5-7b-instruct", None),
            ("", None),
        ] {
            let found = book.find(model).map(|tariff| tariff.base.input);
            assert_eq!(found, input, "{model}");
        }
    }

    #[test]
    fn a_users_file_names_itself_as_the_origin() {
        let text = "[[price]]\nmodel = \"mine\"\nas_of = \"2025-01-01\"\ninput = 1\noutput = 2\n\
                    batch = 0.25\ntiers.flex = { input = 0.5, output = 1 }\n";
        let book = PriceBook::parse(text, "my.toml".to_owned()).unwrap();
        let tariff = book.find("mine-20250101").unwrap();
        assert_eq!(
            tariff.origin.to_string(),
            "prices of 2025-01-01 for mine in my.toml"
        );
        let usage = tale_api::Usage {
            input_tokens: 1_000_000,
            ..Default::default()
        };
        assert_eq!(tariff.cost_usd(&usage, Some("batch")), Some(0.25));
        assert_eq!(tariff.cost_usd(&usage, Some("flex")), Some(0.5));
    }

    #[test]
    fn a_file_with_a_negative_price_or_an_unknown_key_is_refused() {
        let entry = "[[price]]\nmodel = \"m\"\nas_of = \"2025-01-01\"\noutput = 1\n";
        let parse = |more: &str| PriceBook::parse(&format!("{entry}{more}"), "p.toml".to_owned());
        assert!(parse("input = 1\n").is_ok());
        assert!(matches!(
            parse("input = -1\n"),
            Err(PriceBookError::Negative { .. })
        ));
        assert!(matches!(
            parse("input = nan\n"),
            Err(PriceBookError::Negative { .. })
        ));
        assert!(matches!(
            parse("input = 1\nimput = 2\n"),
            Err(PriceBookError::Parse { .. })
        ));
    }
}
