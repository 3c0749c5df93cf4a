//! Components that are created again in the next child.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

use super::Link;
use crate::{
    messages::{
        Completion, DatasetInfo, Decision, ErrorKind, Estimate, EstimateRequest,
        FeasibilityRequest, GenerateEvent, GenerateRequest, Grade, GradeRequest, LlmInfo, Page,
        PageRequest, Result, TrainEvent, TrainJob, TrainReport,
    },
    traits::{Dataset, Estimator, Events, Feasibility, Llm, Trainer},
};

/// Creates a component in the child of this number.
pub(crate) type Maker<T> =
    Box<dyn Fn(u64) -> Pin<Box<dyn Future<Output = Result<Arc<T>>> + Send>> + Send + Sync>;

/// A component of an isolated plugin: made in the child that is alive, and made again in the next.
pub(crate) struct Remade<T: ?Sized> {
    link: &'static Link,
    make: Maker<T>,
    current: Mutex<Option<(u64, Arc<T>)>>,
    /// One makes it, the others wait.
    making: tokio::sync::Mutex<()>,
}

impl<T: ?Sized + Send + Sync> Remade<T> {
    /// The component, made at once so that options that do not fit are told now.
    pub(crate) async fn new(link: &'static Link, make: Maker<T>) -> Result<Self> {
        let remade = Self {
            link,
            make,
            current: Mutex::new(None),
            making: tokio::sync::Mutex::new(()),
        };
        remade.get().await?;
        Ok(remade)
    }

    fn known(&self) -> Option<(u64, Arc<T>)> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current
            .as_ref()
            .filter(|(generation, _)| self.link.generation() == Some(*generation))
            .map(|(generation, made)| (*generation, Arc::clone(made)))
    }

    async fn get(&self) -> Result<(u64, Arc<T>)> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let _making = self.making.lock().await;
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let link = self.link;
        let generation = tokio::task::spawn_blocking(move || link.ensure())
            .await
            .unwrap_or_else(|_| {
                Err(link
                    .connection
                    .protocol_error("start", "its start was given up"))
            })?;
        let made = (self.make)(generation).await;
        self.probe_if_late(generation, &made);
        let made = made?;
        let old = self
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace((generation, Arc::clone(&made)));
        drop(old);
        Ok((generation, made))
    }

    fn probe_if_late<R>(&self, generation: u64, outcome: &Result<R>) {
        if outcome
            .as_ref()
            .is_err_and(|e| e.kind == ErrorKind::Timeout)
        {
            self.link.probe(generation);
        }
    }
}

/// Asks the component of the child that is alive.
macro_rules! ask {
    ($self:ident, $method:ident($($argument:expr),*)) => {{
        let (generation, made) = $self.get().await?;
        let outcome = made.$method($($argument),*).await;
        $self.probe_if_late(generation, &outcome);
        outcome
    }};
}

#[async_trait]
impl Llm for Remade<dyn Llm> {
    async fn info(&self) -> Result<LlmInfo> {
        ask!(self, info())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        ask!(self, generate(request, events))
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        ask!(self, count_tokens(text))
    }
}

#[async_trait]
impl Estimator for Remade<dyn Estimator> {
    async fn estimate(&self, request: EstimateRequest, llm: Arc<dyn Llm>) -> Result<Estimate> {
        ask!(self, estimate(request, llm))
    }
}

#[async_trait]
impl Feasibility for Remade<dyn Feasibility> {
    async fn is_feasible(
        &self,
        request: FeasibilityRequest,
        llm: Arc<dyn Llm>,
    ) -> Result<Decision> {
        ask!(self, is_feasible(request, llm))
    }
}

#[async_trait]
impl Dataset for Remade<dyn Dataset> {
    async fn info(&self) -> Result<DatasetInfo> {
        ask!(self, info())
    }

    async fn page(&self, request: PageRequest) -> Result<Page> {
        ask!(self, page(request))
    }

    async fn grade(&self, request: GradeRequest) -> Result<Grade> {
        ask!(self, grade(request))
    }
}

#[async_trait]
impl Trainer for Remade<dyn Trainer> {
    async fn train(&self, job: TrainJob, events: Events<TrainEvent>) -> Result<TrainReport> {
        ask!(self, train(job, events))
    }
}
