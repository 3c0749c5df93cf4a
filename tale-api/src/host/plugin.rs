//! A plugin in use.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Deadlines, Inspected, Isolation, LoadError, LoadPolicy, PeerCounts, inspect,
    isolation::{self, Link, Maker, Remade},
    load,
};
use crate::{
    abi::{Descriptor, ROOT},
    messages::{ComponentKind, CreateEnv, Error, ErrorKind, PluginManifest, Result},
    peer::{
        Connection, Create, Created, Method, RemoteDataset, RemoteEstimator, RemoteFeasibility,
        RemoteLlm, RemoteTrainer, Side, Target, json,
    },
    traits::{Dataset, Estimator, Feasibility, Llm, Trainer},
};

/// A plugin that is loaded and started. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    manifest: PluginManifest,
    sha256: Option<String>,
    path: Option<PathBuf>,
    root: Target,
    deadlines: Deadlines,
    /// Of a plugin in a process of its own.
    link: Option<&'static Link>,
}

impl Plugin {
    /// What the file says of the plugin in it. Runs none of the plugin's code.
    ///
    /// # Errors
    /// [`LoadError`] for everything that is not a plugin of a supported version.
    pub fn inspect(path: &Path) -> Result<Inspected, LoadError> {
        let mut file = inspect::open(path)?;
        Ok(inspect::read(path, &mut file)?.inspected)
    }

    /// Loads the library `path` and starts the plugin in it. Blocks for as long as that takes.
    ///
    /// Only do this with code that you trust: it runs in this process.
    ///
    /// # Errors
    /// [`LoadError`]: the file is no plugin, is not the one that `policy` asks for, or fails to
    /// start.
    pub fn load(path: &Path, policy: &LoadPolicy) -> Result<Self, LoadError> {
        let (
            connection,
            Inspected {
                manifest, sha256, ..
            },
        ) = load::load(path, policy)?;
        let (sha256, path) = (Some(sha256), Some(path.to_owned()));
        Ok(Self::new(
            connection,
            manifest,
            sha256,
            path,
            policy.deadlines,
            None,
        ))
    }

    /// Loads the library `path` into a process of its own and starts the plugin there. Blocks for as
    /// long as that takes.
    ///
    /// What comes back behaves as after [`Plugin::load`], but what would end this process ends that
    /// one: the calls under way fail with [`ErrorKind::Panicked`] and say how it ended, and the next
    /// call starts another in which its component is created again. A call takes 30 to 60
    /// microseconds more.
    ///
    /// # Errors
    /// [`LoadError`], as [`Plugin::load`]; [`LoadError::Isolation`] if the other process fails.
    pub fn isolated(
        path: &Path,
        policy: &LoadPolicy,
        isolation: &Isolation,
    ) -> Result<Self, LoadError> {
        let path = path.canonicalize().map_err(|source| LoadError::Open {
            path: path.to_owned(),
            source,
        })?;
        let Inspected {
            manifest, sha256, ..
        } = load::examine(&path, policy)?;
        let link = Link::open(&path, policy, isolation.clone(), &manifest.name, &sha256)?;
        Ok(Self::new(
            link.connection,
            manifest,
            Some(sha256),
            Some(path),
            policy.deadlines,
            Some(link),
        ))
    }

    /// Starts a plugin that is part of this program (see
    /// [`define_plugin!`](crate::define_plugin)).
    ///
    /// # Errors
    /// [`LoadError`] if its descriptor is faulty or it fails to start; the path is `built in`.
    pub fn linked<const LEN: usize>(
        descriptor: &'static Descriptor<LEN>,
    ) -> Result<Self, LoadError> {
        let path = Path::new("built in");
        let manifest = inspect::manifest_of(path, &descriptor.manifest)?;
        let failed = |reason: &str| LoadError::StartFailed {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let start = descriptor
            .header
            .start
            .ok_or_else(|| failed("it has no `start`"))?;
        // SAFETY: a `Descriptor` can only be had from `Descriptor::new` with this crate's version,
        // and code of this program is never unloaded.
        let connection = unsafe { load::start(path, &manifest.name, start) }?;
        Ok(Self::new(
            connection,
            manifest,
            None,
            None,
            Deadlines::default(),
            None,
        ))
    }

    fn new(
        connection: &'static Connection,
        manifest: PluginManifest,
        sha256: Option<String>,
        path: Option<PathBuf>,
        deadlines: Deadlines,
        link: Option<&'static Link>,
    ) -> Self {
        let root = Target::watched(connection, ROOT);
        Self {
            inner: Arc::new(Inner {
                manifest,
                sha256,
                path,
                root,
                deadlines,
                link,
            }),
        }
    }

    /// Name, version and components.
    #[must_use]
    pub fn manifest(&self) -> &PluginManifest {
        &self.inner.manifest
    }

    /// SHA-256 of the file that was loaded, in hexadecimal; `None` for a linked plugin.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.inner.sha256.as_deref()
    }

