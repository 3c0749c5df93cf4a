//! From a plan to living components: libraries loaded, models in memory, files open.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};
use tale_api::{ComponentKind, DatasetInfo, Error, Feasibility, LlmInfo, Sampling, host::Plugin};
use tale_plugin_standard::{Method, PromptSet, feasibility::Greedy};

use super::{ComponentPlan, LlmPlan, Plan, marks};
use crate::{
    billing::Purse,
    cache::CacheError,
    diagnostics::Diagnostic,
    manifest::{
        self, LlmSpec, RelativeTo, SearchSpec, SearchStart, SearchStrategy, SweepSpec, Task,
    },
    pipeline::{
        ApplyBudget, BudgetRule, BudgetSource, CallDefaults, DatasetSetup, EstimateOn,
        EstimatorSetup, Evaluation, Fallback, Ledger, LlmSetup, MethodSetup, Rule, Search,
        Strategy, Sweep, SweepPoint, Work,
    },
    registry::Registry,
    report::{
        data::{self, DataNote},
        plan::PRICES,
    },
    store::{Store, StoreError},
};

/// Why a component could not be brought to life.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its library cannot be loaded.
    #[error(transparent)]
    Load(Diagnostic),
    /// It could not be created from its options.
    #[error("cannot create {kind} `{name}`: {source}")]
    Create {
        /// Its kind.
        kind: ComponentKind,
        /// Its name.
        name: String,
        /// What it said.
        source: Error,
    },
    /// The journal failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answers of other runs cannot be opened.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Spending is capped, and nobody knows what a model costs.
    #[error("no prices are known for `{model}` (`{label}`), so a cap on the cost cannot be kept")]
    NoPrice {
        /// The model's name in results.
        label: String,
        /// The model.
        model: String,
    },
    /// A method limits hidden reasoning, and a model takes no limit.
    #[error(
        "`{model}` (`{label}`) takes no limit on its reasoning, which the method `{method}` asks for"
    )]
    NoReasoning {
        /// The model's name in results.
        label: String,
        /// The model.
        model: String,
        /// The method.
        method: String,
    },
}

impl OpenError {
    /// How to mend it, if there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoPrice { .. } => Some(
                "say in `[llm.prices]` what a million tokens cost: `input`, `output`; or leave out \
                 the cap"
                    .to_owned(),
            ),
            Self::NoReasoning { .. } => Some(
                "leave the method out, or name a model whose provider limits reasoning".to_owned(),
            ),
            Self::Cache(e) => e.hint().map(str::to_owned),
            _ => None,
        }
    }

    /// Whether the manifest asks for what cannot be.
    #[must_use]
    pub fn is_of_the_manifest(&self) -> bool {
        matches!(self, Self::NoPrice { .. } | Self::NoReasoning { .. })
    }
}

/// Living components and what tells their content from another's.
pub struct Opened {
    /// Ready to run.
    pub work: Work,
    /// What the run spends; the models share it.
    pub purse: Arc<Purse>,
    /// Digests of models and data sets, by label; a run refuses to resume over changed ones.
    pub digests: serde_json::Map<String, serde_json::Value>,
}

