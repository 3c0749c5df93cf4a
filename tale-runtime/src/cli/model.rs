//! `tale model list|fetch`; `merge` and `export` are in `weights.rs`.

use clap::Subcommand;

use super::{Global, Outcome, weights};
use crate::{
    cli::listing,
    fetch::{Kind, catalogue},
};

#[derive(Subcommand)]
pub(super) enum ModelCommand {
    /// List the models of the catalogue and which are here
    List,
    /// Fetch a model into the user's cache; nothing is downloaded twice
    Fetch(listing::FetchArgs),
    /// Write a model with a trained adapter in it as a Hugging Face folder
    Merge(weights::MergeArgs),
    /// Write an adapter, or a model with or without one in it, as GGUF for llama.cpp
    Export(weights::ExportArgs),
}

pub(super) fn model(command: &ModelCommand, global: &Global) -> Outcome {
    match command {
        ModelCommand::List => listing::list(&catalogue::models()?, &[], global),
        ModelCommand::Fetch(args) => {
            listing::fetch(&catalogue::models()?, Kind::Model, args, global)
        }
        ModelCommand::Merge(args) => weights::merge(args, global),
        ModelCommand::Export(args) => weights::export(args, global),
    }
}
