//! `tale export`: the searches of a run as training data.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use clap::Args;

use super::{Exit, Failure, Global, Outcome, output};
use crate::{
    diagnostics::Diagnostic,
    export::{self, ExportError, Exported, Format},
    store::Reader,
};

#[derive(Args)]
pub(super) struct ExportArgs {
    /// The run directory of a search
    run: PathBuf,
    /// Whose format the pairs have
    #[arg(long, value_enum)]
    format: Format,
    /// Where to write them [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn export(args: &ExportArgs, global: &Global) -> Outcome {
    let reader = Reader::open(&args.run)?;
    let exported = match &args.out {
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            match export::export(&reader, args.format, &mut out) {
                // A reader that went away (`| head`) has seen enough.
                Err(ExportError::Write(e)) if e.kind() == io::ErrorKind::BrokenPipe => {
                    return Ok(Exit::Done);
                }
                result => result,
            }
        }
        Some(path) => write(&reader, args.format, path),
    };
    let exported = exported.map_err(|e| match e {
        ExportError::NoSearch => {
            let problem = Diagnostic::error(format!("`{}` holds no search", args.run.display()));
            Failure::usage(problem.help("`task = \"search\"` makes one; docs/search.md shows how"))
        }
        e => e.into(),
    })?;
    tell(&exported, args, global);
    Ok(Exit::Done)
}

/// Writes beside `path` first, so that nobody trains on half a file.
fn write(reader: &Reader, format: Format, path: &PathBuf) -> Result<Exported, ExportError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let written = File::create(&part)
        .map_err(ExportError::Write)
        .and_then(|file| {
            let mut out = BufWriter::new(file);
            let exported = export::export(reader, format, &mut out)?;
            out.flush().map_err(ExportError::Write)?;
            std::fs::rename(&part, path).map_err(ExportError::Write)?;
            Ok(exported)
        });
    if written.is_err() {
        // What stopped the writing is the news, not what stops the tidying.
        let _ = std::fs::remove_file(&part);
    }
    written
}

fn tell(exported: &Exported, args: &ExportArgs, global: &Global) {
    if global.json && args.out.is_some() {
        output::json(exported);
        return;
    }
    if global.quiet {
        return;
    }
    output::note(&format!("{} pairs", exported.pairs));
    for (reason, count) in &exported.skipped {
        output::note(&format!("{count} questions without one: {reason}"));
    }
}