impl Plan {
    /// Loads the libraries and creates the components.
    ///
    /// # Errors
    /// The first that fails.
    ///
    /// # Panics
    /// Never: what is written as JSON is plain data.
    pub async fn open(&self, registry: &Registry, store: Arc<Store>) -> Result<Opened, OpenError> {
        let mut digests = serde_json::Map::new();
        let mut datasets = Vec::new();
        let mut notes = BTreeMap::new();
        for plan in &self.datasets {
            let setup = self.open_dataset(registry, plan).await?;
            if let Some(digest) = &setup.info.digest {
                digests.insert(format!("dataset {}", setup.label), digest.clone().into());
            }
            notes.insert(setup.label.clone(), note(&setup.info));
            datasets.push(setup);
        }
        let notes = serde_json::to_string(&notes).expect("plain data");
        store.set_meta(data::META, notes).await?;
        let estimator = self.open_estimator(registry).await?;
        let spent = store.spent_usd().await?;
        let purse = Arc::new(Purse::new(self.manifest.max_cost_usd, spent));
        let mut cache = None;
        let mut origins = Map::new();
        let mut llms = Vec::new();
        for (plan, spec) in self.llms.iter().zip(&self.manifest.llm) {
            let (llm, info) = self.open_llm(registry, plan).await?;
            self.check_reasoning(plan, &info)?;
            if let Some(digest) = &info.digest {
                digests.insert(format!("llm {}", plan.label), digest.clone().into());
            }
            let defaults = call_defaults(spec, self.manifest.seed);
            let source = self.source_of(&plan.component, &spec.options);
            let tariff = self.tariff_of(plan, &info)?;
            if let Some(tariff) = &tariff {
                origins.insert(plan.label.clone(), tariff.origin.to_string().into());
            }
            let cache = self.open_cache(plan, &info, &mut cache)?;
            let ledger = Ledger::new(llm, info, &source, None, defaults, Arc::clone(&store))
                .with_tariff(tariff, plan.tier.clone())
                .with_purse(Arc::clone(&purse))
                .with_cache(cache);
            llms.push(LlmSetup {
                label: plan.label.clone(),
                ledger: Arc::new(ledger),
            });
        }
        store
            .set_meta(PRICES, serde_json::Value::Object(origins).to_string())
            .await?;
        let prompts = Arc::new(self.prompts.clone());
        let concurrency = self.manifest.concurrency as usize;
        let work = match self.manifest.task {
            Task::Evaluate => Work::Evaluate(Evaluation {
                llms,
                datasets,
                methods: self.methods.iter().map(|m| method(m, &prompts)).collect(),
                estimator,
                repeats: self.manifest.evaluate.repeats,
                concurrency,
                store,
            }),
            task => {
                let spec = self.manifest.search.unwrap_or_default();
                let search = Search {
                    llms,
                    datasets,
                    // Without a budget, this is the prompt of `vanilla-cot`; with one, of `fixed-<b>`.
                    render: method(&Method::TaleEp, &prompts).render,
                    rule: rule(spec),
                    starts_from_wrong: spec.start == SearchStart::Any,
                    feasibility: self.open_feasibility(registry).await?,
                    concurrency,
                    store,
                };
                if task == Task::Search {
                    Work::Search(search)
                } else {
                    let points = self.manifest.sweep.as_ref().map(points);
                    Work::Sweep(Sweep {
                        search,
                        points: points.unwrap_or_default(),
                    })
                }
            }
        };
        Ok(Opened {
            work,
            purse,
            digests,
        })
    }

    async fn open_feasibility(
        &self,
        registry: &Registry,
    ) -> Result<Arc<dyn Feasibility>, OpenError> {
        let Some(component) = &self.feasibility else {
            // A sweep that searches nothing decides nothing.
            return Ok(Arc::new(Greedy));
        };
        let plugin = load(registry, component)?;
        let name = &component.located.component.name;
        plugin
            .feasibility(name, component.options.clone(), &self.env)
            .await
            .map_err(|e| failed(component, e))
    }

    /// Creates one model.
    pub(super) async fn open_llm(
        &self,
        registry: &Registry,
        plan: &LlmPlan,
    ) -> Result<(Arc<dyn tale_api::Llm>, LlmInfo), OpenError> {
        let component = &plan.component;
        let plugin = load(registry, component)?;
        let name = &component.located.component.name;
        let created = async {
            let llm = plugin
                .llm(name, component.options.clone(), &self.env)
                .await?;
            let info = llm.info().await?;
            Ok((llm, info))
        };
        created.await.map_err(|e| failed(component, e))
    }

