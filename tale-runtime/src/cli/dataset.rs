//! `tale dataset list|fetch|head`.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use serde_json::Value;
use tale_api::{ComponentKind, CreateEnv, PageRequest, Question, host::LoadPolicy};
use tale_plugin_standard::{Method, PromptSet};

use super::{Exit, Failure, Global, Outcome, listing, on_runtime, output, usage};
use crate::{
    fetch::{FetchError, Kind, Remote, catalogue},
    plan::files::address_called,
    registry::Residence,
};

#[derive(Subcommand)]
pub(super) enum DatasetCommand {
    /// List the data sets of the catalogue and which are here
    List,
    /// Fetch a data set into the user's cache; nothing is downloaded twice
    Fetch(listing::FetchArgs),
    /// Show the first questions and what a model will be asked
    Head(HeadArgs),
}

#[derive(Args)]
pub(super) struct HeadArgs {
    /// The component that reads it: gsm8k, mathbench, table, …
    plugin: String,
    /// The file, or an address that was fetched [default: what `tale dataset fetch` got]
    #[arg(long)]
    path: Option<PathBuf>,
    /// An option of the plugin (may be given several times)
    #[arg(long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// How many questions
    #[arg(short, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    n: u32,
    /// Which prompt to show
    #[arg(long, default_value = "vanilla-cot")]
    method: String,
}

pub(super) fn dataset(command: &DatasetCommand, global: &Global) -> Outcome {
    match command {
        DatasetCommand::List => {
            listing::list(&catalogue::datasets()?, &catalogue::addresses()?, global)
        }
        DatasetCommand::Fetch(args) => fetch(args, global),
        DatasetCommand::Head(args) => on_runtime(head(args, global)),
    }
}

fn fetch(args: &listing::FetchArgs, global: &Global) -> Outcome {
    if let Some(remote) = Remote::parse(&args.name) {
        return listing::fetch_remote(&remote?, args, global);
    }
    let named = catalogue::addresses()?;
    match named.iter().find(|known| known.name == args.name) {
        Some(known) => {
            if let (Some(note), false) = (&known.licence_note, global.quiet) {
                output::note(&format!("licence: {} ({note})", known.licence));
            }
            listing::fetch_remote(&known.address, args, global)
        }
        None => listing::fetch(&catalogue::datasets()?, Kind::Dataset, args, global),
    }
}

async fn head(args: &HeadArgs, global: &Global) -> Outcome {
    let prompts = PromptSet::standard();
    let method = prompts
        .method(&args.method)
        .map_err(|e| usage(e.to_string(), e.hint().unwrap_or_default()))?;
    let budget = method.needs_estimate().then_some(100);
    let questions = read(args, global).await?;
    for question in questions {
        let messages = prompts.render(&method, &question, budget)?;
        if global.json {
            output::json_line(&serde_json::json!({ "question": question, "messages": messages }));
            continue;
        }
        show(&question, &method, &messages);
    }
    Ok(Exit::Done)
}

fn show(question: &Question, method: &Method, messages: &[tale_api::Message]) {
    let gold = question.gold.as_deref().unwrap_or("none");
    output::line(&format!(
        "── {} · {} · {} · gold {gold} · asked by {method}",
        question.id, question.kind, question.language
    ));
    for message in messages {
        output::line(&format!(
            "[{:?}]\n{}",
            message.role,
            message.content.trim_end()
        ));
    }
}

async fn read(args: &HeadArgs, global: &Global) -> Result<Vec<Question>, Failure> {
    let registry = global.registry(&[])?;
    let located = registry
        .locate(ComponentKind::Dataset, &args.plugin)
        .map_err(Failure::usage)?;
    let plugin = registry
        .load(&located, &LoadPolicy::default(), Residence::Here)
        .map_err(Failure::usage)?;
    let mut options = super::parse_options(&args.options)?;
    if let Some(path) = file(args)? {
        options.insert("path".into(), Value::from(path.display().to_string()));
    }
    let base_dir = std::env::current_dir()?;
    let env = CreateEnv {
        base_dir,
        ..CreateEnv::default()
    };
    let dataset: Arc<dyn tale_api::Dataset> = plugin
        .dataset(&args.plugin, Value::Object(options), &env)
        .await?;
    let mut questions = Vec::new();
    let mut cursor = None;
    let n = args.n as usize;
    while questions.len() < n {
        let page = dataset
            .page(PageRequest {
                cursor,
                limit: args.n,
            })
            .await?;
        questions.extend(page.questions);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    questions.truncate(n);
    Ok(questions)
}

/// The file that is meant: by path, by address, by a name of the catalogue, or the plugin's own.
fn file(args: &HeadArgs) -> Result<Option<PathBuf>, FetchError> {
    let Some(path) = &args.path else {
        return match address_called(&args.plugin) {
            Some(found) => found.map(Some),
            None => Ok(fetched(&args.plugin)),
        };
    };
    let text = path.to_string_lossy();
    if let Some(remote) = Remote::parse(&text) {
        return remote?.local().map(Some);
    }
    match address_called(&text) {
        Some(found) if !path.exists() => found.map(Some),
        _ => Ok(Some(path.clone())),
    }
}

/// The catalogue's file for a plugin, if it has been fetched.
fn fetched(plugin: &str) -> Option<PathBuf> {
    [plugin.to_owned(), format!("{plugin}-test")]
        .iter()
        .find_map(|name| crate::fetch::dataset(name).ok())
}
