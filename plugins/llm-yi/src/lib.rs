//! TALE plugin `yi`: 01.AI's Yi models.
//!
//! Thin: `tale-chat-completions` does the work; here is only where the provider is.
#![deny(missing_docs)]

mod options;

pub use options::{Options, VENDOR, create};

tale_api::export_plugin! {
    name: "yi",
    components: [
        llm "yi" => create,
            "01.AI's Yi models",
            tale_chat_completions::SCHEMA;
    ]
}