    /// Refuses a method that limits hidden reasoning where the model takes no limit.
    fn check_reasoning(&self, llm: &LlmPlan, info: &LlmInfo) -> Result<(), OpenError> {
        let asks = |method: &&Method| {
            method.reasoning().is_some()
                || (method.needs_estimate()
                    && self.manifest.estimator.apply != manifest::Apply::Prompt)
        };
        match self.methods.iter().find(asks) {
            Some(method) if !info.capabilities.reasoning => Err(OpenError::NoReasoning {
                label: llm.label.clone(),
                model: info.model.clone(),
                method: method.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// What tells a model from another of the same name and weights: the plugin, and those options
    /// of the manifest that change answers. What the runtime fills in (files, slots) changes none.
    pub(super) fn source_of(
        &self,
        component: &ComponentPlan,
        options: &Map<String, Value>,
    ) -> String {
        let mut options = Value::Object(options.clone());
        for secret in &self.secrets {
            if let [table, _, key, path @ ..] = secret.as_slice()
                && table == "llm"
                && key == "options"
            {
                manifest::without_secret(&mut options, path);
            }
        }
        let schema = &component.located.component.options;
        let options = options.as_object().cloned().unwrap_or_default();
        let options = marks::that_change_answers(schema, &options);
        format!("{}\n{}", component.located.plugin, Value::Object(options))
    }

    /// Creates one data set.
    pub(crate) async fn open_dataset(
        &self,
        registry: &Registry,
        plan: &super::DatasetPlan,
    ) -> Result<DatasetSetup, OpenError> {
        let component = &plan.component;
        let plugin = load(registry, component)?;
        let name = &component.located.component.name;
        let created = async {
            let dataset = plugin
                .dataset(name, component.options.clone(), &self.env)
                .await?;
            let info = dataset.info().await?;
            Ok((dataset, info))
        };
        let (dataset, info) = created.await.map_err(|e| failed(component, e))?;
        Ok(DatasetSetup {
            label: plan.label.clone(),
            dataset,
            info,
            selection: plan.selection,
        })
    }

    pub(super) async fn open_estimator(
        &self,
        registry: &Registry,
    ) -> Result<Option<EstimatorSetup>, OpenError> {
        let Some(component) = &self.estimator else {
            return Ok(None);
        };
        let plugin = load(registry, component)?;
        let name = &component.located.component.name;
        let estimator = plugin
            .estimator(name, component.options.clone(), &self.env)
            .await
            .map_err(|e| failed(component, e))?;
        let spec = &self.manifest.estimator;
        let rule = BudgetRule {
            alpha: spec.alpha,
            min: spec.min_budget,
            max: spec.max_budget,
            fallback: match spec.fallback {
                manifest::Fallback::VanillaCot => Fallback::VanillaCot,
                manifest::Fallback::Budget(tokens) => Fallback::Budget(tokens),
                manifest::Fallback::Skip => Fallback::Fail,
            },
        };
        let on = match self.manifest.evaluate.estimate_on {
            manifest::EstimateOn::Question => EstimateOn::Question,
            manifest::EstimateOn::FullPrompt => EstimateOn::FullPrompt,
        };
        Ok(Some(EstimatorSetup {
            estimator,
            rule,
            on,
            apply: match spec.apply {
                manifest::Apply::Prompt => ApplyBudget::Prompt,
                manifest::Apply::Provider => ApplyBudget::Provider,
                manifest::Apply::Both => ApplyBudget::Both,
            },
        }))
    }
}

/// A method with its template.
pub(super) fn method(method: &Method, prompts: &Arc<PromptSet>) -> MethodSetup {
    let budget = match method {
        m if m.needs_estimate() => BudgetSource::Estimated { alpha: m.alpha() },
        m => m
            .fixed_budget()
            .map_or(BudgetSource::None, BudgetSource::Fixed),
    };
    let (name, reasoning) = (method.to_string(), method.reasoning());
    let (method, prompts) = (method.clone(), Arc::clone(prompts));
    let render = move |question: &tale_api::Question, budget: Option<u32>| {
        prompts
            .render(&method, question, budget)
            .map_err(|e| e.to_string())
    };
    MethodSetup {
        name,
        budget,
        reasoning,
        render: Arc::new(render),
    }
}

fn rule(spec: SearchSpec) -> Rule {
    let strategy = match spec.strategy {
        SearchStrategy::Paper => Strategy::Paper,
        SearchStrategy::AsPrinted => Strategy::AsPrinted,
        SearchStrategy::Reference => Strategy::Reference,
        SearchStrategy::Refine => Strategy::Refine {
            min_gain: spec.refine.min_gain,
            max_extra: spec.refine.max_extra_calls,
        },
    };
    Rule {
        strategy,
        max_steps: spec.max_steps,
    }
}

/// The budgets of a sweep.
pub(super) fn points(spec: &SweepSpec) -> Vec<SweepPoint> {
    let factors = spec.factors.iter().map(|factor| match spec.relative_to {
        RelativeTo::Vanilla => SweepPoint::OfVanilla(*factor),
        RelativeTo::Searched => SweepPoint::OfSearched(*factor),
    });
    let budgets = spec
        .budgets
        .iter()
        .map(|tokens| SweepPoint::Budget(*tokens));
    factors.chain(budgets).collect()
}

pub(super) fn call_defaults(spec: &LlmSpec, seed: u64) -> CallDefaults {
    CallDefaults {
        sampling: Sampling {
            temperature: Some(spec.temperature),
            top_p: spec.top_p,
            top_k: spec.top_k,
            repetition_penalty: spec.repetition_penalty,
        },
        max_tokens: Some(spec.max_tokens),
        stop: spec.stop.clone(),
        seed: Some(seed),
        timeout_s: spec.timeout_s,
    }
}

/// What the report will say of a data set.
fn note(info: &DatasetInfo) -> DataNote {
    let skipped = info.skipped.clone().unwrap_or_default();
    DataNote {
        size: info.size,
        licence: info.license.clone(),
        source: info.source.clone(),
        skipped: skipped.records,
        first_skipped: Some(skipped.first).filter(|first| !first.is_empty()),
        group: info.group,
    }
}

pub(crate) fn load(registry: &Registry, component: &ComponentPlan) -> Result<Plugin, OpenError> {
    registry
        .load(&component.located, &component.policy, component.residence)
        .map_err(OpenError::Load)
}

pub(crate) fn failed(component: &ComponentPlan, source: Error) -> OpenError {
    let info = &component.located.component;
    OpenError::Create {
        kind: info.kind,
        name: info.name.clone(),
        source,
    }
}
