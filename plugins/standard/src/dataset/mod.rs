//! Data sets: JSONL files, read a page at a time.
//!
//! One [`JsonlDataset`] does the reading; what a line means is a [`Records`] of a few lines for each
//! data set. Parquet and the hub's own formats are left out: every set in use here comes as JSONL or
//! becomes one with a line of `jq`.

mod file;
mod gsm8k;
mod gsm8k_zero;
mod inline;
mod jsonl;
mod lines;
mod mapping;
mod scan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use tale_api::{Dataset, DatasetInfo, Error, ErrorKind, Page, PageRequest, Question, Result};
use tokio::sync::OnceCell;

pub use gsm8k::{Gsm8k, Gsm8kOptions};
pub use gsm8k_zero::{Gsm8kZero, Gsm8kZeroOptions};
pub use inline::{Inline, InlineOptions, InlineQuestion};
pub use jsonl::{Jsonl, JsonlOptions};

use file::JsonlFile;

/// A line longer than this is refused unless the options allow more: one line is in memory at a time,
/// and a file without newlines would otherwise be read whole.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// What a line of a data set means.
pub trait Records: Send + Sync + 'static {
    /// The question on line `number` (from 1).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] and what is wrong with the line; the reader adds file and line.
    fn question(&self, line: &str, number: u64) -> Result<Question>;

    /// Whether ids come from the file, so that two lines may bear the same.
    fn ids_may_repeat(&self) -> bool {
        false
    }
}

/// A data set in a JSONL file.
#[derive(Debug)]
pub struct JsonlDataset<R> {
    file: Arc<JsonlFile>,
    records: Arc<R>,
    about: DatasetInfo,
    info: OnceCell<DatasetInfo>,
}

impl<R: Records> JsonlDataset<R> {
    /// `about` holds what does not depend on the file.
    fn new(file: JsonlFile, records: R, about: DatasetInfo) -> Self {
        Self {
            file: Arc::new(file),
            records: Arc::new(records),
            about,
            info: OnceCell::new(),
        }
    }
}

#[async_trait]
impl<R: Records> Dataset for JsonlDataset<R> {
    /// Reads the file once, at the first call: size and digest are the file's real ones.
    async fn info(&self) -> Result<DatasetInfo> {
        let info = self.info.get_or_try_init(|| async {
            let (file, records) = (Arc::clone(&self.file), Arc::clone(&self.records));
            let scan = blocking("info", move || scan::scan(&file, &*records)).await?;
            Ok(DatasetInfo {
                size: Some(scan.records),
                digest: Some(scan.digest),
                ..self.about.clone()
            })
        });
        info.await.cloned()
    }

    async fn page(&self, request: PageRequest) -> Result<Page> {
        let (file, records) = (Arc::clone(&self.file), Arc::clone(&self.records));
        blocking("page", move || file.page(&request, &*records)).await
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
