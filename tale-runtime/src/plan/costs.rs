//! What a plan says about money and about the answers of other runs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use tale_api::LlmInfo;

use super::{LlmPlan, OpenError, Plan, marks::Nature};
use crate::{
    billing::{PriceBook, PriceBookError, PriceOrigin, Rates, Tariff, VARIABLE},
    cache::{self, Access, AnswerCache},
    manifest::{CacheMode, Manifest, PricesSpec},
};

/// What is known of a model's prices before the model is there.
#[derive(Clone, Debug, Default)]
pub struct Pricing {
    /// Of the manifest or of the user's price file: they stand.
    firm: Option<Tariff>,
    /// Of the built-in price file, for remote models: they stand unless the plugin knows better.
    listed: Option<Tariff>,
}

impl Pricing {
    /// The prices of the model that says `info` of itself.
    #[must_use]
    pub fn tariff(&self, info: Option<&LlmInfo>) -> Option<Tariff> {
        let own = info.and_then(|info| info.prices).map(Tariff::from);
        self.firm.clone().or(own).or_else(|| self.listed.clone())
    }
}

/// The price files of a run.
pub(super) struct Books {
    own: Option<PriceBook>,
    built_in: PriceBook,
}

impl Books {
    /// The built-in prices, and those of the file that the manifest or the environment names.
    pub(super) fn of(manifest: &Manifest, base: &Path) -> Result<Self, PriceBookError> {
        let named = manifest.prices.as_ref().map(|file| base.join(file));
        let path = named.or_else(|| {
            let value = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        });
        Ok(Self {
            own: path.map(|path| PriceBook::read(&path)).transpose()?,
            built_in: PriceBook::built_in(),
        })
    }

    pub(super) fn pricing(
        &self,
        spec: Option<&PricesSpec>,
        model: Option<&str>,
        nature: Nature,
    ) -> Pricing {
        let own = || self.own.as_ref()?.find(model?);
        let listed = || self.built_in.find(model?);
        Pricing {
            firm: spec.map(tariff).or_else(own),
            listed: if nature == Nature::Remote {
                listed()
            } else {
                None
            },
        }
    }
}

fn tariff(spec: &PricesSpec) -> Tariff {
    let base = Rates {
        input: spec.input,
        cached_input: spec.cached_input,
        output: spec.output,
    };
    let tiers: BTreeMap<String, Rates> = spec
        .tiers
        .iter()
        .map(|(name, rates)| {
            let rates = Rates {
                input: rates.input,
                cached_input: rates.cached_input,
                output: rates.output,
            };
            (name.clone(), rates)
        })
        .collect();
    Tariff::new(base, spec.batch, tiers, PriceOrigin::Manifest)
}

impl Plan {
    /// Where the answers of other runs lie, if this run takes any of this model's.
    #[must_use]
    pub fn cache_of(&self, llm: &LlmPlan, info: &LlmInfo) -> Option<(PathBuf, Access)> {
        let spec = &self.manifest.cache;
        // A model of which nobody knows the weights may be another under the same name tomorrow.
        let is_known = llm.nature == Nature::Remote || info.digest.is_some();
        let repeats_itself = info.capabilities.seed || llm.nature == Nature::Remote;
        let wanted = match spec.mode {
            CacheMode::Off => false,
            CacheMode::On => true,
            CacheMode::Auto | CacheMode::ReadOnly => {
                llm.nature != Nature::Recorded && repeats_itself
            }
        };
        let access = match spec.mode {
            CacheMode::ReadOnly => Access::ReadOnly,
            _ => Access::ReadWrite,
        };
        (is_known && wanted).then(|| (self.cache_path(), access))
    }

    /// The file of answers that this run would use.
    #[must_use]
    pub fn cache_path(&self) -> PathBuf {
        match &self.manifest.cache.path {
            Some(path) => self.env.base_dir.join(path),
            None => cache::in_folder(&self.env.cache_dir),
        }
    }

    /// Opens the cache for this model, or gives the one that another model of the run uses.
    pub(super) fn open_cache(
        &self,
        llm: &LlmPlan,
        info: &LlmInfo,
        opened: &mut Option<Arc<AnswerCache>>,
    ) -> Result<Option<Arc<AnswerCache>>, OpenError> {
        let Some((path, access)) = self.cache_of(llm, info) else {
            return Ok(None);
        };
        if opened.is_none() {
            *opened = match AnswerCache::open(&path, access) {
                Ok(cache) => Some(Arc::new(cache)),
                // Nobody asked for it, so nobody is stopped by it.
                Err(e) if self.manifest.cache.mode == CacheMode::Auto => {
                    tracing::warn!(error = %e, "runs without the answers of earlier ones");
                    return Ok(None);
                }
                Err(e) => return Err(e.into()),
            };
        }
        Ok(opened.clone())
    }

    /// The model's prices, which must be known where spending is capped.
    pub(super) fn tariff_of(
        &self,
        llm: &LlmPlan,
        info: &LlmInfo,
    ) -> Result<Option<Tariff>, OpenError> {
        let tariff = llm.pricing.tariff(Some(info));
        // Weights that are here bill nobody.
        let is_free = llm.nature != Nature::Remote && info.digest.is_some();
        if self.manifest.max_cost_usd.is_some() && tariff.is_none() && !is_free {
            return Err(OpenError::NoPrice {
                label: llm.label.clone(),
                model: info.model.clone(),
            });
        }
        Ok(tariff)
    }
}
