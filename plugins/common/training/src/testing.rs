//! For tests: a job on a tiny model.
#![allow(clippy::unwrap_used, reason = "a test that cannot write fails")]

use std::{collections::BTreeMap, fs, path::Path};

use tale_api::{TrainJob, TrainMethod};
use tale_weights::testing::write_tiny_model;

/// A job on `pairs` pairs; model, pairs and output lie in `dir`.
///
/// # Panics
/// `dir` cannot be written.
#[must_use]
pub fn job(dir: &Path, method: TrainMethod, pairs: usize) -> TrainJob {
    let base_model = dir.join("base");
    fs::create_dir_all(&base_model).unwrap();
    write_tiny_model(&base_model).unwrap();
    let line = |i: usize| {
        let (a, b) = (i + 2, 3 * i + 1);
        let long = format!(
            "We add {a} and {b}. {a} + {b} = {}. So it is [[{}]].",
            a + b,
            a + b
        );
        serde_json::json!({
            "id": format!("q{i}"),
            "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": format!("{a} + {b}?")}],
            "chosen": format!("[[{}]]", a + b),
            "rejected": long[..long.len() - i].to_owned(),
        })
        .to_string()
            + "\n"
    };
    let file = dir.join("pairs.jsonl");
    fs::write(&file, (0..pairs).map(line).collect::<String>()).unwrap();
    TrainJob {
        base_model,
        pairs: file,
        method,
        hyperparameters: BTreeMap::new(),
        output_dir: dir.join("out"),
        seed: 1024,
    }
}
