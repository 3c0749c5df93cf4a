//! Parquet: rows in the order of the file, decoded a page of a column at a time.

use std::fs::File;

use parquet::{
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    record::reader::{ReaderIter, TreeBuilder},
};
use tale_api::{Error, Result};

use super::{
    broken,
    file::{At, DataFile, Next, Place},
};

/// A Parquet file opened at some row.
pub(super) struct ParquetReader {
    file: SerializedFileReader<File>,
    place: Place,
    group: usize,
    rows: Option<ReaderIter>,
    row: u64,
}

impl ParquetReader {
    pub(super) fn new(about: &DataFile, file: File, at: At) -> Result<Self> {
        let place = Place::of(about);
        let file = open(&place, file)?;
        let mut reader = Self {
            file,
            place,
            group: 0,
            rows: None,
            row: 0,
        };
        reader.skip_to(at.byte)?;
        Ok(reader)
    }

    pub(super) fn at(&self) -> At {
        At {
            byte: self.row,
            number: self.row,
        }
    }

    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> Result<Next> {
        record.clear();
        let Some(row) = self.next_row()? else {
            return Ok(Next::End);
        };
        serde_json::to_writer(&mut *record, &row).expect("plain data is JSON");
        if record.len() > self.place.max_record_bytes {
            record.clear();
            return Ok(Next::Broken(self.place.too_long(self.row)));
        }
        Ok(Next::Record(self.row))
    }

    fn next_row(&mut self) -> Result<Option<serde_json::Value>> {
        loop {
            if let Some(row) = self.rows.as_mut().and_then(Iterator::next) {
                self.row += 1;
                let row = row.map_err(|e| self.failed(&e))?;
                return Ok(Some(row.to_json_value()));
            }
            if self.group >= self.file.num_row_groups() {
                return Ok(None);
            }
            self.open_group()?;
        }
    }

    fn open_group(&mut self) -> Result<()> {
        let rows = self
            .file
            .get_row_group(self.group)
            .and_then(|group| {
                let schema = self.file.metadata().file_metadata().schema_descr_ptr();
                TreeBuilder::new()
                    .with_batch_size(BATCH)
                    .as_iter(schema, &*group)
            })
            .map_err(|e| self.failed(&e))?;
        self.rows = Some(rows);
        self.group += 1;
        Ok(())
    }

    /// Passes whole groups over, and decodes the rows of the last one.
    fn skip_to(&mut self, row: u64) -> Result<()> {
        while self.group < self.file.num_row_groups() {
            let rows = self.file.metadata().row_group(self.group).num_rows();
            let rows = u64::try_from(rows).unwrap_or(0);
            if self.row + rows > row {
                break;
            }
            self.row += rows;
            self.group += 1;
        }
        while self.row < row {
            if self.next_row()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn failed(&self, error: &ParquetError) -> Error {
        let placed = self.place.error(self.row + 1, broken(said(error)));
        if matches!(error, ParquetError::General(what) if what.contains("Disabled feature")) {
            return placed.hint("write the file again with snappy, gzip or no compression");
        }
        placed
    }
}

/// Values of a column decoded at once.
const BATCH: usize = 256;

/// How many rows the file has, by its footer.
pub(super) fn rows(about: &DataFile, file: File) -> Result<u64> {
    let file = open(&Place::of(about), file)?;
    Ok(u64::try_from(file.metadata().file_metadata().num_rows()).unwrap_or(0))
}

fn open(place: &Place, file: File) -> Result<SerializedFileReader<File>> {
    SerializedFileReader::new(file).map_err(|e| {
        let cause = std::io::Error::other(said(&e));
        place
            .unreadable(&cause)
            .hint("is it Parquet, and has all of it arrived?")
    })
}

fn said(error: &ParquetError) -> String {
    match error {
        ParquetError::NYI(what) => format!("this Parquet cannot be read here: {what}"),
        other => other.to_string(),
    }
}
