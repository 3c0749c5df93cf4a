//! What is written is the sum, in every format, and nothing is left of what fails.

use std::fs;

use tale_api::ErrorKind;
use tempfile::TempDir;

use super::*;
use crate::testing::write_tiny_model;

/// A tiny model, and an adapter of rank 2 for its queries and its down projections.
fn place() -> (TempDir, Model, Adapter) {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    fs::create_dir(&base).unwrap();
    write_tiny_model(&base).unwrap();
    let model = Model::open(&base).unwrap();
    let mut pairs = std::collections::BTreeMap::new();
    for part in ["self_attn.q_proj", "mlp.down_proj"] {
        let name = format!("model.layers.1.{part}");
        let (outputs, inputs) = model.config().projection(&name).unwrap();
        let numbers = |shape: [usize; 2], step: f32| {
            let mut value = -0.5;
            let values = (0..shape[0] * shape[1]).map(|_| {
                value = (value + step) % 0.7;
                value
            });
            Array {
                shape: shape.to_vec(),
                values: values.collect(),
            }
        };
        let pair = Pair {
            a: numbers([2, inputs], 0.13),
            b: numbers([outputs, 2], 0.29),
        };
        pairs.insert(name, pair);
    }
    let adapter = Adapter {
        base: "base".to_owned(),
        rank: 2,
        alpha: 3.0,
        pairs,
    };
    (dir, model, adapter)
}

/// The largest difference of any number, tensor by tensor, to the model with the adapter in it.
fn off(model: &Model, adapter: Option<&Adapter>, written: &Model) -> f32 {
    let mut most = 0.0_f32;
    for (name, shape) in tensors(model) {
        let wanted = merged(model, adapter, (&name, &shape)).unwrap();
        let found = written.tensor(&name, &shape).unwrap();
        for (a, b) in wanted.values.iter().zip(&found.values) {
            most = most.max((a - b).abs());
        }
    }
    most
}

