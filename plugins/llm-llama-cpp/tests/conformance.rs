//! The built library against the suite that every plugin passes.

mod common;

use common::{SMOLLM2, model};
use tale_api::{
    ComponentKind,
    conformance::{Sample, check},
    host::{LoadPolicy, Plugin},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loaded_library_keeps_every_rule() {
    let Some(path) = model(SMOLLM2) else { return };
    // The library that this test was built with lies beside it.
    let library = std::env::current_exe()
        .unwrap()
        .with_file_name("libtale_llm_llama_cpp.so");
    let plugin = Plugin::load(&library, &LoadPolicy::default()).unwrap();
    let sample = Sample::new(serde_json::json!({"path": path, "slots": 8, "context": 512}));
    let report = check(&plugin, ComponentKind::Llm, "llama-cpp", &sample).await;
    println!("{report}");
    assert!(report.is_passed(), "{report}");
}
