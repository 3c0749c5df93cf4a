//! Writing a file so that nobody ever sees half of it.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use super::ReportError;

/// Lets `fill` write beside `path`, then puts the whole file in its place.
///
/// No `fsync`: everything here can be made again from the journal.
pub(super) fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let failed = |source| ReportError::Write {
        path: path.to_owned(),
        source,
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut out = BufWriter::new(File::create(&part).map_err(failed)?);
    let written = fill(&mut out)
        .and_then(|()| out.flush().map_err(failed))
        .and_then(|()| fs::rename(&part, path).map_err(failed));
    if written.is_err() {
        // What stopped the writing is the news, not what stops the tidying.
        let _ = fs::remove_file(&part);
    }
    written
}

/// [`replace`] for a text that is there already.
pub(super) fn replace_with(path: &Path, text: &str) -> Result<(), ReportError> {
    replace(path, |out| {
        out.write_all(text.as_bytes())
            .map_err(|source| ReportError::Write {
                path: path.to_owned(),
                source,
            })
    })
}
