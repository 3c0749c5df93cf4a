//! The built library against the suite that every plugin passes.

mod common;

use common::{SMOLLM2, model};
use tale_api::{
    ComponentKind,
    conformance::{Sample, check, library},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loaded_library_keeps_every_rule() {
    let Some(path) = model(SMOLLM2) else { return };
    let plugin = library("tale-llm-llama-cpp").unwrap();
    let sample = Sample::new(serde_json::json!({"path": path, "slots": 8, "context": 512}));
    let report = check(&plugin, ComponentKind::Llm, "llama-cpp", &sample).await;
    println!("{report}");
    assert!(report.is_passed(), "{report}");
}
