//! The time that a request leaves.

use std::time::Duration;

use crate::messages::{Error, ErrorKind, Result};

/// What `work` results in, unless `timeout_s` seconds pass first: then `work` is dropped, and with
/// it whatever it holds. `None` waits as long as it takes.
///
/// For a model's [`generate`](crate::Llm::generate), whose requests carry such a time:
/// ```
/// # use tale_api::{Result, export::within};
/// # async fn answer() -> Result<String> { Ok(String::new()) }
/// # async fn example() -> Result<String> {
/// # let timeout_s = Some(1.5);
/// within(timeout_s, answer()).await
/// # }
/// ```
///
/// # Errors
/// [`ErrorKind::Timeout`] where the time is up; [`ErrorKind::InvalidInput`] where `timeout_s` is no
/// time (negative, not a number, more than can be counted), and `work` is then not begun; those of
/// `work`.
pub async fn within<T>(timeout_s: Option<f64>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(seconds) = timeout_s else {
        return work.await;
    };
    let limit = Duration::try_from_secs_f64(seconds).map_err(|e| {
        Error::new(ErrorKind::InvalidInput, format!("`timeout_s` is {seconds}")).caused_by(&e)
    })?;
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let message = format!("no answer within {seconds} s");
        Err(Error::new(ErrorKind::Timeout, message)
            .hint("`timeout_s` in `[llm]` bounds a call, its retries included"))
    })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn work_without_end_ends_when_its_time_is_up() {
        let error = within::<()>(Some(0.01), pending()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert_eq!(error.message, "no answer within 0.01 s");
    }

    #[tokio::test]
    async fn work_that_ends_in_time_is_its_result() {
        for timeout_s in [None, Some(0.0), Some(60.0)] {
            assert_eq!(within(timeout_s, ready(Ok(7))).await, Ok(7));
        }
        let failed = Error::new(ErrorKind::NotFound, "no such model");
        let error = within::<()>(Some(60.0), ready(Err(failed.clone()))).await;
        assert_eq!(error, Err(failed));
    }

    #[tokio::test]
    async fn a_time_that_is_none_is_refused() {
        for seconds in [-1.0, f64::NAN, f64::INFINITY, 1e30] {
            let error = within(Some(seconds), ready(Ok(7))).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{seconds}");
        }
    }
}
