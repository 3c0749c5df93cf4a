//! `tale model list|fetch`.

use clap::Subcommand;

use super::{Global, Outcome};
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
}

pub(super) fn model(command: &ModelCommand, global: &Global) -> Outcome {
    let entries = catalogue::models()?;
    match command {
        ModelCommand::List => listing::list(&entries, &[], global),
        ModelCommand::Fetch(args) => listing::fetch(&entries, Kind::Model, args, global),
    }
}