#[test]
fn the_product_of_the_matrices_is_added_by_rows() {
    let array = |shape: &[usize], values: &[f32]| Array {
        shape: shape.to_vec(),
        values: values.to_vec(),
    };
    let mut weight = array(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let pair = Pair {
        a: array(&[1, 3], &[1.0, 0.0, -1.0]),
        b: array(&[2, 1], &[10.0, 20.0]),
    };
    add(&mut weight, &pair, 0.5);
    assert_eq!(weight.values, [6.0, 2.0, -2.0, 14.0, 5.0, -4.0]);
}

#[test]
fn a_merged_folder_is_the_sum_whole_or_in_shards() {
    let (dir, model, adapter) = place();
    for (name, shard, files) in [("one", SHARD_BYTES, 1), ("many", 20_000, 6)] {
        let out = dir.path().join(name);
        let written = to_folder(&model, Some(&adapter), &out, (None, shard), false).unwrap();
        assert_eq!(written.changed, 2);
        let read = Model::open(&out).unwrap();
        assert!(off(&model, Some(&adapter), &read) <= 0.0, "{name}");
        assert_eq!(
            read.vocabulary().unwrap().ends,
            model.vocabulary().unwrap().ends
        );
        let weights = fs::read_dir(&out).unwrap().filter(|e| {
            let name = e.as_ref().unwrap().file_name();
            name.to_string_lossy().ends_with(".safetensors")
        });
        assert_eq!(weights.count(), files, "{name}");
    }
    // Not `off`: what is not the adapter's is there bit for bit.
    let halves = dir.path().join("halves");
    let numbers = (Some(Numbers::BF16), SHARD_BYTES);
    to_folder(&model, Some(&adapter), &halves, numbers, false).unwrap();
    let off = off(&model, Some(&adapter), &Model::open(&halves).unwrap());
    assert!(off > 0.0 && off < 0.02, "{off}");
}

#[test]
fn a_model_goes_to_gguf_and_back_with_tokenizer_and_template() {
    let (dir, model, adapter) = place();
    let file = dir.path().join("model.gguf");
    let written = to_gguf(&model, None, &file, Numbers::F32, false).unwrap();
    assert_eq!(written.changed, 0);
    let read = Model::open(&file).unwrap();
    assert!(off(&model, None, &read) <= 0.0);
    let (ours, theirs) = (model.vocabulary().unwrap(), read.vocabulary().unwrap());
    let text = "<|im_start|>user\nWhat is 3 + 4?<|im_end|>\n";
    assert_eq!(ours.encode(text).unwrap(), theirs.encode(text).unwrap());
    assert_eq!(ours.chat_template, theirs.chat_template);
    assert_eq!(ours.eos, theirs.eos);
    let shape = |m: &Model| (m.config().heads, m.config().theta, m.config().context);
    assert_eq!(shape(&model), shape(&read));

    // An adapter into the file, and that into a folder again.
    let merged = dir.path().join("merged.gguf");
    to_gguf(&read, Some(&adapter), &merged, Numbers::F32, false).unwrap();
    let merged = Model::open(&merged).unwrap();
    assert!(off(&model, Some(&adapter), &merged) <= 0.0);
    let folder = dir.path().join("folder");
    to_folder(
        &merged,
        None,
        &folder,
        (Some(Numbers::F32), SHARD_BYTES),
        false,
    )
    .unwrap();
    let again = Model::open(&folder).unwrap();
    assert!(off(&model, Some(&adapter), &again) <= 0.0);
    let theirs = again.vocabulary().unwrap();
    assert_eq!(ours.encode(text).unwrap(), theirs.encode(text).unwrap());
}

#[test]
fn what_the_adapter_does_not_change_is_copied_bit_for_bit() {
    let (dir, model, adapter) = place();
    let (base, out) = (dir.path().join("base.gguf"), dir.path().join("out.gguf"));
    to_gguf(&model, None, &base, Numbers::Q8_0, false).unwrap();
    let base = Model::open(&base).unwrap();
    let written = to_gguf(&base, Some(&adapter), &out, Numbers::F16, false).unwrap();
    assert_eq!(written.changed, 2);
    let out = Model::open(&out).unwrap();
    let (a, b) = (base.gguf().unwrap(), out.gguf().unwrap());
    assert_eq!(a.names_in_order(), b.names_in_order());
    for name in a.names_in_order() {
        let bytes = |file: &crate::gguf::Gguf| {
            let mut bytes = Vec::new();
            file.copy(&name, &mut bytes).unwrap();
            (file.stored(&name).1, bytes)
        };
        let is_changed = adapter.pairs.keys().any(|p| gguf_name_of(p) == name);
        assert_eq!(bytes(a) != bytes(b), is_changed, "{name}");
        if is_changed {
            assert_eq!(b.stored(&name).1, Numbers::F16.ggml());
        }
    }
    let off = off(&base, Some(&adapter), &out);
    assert!(off > 0.0 && off < 2e-3, "{off}");
}

fn gguf_name_of(projection: &str) -> String {
    crate::gguf_name(&format!("{projection}.weight"))
}

#[test]
fn the_rows_of_a_llama_are_turned_and_its_angles_kept() {
    let (dir, _, _) = place();
    let folder = dir.path().join("base");
    let config = folder.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["model_type"] = "llama".into();
    json["rope_scaling"] = serde_json::json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    });
    fs::write(&config, json.to_string()).unwrap();
    let model = Model::open(&folder).unwrap();
    let file = dir.path().join("llama.gguf");
    to_gguf(&model, None, &file, Numbers::F32, false).unwrap();
    let read = Model::open(&file).unwrap();
    assert!(off(&model, None, &read) <= 0.0);
    let (a, b) = (model.config().frequencies(), read.config().frequencies());
    assert!(
        a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6 * a),
        "{a:?} {b:?}"
    );
    let again = dir.path().join("again");
    to_folder(&read, None, &again, (None, SHARD_BYTES), false).unwrap();
    let again = Model::open(&again).unwrap();
    assert_eq!(again.config().rope, model.config().rope);
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let (dir, model, adapter) = place();
    let mut other = adapter.clone();
    let pair = other.pairs.pop_first().unwrap().1;
    other
        .pairs
        .insert("model.layers.9.self_attn.q_proj".to_owned(), pair);
    let out = dir.path().join("out");
    let numbers = (None, SHARD_BYTES);
    let error = to_folder(&model, Some(&other), &out, numbers, false).unwrap_err();
    assert!(error.message.contains("another base"), "{error}");
    let file = dir.path().join("out.gguf");
    let error = to_gguf(&model, Some(&other), &file, Numbers::F16, false).unwrap_err();
    assert!(error.message.contains("another base"), "{error}");

    to_folder(&model, Some(&adapter), &out, numbers, false).unwrap();
    let error = to_folder(&model, None, &out, numbers, false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    to_folder(&model, None, &out, numbers, true).unwrap();
    assert!(off(&model, None, &Model::open(&out).unwrap()) <= 0.0);
    // A folder that is no model's is never replaced.
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("letters"), "dear").unwrap();
    let error = to_folder(&model, None, &home, numbers, true).unwrap_err();
    assert!(error.to_string().contains("home"), "{error}");
    assert!(home.join("letters").is_file());

    let tokenizer = dir.path().join("base/tokenizer.json");
    let text = fs::read_to_string(&tokenizer).unwrap();
    fs::write(&tokenizer, text.replace("\"BPE\"", "\"Unigram\"")).unwrap();
    assert!(to_gguf(&model, None, &file, Numbers::F16, false).is_err());
    fs::write(
        &tokenizer,
        text.replace("\"use_regex\":true", "\"use_regex\":false"),
    )
    .unwrap();
    let error = to_gguf(&model, None, &file, Numbers::F16, false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|n| n.to_string_lossy().contains("part")),
        "{left:?}"
    );
    assert!(!file.exists());
}
