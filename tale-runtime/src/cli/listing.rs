//! What models and data sets have in common on the command line: a catalogue to list and fetch from.

use clap::Args;
use comfy_table::{Table, presets};

use super::{Exit, Global, Outcome, interrupted, on_runtime, output};
use crate::fetch::{
    self, Check, Entry, Fetched, Fetcher, Kind, Named, Remote, Status, Store, catalogue,
};

#[derive(Args)]
pub(super) struct FetchArgs {
    /// Its name in the list; of data sets also an address: `hf://owner/name/split`, `https://…`
    pub(super) name: String,
    /// Hash a file that is already there, and fetch it again if it is damaged
    #[arg(long)]
    verify: bool,
}

pub(super) fn list(entries: &[Entry], named: &[Named], global: &Global) -> Outcome {
    let store = Store::open()?;
    if global.json {
        let addresses = named.iter().map(|known| {
            let fetched = known.address.fetched(&store);
            serde_json::json!({
                "name": known.name,
                "description": known.description,
                "address": known.address,
                "licence": known.licence,
                "licence_note": known.licence_note,
                "homepage": known.homepage,
                "path": fetched.as_ref().map(|f| &f.path),
                "present": fetched.is_some(),
            })
        });
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| {
                serde_json::json!({
                    "name": entry.name,
                    "description": entry.description,
                    "bytes": entry.bytes,
                    "sha256": entry.sha256,
                    "licence": entry.licence,
                    "licence_note": entry.licence_note,
                    "homepage": entry.homepage,
                    "path": store.path(entry),
                    "present": store.present(entry).is_some(),
                })
            })
            .chain(addresses)
            .collect();
        output::json(&rows);
        return Ok(Exit::Done);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "NAME",
        "SIZE",
        "LICENCE",
        "HERE",
        "WHAT IT IS",
    ]);
    for entry in entries {
        let size = indicatif::DecimalBytes(entry.bytes).to_string();
        let here = match store.status(entry) {
            Status::Present => "yes".to_owned(),
            Status::Partial { have } => format!("{}%", have * 100 / entry.bytes.max(1)),
            _ => "no".to_owned(),
        };
        table.add_row([
            &entry.name,
            &size,
            &entry.licence,
            &here,
            &entry.description,
        ]);
    }
    for known in named {
        let fetched = known.address.fetched(&store);
        let bytes = fetched.map(|f| f.origin.files.iter().map(|file| file.bytes).sum());
        let size = bytes.map_or_else(
            || "?".to_owned(),
            |b| indicatif::DecimalBytes(b).to_string(),
        );
        let here = if bytes.is_some() { "yes" } else { "no" };
        table.add_row([&known.name, &size, &known.licence, here, &known.description]);
    }
    output::line(&table.to_string());
    Ok(Exit::Done)
}

/// Fetches what lies at an address.
pub(super) fn fetch_remote(remote: &Remote, args: &FetchArgs, global: &Global) -> Outcome {
    fetching(args, global, async |fetcher, check, progress| {
        let got = fetcher.fetch_remote(remote, check, progress).await?;
        if !global.quiet {
            let licence = got.origin.licence.as_deref().unwrap_or("not stated");
            output::note(&format!("licence: {licence} ({})", got.origin.source));
        }
        if global.json {
            output::json(&got);
        } else {
            output::line(&got.path.display().to_string());
        }
        Ok(Exit::Done)
    })
}

pub(super) fn fetch(entries: &[Entry], kind: Kind, args: &FetchArgs, global: &Global) -> Outcome {
    let entry = catalogue::find(entries, kind, &args.name)?;
    if !global.quiet {
        let licence = match &entry.licence_note {
            Some(note) => format!("licence: {} ({note})", entry.licence),
            None => format!("licence: {}", entry.licence),
        };
        output::note(&licence);
    }
    fetching(args, global, async |fetcher, check, progress| {
        let got = fetcher.fetch(entry, check, progress).await?;
        if global.json {
            output::json(&serde_json::json!({
                "name": entry.name,
                "path": got.path(),
                "downloaded": matches!(got, Fetched::Downloaded { .. }),
            }));
        } else {
            output::line(&got.path().display().to_string());
        }
        Ok(Exit::Done)
    })
}

/// Runs `work` until it is done or interrupted, with the check and the progress that the command
/// line asks for.
fn fetching(
    args: &FetchArgs,
    global: &Global,
    work: impl AsyncFnOnce(&Fetcher, Check, &dyn fetch::FetchProgress) -> Outcome,
) -> Outcome {
    let check = if args.verify {
        Check::Digest
    } else {
        Check::Size
    };
    let progress: Box<dyn fetch::FetchProgress> = if global.quiet {
        Box::new(fetch::Silent)
    } else {
        fetch::for_people()
    };
    on_runtime(async {
        let fetcher = Fetcher::open()?;
        tokio::select! {
            outcome = work(&fetcher, check, &*progress) => outcome,
            () = interrupted() => Ok(Exit::Interrupted),
        }
    })
}
