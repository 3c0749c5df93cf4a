//! Rules for components of every kind.

use std::{any::Any, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{Fault, Subject, Verdict, fail, rules, skip};
use crate::{
    messages::{ComponentInfo, ComponentKind, Error, ErrorKind},
    traits::{Dataset, Estimator, Feasibility, Llm, Trainer},
};

rules! {
    "ALL-01" "the descriptor describes the component in a sentence" => description;
    "ALL-02" "the schema of the options is an object schema that says whether more is allowed" => schema;
    "ALL-03" "an option that the schema does not know is refused as invalid options" => unknown_option;
    "ALL-04" "options that are no object are refused as invalid options" => options_of_another_type;
    "ALL-05" "the sample's options create the component" => created;
    "ALL-06" "two components of the same options live side by side" => two;
    "ALL-07" "a released component is freed" => released;
    "ALL-08" "a component may be dropped in another thread than it was created in" => other_thread;
}

/// A component of any kind, to keep or to drop.
type Anything = Box<dyn Any + Send>;

impl Subject<'_> {
    fn described(&self) -> Option<&ComponentInfo> {
        let components = &self.plugin.manifest().components;
        components
            .iter()
            .find(|c| c.kind == self.kind && c.name == self.name)
    }

    async fn create(&self, options: Value) -> Result<Anything, Error> {
        let (plugin, name, env) = (self.plugin, self.name, &self.sample.env);
        Ok(match self.kind {
            ComponentKind::Llm => Box::new(plugin.llm(name, options, env).await?),
            ComponentKind::Estimator => Box::new(plugin.estimator(name, options, env).await?),
            ComponentKind::Feasibility => Box::new(plugin.feasibility(name, options, env).await?),
            ComponentKind::Dataset => Box::new(plugin.dataset(name, options, env).await?),
            ComponentKind::Trainer => Box::new(plugin.trainer(name, options, env).await?),
        })
    }

    pub(super) async fn llm(&self) -> Result<Arc<dyn Llm>, Error> {
        self.plugin
            .llm(self.name, self.sample.options.clone(), &self.sample.env)
            .await
    }

    pub(super) async fn estimator(&self) -> Result<Arc<dyn Estimator>, Error> {
        self.plugin
            .estimator(self.name, self.sample.options.clone(), &self.sample.env)
            .await
    }

    pub(super) async fn feasibility(&self) -> Result<Arc<dyn Feasibility>, Error> {
        self.plugin
            .feasibility(self.name, self.sample.options.clone(), &self.sample.env)
            .await
    }

    pub(super) async fn dataset(&self) -> Result<Arc<dyn Dataset>, Error> {
        self.plugin
            .dataset(self.name, self.sample.options.clone(), &self.sample.env)
            .await
    }

    pub(super) async fn trainer(&self) -> Result<Arc<dyn Trainer>, Error> {
        self.plugin
            .trainer(self.name, self.sample.options.clone(), &self.sample.env)
            .await
    }

    /// As [`Subject::idle`], but passes for plugins that do not count.
    pub(super) async fn idle_or_uncounted(&self) -> Verdict {
        match self.idle().await {
            Err(Fault::Skipped(_)) => Ok(()),
            verdict => verdict,
        }
    }

    /// Waits until the plugin has no call under way but the one that asks; for plugins that count.
    pub(super) async fn idle(&self) -> Verdict {
        for _ in 0..500 {
            match self.plugin.plugin_counts().await {
                Ok(counts) if counts.incoming == 0 => return Ok(()),
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(e) if e.kind == ErrorKind::Unsupported => {
                    return skip("the plugin does not count what it holds");
                }
                Err(e) => return Err(e.into()),
            }
        }
        fail("calls are still under way after 5 s")
    }
}

#[expect(clippy::unused_async, reason = "of the shape that all checks have")]
async fn description(subject: &Subject<'_>) -> Verdict {
    match subject.described() {
        Some(c) if c.description.trim().is_empty() => fail("the description is empty"),
        Some(_) => Ok(()),
        None => fail("the descriptor does not name it"),
    }
}

#[expect(clippy::unused_async, reason = "of the shape that all checks have")]
async fn schema(subject: &Subject<'_>) -> Verdict {
    let Some(component) = subject.described() else {
        return skip("not in the descriptor");
    };
    if component.options["type"] != "object" {
        return fail(format!(
            "`type` is {}, not \"object\"",
            component.options["type"]
        ));
    }
    if component.options.get("additionalProperties").is_none() {
        return fail("`additionalProperties` is missing");
    }
    Ok(())
}

async fn unknown_option(subject: &Subject<'_>) -> Verdict {
    if subject
        .described()
        .is_none_or(|c| c.options["additionalProperties"] != false)
    {
        return skip("the schema allows more");
    }
    let mut options = subject.sample.options.clone();
    match options.as_object_mut() {
        Some(map) => map.insert("no_such_option".to_owned(), json!(1)),
        None => return skip("the sample's options are no object"),
    };
    refused(subject, options).await
}

async fn options_of_another_type(subject: &Subject<'_>) -> Verdict {
    refused(subject, json!("no options")).await
}

async fn refused(subject: &Subject<'_>, options: Value) -> Verdict {
    match subject.create(options).await {
        Err(e) if e.kind == ErrorKind::InvalidOptions => Ok(()),
        Err(e) => fail(format!("refused as {}: {e}", e.kind)),
        Ok(_) => fail("accepted"),
    }
}

async fn created(subject: &Subject<'_>) -> Verdict {
    subject.create(subject.sample.options.clone()).await?;
    Ok(())
}

async fn two(subject: &Subject<'_>) -> Verdict {
    let first = subject.create(subject.sample.options.clone()).await?;
    let second = subject.create(subject.sample.options.clone()).await?;
    drop((first, second));
    Ok(())
}

async fn released(subject: &Subject<'_>) -> Verdict {
    let Ok(before) = subject.plugin.plugin_counts().await else {
        return skip("the plugin does not count what it holds");
    };
    drop(subject.create(subject.sample.options.clone()).await?);
    let after = subject.plugin.plugin_counts().await?;
    if after.objects > before.objects {
        return fail(format!(
            "{} objects before, {} after",
            before.objects, after.objects
        ));
    }
    Ok(())
}

async fn other_thread(subject: &Subject<'_>) -> Verdict {
    let made = subject.create(subject.sample.options.clone()).await?;
    // Without a runtime around it, as at the end of a program.
    let thread = std::thread::spawn(move || drop(made));
    match tokio::task::spawn_blocking(move || thread.join()).await {
        Ok(Ok(())) => subject.idle().await,
        _ => fail("dropping it panicked"),
    }
}
