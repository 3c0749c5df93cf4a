//! From the traits to the boundary: objects of the peer that look like our own.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use super::{
    outgoing::{Listener, Target},
    serve::json,
    wire::{Method, Nothing, Text, Tokens},
};
use crate::{
    messages::{Completion, GenerateEvent, GenerateRequest, LlmInfo, Result},
    traits::{Events, Llm},
};

/// Turns an event's JSON into one of `events`; `None` where nobody wants them.
fn listener<E: DeserializeOwned + 'static>(events: Events<E>) -> Option<Listener> {
    events.is_wanted().then(|| -> Listener {
        Box::new(move |event| {
            events.send(serde_json::from_slice(event)?);
            Ok(true)
        })
    })
}

/// Who waits how long, and what happens when the last user is gone.
pub(crate) enum Terms {
    /// A model lent by the host for one call: the host sets the deadlines.
    Lent,
    /// A component of a plugin.
    #[cfg(feature = "host")]
    Component(crate::host::Deadlines),
}

/// A language model of the peer.
pub(crate) struct RemoteLlm {
    target: Target,
    terms: Terms,
    /// What the model itself says that a call may take, once it has been asked; 0 for nothing.
    longest_call_s: AtomicU32,
}

impl RemoteLlm {
    pub(crate) fn lent(target: Target) -> Self {
        Self {
            target,
            terms: Terms::Lent,
            longest_call_s: AtomicU32::new(0),
        }
    }
}

impl Drop for RemoteLlm {
    fn drop(&mut self) {
        self.terms.release(&self.target);
    }
}

impl Terms {
    fn short(&self) -> Option<std::time::Duration> {
        match self {
            Self::Lent => None,
            #[cfg(feature = "host")]
            Self::Component(deadlines) => Some(deadlines.short),
        }
    }

    #[cfg_attr(
        not(feature = "host"),
        expect(unused_variables, reason = "the host sets deadlines")
    )]
    fn generate(&self, request: &GenerateRequest) -> Option<std::time::Duration> {
        match self {
            Self::Lent => None,
            #[cfg(feature = "host")]
            Self::Component(deadlines) => Some(deadlines.generate(request.timeout_s)),
        }
    }

    fn release(&self, target: &Target) {
        match self {
            Self::Lent => target.release(),
            #[cfg(feature = "host")]
            Self::Component(deadlines) => target.release_within(deadlines.release),
        }
    }
}

#[async_trait]
impl Llm for RemoteLlm {
    async fn info(&self) -> Result<LlmInfo> {
        let info: LlmInfo = self
            .target
            .call(Method::Info, json(&Nothing {})?, None, self.terms.short())
            .await?;
        let longest = info.capabilities.longest_call_s.unwrap_or(0);
        self.longest_call_s.store(longest, Ordering::Relaxed);
        Ok(info)
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let longest = self.longest_call_s.load(Ordering::Relaxed);
        let deadline = self.terms.generate(&request).map(|deadline| {
            // A time that the caller sets stays as it is.
            if request.timeout_s.is_some() {
                deadline
            } else {
                deadline.max(Duration::from_secs(longest.into()))
            }
        });
        self.target
            .call(
                Method::Generate,
                json(&request)?,
                listener(events),
                deadline,
            )
            .await
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        let request = json(&Text { text })?;
        let Tokens { tokens } = self
            .target
            .call(Method::CountTokens, request, None, self.terms.short())
            .await?;
        Ok(tokens)
    }
}

#[cfg(feature = "host")]
pub(crate) use component::{RemoteDataset, RemoteEstimator, RemoteFeasibility, RemoteTrainer};

/// The components that only the host sees from afar.
#[cfg(feature = "host")]
mod component {
    use std::{
        sync::{Arc, atomic::AtomicU32},
        time::Duration,
    };

    use async_trait::async_trait;
    use serde::{Serialize, de::DeserializeOwned};
    use tokio::runtime::Handle;

    use super::{
        super::{
            connection::Connection,
            serve::{LlmObject, json},
            wire::{Method, Nothing, WithLlm},
        },
        RemoteLlm, Target, Terms, listener,
    };
    use crate::{
        host::Deadlines,
        messages::{
            DatasetInfo, Decision, Estimate, EstimateRequest, FeasibilityRequest, Grade,
            GradeRequest, Page, PageRequest, Result, TrainEvent, TrainJob, TrainReport,
        },
        traits::{Dataset, Estimator, Events, Feasibility, Llm, Trainer},
    };

