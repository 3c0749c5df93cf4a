//! `tale cache stat|clear`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};

use super::{Exit, Global, Outcome, output};
use crate::cache::{self, Cleared, Stat};

#[derive(Subcommand)]
pub(super) enum CacheCommand {
    /// Show what is kept, by model
    Stat(Place),
    /// Remove answers: all, or those of a model or of some age
    Clear(ClearArgs),
}

#[derive(Args)]
pub(super) struct Place {
    /// The file [default: answers.sqlite in the user's cache directory]
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ClearArgs {
    #[command(flatten)]
    place: Place,
    /// Only answers of this model, as `tale cache stat` names it
    #[arg(long)]
    model: Option<String>,
    /// Only answers older than this, for instance 12h, 30d
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
}

impl Place {
    fn path(&self) -> Result<PathBuf, super::Failure> {
        Ok(match &self.path {
            Some(path) => path.clone(),
            None => cache::default_path()?,
        })
    }
}

/// `90s`, `30m`, `12h`, `30d`.
fn age(text: &str) -> Result<Duration, String> {
    const HINT: &str = "write a number and a unit: 90s, 30m, 12h, 30d";
    let unit = text.chars().last().ok_or(HINT)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(HINT.to_owned()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| HINT)?;
    let age = number.checked_mul(seconds).map(Duration::from_secs);
    age.ok_or_else(|| HINT.to_owned())
}

pub(super) fn cache(command: &CacheCommand, global: &Global) -> Outcome {
    match command {
        CacheCommand::Stat(place) => {
            let path = place.path()?;
            let stat = cache::stat(&path)?;
            if global.json {
                let (answers, bytes, models) = (stat.answers, stat.bytes, &stat.models);
                output::json(&serde_json::json!({
                    "path": path, "answers": answers, "bytes": bytes, "models": models,
                }));
            } else {
                output::line(&format!("{}: {}", path.display(), sentence(&stat)));
                if !stat.models.is_empty() {
                    output::line(&table(&stat));
                }
            }
        }
        CacheCommand::Clear(args) => {
            let path = args.place.path()?;
            let cleared = cache::clear(&path, args.model.as_deref(), args.older_than)?;
            if global.json {
                output::json(&cleared);
            } else {
                let Cleared { removed, left } = cleared;
                output::line(&format!("{removed} answers removed, {left} left"));
            }
        }
    }
    Ok(Exit::Done)
}

fn sentence(stat: &Stat) -> String {
    let size = indicatif::BinaryBytes(stat.bytes);
    format!("{} answers, {size}", stat.answers)
}

fn table(stat: &Stat) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "MODEL",
        "ANSWERS",
        "INPUT TOKENS",
        "OUTPUT TOKENS",
    ]);
    for model in &stat.models {
        table.add_row([
            model.model.clone(),
            model.answers.to_string(),
            model.input_tokens.to_string(),
            model.output_tokens.to_string(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        let seconds = |text| age(text).map(|age| age.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("30d"), Ok(30 * 86_400));
        for wrong in [
            "",
            "d",
            "30",
            "30 d",
            "-1h",
            "3w",
            "99999999999999999999d",
            "5é",
        ] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }
}
