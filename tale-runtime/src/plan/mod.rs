//! The plan: a manifest resolved and checked, ready to run.
//!
//! Only a plan reaches a pipeline. Making one finds the plugins, holds options against their
//! schemas, and resolves names to files; it runs no plugin code and loads no library. Everything
//! that is wrong is told at once, each with its place in the manifest.

mod costs;
mod demands;
pub(crate) mod files;
pub(crate) mod marks;
pub(crate) mod open;
mod outlook;
mod preview;
mod training;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value};
use tale_api::{
    ComponentKind, CreateEnv,
    host::{Deadlines, LoadPolicy},
};
use tale_plugin_standard::{Method, PromptSet};

use crate::{
    diagnostics::{Diagnostic, Diagnostics},
    fetch,
    manifest::{self, IsolationSpec, Loaded, Manifest, PluginSpec, Source},
    pipeline::{Draw, Selection},
    registry::{Located, Registry, Residence},
};

use costs::Books;
use marks::Nature;

pub use costs::Pricing;
pub use open::{OpenError, Opened};
pub use outlook::Outlook;
pub use preview::{Forecast, Preview, PreviewError, PromptPreview};
pub use training::{AdapterPlan, TrainerPlan, TrainingPlan};

/// A manifest resolved and checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The manifest with its defaults.
    pub manifest: Manifest,
    /// The models, in order.
    pub llms: Vec<LlmPlan>,
    /// The data sets, in order.
    pub datasets: Vec<DatasetPlan>,
    /// The data sets on which trained models are compared.
    pub held_out: Vec<DatasetPlan>,
    /// What is trained, if the task trains.
    pub training: Option<TrainingPlan>,
    /// The estimator, if a method needs one.
    pub estimator: Option<ComponentPlan>,
    /// The rule of feasibility, if the task searches.
    pub feasibility: Option<ComponentPlan>,
    /// The methods, in order.
    pub methods: Vec<Method>,
    /// The prompts.
    pub prompts: PromptSet,
    /// What every component is created with.
    pub env: CreateEnv,
    /// Paths in the manifest whose values are secret.
    pub secrets: Vec<Vec<String>>,
    /// What a person should know before it runs; no errors.
    pub warnings: Diagnostics,
}

/// A component to be created.
#[derive(Clone, Debug)]
pub struct ComponentPlan {
    /// Who offers it.
    pub located: Located,
    /// Its options, complete.
    pub options: Value,
    /// What is demanded of its library.
    pub policy: LoadPolicy,
    /// Where its library is loaded.
    pub residence: Residence,
}

/// A model to be created.
#[derive(Clone, Debug)]
pub struct LlmPlan {
    /// Its name in results.
    pub label: String,
    /// The component.
    pub component: ComponentPlan,
    /// What is known of its prices.
    pub pricing: Pricing,
    /// The class of service that its options ask for.
    pub tier: Option<String>,
    /// What it is to the runtime.
    nature: Nature,
}

/// A data set to be created.
#[derive(Clone, Debug)]
pub struct DatasetPlan {
    /// Its name in results.
    pub label: String,
    /// The component.
    pub component: ComponentPlan,
    /// Which of its questions.
    pub selection: Selection,
}

impl Plan {
    /// Reads the manifest at `path`, with `sets` (`key.path=value`) laid over it, and resolves it.
    /// `registry` makes the registry once the manifest's `plugin_dirs` are known.
    ///
    /// # Errors
    /// Everything that is wrong with the manifest, its files and its plugins.
    pub fn read(
        path: &Path,
        sets: &[String],
        registry: impl FnOnce(&[PathBuf]) -> Result<Registry, Diagnostics>,
    ) -> Result<(Self, Registry), Diagnostics> {
        Self::resolve(manifest::read(path, sets), registry)
    }

    /// As [`Plan::read`], of a manifest that has been read.
    ///
    /// # Errors
    /// As [`Plan::read`].
    pub fn resolve(
        (loaded, mut problems): (Option<Loaded>, Diagnostics),
        registry: impl FnOnce(&[PathBuf]) -> Result<Registry, Diagnostics>,
    ) -> Result<(Self, Registry), Diagnostics> {
        let Some(loaded) = loaded else {
            return Err(problems);
        };
        let base = loaded.source.base_dir().to_owned();
        let dirs: Vec<PathBuf> = loaded
            .manifest
            .plugin_dirs
            .iter()
            .map(|d| base.join(d))
            .collect();
        let registry = match registry(&dirs) {
            Ok(registry) => registry,
            Err(e) => {
                // What the manifest itself has wrong is told along with it.
                problems.extend(e.0);
                return Err(problems);
            }
        };
        let plan = Resolver {
            registry: &registry,
            loaded,
            problems: &mut problems,
            used: BTreeSet::new(),
        }
        .plan();
        problems.sort();
        match plan {
            Some(mut plan) if !problems.has_errors() => {
                plan.warnings = problems;
                Ok((plan, registry))
            }
            _ => Err(problems),
        }
    }

