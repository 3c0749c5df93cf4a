//! Which plugins there are, which of them offers a component, and how it gets loaded.
//!
//! Finding reads descriptors out of files and runs no plugin code; only a component that a run
//! really uses gets its library loaded. Libraries stay loaded as long as the process runs.

mod search;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use tale_api::{
    ComponentInfo, ComponentKind, PluginManifest,
    host::{Isolation, LoadError, LoadPolicy, Plugin},
};

use crate::diagnostics::{Diagnostic, Diagnostics, nearest};

pub use search::{Candidate, Origin};

/// The plugins of this process: those linked in and those that lie in the search path.
pub struct Registry {
    dirs: Vec<(Origin, PathBuf)>,
    linked: Vec<Plugin>,
    found: OnceLock<Vec<Candidate>>,
    loaded: Mutex<BTreeMap<(PathBuf, Residence), Plugin>>,
}

/// Where a library is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Residence {
    /// In this process.
    #[default]
    Here,
    /// In a process of its own.
    OwnProcess,
}

/// A component that a manifest asked for, and the plugin that offers it.
#[derive(Clone, Debug)]
pub struct Located {
    /// What it offers: kind, name, schema of its options.
    pub component: ComponentInfo,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The library; absent where it is linked in.
    pub path: Option<PathBuf>,
}

impl Registry {
    /// A registry that looks into `command_line` dirs, `TALE_PLUGIN_PATH`, `manifest` dirs and the
    /// folder of the executable, in this order.
    ///
    /// # Errors
    /// A folder named by the user that does not exist.
    pub fn new(command_line: &[PathBuf], manifest: &[PathBuf]) -> Result<Self, Diagnostics> {
        let linked = Plugin::linked(&tale_plugin_standard::PLUGIN)
            .map_err(|e| Diagnostics::from_error(&e))?;
        Ok(Self {
            dirs: search::dirs(command_line, manifest)?,
            linked: vec![linked],
            found: OnceLock::new(),
            loaded: Mutex::new(BTreeMap::new()),
        })
    }

    /// The plugins linked into this program.
    pub fn linked(&self) -> impl Iterator<Item = &PluginManifest> {
        self.linked.iter().map(Plugin::manifest)
    }

    /// Every library in the search path that looks like a plugin, usable or not.
    pub fn candidates(&self) -> &[Candidate] {
        self.found.get_or_init(|| search::candidates(&self.dirs))
    }

