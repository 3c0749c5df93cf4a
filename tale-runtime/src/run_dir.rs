//! The run directory: whose run it is, and what may go on in it.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{
    manifest::{self, Change},
    plan::Plan,
    store::{Store, StoreError},
};

/// Keys that may change between two calls of the same run: they change what is asked next, not what
/// an answer is.
const FREE: [&str; 5] = ["concurrency", "plugin_dirs", "plugins", "limit", "methods"];

/// Why a run directory could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// The journal failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory holds a run of another manifest.
    #[error("`{}` holds a run of another manifest", dir.display())]
    OtherManifest {
        /// The directory.
        dir: PathBuf,
        /// The keys that differ.
        changes: Vec<Change>,
    },
    /// Models or data have changed since the run began.
    #[error("models or data have changed since the run in `{}` began", dir.display())]
    OtherData {
        /// The directory.
        dir: PathBuf,
        /// What changed.
        labels: Vec<String>,
    },
}

/// Makes the run directory this plan's.
///
/// # Errors
/// [`AdoptError::OtherManifest`] if an earlier run's plan stands in the way.
pub async fn adopt(store: &Store, plan: &Plan) -> Result<(), AdoptError> {
    let now = fingerprint(plan);
    if let Some(before) = store.meta(PLAN).await? {
        let before = serde_json::from_str(&before).unwrap_or(Value::Null);
        let changes = manifest::differences(&before, &now);
        if !changes.is_empty() {
            return Err(AdoptError::OtherManifest { dir: store.dir().to_owned(), changes });
        }
    }
    store.set_meta(PLAN, now.to_string()).await?;
    store.set_meta("name", plan.manifest.name.clone()).await?;
    store.set_meta("version", env!("CARGO_PKG_VERSION").to_owned()).await?;
    let path = store.dir().join("manifest.toml");
    let text = plan.manifest.resolved_toml(&plan.secrets);
    std::fs::write(&path, text).map_err(|e| StoreError::Open { path, source: e.into() })?;
    Ok(())
}

/// Compares the digests of models and data with those the run began with, and keeps new ones.
///
/// # Errors
/// [`AdoptError::OtherData`] with the labels of those that changed.
pub async fn adopt_digests(store: &Store, now: &Map<String, Value>) -> Result<(), AdoptError> {
    let before = store.meta(DIGESTS).await?;
    let mut known: Map<String, Value> =
        before.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let labels: Vec<String> = now
        .iter()
        .filter(|(label, digest)| known.get(*label).is_some_and(|k| k != *digest))
        .map(|(label, _)| label.clone())
        .collect();
    if !labels.is_empty() {
        return Err(AdoptError::OtherData { dir: store.dir().to_owned(), labels });
    }
    known.extend(now.clone());
    store.set_meta(DIGESTS, Value::Object(known).to_string()).await?;
    Ok(())
}

/// Moves an existing run directory aside and says where to. Nothing is deleted.
///
/// # Errors
/// The file system's.
pub fn move_aside(dir: &Path) -> io::Result<Option<PathBuf>> {
    if !dir.exists() {
        return Ok(None);
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for n in 1.. {
        let aside = dir.with_file_name(format!("{name}.{n}"));
        if !aside.exists() {
            std::fs::rename(dir, &aside)?;
            return Ok(Some(aside));
        }
    }
    unreachable!("a folder has a free name");
}

const PLAN: &str = "plan";
const DIGESTS: &str = "digests";

/// What must not change between two calls of a run, secrets left out.
fn fingerprint(plan: &Plan) -> Value {
    let mut value = plan.manifest.resolved(&plan.secrets);
    free(&mut value);
    value
}

fn free(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !FREE.contains(&key.as_str()));
            map.values_mut().for_each(free);
        }
        Value::Array(items) => items.iter_mut().for_each(free),
        _ => {}
    }
}