    /// Environment variables that the options of a model name and that are not set: no matter for a
    /// plan, but a run would end before its first call.
    #[must_use]
    pub fn missing_variables(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for llm in &self.llms {
            let schema = &llm.component.located.component.options;
            let options = llm.component.options.as_object().into_iter().flatten();
            for (name, value) in options {
                let mark = schema.pointer(&format!("/properties/{name}/x-tale-env"));
                if let (Some(Value::Bool(true)), Some(variable)) = (mark, value.as_str())
                    && std::env::var_os(variable).is_none_or(|v| v.is_empty())
                    && !missing.iter().any(|m| m == variable)
                {
                    missing.push(variable.to_owned());
                }
            }
        }
        missing
    }

    /// Whether a method needs an estimate.
    #[must_use]
    pub fn needs_estimator(&self) -> bool {
        self.methods.iter().any(Method::needs_estimate)
    }
}

/// Slots that an engine is given unasked. More cost memory and gain little; a manifest can ask for
/// them.
const MOST_SLOTS: u32 = 32;

/// Where in the manifest a component is named.
struct At<'a> {
    kind: ComponentKind,
    /// Path of its table, for instance `["llm", "0"]`.
    table: Vec<String>,
    plugin: &'a str,
    options: &'a Map<String, Value>,
    /// Keys of the table that are options of the plugin under the same name.
    lifted: Vec<(&'static str, Value)>,
    /// The run's own prompts, for an estimator that asks by one of them.
    prompts: Option<&'a PromptSet>,
}

struct Resolver<'a> {
    registry: &'a Registry,
    loaded: Loaded,
    problems: &'a mut Diagnostics,
    /// Names by which the manifest may speak of the plugins that the run uses: theirs, and those of
    /// their components.
    used: BTreeSet<String>,
}

