//! From the search's journal to a file of pairs, named by its own digest.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{PostTrainError, overlap::HeldOut};
use crate::{
    export::{self, Format},
    plan::TrainingPlan,
    store::Reader,
};

/// Training pairs on disk.
#[derive(Debug)]
pub(super) struct Pairs {
    pub(super) path: PathBuf,
    /// SHA-256 of the file.
    pub(super) digest: String,
    pub(super) count: u64,
    pub(super) skipped: BTreeMap<&'static str, u64>,
}

/// Writes the pairs of the search in `folder` into `dir`.
pub(super) fn write(
    dir: &Path,
    folder: &Path,
    training: &TrainingPlan,
    held_out: &HeldOut,
) -> Result<Pairs, PostTrainError> {
    let reader = Reader::open(folder)?;
    let part = dir.join("pairs.jsonl.part");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PostTrainError::Write { path, source }
    };
    let mut out = Hashing {
        file: BufWriter::new(File::create(&part).map_err(failed(&part))?),
        hash: Sha256::new(),
    };
    // Preferences hold all that supervised training reads too.
    let exported = export::export_unless(&reader, Format::Dpo, |q| held_out.has(q), &mut out)
        .map_err(PostTrainError::from)
        .and_then(|exported| {
            let wanted = training.min_pairs;
            if exported.pairs < wanted {
                return Err(PostTrainError::FewPairs {
                    pairs: exported.pairs,
                    wanted,
                    skipped: exported.skipped,
                });
            }
            Ok(exported)
        });
    let exported = match exported {
        Ok(exported) => exported,
        Err(e) => {
            // What stopped the writing is the news, not what stops the tidying.
            let _ = fs::remove_file(&part);
            return Err(e);
        }
    };
    let digest = out.hash.finalize();
    let digest: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    let path = dir.join(format!("pairs-{}.jsonl", &digest[..8]));
    fs::rename(&part, &path).map_err(failed(&path))?;
    Ok(Pairs {
        path,
        digest,
        count: exported.pairs,
        skipped: exported.skipped,
    })
}

/// The digest of the pairs that the search in `folder` gives.
pub(super) fn digest(
    folder: &Path,
    training: &TrainingPlan,
    held_out: &HeldOut,
) -> Result<String, PostTrainError> {
    let nowhere = tempfile::tempdir().map_err(|source| PostTrainError::Write {
        path: std::env::temp_dir(),
        source,
    })?;
    Ok(write(nowhere.path(), folder, training, held_out)?.digest)
}

struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Why a question has no pair, for people.
#[must_use]
pub fn explained(reason: &str) -> &str {
    match reason {
        "vanilla-wrong" => "the vanilla answer is wrong, so there is nothing to shorten",
        "vanilla-cut" => "the vanilla answer is wrong, and was cut at `max_tokens`",
        "no-shorter-budget" => "no smaller budget keeps the answer right",
        "no-gold" => "the question has no gold answer",
        "vanilla-zero-tokens" => "the vanilla answer has no tokens",
        "failed" => "the model gave no answer",
        "refused-answer-wrong" => "the answer that was kept is wrong (`strategy = \"as-printed\"`)",
        "cut-at-max-tokens" => "the answer that was kept was cut at `max_tokens`",
        "equal-answers" => "the answer under the budget is the vanilla one",
        "no-cheaper-answer" => "the answer under the budget is no shorter",
        "held-out" => "the question is held out",
        other => other,
    }
}
