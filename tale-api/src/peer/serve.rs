//! From the boundary to the traits: each object turns a method's name and JSON into a call.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    connection::Connection,
    incoming::Running,
    outgoing::Target,
    remote::RemoteLlm,
    wire::{Nothing, Text, Tokens, WithLlm},
};
use crate::{
    messages::{
        Error, ErrorKind, EstimateRequest, FeasibilityRequest, GenerateRequest, GradeRequest,
        PageRequest, Result, TrainJob,
    },
    traits::{Dataset, Estimator, Events, Feasibility, Llm, Trainer},
};

/// Something the peer can call by number.
pub(crate) trait Object: Send + Sync + 'static {
    /// Reads the request and gives the call to run. `request` is lent for this function only.
    fn start(&self, call: &Incoming, method: &str, request: &[u8]) -> Result<Running>;
}

/// One call of the peer.
pub(crate) struct Incoming {
    pub(crate) connection: &'static Connection,
    pub(crate) call: u64,
}

impl Incoming {
    /// Events that go to the peer's listener until it wants no more.
    fn events<E: Serialize + 'static>(&self) -> Events<E> {
        let (connection, call) = (self.connection, self.call);
        let is_wanted = AtomicBool::new(true);
        Events::to(move |event: E| {
            if !is_wanted.load(Ordering::Relaxed) {
                return;
            }
            let Ok(event) = serde_json::to_vec(&event) else {
                return;
            };
            if !connection.send_event(call, &event) {
                is_wanted.store(false, Ordering::Relaxed);
            }
        })
    }

    /// A model of the peer. A request that cannot be read never gets here, and leaves nothing
    /// behind: the peer takes the model back when the call ends.
    fn llm(&self, object: u64) -> Arc<dyn Llm> {
        Arc::new(RemoteLlm::lent(Target::trusted(self.connection, object)))
    }
}

/// The JSON of a message of ours.
pub(crate) fn json(message: &impl Serialize) -> Result<Vec<u8>> {
    // Room for most requests and replies, so that few grow while they are written.
    let mut written = Vec::with_capacity(4096);
    let outcome = serde_json::to_writer(&mut written, message);
    outcome.map(|()| written).map_err(|e| {
        Error::new(ErrorKind::Internal, "a message that has no form in JSON").caused_by(&e)
    })
}

fn read<T: DeserializeOwned>(method: &str, request: &[u8]) -> Result<T> {
    serde_json::from_slice(request).map_err(|e| {
        Error::new(
            ErrorKind::Protocol,
            format!("a request of `{method}` that cannot be read: {e}"),
        )
        .operation(method)
    })
}

fn no_such_method(kind: &str, method: &str) -> Error {
    let message = format!("{kind} has no method `{method}`");
    Error::new(ErrorKind::Unsupported, message).operation(method)
}

/// Serves a language model.
pub(crate) struct LlmObject(pub(crate) Arc<dyn Llm>);

impl Object for LlmObject {
    fn start(&self, call: &Incoming, method: &str, request: &[u8]) -> Result<Running> {
        let llm = Arc::clone(&self.0);
        match method {
            "info" => {
                let Nothing {} = read(method, request)?;
                Ok(Box::pin(async move { json(&llm.info().await?) }))
            }
            "generate" => {
                let request: GenerateRequest = read(method, request)?;
                let events = call.events();
                Ok(Box::pin(async move {
                    json(&llm.generate(request, events).await?)
                }))
            }
            "count_tokens" => {
                let Text::<String> { text } = read(method, request)?;
                Ok(Box::pin(async move {
                    let tokens = llm.count_tokens(&text).await?;
                    json(&Tokens { tokens })
                }))
            }
            _ => Err(no_such_method("a language model", method)),
        }
    }
}

/// Serves an estimator.
pub(crate) struct EstimatorObject(pub(crate) Arc<dyn Estimator>);

impl Object for EstimatorObject {
    fn start(&self, call: &Incoming, method: &str, request: &[u8]) -> Result<Running> {
        let estimator = Arc::clone(&self.0);
        match method {
            "estimate" => {
                let WithLlm::<EstimateRequest> { request, llm } = read(method, request)?;
                let llm = call.llm(llm);
                Ok(Box::pin(async move {
                    json(&estimator.estimate(request, llm).await?)
                }))
            }
            _ => Err(no_such_method("an estimator", method)),
        }
    }
}

/// Serves a feasibility rule.
pub(crate) struct FeasibilityObject(pub(crate) Arc<dyn Feasibility>);

impl Object for FeasibilityObject {
    fn start(&self, call: &Incoming, method: &str, request: &[u8]) -> Result<Running> {
        let rule = Arc::clone(&self.0);
        match method {
            "is_feasible" => {
                let WithLlm::<FeasibilityRequest> { request, llm } = read(method, request)?;
                let llm = call.llm(llm);
                Ok(Box::pin(async move {
                    json(&rule.is_feasible(request, llm).await?)
                }))
            }
            _ => Err(no_such_method("a feasibility rule", method)),
        }
    }
}

/// Serves a data set.
pub(crate) struct DatasetObject(pub(crate) Arc<dyn Dataset>);

impl Object for DatasetObject {
    fn start(&self, _call: &Incoming, method: &str, request: &[u8]) -> Result<Running> {
        let dataset = Arc::clone(&self.0);
        match method {
            "info" => {
                let Nothing {} = read(method, request)?;
                Ok(Box::pin(async move { json(&dataset.info().await?) }))
            }
            "page" => {
                let request: PageRequest = read(method, request)?;
                Ok(Box::pin(async move { json(&dataset.page(request).await?) }))
            }
            "grade" => {
                let request: GradeRequest = read(method, request)?;
                Ok(Box::pin(
                    async move { json(&dataset.grade(request).await?) },
                ))
            }
            _ => Err(no_such_method("a data set", method)),
        }
    }
}

/// Serves a trainer.
pub(crate) struct TrainerObject(pub(crate) Arc<dyn Trainer>);

impl Object for TrainerObject {
    fn start(&self, call: &Incoming, method: &str, request: &[u8]) -> Result<Running> {
        let trainer = Arc::clone(&self.0);
        match method {
            "train" => {
                let job: TrainJob = read(method, request)?;
                let events = call.events();
                Ok(Box::pin(
                    async move { json(&trainer.train(job, events).await?) },
                ))
            }
            _ => Err(no_such_method("a trainer", method)),
        }
    }
}
