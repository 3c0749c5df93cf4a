//! TRL's checkpoints, and which of them is whole.
//!
//! Transformers write a checkpoint into its place file by file, so a folder says nothing. The script
//! reports one when it is whole, and only then is it marked here with the counts that go on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tale_api::Result;
use tale_training::{Progress, unwritable};

const MARK: &str = "tale.json";

/// Says that a checkpoint is whole.
pub(crate) fn mark(folder: &Path, progress: &Progress) -> Result<()> {
    let path = folder.join(MARK);
    serde_json::to_vec(progress)
        .map_err(std::io::Error::from)
        .and_then(|text| fs::write(&path, text))
        .map_err(|e| unwritable(&path, &e))
}

/// The last whole one. What was being written beside or after it is removed: another process count
/// may leave other files, and a mixture is worse than none.
pub(crate) fn last(home: &Path) -> Option<(PathBuf, Progress)> {
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    let (mut whole, mut cut) = (Vec::new(), Vec::new());
    for folder in entries.map(|entry| entry.path()) {
        let marked = fs::read(folder.join(MARK)).ok();
        match marked.and_then(|text| serde_json::from_slice::<Progress>(&text).ok()) {
            Some(progress) => whole.push((folder, progress)),
            None => cut.push(folder),
        }
    }
    for folder in cut {
        tracing::info!(folder = %folder.display(), "a checkpoint that was not finished is removed");
        let _ = fs::remove_dir_all(folder);
    }
    whole.into_iter().max_by_key(|(_, progress)| progress.step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_without_its_mark_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last(dir.path()), None);
        for step in [20, 40, 100] {
            let folder = dir.path().join(format!("checkpoint-{step}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("optimizer.pt"), "").unwrap();
            let progress = Progress {
                step,
                ..Progress::default()
            };
            if step < 100 {
                mark(&folder, &progress).unwrap();
            }
        }
        let (folder, progress) = last(dir.path()).unwrap();
        assert_eq!(
            (folder.ends_with("checkpoint-40"), progress.step),
            (true, 40)
        );
        assert!(!dir.path().join("checkpoint-100").exists());
    }
}