    /// The process in which it runs, if it has one of its own and that is alive.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.inner.link?.process()
    }

    /// The file it was loaded from; `None` for a linked plugin.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// Creates the language model `name`.
    ///
    /// # Errors
    /// The component's own, above all [`ErrorKind::InvalidOptions`]; [`ErrorKind::NotFound`] if the
    /// plugin has no such component.
    pub async fn llm(&self, name: &str, options: Value, env: &CreateEnv) -> Result<Arc<dyn Llm>> {
        let wrap =
            |target, deadlines| -> Arc<dyn Llm> { Arc::new(RemoteLlm::new(target, deadlines)) };
        Ok(
            match self
                .make(ComponentKind::Llm, name, options, env, wrap)
                .await?
            {
                Made::Here(made) => made,
                Made::Apart(made) => Arc::new(made),
            },
        )
    }

    /// Creates the estimator `name`.
    ///
    /// # Errors
    /// As [`Plugin::llm`].
    pub async fn estimator(
        &self,
        name: &str,
        options: Value,
        env: &CreateEnv,
    ) -> Result<Arc<dyn Estimator>> {
        let wrap = |target, deadlines| -> Arc<dyn Estimator> {
            Arc::new(RemoteEstimator::new(target, deadlines))
        };
        Ok(
            match self
                .make(ComponentKind::Estimator, name, options, env, wrap)
                .await?
            {
                Made::Here(made) => made,
                Made::Apart(made) => Arc::new(made),
            },
        )
    }

    /// Creates the feasibility rule `name`.
    ///
    /// # Errors
    /// As [`Plugin::llm`].
    pub async fn feasibility(
        &self,
        name: &str,
        options: Value,
        env: &CreateEnv,
    ) -> Result<Arc<dyn Feasibility>> {
        let wrap = |target, deadlines| -> Arc<dyn Feasibility> {
            Arc::new(RemoteFeasibility::new(target, deadlines))
        };
        Ok(
            match self
                .make(ComponentKind::Feasibility, name, options, env, wrap)
                .await?
            {
                Made::Here(made) => made,
                Made::Apart(made) => Arc::new(made),
            },
        )
    }

    /// Creates the data set `name`.
    ///
    /// # Errors
    /// As [`Plugin::llm`].
    pub async fn dataset(
        &self,
        name: &str,
        options: Value,
        env: &CreateEnv,
    ) -> Result<Arc<dyn Dataset>> {
        let wrap = |target, deadlines| -> Arc<dyn Dataset> {
            Arc::new(RemoteDataset::new(target, deadlines))
        };
        Ok(
            match self
                .make(ComponentKind::Dataset, name, options, env, wrap)
                .await?
            {
                Made::Here(made) => made,
                Made::Apart(made) => Arc::new(made),
            },
        )
    }

    /// Creates the trainer `name`.
    ///
    /// # Errors
    /// As [`Plugin::llm`].
    pub async fn trainer(
        &self,
        name: &str,
        options: Value,
        env: &CreateEnv,
    ) -> Result<Arc<dyn Trainer>> {
        let wrap = |target, deadlines| -> Arc<dyn Trainer> {
            Arc::new(RemoteTrainer::new(target, deadlines))
        };
        Ok(
            match self
                .make(ComponentKind::Trainer, name, options, env, wrap)
                .await?
            {
                Made::Here(made) => made,
                Made::Apart(made) => Arc::new(made),
            },
        )
    }

    /// What this program holds for the plugin at the moment: lent models, open calls.
    #[must_use]
    pub fn counts(&self) -> PeerCounts {
        self.inner.root.connection.counts()
    }

    /// What the plugin holds for this program at the moment: components, open calls. For tests
    /// that look for leaks.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] from plugins that do not count, which is allowed.
    pub async fn plugin_counts(&self) -> Result<PeerCounts> {
        let deadline = Some(self.inner.deadlines.short);
        let request = b"{}".to_vec();
        let Some(link) = self.inner.link else {
            let root = &self.inner.root;
            return root.call(Method::Counts, request, None, deadline).await;
        };
        let number = link.generation().and_then(|n| isolation::of_child(n, ROOT));
        let Some(number) = number else {
            // A process that is not there holds nothing; the next call starts one.
            return Ok(PeerCounts::default());
        };
        Target::trusted(link.connection, number)
            .call(Method::Counts, request, None, deadline)
            .await
    }

    async fn make<T: ?Sized + Send + Sync + 'static>(
        &self,
        kind: ComponentKind,
        name: &str,
        options: Value,
        env: &CreateEnv,
        wrap: fn(Target, Deadlines) -> Arc<T>,
    ) -> Result<Made<T>> {
        let mut components = self.inner.manifest.components.iter();
        let Some(component) = components.find(|c| c.kind == kind && c.name == name) else {
            return Err(self.no_such_component(kind, name));
        };
        if let Side::Host { secrets, .. } = &self.inner.root.connection.side {
            secrets.learn(&component.options, &options);
        }
        let request = Create {
            kind,
            name: name.to_owned(),
            options,
            env: env.clone(),
        };
        let deadlines = self.inner.deadlines;
        let Some(link) = self.inner.link else {
            let target = create(&self.inner.root, &request, deadlines).await?;
            return Ok(Made::Here(wrap(target, deadlines)));
        };
        let request = Arc::new(request);
        let maker: Maker<T> = Box::new(move |generation| {
            let request = Arc::clone(&request);
            Box::pin(async move {
                let target = create_apart(link, generation, &request, deadlines).await?;
                Ok(wrap(target, deadlines))
            })
        });
        Ok(Made::Apart(Remade::new(link, maker).await?))
    }

    fn no_such_component(&self, kind: ComponentKind, name: &str) -> Error {
        let plugin = &self.inner.manifest.name;
        let known: Vec<_> = self
            .inner
            .manifest
            .components
            .iter()
            .filter(|c| c.kind == kind)
            .map(|c| format!("`{}`", c.name))
            .collect();
        let error = Error::new(
            ErrorKind::NotFound,
            format!("plugin `{plugin}` has no {kind} `{name}`"),
        )
        .operation("create")
        .context("plugin", plugin);
        if known.is_empty() {
            return error.hint(format!("it offers no {kind} at all"));
        }
        error.hint(format!("its {kind}s are {}", known.join(", ")))
    }
}

