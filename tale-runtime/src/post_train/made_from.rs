//! The names of stages: what each is made from, as a digest.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{files_of, without_manner};
use crate::plan::{Plan, TrainerPlan, TrainingPlan, marks};

/// Bytes that are read at a time.
const BLOCK: u64 = 1 << 18;

/// Larger files are told apart by so many blocks, spread evenly: weights of other trainings differ
/// everywhere, and reading 16 GB at each start would take minutes.
const BLOCKS: u64 = 64;

/// The folder of a stage.
pub(super) fn folder(label: &str, made_from: &Value) -> String {
    let digest = Sha256::digest(made_from.to_string());
    let short: String = digest[..4].iter().map(|b| format!("{b:02x}")).collect();
    format!("{label}-{short}")
}

/// The search.
pub(super) fn search(plan: &Plan) -> String {
    folder("search", &of_calls(plan))
}

/// The evaluation of the untrained model.
pub(super) fn base(plan: &Plan) -> String {
    folder("evaluate-base", &of_calls(plan))
}

/// The evaluation of what was trained in the folder `made_by`; `base` is that of the untrained model.
pub(super) fn trained(base: &Plan, trainer: &TrainerPlan, made_by: &str) -> String {
    let mut asked = base.clone();
    asked.methods.clear();
    asked.manifest.evaluate.methods.clear();
    asked.manifest.estimator = crate::manifest::EstimatorSpec::default();
    let made_from = json!({ "asked": of_calls(&asked), "adapter": made_by });
    folder(&format!("evaluate-{}", trainer.label), &made_from)
}

/// What a stage that asks the model is made from.
pub(super) fn of_calls(plan: &Plan) -> Value {
    json!({ "manifest": without_manner(plan), "files": files_of(plan) })
}

/// What a training is made from; `pairs` is the digest of its pairs.
pub(super) fn training(
    plan: &Plan,
    training: &TrainingPlan,
    trainer: &TrainerPlan,
    pairs: &str,
) -> Value {
    let located = &trainer.component.located;
    let options = trainer.component.options.as_object().cloned();
    let options =
        marks::that_change_answers(&located.component.options, &options.unwrap_or_default());
    json!({
        "base": contents(&training.base),
        "pairs_sha256": pairs,
        "plugin": located.plugin,
        "component": located.component.name,
        "method": trainer.method,
        "options": options,
        "seed": plan.manifest.seed,
    })
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// What tells a file's or folder's content from another's. What cannot be read is its path: whoever
/// needs the file will say what is wrong with it.
pub(super) fn contents(path: &Path) -> Value {
    read(path).unwrap_or_else(|_| json!(path))
}

fn read(path: &Path) -> io::Result<Value> {
    if !path.is_dir() {
        return of_file(path);
    }
    let mut names: Vec<_> = fs::read_dir(path)?
        .map(|entry| entry.map(|e| e.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort();
    let mut inner = serde_json::Map::new();
    for name in names {
        let file = path.join(&name);
        // Data sets and models lie flat; what is deeper belongs to something else.
        if file.is_file() {
            inner.insert(name.to_string_lossy().into_owned(), of_file(&file)?);
        }
    }
    Ok(Value::Object(inner))
}

fn of_file(path: &Path) -> io::Result<Value> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let blocks = bytes.div_ceil(BLOCK);
    let read = blocks.min(BLOCKS);
    let mut hash = Sha256::new();
    let mut buffer = Vec::new();
    for i in 0..read {
        let block = if blocks <= BLOCKS {
            i
        } else {
            i * (blocks - 1) / (read - 1)
        };
        file.seek(SeekFrom::Start(block * BLOCK))?;
        buffer.clear();
        file.by_ref().take(BLOCK).read_to_end(&mut buffer)?;
        hash.update(&buffer);
    }
    let digest = hash.finalize();
    let digest: String = digest[..16].iter().map(|b| format!("{b:02x}")).collect();
    Ok(json!({ "bytes": bytes, "digest": digest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_tells_files_and_folders_apart_and_their_place_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &[u8]| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let (a, b) = (at("a/x", b"one"), at("b/x", b"one"));
        assert_eq!(contents(&a), contents(&b));
        assert_eq!(
            contents(&dir.path().join("a")),
            contents(&dir.path().join("b"))
        );
        at("b/x", b"two");
        assert_ne!(contents(&a), contents(&b));
        assert_ne!(
            contents(&dir.path().join("a")),
            contents(&dir.path().join("b"))
        );
    }

    #[test]
    fn a_large_file_is_told_by_its_length_its_beginning_and_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        let mut bytes = vec![0_u8; usize::try_from((BLOCKS + 9) * BLOCK + 5).unwrap()];
        let of = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            contents(&path)
        };
        let first = of(&bytes);
        *bytes.last_mut().unwrap() = 1;
        let last = of(&bytes);
        bytes.pop();
        let shorter = of(&bytes);
        assert_ne!(first, last);
        assert_ne!(first, shorter);
        assert_ne!(last, shorter);
    }
}
