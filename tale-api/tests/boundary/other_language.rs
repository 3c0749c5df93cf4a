//! A plugin that knows nothing of Rust: the C example, built with the system's compiler.

use std::{path::Path, process::Command};

use serde_json::json;
use tale_api::{
    ComponentKind,
    conformance::{Sample, check},
    host::{LoadPolicy, Plugin},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_c_example_builds_without_a_warning_and_conforms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("libllm_c.so");
    let status = Command::new("gcc")
        .args([
            "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared",
        ])
        .args(["-fvisibility=hidden", "-I"])
        .arg(root.join("include"))
        .arg("-o")
        .arg(&library)
        .arg(root.join("../examples/plugins/llm-c/llm.c"))
        .status()
        .expect("gcc, which building this project needs anyway");
    assert!(status.success());
    let plugin = Plugin::load(&library, &LoadPolicy::default()).unwrap();
    let report = check(
        &plugin,
        ComponentKind::Llm,
        "echo-c",
        &Sample::new(json!({})),
    )
    .await;
    assert!(report.is_passed(), "{report}");
    assert!(report.checks.len() >= 25, "{report}");
}
