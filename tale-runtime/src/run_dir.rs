//! The run directory: whose run it is, and what may go on in it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{
    plan::Plan,
    store::{Store, StoreError},
};

/// Keys that may change between two calls of the same run: they change what is asked next, not what
/// an answer is.
const FREE: [&str; 4] = ["concurrency", "plugin_dirs", "plugins", "limit"];

/// A key that differs between the manifest and the run in the directory.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Path of the key.
    pub key: String,
    /// Its value in the run.
    pub before: Option<Value>,
    /// Its value in the manifest.
    pub now: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |v: &Option<Value>| v.as_ref().map_or_else(|| "absent".into(), Value::to_string);
        write!(f, "`{}` was {}, now {}", self.key, show(&self.before), show(&self.now))
    }
}

/// Makes the run directory this plan's, or says what stands in the way: the keys in which the plan
/// of an earlier run differs.
///
/// # Errors
/// The journal's.
pub async fn adopt(store: &Store, plan: &Plan) -> Result<Vec<Difference>, StoreError> {
    let now = fingerprint(plan);
    if let Some(before) = meta(store, "plan").await? {
        let before = serde_json::from_str(&before).unwrap_or(Value::Null);
        let differing = differences(&before, &now);
        if !differing.is_empty() {
            return Ok(differing);
        }
    }
    store.set_meta("plan", now.to_string()).await?;
    store.set_meta("name", plan.manifest.name.clone()).await?;
    store.set_meta("version", env!("CARGO_PKG_VERSION").to_owned()).await?;
    let path = store.dir().join("manifest.toml");
    let text = plan.manifest.resolved_toml(&plan.secrets);
    std::fs::write(&path, text).map_err(|e| StoreError::Open { path, source: e.into() })?;
    Ok(Vec::new())
}

/// Compares the digests of models and data with those the run began with, and keeps new ones. Gives
/// the labels of those that changed.
///
/// # Errors
/// The journal's.
pub async fn adopt_digests(
    store: &Store,
    now: &Map<String, Value>,
) -> Result<Vec<String>, StoreError> {
    let before = meta(store, "digests").await?;
    let mut known: Map<String, Value> =
        before.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let changed: Vec<String> = now
        .iter()
        .filter(|(label, digest)| known.get(*label).is_some_and(|k| k != *digest))
        .map(|(label, _)| label.clone())
        .collect();
    if changed.is_empty() {
        known.extend(now.clone());
        store.set_meta("digests", Value::Object(known).to_string()).await?;
    }
    Ok(changed)
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

async fn meta(store: &Store, key: &str) -> Result<Option<String>, StoreError> {
    store.meta(key).await
}

/// What must not change between two calls of a run, secrets left out.
fn fingerprint(plan: &Plan) -> Value {
    let mut value = serde_json::to_value(&plan.manifest).expect("a manifest is plain data");
    for secret in &plan.secrets {
        remove(&mut value, secret);
    }
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

fn remove(value: &mut Value, path: &[String]) {
    let Some((key, rest)) = path.split_first() else { return };
    match value {
        Value::Object(map) if rest.is_empty() => {
            map.remove(key);
        }
        // A single table stands for an array of one.
        Value::Object(map) => match map.get_mut(key) {
            Some(inner) => remove(inner, rest),
            None if key == "0" => remove(value, rest),
            None => {}
        },
        Value::Array(items) => {
            if let Some(inner) = key.parse().ok().and_then(|i: usize| items.get_mut(i)) {
                remove(inner, rest);
            }
        }
        _ => {}
    }
}

fn differences(before: &Value, now: &Value) -> Vec<Difference> {
    let mut differing = Vec::new();
    compare("", Some(before), Some(now), &mut differing);
    differing
}

fn compare(
    key: &str,
    before: Option<&Value>,
    now: Option<&Value>,
    differing: &mut Vec<Difference>,
) {
    match (before, now) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                compare(&key, a.get(name), b.get(name), differing);
            }
        }
        (a, b) if a == b => {}
        (a, b) => differing.push(Difference {
            key: key.to_owned(),
            before: a.cloned(),
            now: b.cloned(),
        }),
    }
}