/// A component of a plugin in this process, or of one in a process of its own.
enum Made<T: ?Sized> {
    Here(Arc<T>),
    Apart(Remade<T>),
}

/// Creates a component; gives the number that its owner has for it.
async fn created(root: &Target, request: &Create, deadlines: Deadlines) -> Result<u64> {
    let Created { object } = root
        .call(Method::Create, json(request)?, None, Some(deadlines.create))
        .await?;
    if object == ROOT {
        let fault = "a new component got the number of the root";
        return Err(root
            .connection
            .protocol_error(Method::Create.as_str(), fault));
    }
    Ok(object)
}

async fn create(root: &Target, request: &Create, deadlines: Deadlines) -> Result<Target> {
    let object = created(root, request, deadlines).await?;
    Ok(Target::watched(root.connection, object))
}

/// The same in the child `generation`.
async fn create_apart(
    link: &'static Link,
    generation: u64,
    request: &Create,
    deadlines: Deadlines,
) -> Result<Target> {
    let connection = link.connection;
    let too_large = || {
        let fault = "a number beyond those that a process of its own may give";
        connection.protocol_error(Method::Create.as_str(), fault)
    };
    // The pipe's end in this process returns at once, whatever the plugin does.
    let number = |own| isolation::of_child(generation, own).ok_or_else(too_large);
    let root = Target::trusted(connection, number(ROOT)?);
    let object = created(&root, request, deadlines).await?;
    Ok(Target::trusted(connection, number(object)?))
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.inner.manifest.name)
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}