    /// The folders that are searched, in order.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().map(|(_, dir)| dir.as_path())
    }

    /// Whether a plugin in the search path, or linked in, or one of its components bears this name.
    pub fn knows(&self, name: &str) -> bool {
        let found = self.candidates().iter();
        let found = found.filter_map(|c| Some(&c.inspected.as_ref().ok()?.manifest));
        found
            .chain(self.linked())
            .any(|m| m.name == name || m.components.iter().any(|c| c.name == name))
    }

    /// Finds the component `name` of `kind`. The first in the search path wins; what is linked in
    /// comes last, so that a library can replace it.
    ///
    /// # Errors
    /// Says what there is instead, and which libraries could not be used.
    pub fn locate(&self, kind: ComponentKind, name: &str) -> Result<Located, Diagnostic> {
        for candidate in self.candidates() {
            if let Ok(inspected) = &candidate.inspected
                && let Some(component) = component(&inspected.manifest, kind, name)
            {
                return Ok(located(
                    &inspected.manifest,
                    component,
                    Some(candidate.path.clone()),
                ));
            }
        }
        for manifest in self.linked() {
            if let Some(component) = component(manifest, kind, name) {
                return Ok(located(manifest, component, None));
            }
        }
        Err(self.not_found(kind, name))
    }

    /// Finds the component `name` of `kind` in the library `path`.
    ///
    /// # Errors
    /// The library cannot be used, or offers no such component.
    pub fn locate_in(
        &self,
        path: &Path,
        kind: ComponentKind,
        name: &str,
    ) -> Result<Located, Diagnostic> {
        let inspected = Plugin::inspect(path).map_err(|e| load_error(&e))?;
        match component(&inspected.manifest, kind, name) {
            Some(component) => Ok(located(
                &inspected.manifest,
                component,
                Some(path.to_owned()),
            )),
            None => Err(Diagnostic::error(format!(
                "plugin `{}` offers no {kind} `{name}`",
                path.display()
            ))
            .help(offers(&inspected.manifest))),
        }
    }

    /// The plugin of a located component, loaded if it is not yet.
    ///
    /// # Errors
    /// The library cannot be loaded or breaks the policy.
    pub fn load(
        &self,
        located: &Located,
        policy: &LoadPolicy,
        residence: Residence,
    ) -> Result<Plugin, Diagnostic> {
        let Some(path) = &located.path else {
            return self
                .linked
                .iter()
                .find(|p| p.manifest().name == located.plugin)
                .cloned()
                .ok_or_else(|| Diagnostic::error(format!("no plugin `{}`", located.plugin)));
        };
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (path.clone(), residence);
        if let Some(plugin) = loaded.get(&key) {
            return Ok(plugin.clone());
        }
        let plugin = load(path, policy, residence)?;
        loaded.insert(key, plugin.clone());
        Ok(plugin)
    }

    fn not_found(&self, kind: ComponentKind, name: &str) -> Diagnostic {
        let mut known: Vec<&str> = self
            .candidates()
            .iter()
            .filter_map(|c| c.inspected.as_ref().ok())
            .map(|i| &i.manifest)
            .chain(self.linked())
            .flat_map(|m| &m.components)
            .filter(|c| c.kind == kind)
            .map(|c| c.name.as_str())
            .collect();
        known.sort_unstable();
        known.dedup();
        let mut diagnostic = Diagnostic::error(format!("no plugin offers an {kind} `{name}`"));
        if kind != ComponentKind::Llm && kind != ComponentKind::Estimator {
            diagnostic = Diagnostic::error(format!("no plugin offers a {kind} `{name}`"));
        }
        for candidate in self.candidates() {
            if let Err(e) = &candidate.inspected {
                diagnostic = diagnostic.cause(format!(
                    "`{}` cannot be used: {e}",
                    candidate.path.display()
                ));
            }
        }
        if let Some(nearest) = nearest(name, known.iter().copied()) {
            return diagnostic.help(format!("did you mean `{nearest}`?"));
        }
        let dirs: Vec<String> = self.dirs().map(|d| format!("`{}`", d.display())).collect();
        let known: Vec<String> = known.iter().map(|n| format!("`{n}`")).collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        diagnostic.help(format!(
            "there are: {known}; searched in {}; `--plugin-dir DIR` adds a folder",
            dirs.join(", ")
        ))
    }
}

fn component<'a>(
    manifest: &'a PluginManifest,
    kind: ComponentKind,
    name: &str,
) -> Option<&'a ComponentInfo> {
    manifest
        .components
        .iter()
        .find(|c| c.kind == kind && c.name == name)
}

fn located(manifest: &PluginManifest, component: &ComponentInfo, path: Option<PathBuf>) -> Located {
    Located {
        component: component.clone(),
        plugin: manifest.name.clone(),
        version: manifest.version.clone(),
        path,
    }
}

fn offers(manifest: &PluginManifest) -> String {
    let offers: Vec<String> = manifest
        .components
        .iter()
        .map(|c| format!("{} `{}`", c.kind, c.name))
        .collect();
    if offers.is_empty() {
        "it offers nothing".into()
    } else {
        format!("it offers {}", offers.join(", "))
    }
}

/// Loads the library `path`.
///
/// # Errors
/// It cannot be loaded or breaks the policy.
pub fn load(path: &Path, policy: &LoadPolicy, residence: Residence) -> Result<Plugin, Diagnostic> {
    let loaded = match residence {
        Residence::Here => Plugin::load(path, policy),
        Residence::OwnProcess => {
            let program = std::env::current_exe().map_err(|e| {
                Diagnostic::error("cannot find this program's own file, to start it again")
                    .cause(e.to_string())
            })?;
            let isolation = Isolation::new(program, &[crate::cli::PLUGIN_HOST]);
            Plugin::isolated(path, policy, &isolation)
        }
    };
    loaded.map_err(|e| load_error(&e))
}

/// A library that cannot be used, as people are told.
fn load_error(e: &LoadError) -> Diagnostic {
    Diagnostic::from_error(e).help(e.hint())
}
