//! TALE plugin `llama-cpp`: local GGUF models, many requests computed together by llama.cpp.
//!
//! `llm.rs` is the component; `engine` is the thread behind it. Nothing of it is an API: other
//! crates load the library.

mod engine;
mod gguf;
mod llm;
mod logs;
mod model;
mod options;

pub use llm::{LlamaCpp, Stats};
pub use options::{KvType, Lora, Options, Switch};
pub use tale_chat_template::ChatTemplate;

tale_api::export_plugin! {
    name: "llama-cpp",
    components: [
        llm "llama-cpp" => LlamaCpp::create, "GGUF models through llama.cpp", include_str!("options.schema.json");
    ]
}
