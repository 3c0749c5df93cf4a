//! A plugin's start: its runtime, its root object, its end of the connection.

use std::{
    future::Future,
    pin::Pin,
    ptr,
    sync::{Arc, OnceLock},
    thread,
};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::{Builder, Handle, Runtime};

use super::log;
use crate::{
    abi::{Bytes, RawPeer},
    messages::{ComponentKind, CreateEnv, Error, ErrorKind, Result},
    peer::{
        Connection, Create, Created, DatasetObject, EstimatorObject, FeasibilityObject, HostInfo,
        Incoming, LlmObject, Method, Object, Side, TrainerObject, caught, json,
    },
    traits::{Dataset, Estimator, Feasibility, Llm, Trainer},
};

/// What the macros write down about a plugin.
#[derive(Debug)]
pub struct Definition {
    /// The plugin's name.
    pub name: &'static str,
    /// Whether it is part of the host's own binary.
    pub is_linked: bool,
    /// Its components.
    pub components: fn() -> Vec<Component>,
}

type Created_ = Pin<Box<dyn Future<Output = Result<Arc<dyn Object>>> + Send>>;

/// A component with the function that creates it.
pub struct Component {
    kind: ComponentKind,
    name: &'static str,
    create: Box<dyn Fn(Value, CreateEnv) -> Created_ + Send + Sync>,
}

impl Component {
    fn new<O, T, F, Fut>(
        kind: ComponentKind,
        name: &'static str,
        create: F,
        wrap: fn(T) -> Arc<dyn Object>,
    ) -> Self
    where
        O: DeserializeOwned,
        T: 'static,
        F: Fn(O, CreateEnv) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let create = move |options: Value, env: CreateEnv| -> Created_ {
            match serde_json::from_value(options) {
                Ok(options) => {
                    let creation = create(options, env);
                    Box::pin(async move { Ok(wrap(creation.await?)) })
                }
                Err(e) => {
                    let message = format!("options of {kind} `{name}` that do not fit: {e}");
                    let error = Error::new(ErrorKind::InvalidOptions, message).hint(format!(
                        "`tale plugin inspect` shows the schema of `{name}`'s options"
                    ));
                    Box::pin(std::future::ready(Err(error)))
                }
            }
        };
        Self {
            kind,
            name,
            create: Box::new(create),
        }
    }
}

macro_rules! component {
    ($(#[$doc:meta])* $kind:ident, $Trait:ident, $Kind:ident, $Object:ident) => {
        $(#[$doc])*
        pub fn $kind<O, T, F, Fut>(name: &'static str, create: F) -> Component
        where
            O: DeserializeOwned,
            T: $Trait + 'static,
            F: Fn(O, CreateEnv) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<T>> + Send + 'static,
        {
            Component::new(ComponentKind::$Kind, name, create, |made: T| {
                Arc::new($Object(Arc::new(made)))
            })
        }
    };
}
component! {
    /// A language model named `name` that `create` makes from its options.
    llm, Llm, Llm, LlmObject
}
component! {
    /// An estimator named `name` that `create` makes from its options.
    estimator, Estimator, Estimator, EstimatorObject
}
component! {
    /// A feasibility rule named `name` that `create` makes from its options.
    feasibility, Feasibility, Feasibility, FeasibilityObject
}
component! {
    /// A data set named `name` that `create` makes from its options.
    dataset, Dataset, Dataset, DatasetObject
}
component! {
    /// A trainer named `name` that `create` makes from its options.
    trainer, Trainer, Trainer, TrainerObject
}

/// Object 0 of a plugin: creates the others.
struct Root {
    plugin: &'static str,
    components: Vec<Component>,
}

impl Object for Root {
    fn start(
        &self,
        call: &Incoming,
        method: &str,
        request: &[u8],
    ) -> Result<Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send>>> {
        let connection = call.connection;
        if method == Method::Counts.as_str() {
            let counts = json(&connection.counts());
            return Ok(Box::pin(std::future::ready(counts)));
        }
        if method != Method::Create.as_str() {
            let message = format!("plugin `{}` has no method `{method}`", self.plugin);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let Create {
            kind,
            name,
            options,
            env,
        } = serde_json::from_slice(request).map_err(|e| {
            Error::new(
                ErrorKind::Protocol,
                format!("a request of `create` that cannot be read: {e}"),
            )
        })?;
        let Some(component) = self
            .components
            .iter()
            .find(|c| c.kind == kind && c.name == name)
        else {
            let message = format!("plugin `{}` has no {kind} named `{name}`", self.plugin);
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let creation = (component.create)(options, env);
        Ok(Box::pin(async move {
            let object = creation.await?;
            json(&Created {
                object: connection.offer(object, Handle::current()),
            })
        }))
    }
}

/// Starts a plugin; what the macros call.
///
/// # Safety
/// `host` is null or a table that lives as long as the process, and `host_info` can be read while
/// this function runs.
pub unsafe fn start(
    definition: &'static Definition,
    host: *const RawPeer,
    host_info: Bytes,
) -> *const RawPeer {
    let started = caught(|| {
        // SAFETY: readable by this function's contract.
        let info = unsafe { host_info.read(64 << 10) }.ok()?;
        let info: HostInfo = serde_json::from_slice(info).ok()?;
        let connection = Connection::open(definition.name.to_owned(), Side::Plugin);
        // SAFETY: lives as long as the process by this function's contract.
        unsafe { connection.join(host) }.ok()?;
        if !definition.is_linked {
            log::install(connection, &info.log_level);
        }
        let runtime = runtime(definition.name)?.handle().clone();
        let components = (definition.components)();
        let root = Root {
            plugin: definition.name,
            components,
        };
        connection.offer_root(Arc::new(root), runtime);
        Some(connection.table())
    });
    // A plugin that cannot start says so by its null; there is nobody yet to tell the reason to.
    started.ok().flatten().map_or(ptr::null(), ptr::from_ref)
}

/// The runtime of this library, started once and never stopped: it ends with the process.
fn runtime(plugin: &str) -> Option<&'static Runtime> {
    /// More threads than this only help plugins that compute on them, which they should not.
    const MOST_THREADS: usize = 4;
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            let cores = thread::available_parallelism().map_or(2, usize::from);
            Builder::new_multi_thread()
                .worker_threads(cores.min(MOST_THREADS))
                .thread_name(plugin)
                .enable_all()
                .build()
                .ok()
        })
        .as_ref()
}
