//! TALE plugin `openai`: OpenAI's models, and every server that speaks its chat completions.
//!
//! Thin: `tale-chat-completions` does the work; here is only where the provider is.
#![deny(missing_docs)]

mod options;

pub use options::{Options, VENDOR, create};

tale_api::export_plugin! {
    name: "openai",
    components: [
        llm "openai" => create,
            "OpenAI's models, and every server that speaks its chat completions",
            tale_chat_completions::SCHEMA;
    ]
}
