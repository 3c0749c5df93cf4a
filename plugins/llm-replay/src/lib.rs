//! TALE plugin `replay`: a language model that answers from a recorded run.
//!
//! For analysis, demonstrations and benchmarks without a model. `record.rs` knows the files,
//! `index.rs` finds a prompt in one of any size, `llm.rs` is the component.
#![deny(missing_docs)]

mod index;
mod llm;
mod options;
mod record;
#[cfg(test)]
mod tests;

pub use llm::Replay;
pub use options::{Options, Stream};

tale_api::export_plugin! {
    name: "replay",
    components: [
        llm "replay" => Replay::create,
            "Answers from a recorded run, or one text to everything",
            include_str!("options.schema.json");
    ]
}
