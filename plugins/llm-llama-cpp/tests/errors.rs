//! Files that are no model, or not a whole one.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

mod common;

use std::{fs, io::Write, path::Path};

use common::{SMOLLM2, model};
use tale_api::{CreateEnv, Error, ErrorKind};
use tale_llm_llama_cpp::LlamaCpp;

async fn refusal(path: &Path, extra: serde_json::Value) -> Error {
    let mut options = extra;
    options["path"] = path.file_name().unwrap().to_str().unwrap().into();
    let base_dir = path.parent().unwrap().to_owned();
    let env = CreateEnv {
        base_dir,
        ..CreateEnv::default()
    };
    LlamaCpp::create(serde_json::from_value(options).unwrap(), env)
        .await
        .expect_err("this is no model")
}

fn check(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind, kind, "{error}");
    let whole = format!("{error} {:?} {:?}", error.causes, error.hint);
    for part in parts {
        assert!(whole.contains(part), "`{part}` is not in: {whole}");
    }
}

/// The smallest GGUF file: an architecture and no tensors.
fn gguf(architecture: &str) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend(0_u64.to_le_bytes()); // tensors
    file.extend(1_u64.to_le_bytes()); // pairs
    let mut text = |t: &str| {
        file.extend((t.len() as u64).to_le_bytes());
        file.extend(t.as_bytes());
    };
    text("general.architecture");
    file.extend(8_u32.to_le_bytes()); // a string follows
    file.extend((architecture.len() as u64).to_le_bytes());
    file.extend(architecture.as_bytes());
    file
}

#[tokio::test]
async fn a_missing_file_says_how_to_get_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = refusal(&dir.path().join("none.gguf"), serde_json::json!({})).await;
    check(
        &error,
        ErrorKind::NotFound,
        &["none.gguf", "tale model fetch"],
    );
}

#[tokio::test]
async fn a_text_file_is_no_gguf() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("page.gguf");
    fs::write(&path, "<!doctype html>").unwrap();
    check(
        &refusal(&path, serde_json::json!({})).await,
        ErrorKind::InvalidData,
        &["no GGUF file", "<!do"],
    );
    fs::write(&path, "").unwrap();
    check(
        &refusal(&path, serde_json::json!({})).await,
        ErrorKind::InvalidData,
        &["no GGUF file"],
    );
}

#[tokio::test]
async fn an_unknown_architecture_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    fs::write(&path, gguf("perceptron")).unwrap();
    let error = refusal(&path, serde_json::json!({})).await;
    check(
        &error,
        ErrorKind::InvalidData,
        &["architecture `perceptron`", "newer build"],
    );
}

#[tokio::test]
async fn a_file_cut_in_half_says_how_much_is_missing() {
    let Some(whole) = model(SMOLLM2) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("half.gguf");
    let bytes = fs::read(&whole).unwrap();
    fs::File::create(&path)
        .unwrap()
        .write_all(&bytes[..bytes.len() / 2])
        .unwrap();
    let error = refusal(&path, serde_json::json!({})).await;
    let (has, needs) = ((bytes.len() / 2).to_string(), bytes.len().to_string());
    check(
        &error,
        ErrorKind::InvalidData,
        &["is cut", &has, &needs, "tale model fetch"],
    );

    // Cut within the header there is no table to go by.
    fs::write(&path, &bytes[..100_000]).unwrap();
    check(
        &refusal(&path, serde_json::json!({})).await,
        ErrorKind::InvalidData,
        &["header cannot be read"],
    );
}

#[tokio::test]
async fn options_that_do_not_fit_the_model_are_refused() {
    let Some(whole) = model(SMOLLM2) else { return };
    let error = refusal(&whole, serde_json::json!({"context": 1_000_000})).await;
    check(
        &error,
        ErrorKind::InvalidOptions,
        &["`context` is 1000000", "8192"],
    );
    let error = refusal(
        &whole,
        serde_json::json!({"chat_template": "{% for %}", "context": 64}),
    )
    .await;
    check(&error, ErrorKind::InvalidData, &["chat template"]);
    let error = refusal(
        &whole,
        serde_json::json!({"lora": [{"path": whole}], "context": 64}),
    )
    .await;
    check(&error, ErrorKind::InvalidData, &["no LoRA adapter"]);
    let error = refusal(&whole, serde_json::json!({"date": "tomorrow"})).await;
    check(&error, ErrorKind::InvalidOptions, &["`date` is `tomorrow`"]);
}
