//! A data set of questions.

use async_trait::async_trait;

use crate::messages::{
    DatasetInfo, Error, ErrorKind, Grade, GradeRequest, Page, PageRequest, Result,
};

/// A data set, read in pages and never whole in memory.
#[async_trait]
pub trait Dataset: Send + Sync {
    /// What this data set is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::InvalidData`] if its file is missing or unreadable.
    async fn info(&self) -> Result<DatasetInfo>;

    /// The next questions, in the data set's order: no gap, no repeat, the same at every reading.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidData`]: a record that cannot be read; context `file` and `line` say where.
    /// * [`ErrorKind::InvalidInput`]: a cursor that this data set did not hand out.
    async fn page(&self, request: PageRequest) -> Result<Page>;

    /// Judges an answer by this data set's own rule, for those whose
    /// [`DatasetInfo::grades`] is set. The others are judged by the runtime, by kind of answer.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where there is no such rule (the default).
    async fn grade(&self, request: GradeRequest) -> Result<Grade> {
        let _ = request;
        Err(Error::new(
            ErrorKind::Unsupported,
            "this data set has no grading rule of its own",
        ))
    }
}