impl Resolver<'_> {
    fn plan(mut self) -> Option<Plan> {
        let manifest = self.loaded.manifest.clone();
        let prompts = self.prompts(&manifest);
        let methods = prompts
            .as_ref()
            .map(|set| self.methods(&manifest, set))
            .unwrap_or_default();
        let mut secrets = Vec::new();

        let llms = self.llms(&manifest, &mut secrets);
        let asked = ("dataset", manifest.dataset.as_slice());
        let datasets = self.datasets(&manifest, asked, &mut secrets);
        let held_out = match &manifest.held_out {
            Some(held_out) => {
                let asked = ("held_out", held_out.as_slice());
                self.datasets(&manifest, asked, &mut secrets)
            }
            None => Vec::new(),
        };
        let training = self.training(&manifest, &llms, &mut secrets);

        let mut estimator = None;
        let evaluates = matches!(
            manifest.task,
            manifest::Task::Evaluate | manifest::Task::PostTrain
        );
        if evaluates && methods.iter().any(Method::needs_estimate) {
            let spec = &manifest.estimator;
            let at = At {
                kind: ComponentKind::Estimator,
                table: vec!["estimator".into()],
                plugin: &spec.plugin,
                options: &spec.options,
                lifted: Vec::new(),
                prompts: prompts
                    .as_ref()
                    .filter(|_| manifest.evaluate.prompts.is_some()),
            };
            estimator = self.component(&manifest, &at, &mut secrets);
        }

        let feasibility = manifest
            .feasibility
            .as_ref()
            .filter(|_| manifest.searches());
        let feasibility = feasibility.and_then(|spec| {
            let at = At {
                kind: ComponentKind::Feasibility,
                table: vec!["feasibility".into()],
                plugin: &spec.plugin,
                options: &spec.options,
                lifted: Vec::new(),
                prompts: None,
            };
            self.component(&manifest, &at, &mut secrets)
        });

        self.check_demands(&manifest);

        let cache_dir = match fetch::Store::open() {
            Ok(store) => store.root().to_owned(),
            Err(e) => {
                self.problems.push(Diagnostic::from_error(&e));
                return None;
            }
        };
        let base_dir = std::path::absolute(self.source().base_dir()).unwrap_or_default();
        let env = CreateEnv {
            base_dir,
            cache_dir,
            seed: manifest.seed,
        };
        Some(Plan {
            llms,
            datasets,
            held_out,
            training,
            estimator,
            feasibility,
            methods,
            prompts: prompts?,
            env,
            secrets,
            warnings: Diagnostics::default(),
            manifest,
        })
    }

    fn llms(&mut self, manifest: &Manifest, secrets: &mut Vec<Vec<String>>) -> Vec<LlmPlan> {
        let books = match Books::of(manifest, self.source().base_dir()) {
            Ok(books) => books,
            Err(e) => {
                let mut problem = Diagnostic::from_error(&e);
                if manifest.prices.is_some() {
                    problem = problem.place(self.source().at(&["prices"]));
                }
                self.problems.push(problem);
                return Vec::new();
            }
        };
        let mut llms = Vec::new();
        for (i, spec) in manifest.llm.iter().enumerate() {
            let at = At {
                kind: ComponentKind::Llm,
                table: vec!["llm".into(), i.to_string()],
                plugin: &spec.plugin,
                options: &spec.options,
                lifted: spec
                    .model
                    .iter()
                    .map(|m| ("model", Value::from(m.clone())))
                    .collect(),
                prompts: None,
            };
            if let Some(component) = self.component(manifest, &at, secrets) {
                let schema = &component.located.component.options;
                let nature = Nature::of(schema);
                let model = component.options.get("model").and_then(Value::as_str);
                llms.push(LlmPlan {
                    label: spec.label().to_owned(),
                    pricing: books.pricing(spec.prices.as_ref(), model, nature),
                    tier: marks::service_tier(schema, &spec.options),
                    nature,
                    component,
                });
            }
        }
        llms
    }

    fn datasets(
        &mut self,
        manifest: &Manifest,
        (name, specs): (&str, &[manifest::DatasetSpec]),
        secrets: &mut Vec<Vec<String>>,
    ) -> Vec<DatasetPlan> {
        let mut datasets = Vec::new();
        for (i, spec) in specs.iter().enumerate() {
            let table = vec![name.to_owned(), i.to_string()];
            let mut lifted = Vec::new();
            if let Some(path) = self.dataset_file(spec, &table) {
                lifted.push(("path", Value::from(path.display().to_string())));
            }
            if spec.on_error == manifest::OnError::Skip {
                lifted.push(("on_error", Value::from("skip")));
            }
            let kind = ComponentKind::Dataset;
            let (plugin, options) = (&*spec.plugin, &spec.options);
            let at = At {
                kind,
                table,
                plugin,
                options,
                lifted,
                prompts: None,
            };
            if let Some(component) = self.component(manifest, &at, secrets) {
                let draw = spec.sample.map(|s| Draw {
                    n: s.n,
                    seed: s.seed.unwrap_or(manifest.seed),
                });
                let selection = Selection {
                    offset: spec.offset,
                    limit: spec.limit,
                    draw,
                };
                datasets.push(DatasetPlan {
                    label: spec.label().to_owned(),
                    component,
                    selection,
                });
            }
        }
        datasets
    }

    fn source(&self) -> &Source {
        &self.loaded.source
    }

    /// Finds a component and checks its options.
    fn component(
        &mut self,
        manifest: &Manifest,
        at: &At<'_>,
        secrets: &mut Vec<Vec<String>>,
    ) -> Option<ComponentPlan> {
        self.used.insert(at.plugin.to_owned());
        let located = match self.locate(manifest, at) {
            Ok(located) => {
                self.used.insert(located.plugin.clone());
                located
            }
            Err(diagnostic) => {
                let key = path(&at.table, &["plugin"]);
                let place = self.source().at(&key);
                self.problems.push(diagnostic.place(place));
                return None;
            }
        };
        let schema = &located.component.options;
        secrets.extend(manifest::secret_options(schema).into_iter().map(|option| {
            let mut secret = path(&at.table, &["options"]);
            secret.extend(option);
            secret
        }));

        let mut options = at.options.clone();
        let lifted: Vec<&str> = at.lifted.iter().map(|(key, _)| *key).collect();
        for (key, value) in &at.lifted {
            options.entry(*key).or_insert_with(|| value.clone());
        }
        if at.kind == ComponentKind::Llm {
            self.model_file(&at.table, schema, &mut options);
        }
        if let Some(prompts) = at.prompts
            && marks::is_marked(schema, "prompt", "estimate-prompt")
        {
            options
                .entry("prompt")
                .or_insert_with(|| prompts.estimate_template().into());
        }
        if marks::is_marked(schema, "slots", "concurrency") {
            let slots = manifest.concurrency.min(MOST_SLOTS);
            options.entry("slots").or_insert_with(|| slots.into());
        }
        let plugin = format!("{} `{}`", at.kind, at.plugin);
        let options = Value::Object(options);
        for problem in self
            .source()
            .check_options(&at.table, &lifted, &plugin, schema, &options)
        {
            self.problems.push(problem);
        }
        // Without its place: the line would show what does not belong there.
        for name in at.options.keys() {
            if marks::is_marked(schema, name, "refused") {
                let why = schema.pointer(&format!("/properties/{name}/description"));
                let problem = Diagnostic::error(format!("option `{name}` of {plugin} is refused"));
                self.problems.push(match why.and_then(Value::as_str) {
                    Some(why) => problem.help(why.replace('\n', " ")),
                    None => problem,
                });
            }
        }
        let spec = plugin_spec(manifest, at.plugin, &located.plugin);
        let residence = match spec.map(|spec| spec.isolation) {
            Some(IsolationSpec::Process) => Residence::OwnProcess,
            _ => Residence::Here,
        };
        if residence == Residence::OwnProcess && located.path.is_none() {
            let key = [at.plugin, located.plugin.as_str()]
                .into_iter()
                .find(|name| manifest.plugins.contains_key(*name))
                .unwrap_or(at.plugin);
            let place = self.source().at(&["plugins", key, "isolation"]);
            let message = format!("`{}` is linked into `tale` and needs no process", at.plugin);
            let help = "leave `isolation` out; only a library that is loaded can be isolated";
            self.problems
                .push(Diagnostic::at(place, message).help(help));
        }
        let policy = policy(spec);
        Some(ComponentPlan {
            located,
            options,
            policy,
            residence,
        })
    }

    fn locate(&self, manifest: &Manifest, at: &At<'_>) -> Result<Located, Diagnostic> {
        match manifest
            .plugins
            .get(at.plugin)
            .and_then(|spec| spec.path.as_ref())
        {
            Some(path) => {
                let path = self.source().base_dir().join(path);
                self.registry.locate_in(&path, at.kind, at.plugin)
            }
            None => self.registry.locate(at.kind, at.plugin),
        }
    }

    fn prompts(&mut self, manifest: &Manifest) -> Option<PromptSet> {
        let Some(file) = &manifest.evaluate.prompts else {
            return Some(PromptSet::standard());
        };
        let key = ["evaluate", "prompts"];
        let path = self.source().base_dir().join(file);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) => {
                let message = format!("cannot read prompt file `{}`", path.display());
                let problem = Diagnostic::at(self.source().at(&key), message).cause(e.to_string());
                self.problems.push(problem);
                return None;
            }
        };
        match PromptSet::from_toml(&text) {
            Ok(set) => Some(set),
            Err(e) => {
                let message = format!("prompt file `{}` cannot be used", path.display());
                let mut problem =
                    Diagnostic::at(self.source().at(&key), message).cause(e.to_string());
                if let Some(hint) = e.hint() {
                    problem = problem.help(hint);
                }
                self.problems.push(problem);
                None
            }
        }
    }

    fn methods(&mut self, manifest: &Manifest, prompts: &PromptSet) -> Vec<Method> {
        let mut methods = Vec::new();
        for (i, name) in manifest.evaluate.methods.iter().enumerate() {
            match prompts.method(name) {
                Ok(method) => methods.push(method),
                Err(e) => {
                    let place = self.source().at(&["evaluate", "methods", &i.to_string()]);
                    let mut problem = Diagnostic::at(place, e.to_string());
                    if let Some(hint) = e.hint() {
                        problem = problem.help(hint);
                    }
                    self.problems.push(problem);
                }
            }
        }
        methods
    }
}

/// What the manifest says of a plugin, under the component's name or the plugin's.
fn plugin_spec<'a>(
    manifest: &'a Manifest,
    component: &str,
    plugin: &str,
) -> Option<&'a PluginSpec> {
    let plugins = &manifest.plugins;
    plugins.get(component).or_else(|| plugins.get(plugin))
}

fn policy(spec: Option<&PluginSpec>) -> LoadPolicy {
    let mut policy = LoadPolicy::default();
    if let Some(spec) = spec {
        policy.sha256.clone_from(&spec.sha256);
        policy.allow_writable_by_others = spec.allow_writable_dir;
        if let Some(seconds) = spec.timeout_s {
            policy.deadlines = Deadlines::all(Duration::from_secs_f64(seconds));
        }
    }
    policy
}

/// `table` with further segments.
fn path(table: &[String], more: &[&str]) -> Vec<String> {
    table
        .iter()
        .cloned()
        .chain(more.iter().map(|s| (*s).to_owned()))
        .collect()
}
