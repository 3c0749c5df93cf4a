//! The output folder: one job's, one training's at a time, and what is left in it.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tale_api::{Error, ErrorKind, Result, TrainJob, TrainReport};
use tale_weights::{Config, adapter::Adapter};

use crate::{job::given_up, metrics::unwritable};

/// The output folder of a job.
#[derive(Debug)]
pub enum Begun {
    /// The job is done; this is its report.
    Before(TrainReport),
    /// The folder is this training's as long as this lives.
    Now(Lock),
}

/// Keeps other trainings out of a folder.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes a job's output folder, which is made where there is none. `schema` is that of the options.
///
/// # Errors
/// * [`NotFound`](ErrorKind::NotFound): there are no pairs.
/// * [`InvalidInput`](ErrorKind::InvalidInput): another process trains there, or it belongs to
///   another job; then the message names the keys that differ.
/// * [`Cancelled`](ErrorKind::Cancelled): while it waited for a training of this process.
pub fn begin(
    settings: &impl Serialize,
    schema: &str,
    job: &TrainJob,
    cancelled: &AtomicBool,
) -> Result<Begun> {
    let output = &job.output_dir;
    let identity = identity(settings, schema, job)?;
    fs::create_dir_all(output).map_err(|e| unwritable(output, &e))?;
    let lock = Lock {
        _file: lock(output, cancelled)?,
    };
    Ok(match done_before(output, &identity)? {
        Some(report) => Begun::Before(report),
        None => Begun::Now(lock),
    })
}

/// What makes two jobs the same: all that changes the result but the seed's luck with rounding.
///
/// The options that `schema` marks as mere manner do not.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound): there are no pairs.
fn identity(settings: &impl Serialize, schema: &str, job: &TrainJob) -> Result<serde_json::Value> {
    let pairs = fs::read(&job.pairs).map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::NotFound {
            ErrorKind::NotFound
        } else {
            ErrorKind::InvalidData
        };
        Error::new(
            kind,
            format!("cannot read the pairs `{}`", job.pairs.display()),
        )
        .caused_by(&e)
    })?;
    let digest: String = Sha256::digest(pairs)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut settings = json!(settings);
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap_or_default();
    let properties = schema["properties"].as_object().into_iter().flatten();
    for (name, _) in properties.filter(|(_, about)| about["x-tale"] == "manner") {
        if let Some(value) = settings.get_mut(name) {
            value.take();
        }
    }
    let base = job
        .base_model
        .canonicalize()
        .unwrap_or_else(|_| job.base_model.clone());
    Ok(json!({"base_model": base, "pairs_sha256": digest, "seed": job.seed, "settings": settings}))
}

/// One training in a folder at a time. One of this process that was given up ends after its step,
/// and is waited for. The lock is held as long as the file is.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput): another process trains there;
/// [`Cancelled`](ErrorKind::Cancelled): while it waited.
fn lock(output: &Path, cancelled: &AtomicBool) -> Result<File> {
    let path = output.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|e| unwritable(&path, &e))?;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(e)) => return Err(unwritable(&path, &e)),
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(&path).unwrap_or_default();
                if owner != std::process::id().to_string() {
                    return Err(Error::new(
                        ErrorKind::InvalidInput,
                        format!(
                            "another training works in `{}` (process {owner})",
                            output.display()
                        ),
                    )
                    .hint("let it end, or choose another folder"));
                }
                if cancelled.load(Ordering::Relaxed) {
                    return Err(given_up());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    fs::write(&path, std::process::id().to_string()).map_err(|e| unwritable(&path, &e))?;
    Ok(file)
}

/// The report of the same job if it is done; the folder is the job's from now on.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput): the folder belongs to another job; the message names
/// the keys that differ.
fn done_before(output: &Path, identity: &serde_json::Value) -> Result<Option<TrainReport>> {
    let (job, report) = (output.join("job.json"), output.join("report.json"));
    let read = |path: &Path| {
        fs::read_to_string(path)
            .ok()
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
    };
    match read(&job) {
        Some(known) if known != *identity => {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "`{}` holds another training: {}",
                    output.display(),
                    difference(&known, identity)
                ),
            )
            .hint("choose another folder, or remove this one"));
        }
        Some(_) => {}
        None => fs::write(&job, format!("{identity:#}\n")).map_err(|e| unwritable(&job, &e))?,
    }
    Ok(read(&report).and_then(|report| serde_json::from_value(report).ok()))
}

/// Names the keys that differ.
fn difference(known: &serde_json::Value, now: &serde_json::Value) -> String {
    let flat = |value: &serde_json::Value| -> BTreeMap<String, serde_json::Value> {
        let top = value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != "settings");
        let inner = value["settings"].as_object().into_iter().flatten();
        top.chain(inner)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let (known, now) = (flat(known), flat(now));
    let differ = now
        .iter()
        .filter(|(name, value)| known.get(*name) != Some(value))
        .map(|(name, _)| format!("`{name}`"));
    differ.collect::<Vec<_>>().join(", ")
}

/// Writes an adapter in PEFT's format to `adapter/`, which it gives, and to `adapter.gguf`.
///
/// # Errors
/// [`ResourceExhausted`](ErrorKind::ResourceExhausted): the disk is full;
/// [`InvalidData`](ErrorKind::InvalidData): the adapter does not fit the base.
pub fn write_adapter(output: &Path, base: &Config, adapter: &Adapter) -> Result<PathBuf> {
    let folder = output.join("adapter");
    adapter.write(&folder)?;
    // For llama.cpp, whose plugin takes it as its option `lora`.
    adapter.write_gguf(base, &output.join("adapter.gguf"))?;
    Ok(folder)
}

/// Keeps the report, which says from now on that the job is done.
///
/// # Errors
/// The file cannot be written.
pub fn keep_report(output: &Path, report: &TrainReport) -> Result<()> {
    let path = output.join("report.json");
    let partial = output.join("report.json.part");
    serde_json::to_string_pretty(report)
        .map_err(std::io::Error::from)
        .and_then(|text| fs::write(&partial, text))
        .and_then(|()| fs::rename(&partial, &path))
        .map_err(|e| unwritable(&path, &e))
}
