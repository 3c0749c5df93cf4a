//! The checks that every plugin should pass: one small check per rule.
//!
//! ```no_run
//! # async fn example(plugin: &tale_api::host::Plugin) {
//! use tale_api::{ComponentKind, conformance::{Sample, check}};
//! let sample = Sample::new(serde_json::json!({"path": "fixtures/questions.jsonl"}));
//! let report = check(plugin, ComponentKind::Dataset, "jsonl", &sample).await;
//! assert!(report.is_passed(), "{report}");
//! # }
//! ```
//! Rules are chosen by the kind of component and by what it declares it can do; those that do not
//! apply are listed as skipped, with the reason. The checks make real calls: with a model that costs
//! money they cost some (about 350 calls of a few tokens).

mod common;
mod dataset;
mod estimator;
mod feasibility;
mod llm;
mod report;
mod trainer;

use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    future::Future,
    pin::Pin,
    time::Duration,
};

pub use report::{Check, Outcome, Report};

use crate::{
    host::{LoadError, LoadPolicy, Plugin},
    messages::{ComponentKind, CreateEnv, TrainJob},
};

/// Loads the library of `package` as it was built for the integration test that calls this: beside
/// the test's own program.
///
/// # Errors
/// As [`Plugin::load`]: it is not there where the package has no `cdylib` among its crate types.
pub fn library(package: &str) -> Result<Plugin, LoadError> {
    let name = package.replace('-', "_");
    let file = format!("{DLL_PREFIX}{name}{DLL_SUFFIX}");
    let path = std::env::current_exe()
        .map_or_else(|_| file.clone().into(), |exe| exe.with_file_name(&file));
    Plugin::load(&path, &LoadPolicy::default())
}

/// What a component is checked with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// Options that it can be created with.
    pub options: serde_json::Value,
    /// The rest of what it is created with.
    pub env: CreateEnv,
    /// A short training, for trainers. Its `output_dir` is emptied by nobody: give a fresh one.
    pub training: Option<TrainJob>,
    /// The most that one check may take. Default: 2 minutes.
    pub patience: Duration,
}

impl Sample {
    /// A sample with these options and every default.
    #[must_use]
    pub fn new(options: serde_json::Value) -> Self {
        let patience = Duration::from_secs(120);
        Self {
            options,
            env: CreateEnv::default(),
            training: None,
            patience,
        }
    }
}

/// The component under check.
pub(crate) struct Subject<'a> {
    plugin: &'a Plugin,
    kind: ComponentKind,
    name: &'a str,
    sample: &'a Sample,
}

/// `Ok`: passed; a [`Fault`] otherwise.
type Verdict = Result<(), Fault>;
type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Why a rule was not passed.
enum Fault {
    Failed(String),
    Skipped(String),
}

/// An error of the component fails the rule, unless the rule expects it.
impl From<crate::Error> for Fault {
    fn from(error: crate::Error) -> Self {
        Self::Failed(format!("{}: {error}", error.kind))
    }
}

fn fail<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Failed(reason.into()))
}

fn skip<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Skipped(reason.into()))
}

/// One rule with its check.
struct Rule {
    id: &'static str,
    sentence: &'static str,
    run: for<'a> fn(&'a Subject<'a>) -> Running<'a>,
}

/// Writes a list of rules; each check is an `async fn(&Subject) -> Verdict`.
macro_rules! rules {
    ($($id:literal $sentence:literal => $check:ident;)*) => {
        pub(super) const RULES: &[$crate::conformance::Rule] = &[$($crate::conformance::Rule {
            id: $id,
            sentence: $sentence,
            run: |subject| Box::pin($check(subject)),
        }),*];
    };
}
use rules;

/// The rules for every kind of component, then those for each kind: id and sentence.
///
/// `None` stands for every kind.
pub fn all_rules() -> impl Iterator<Item = (Option<ComponentKind>, &'static str, &'static str)> {
    let common = common::RULES
        .iter()
        .map(|rule| (None, rule.id, rule.sentence));
    let kinds = [
        ComponentKind::Llm,
        ComponentKind::Estimator,
        ComponentKind::Feasibility,
        ComponentKind::Dataset,
        ComponentKind::Trainer,
    ];
    let special = kinds.into_iter().flat_map(|kind| {
        let rules = of_kind(kind).iter();
        rules.map(move |rule| (Some(kind), rule.id, rule.sentence))
    });
    common.chain(special)
}

fn of_kind(kind: ComponentKind) -> &'static [Rule] {
    match kind {
        ComponentKind::Llm => llm::RULES,
        ComponentKind::Estimator => estimator::RULES,
        ComponentKind::Feasibility => feasibility::RULES,
        ComponentKind::Dataset => dataset::RULES,
        ComponentKind::Trainer => trainer::RULES,
    }
}

/// Checks a component against every rule for its kind.
pub async fn check(plugin: &Plugin, kind: ComponentKind, name: &str, sample: &Sample) -> Report {
    let subject = Subject {
        plugin,
        kind,
        name,
        sample,
    };
    let mut checks = Vec::new();
    for rule in common::RULES.iter().chain(of_kind(kind)) {
        let outcome = match tokio::time::timeout(sample.patience, (rule.run)(&subject)).await {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(Fault::Failed(reason))) => Outcome::Failed { reason },
            Ok(Err(Fault::Skipped(reason))) => Outcome::Skipped { reason },
            Err(_) => Outcome::Failed {
                reason: format!("not done within {} s", sample.patience.as_secs_f64()),
            },
        };
        checks.push(Check {
            id: rule.id,
            rule: rule.sentence,
            outcome,
        });
    }
    Report {
        plugin: plugin.manifest().name.clone(),
        kind,
        component: name.to_owned(),
        checks,
    }
}
