//! `tale plugin new`: the beginning of a plugin.

use std::path::PathBuf;

use clap::{Args, builder::PossibleValuesParser, builder::TypedValueParser as _};
use serde_json::json;
use tale_api::ComponentKind;

use super::{Exit, Failure, Global, Outcome, output};
use crate::scaffold::{Dependency, Language, PluginName, Scaffold};

#[derive(Args)]
pub(super) struct NewArgs {
    /// What a manifest will ask for it by: small letters, digits and hyphens
    name: PluginName,
    /// What it offers
    #[arg(long, value_parser = kinds())]
    kind: ComponentKind,
    /// What it is written in
    #[arg(long = "lang", value_enum, default_value_t = Language::Rust)]
    language: Language,
    /// The folder to write, which must be new or empty [default: tale-KIND-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where a crate gets `tale-api` from: a folder, the address of a git repository, or a version
    /// [default: the checkout that this `tale` was built in, else the version it is built with]
    #[arg(long, value_name = "SOURCE")]
    tale_api: Option<Dependency>,
}

fn kinds() -> impl clap::builder::TypedValueParser<Value = ComponentKind> {
    use ComponentKind::{Dataset, Estimator, Feasibility, Llm, Trainer};
    let all = [Llm, Estimator, Feasibility, Dataset, Trainer];
    PossibleValuesParser::new(all.map(ComponentKind::as_str)).map(move |name| {
        all.into_iter()
            .find(|kind| kind.as_str() == name)
            .expect("the parser lets these names through only")
    })
}

pub(super) fn new(args: &NewArgs, global: &Global) -> Outcome {
    let tale_api = match &args.tale_api {
        Some(named) => named.clone().checked().map_err(Failure::usage)?,
        None => Dependency::usual(),
    };
    let scaffold = Scaffold {
        name: args.name.clone(),
        kind: args.kind,
        language: args.language,
        tale_api,
    };
    let folder = args
        .out
        .clone()
        .unwrap_or_else(|| scaffold.package().into());
    let files = scaffold.write(&folder).map_err(Failure::usage)?;
    let next = scaffold.next_steps();
    if global.json {
        output::json(&json!({
            "folder": folder, "package": scaffold.package(), "library": scaffold.library(),
            "files": files, "next": next,
        }));
        return Ok(Exit::Done);
    }
    output::line(&folder.display().to_string());
    if !global.quiet {
        output::note(&format!(
            "{} files; the three places to fill in are marked `FILL IN` in `{}`. Next:\n",
            files.len(),
            scaffold.source()
        ));
        output::note(&format!("    cd {}", folder.display()));
        for command in next {
            output::note(&format!("    {command}"));
        }
    }
    Ok(Exit::Done)
}
