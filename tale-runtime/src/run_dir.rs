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
const FREE: [&[&str]; 10] = [
    &["task"],
    &["sweep"],
    &["concurrency"],
    &["max_cost_usd"],
    &["cache"],
    &["plugin_dirs"],
    &["plugins"],
    &["dataset", "limit"],
    &["evaluate", "methods"],
    &["evaluate", "repeats"],
];

/// Tables that only some tasks read. A run may be evaluated first and searched later; what one of the
/// two manifests leaves out does not stand against the other.
const OF_A_TASK: [&str; 2] = ["search", "feasibility"];

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
    let mut now = fingerprint(plan);
    if let Some(before) = store.meta(PLAN).await? {
        let mut before = serde_json::from_str(&before).unwrap_or(Value::Null);
        // An earlier version may have noted what is free by now.
        for path in FREE {
            remove(&mut before, path);
        }
        for table in OF_A_TASK {
            share(&mut before, &mut now, table);
        }
        let changes = manifest::differences(&before, &now);
        if !changes.is_empty() {
            return Err(AdoptError::OtherManifest {
                dir: store.dir().to_owned(),
                changes,
            });
        }
    }
    store.set_meta(PLAN, now.to_string()).await?;
    store.set_meta("name", plan.manifest.name.clone()).await?;
    let system = plan.prompts.system().to_owned();
    store.set_meta(crate::export::SYSTEM, system).await?;
    store
        .set_meta("version", env!("CARGO_PKG_VERSION").to_owned())
        .await?;
    let path = store.dir().join("manifest.toml");
    let text = plan.manifest.resolved_toml(&plan.secrets);
    std::fs::write(&path, text).map_err(|e| StoreError::Open {
        path,
        source: e.into(),
    })?;
    Ok(())
}

/// Compares the digests of models and data with those the run began with, and keeps new ones.
///
/// # Errors
/// [`AdoptError::OtherData`] with the labels of those that changed.
pub async fn adopt_digests(store: &Store, now: &Map<String, Value>) -> Result<(), AdoptError> {
    let before = store.meta(DIGESTS).await?;
    let mut known: Map<String, Value> = before
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let labels: Vec<String> = now
        .iter()
        .filter(|(label, digest)| known.get(*label).is_some_and(|k| k != *digest))
        .map(|(label, _)| label.clone())
        .collect();
    if !labels.is_empty() {
        return Err(AdoptError::OtherData {
            dir: store.dir().to_owned(),
            labels,
        });
    }
    known.extend(now.clone());
    store
        .set_meta(DIGESTS, Value::Object(known).to_string())
        .await?;
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
    let name = dir
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
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
pub(crate) fn fingerprint(plan: &Plan) -> Value {
    let mut value = plan.manifest.resolved(&plan.secrets);
    for path in FREE {
        remove(&mut value, path);
    }
    value
}

/// Gives the table to whichever of the two lacks it.
fn share(before: &mut Value, now: &mut Value, table: &str) {
    let (Value::Object(before), Value::Object(now)) = (before, now) else {
        return;
    };
    match (before.get(table), now.get(table)) {
        (Some(value), None) => now.insert(table.to_owned(), value.clone()),
        (None, Some(value)) => before.insert(table.to_owned(), value.clone()),
        _ => None,
    };
}

/// Removes the key at `path`, in every table of an array.
pub(crate) fn remove(value: &mut Value, path: &[&str]) {
    match (value, path) {
        (Value::Array(items), _) => items.iter_mut().for_each(|item| remove(item, path)),
        (Value::Object(map), [key]) => {
            map.remove(*key);
        }
        (Value::Object(map), [key, rest @ ..]) => {
            if let Some(inner) = map.get_mut(*key) {
                remove(inner, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use tale_api::CreateEnv;
    use tale_plugin_standard::PromptSet;
    use tempfile::TempDir;

    use super::*;
    use crate::diagnostics::Diagnostics;

    /// The plan of a small manifest, with `more` in front of its first table.
    fn plan(more: &str, temperature: f64) -> Plan {
        let text = format!(
            "name = \"small\"\ntask = \"evaluate\"\n{more}\n\
             [llm]\nplugin = \"any\"\ntemperature = {temperature}\n\
             [dataset]\nplugin = \"inline\"\nquestions = []\n\
             [evaluate]\nmethods = [\"direct\"]\n"
        );
        let (loaded, problems) = manifest::from_bytes(Path::new("m.toml"), text.as_bytes(), &[]);
        let Some(loaded) = loaded else {
            panic!("{problems:?}")
        };
        Plan {
            manifest: loaded.manifest,
            llms: Vec::new(),
            datasets: Vec::new(),
            held_out: Vec::new(),
            training: None,
            estimator: None,
            feasibility: None,
            methods: Vec::new(),
            prompts: PromptSet::standard(),
            env: CreateEnv::default(),
            secrets: Vec::new(),
            warnings: Diagnostics::default(),
        }
    }

    #[tokio::test]
    async fn a_run_is_resumed_with_another_concurrency_but_not_another_temperature() {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path()).unwrap();
        adopt(&store, &plan("concurrency = 1", 0.1)).await.unwrap();
        adopt(&store, &plan("concurrency = 9", 0.1)).await.unwrap();
        let error = adopt(&store, &plan("concurrency = 1", 0.7))
            .await
            .unwrap_err();
        let AdoptError::OtherManifest { changes, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(changes.len(), 1, "{changes:?}");
        // What stands there still belongs to the first.
        adopt(&store, &plan("concurrency = 1", 0.1)).await.unwrap();
        let resolved = std::fs::read_to_string(dir.path().join("manifest.toml")).unwrap();
        assert!(resolved.contains("temperature = 0.1"), "{resolved}");
    }

    #[tokio::test]
    async fn changed_data_is_refused_by_label_and_new_data_is_added() {
        let digests = |pairs: &[(&str, &str)]| -> Map<String, Value> {
            pairs
                .iter()
                .map(|(label, d)| ((*label).to_owned(), Value::from(*d)))
                .collect()
        };
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path()).unwrap();
        adopt_digests(&store, &digests(&[("llm a", "1"), ("dataset d", "2")]))
            .await
            .unwrap();
        adopt_digests(&store, &digests(&[("llm b", "3")]))
            .await
            .unwrap();
        let now = digests(&[("llm a", "1"), ("dataset d", "9"), ("llm b", "8")]);
        let error = adopt_digests(&store, &now).await.unwrap_err();
        let AdoptError::OtherData { mut labels, .. } = error else {
            panic!("{error:?}")
        };
        labels.sort_unstable();
        assert_eq!(labels, ["dataset d", "llm b"]);
        // A refusal keeps nothing.
        adopt_digests(&store, &digests(&[("dataset d", "2"), ("llm b", "3")]))
            .await
            .unwrap();
    }

    #[test]
    fn a_folder_moved_aside_gets_the_next_free_name_and_keeps_its_files() {
        let base = TempDir::new().unwrap();
        let dir = base.path().join("run");
        assert_eq!(move_aside(&dir).unwrap(), None);
        for n in 1..=2 {
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("which"), n.to_string()).unwrap();
            let aside = base.path().join(format!("run.{n}"));
            assert_eq!(move_aside(&dir).unwrap().as_deref(), Some(&*aside));
            assert!(!dir.exists());
            assert_eq!(
                std::fs::read_to_string(aside.join("which")).unwrap(),
                n.to_string()
            );
        }
    }
}
