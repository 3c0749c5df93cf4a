//! From a plan to living components: libraries loaded, models in memory, files open.

use std::sync::Arc;

use serde_json::{Map, Value};
use tale_api::{ComponentKind, Error, Feasibility, Sampling, host::Plugin};
use tale_plugin_standard::{Method, PromptSet, feasibility::Greedy};

use super::{ComponentPlan, Plan};
use crate::{
    diagnostics::Diagnostic,
    manifest::{self, LlmSpec, RelativeTo, SearchSpec, SearchStrategy, SweepSpec, Task},
    pipeline::{
        BudgetRule, BudgetSource, CallDefaults, DatasetSetup, EstimateOn, EstimatorSetup,
        Evaluation, Fallback, Ledger, LlmSetup, MethodSetup, Rule, Search, Strategy, Sweep,
        SweepPoint, Work,
    },
    registry::Registry,
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
}

/// Living components and what tells their content from another's.
pub struct Opened {
    /// Ready to run.
    pub work: Work,
    /// Digests of models and data sets, by label; a run refuses to resume over changed ones.
    pub digests: serde_json::Map<String, serde_json::Value>,
}

impl Plan {
    /// Loads the libraries and creates the components.
    ///
    /// # Errors
    /// The first that fails.
    pub async fn open(&self, registry: &Registry, store: Arc<Store>) -> Result<Opened, OpenError> {
        let mut digests = serde_json::Map::new();
        let mut datasets = Vec::new();
        for plan in &self.datasets {
            let setup = self.open_dataset(registry, plan).await?;
            if let Some(digest) = &setup.info.digest {
                digests.insert(format!("dataset {}", setup.label), digest.clone().into());
            }
            datasets.push(setup);
        }
        let estimator = self.open_estimator(registry).await?;
        let mut llms = Vec::new();
        for (plan, spec) in self.llms.iter().zip(&self.manifest.llm) {
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
            let (llm, info) = created.await.map_err(|e| failed(component, e))?;
            if let Some(digest) = &info.digest {
                digests.insert(format!("llm {}", plan.label), digest.clone().into());
            }
            let defaults = call_defaults(spec, self.manifest.seed);
            let prices = spec.prices.map(Into::into);
            let source = self.source_of(component, &spec.options);
            let ledger = Ledger::new(llm, info, &source, prices, defaults, Arc::clone(&store));
            llms.push(LlmSetup {
                label: plan.label.clone(),
                ledger: Arc::new(ledger),
            });
        }
        let prompts = Arc::new(self.prompts.clone());
        let concurrency = self.manifest.concurrency as usize;
        let work = match self.manifest.task {
            Task::Evaluate => Work::Evaluate(Evaluation {
                llms,
                datasets,
                methods: self.methods.iter().map(|m| method(m, &prompts)).collect(),
                estimator,
                concurrency,
                store,
            }),
            task => {
                let search = Search {
                    llms,
                    datasets,
                    // Without a budget, this is the prompt of `vanilla-cot`; with one, of `fixed-<b>`.
                    render: method(&Method::TaleEp, &prompts).render,
                    rule: rule(self.manifest.search.unwrap_or_default()),
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
        Ok(Opened { work, digests })
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

    /// What tells a model from another of the same name and weights: the plugin, and the options as
    /// the manifest has them. What the runtime fills in (files, slots) changes no answer, nor do
    /// options that only say in what manner it is fetched (time-outs, limits, where the key is).
    fn source_of(&self, component: &ComponentPlan, options: &Map<String, Value>) -> String {
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
        if let Some(options) = options.as_object_mut() {
            options.retain(|name, _| !super::option_marked(schema, name, "manner"));
        }
        format!("{}\n{}", component.located.plugin, options)
    }

    /// Creates one data set.
    pub(super) async fn open_dataset(
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

    async fn open_estimator(
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
    let name = method.to_string();
    let (method, prompts) = (method.clone(), Arc::clone(prompts));
    let render = move |question: &tale_api::Question, budget: Option<u32>| {
        prompts
            .render(&method, question, budget)
            .map_err(|e| e.to_string())
    };
    MethodSetup {
        name,
        budget,
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

fn call_defaults(spec: &LlmSpec, seed: u64) -> CallDefaults {
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

fn load(registry: &Registry, component: &ComponentPlan) -> Result<Plugin, OpenError> {
    registry
        .load(&component.located, &component.policy, component.residence)
        .map_err(OpenError::Load)
}

fn failed(component: &ComponentPlan, source: Error) -> OpenError {
    let info = &component.located.component;
    OpenError::Create {
        kind: info.kind,
        name: info.name.clone(),
        source,
    }
}
