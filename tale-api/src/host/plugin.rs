//! A plugin in use.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{Deadlines, Inspected, LoadError, LoadPolicy, PeerCounts, inspect, load};
use crate::{
    abi::{Descriptor, ROOT},
    messages::{ComponentKind, CreateEnv, Error, ErrorKind, PluginManifest, Result},
    peer::{
        Connection, Create, Created, Method, RemoteDataset, RemoteEstimator, RemoteFeasibility,
        RemoteLlm, RemoteTrainer, Target, json,
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
        ))
    }

    fn new(
        connection: &'static Connection,
        manifest: PluginManifest,
        sha256: Option<String>,
        path: Option<PathBuf>,
        deadlines: Deadlines,
    ) -> Self {
        let root = Target::watched(connection, ROOT);
        Self {
            inner: Arc::new(Inner {
                manifest,
                sha256,
                path,
                root,
                deadlines,
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
        let (target, deadlines) = self.create(ComponentKind::Llm, name, options, env).await?;
        Ok(Arc::new(RemoteLlm::new(target, deadlines)))
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
        let (target, deadlines) = self
            .create(ComponentKind::Estimator, name, options, env)
            .await?;
        Ok(Arc::new(RemoteEstimator::new(target, deadlines)))
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
        let (target, deadlines) = self
            .create(ComponentKind::Feasibility, name, options, env)
            .await?;
        Ok(Arc::new(RemoteFeasibility::new(target, deadlines)))
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
        let (target, deadlines) = self
            .create(ComponentKind::Dataset, name, options, env)
            .await?;
        Ok(Arc::new(RemoteDataset::new(target, deadlines)))
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
        let (target, deadlines) = self
            .create(ComponentKind::Trainer, name, options, env)
            .await?;
        Ok(Arc::new(RemoteTrainer::new(target, deadlines)))
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
        self.inner
            .root
            .call(Method::Counts, b"{}".to_vec(), None, deadline)
            .await
    }

    async fn create(
        &self,
        kind: ComponentKind,
        name: &str,
        options: Value,
        env: &CreateEnv,
    ) -> Result<(Target, Deadlines)> {
        let Inner {
            manifest,
            root,
            deadlines,
            ..
        } = &*self.inner;
        if !manifest
            .components
            .iter()
            .any(|c| c.kind == kind && c.name == name)
        {
            return Err(self.no_such_component(kind, name));
        }
        let request = json(&Create {
            kind,
            name: name.to_owned(),
            options,
            env: env.clone(),
        })?;
        let Created { object } = root
            .call(Method::Create, request, None, Some(deadlines.create))
            .await?;
        if object == ROOT {
            let fault = "a new component got the number of the root";
            return Err(root
                .connection
                .protocol_error(Method::Create.as_str(), fault));
        }
        Ok((Target::watched(root.connection, object), *deadlines))
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

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.inner.manifest.name)
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}
