//! A model whose files are not all there is refused when it is opened, before anything is computed.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::json;
use tale_api::ErrorKind;
use tale_weights::{Array, Model, read_tensors, testing::write_tiny_model, write_tensors};

/// The tiny model in two shards with an index.
fn in_shards(folder: &Path) {
    write_tiny_model(folder).unwrap();
    let whole = folder.join("model.safetensors");
    let tensors: Vec<(String, Array)> = read_tensors(&whole).unwrap().into_iter().collect();
    fs::remove_file(whole).unwrap();
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut map = BTreeMap::new();
    for (name, part) in [
        ("model-00001-of-00002.safetensors", first),
        ("model-00002-of-00002.safetensors", second),
    ] {
        write_tensors(&folder.join(name), part).unwrap();
        map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), name)));
    }
    let index = json!({"metadata": {}, "weight_map": map});
    fs::write(
        folder.join("model.safetensors.index.json"),
        index.to_string(),
    )
    .unwrap();
}

#[test]
fn shards_together_are_the_model() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_tiny_model(whole.path()).unwrap();
    in_shards(parts.path());
    let [whole, parts] = [&whole, &parts].map(|dir| Model::open(dir.path()).unwrap());
    for name in [
        "model.embed_tokens.weight",
        "model.layers.1.mlp.down_proj.weight",
    ] {
        let shape: &[usize] = if name.contains("embed") {
            &[259, 32]
        } else {
            &[32, 64]
        };
        assert_eq!(
            whole.tensor(name, shape).unwrap(),
            parts.tensor(name, shape).unwrap()
        );
    }
}

#[test]
fn a_missing_shard_is_named() {
    let dir = tempfile::tempdir().unwrap();
    in_shards(dir.path());
    fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    let error = Model::open(dir.path()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(
        error.message.contains("model-00002-of-00002.safetensors"),
        "{error}"
    );
    assert!(error.hint.unwrap().contains("needs 2 weight files"));
}

#[test]
fn a_cut_shard_is_named() {
    let dir = tempfile::tempdir().unwrap();
    in_shards(dir.path());
    let file = dir.path().join("model-00001-of-00002.safetensors");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 100]).unwrap();
    let error = Model::open(dir.path()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidData);
    assert!(
        error.message.contains("model-00001-of-00002.safetensors"),
        "{error}"
    );
}

#[test]
fn a_shard_of_another_folder_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    in_shards(dir.path());
    let index = dir.path().join("model.safetensors.index.json");
    let text = fs::read_to_string(&index).unwrap();
    let outside = text.replace("model-00002", "../model-00002");
    fs::write(&index, outside).unwrap();
    let error = Model::open(dir.path()).unwrap_err();
    assert!(error.message.contains("a shard named `../"), "{error}");
}
