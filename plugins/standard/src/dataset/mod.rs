//! Data sets: files of records, read a page at a time.
//!
//! [`FileDataset`] does the reading, whatever the form of the files; what a record means is a
//! [`Records`] of a few lines for each data set. Most sets are a [`Table`] whose options are known.

mod choice;
mod compose;
mod files;
mod gpqa;
mod gsm8k;
mod gsm8k_zero;
mod inline;
mod mapping;
mod mathbench;
mod published;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use tale_api::{Dataset, DatasetInfo, Error, ErrorKind, Page, PageRequest, Question, Result};
use tokio::sync::OnceCell;

pub use files::{Form, OnError};
pub use gpqa::{Gpqa, GpqaOptions};
pub use gsm8k::{Gsm8k, Gsm8kOptions};
pub use gsm8k_zero::Gsm8kZero;
pub use inline::{Inline, InlineOptions, InlineQuestion};
pub use mathbench::{Level, MathBench, MathBenchOptions};
pub use published::{CodeSummary, EmpatheticDialogues, Mbpp, PublishedOptions};
pub use table::{Fields, Table, TableOptions};

use files::{DataFile, Part, Reading};

/// A line longer than this is refused unless the options allow more: one line is in memory at a time,
/// and a file without newlines would otherwise be read whole.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// What a record of a data set means.
pub trait Records: Send + Sync + 'static {
    /// The question of `record`, a JSON text, on line (or row) `number` (from 1).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] and what is wrong with it; the reader adds file and line.
    fn question(&self, record: &str, number: u64) -> Result<Question>;

    /// The questions of a record, always [`Records::questions_a_record`] of them.
    ///
    /// # Errors
    /// As [`Records::question`].
    fn questions(&self, record: &str, number: u64) -> Result<Vec<Question>> {
        Ok(vec![self.question(record, number)?])
    }

    /// How many questions each record asks; above 1 they are one task together.
    fn questions_a_record(&self) -> u64 {
        1
    }

    /// Whether ids come from the file, so that two records may bear the same.
    fn ids_may_repeat(&self) -> bool {
        false
    }
}

/// A data set in one or several files.
#[derive(Debug)]
pub struct FileDataset<R> {
    parts: Arc<Vec<Part<R>>>,
    about: DatasetInfo,
    info: OnceCell<DatasetInfo>,
}

impl<R: Records> FileDataset<R> {
    /// `about` holds what does not depend on the files.
    fn new(parts: Vec<Part<R>>, about: DatasetInfo) -> Self {
        Self {
            parts: Arc::new(parts),
            about,
            info: OnceCell::new(),
        }
    }

    /// A data set in a single file.
    fn of(file: DataFile, records: R, about: DatasetInfo) -> Self {
        let prefix = None;
        let part = Part {
            file,
            records,
            prefix,
        };
        Self::new(vec![part], about)
    }
}

#[async_trait]
impl<R: Records> Dataset for FileDataset<R> {
    /// Reads the files once, at the first call: size and digest are their real ones.
    async fn info(&self) -> Result<DatasetInfo> {
        let info = self.info.get_or_try_init(|| async {
            let parts = Arc::clone(&self.parts);
            let scan = blocking("info", move || files::scan(&parts)).await?;
            let group = self
                .parts
                .first()
                .map_or(1, |p| p.records.questions_a_record());
            Ok(DatasetInfo {
                size: Some(scan.questions),
                digest: Some(scan.digest),
                skipped: scan.skipped,
                group: u32::try_from(group).ok().filter(|g| *g > 1),
                ..self.about.clone()
            })
        });
        info.await.cloned()
    }

    async fn page(&self, request: PageRequest) -> Result<Page> {
        let parts = Arc::clone(&self.parts);
        blocking("page", move || files::page(&parts, &request)).await
    }
}

async fn blocking<T: Send + 'static>(
    operation: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|e| e.operation(operation)),
        Err(e) => Err(
            Error::new(ErrorKind::Internal, "reading a data set panicked")
                .operation(operation)
                .caused_by(&e),
        ),
    }
}

/// What a record lacks or has wrong.
fn broken(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}
