//! TALE plugin `llama-tch`: models of the Llama family on libtorch, many requests computed together,
//! with the adapters that `trainer-tch` and PEFT make.
//!
//! `llm.rs` is the component, `engine` the threads behind it; the model itself is `tale-llama`.
//! Nothing of it is an API: other crates load the library.

mod engine;
mod llm;
mod options;

pub use llm::{LlamaTch, Stats};
pub use options::{Devices, Lora, Options};

tale_api::export_plugin! {
    name: "llama-tch",
    components: [
        llm "llama-tch" => LlamaTch::create, "Models of the Llama family on libtorch, with LoRA adapters", include_str!("options.schema.json");
    ]
}