    /// A component of a plugin; released when the last user is gone.
    struct Component {
        target: Target,
        deadlines: Deadlines,
    }

    impl Component {
        /// Calls a method that may ask `llm`, which is lent for as long as the call lasts.
        async fn ask_with<Q: Serialize, A: DeserializeOwned>(
            &self,
            method: Method,
            request: Q,
            llm: Arc<dyn Llm>,
        ) -> Result<A> {
            // It may ask the model more than once, one call after the other.
            let longest = match llm.info().await {
                Ok(info) => info.capabilities.longest_call_s.unwrap_or(0),
                Err(_) => 0,
            };
            let longest = Duration::from_secs(4 * u64::from(longest));
            let lent = LentLlm::new(self.target.connection, llm);
            let request = json(&WithLlm {
                request,
                llm: lent.object,
            })?;
            let deadline = Some(self.deadlines.asking.max(longest));
            self.target.call(method, request, None, deadline).await
        }
    }

    impl Drop for Component {
        fn drop(&mut self) {
            self.target.release_within(self.deadlines.release);
        }
    }

    impl RemoteLlm {
        pub(crate) fn new(target: Target, deadlines: Deadlines) -> Self {
            Self {
                target,
                terms: Terms::Component(deadlines),
                longest_call_s: AtomicU32::new(0),
            }
        }
    }

    /// A model lent to a plugin for one call and taken back at its end, so that a plugin that
    /// forgets to release it leaks nothing here.
    struct LentLlm {
        connection: &'static Connection,
        object: u64,
    }

    impl LentLlm {
        fn new(connection: &'static Connection, llm: Arc<dyn Llm>) -> Self {
            let object = connection.offer(Arc::new(LlmObject(llm)), Handle::current());
            Self { connection, object }
        }
    }

    impl Drop for LentLlm {
        fn drop(&mut self) {
            self.connection.objects.remove(self.object);
        }
    }

    macro_rules! remote {
        ($(#[$doc:meta])* $name:ident) => {
            $(#[$doc])*
            pub(crate) struct $name(Component);

            impl $name {
                pub(crate) fn new(target: Target, deadlines: Deadlines) -> Self {
                    Self(Component { target, deadlines })
                }
            }
        };
    }
    remote! {
        /// An estimator of a plugin.
        RemoteEstimator
    }
    remote! {
        /// A feasibility rule of a plugin.
        RemoteFeasibility
    }
    remote! {
        /// A data set of a plugin.
        RemoteDataset
    }
    remote! {
        /// A trainer of a plugin.
        RemoteTrainer
    }

    #[async_trait]
    impl Estimator for RemoteEstimator {
        async fn estimate(&self, request: EstimateRequest, llm: Arc<dyn Llm>) -> Result<Estimate> {
            self.0.ask_with(Method::Estimate, request, llm).await
        }
    }

    #[async_trait]
    impl Feasibility for RemoteFeasibility {
        async fn is_feasible(
            &self,
            request: FeasibilityRequest,
            llm: Arc<dyn Llm>,
        ) -> Result<Decision> {
            self.0.ask_with(Method::IsFeasible, request, llm).await
        }
    }

    #[async_trait]
    impl Dataset for RemoteDataset {
        async fn info(&self) -> Result<DatasetInfo> {
            let Component { target, deadlines } = &self.0;
            target
                .call(
                    Method::Info,
                    json(&Nothing {})?,
                    None,
                    Some(deadlines.short),
                )
                .await
        }

        async fn page(&self, request: PageRequest) -> Result<Page> {
            let Component { target, deadlines } = &self.0;
            target
                .call(Method::Page, json(&request)?, None, Some(deadlines.short))
                .await
        }

        async fn grade(&self, request: GradeRequest) -> Result<Grade> {
            let Component { target, deadlines } = &self.0;
            target
                .call(Method::Grade, json(&request)?, None, Some(deadlines.short))
                .await
        }
    }

    #[async_trait]
    impl Trainer for RemoteTrainer {
        async fn train(&self, job: TrainJob, events: Events<TrainEvent>) -> Result<TrainReport> {
            let Component { target, deadlines } = &self.0;
            target
                .call(
                    Method::Train,
                    json(&job)?,
                    listener(events),
                    deadlines.train,
                )
                .await
        }
    }
}
