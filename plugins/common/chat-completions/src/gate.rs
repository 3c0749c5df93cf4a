//! The first call goes alone: what is wrong for all calls is found out by one.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tale_api::{Error, ErrorKind, Result};

/// Lets one call at a time through until one has shown that address, key and model are right; and
/// none any more once it is known that all would fail.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_open: AtomicBool,
    closed_by: Mutex<Option<Error>>,
    turn: tokio::sync::Mutex<()>,
}

/// The right to find out.
pub(crate) type First<'a> = tokio::sync::MutexGuard<'a, ()>;

impl Gate {
    /// Goes through the open gate (`None`), or waits for the turn to try.
    ///
    /// # Errors
    /// What closed the gate for good.
    pub(crate) async fn enter(&self) -> Result<Option<First<'_>>> {
        if self.is_open() {
            return Ok(None);
        }
        let turn = self.turn.lock().await;
        if let Some(error) = self.closed_by() {
            return Err(error);
        }
        Ok((!self.is_open()).then_some(turn))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Everybody may pass.
    pub(crate) fn open(&self) {
        if self.closed_by().is_none() {
            self.is_open.store(true, Ordering::Release);
        }
    }

    /// Takes note of an error: one that every call would meet closes the gate for good.
    pub(crate) fn note(&self, error: &Error) {
        use ErrorKind::{
            ContextLength, InvalidInput, InvalidOptions, QuotaExhausted, Unauthorized,
        };
        match error.kind {
            Unauthorized | QuotaExhausted | InvalidOptions => {
                let mut closed_by = self
                    .closed_by
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                closed_by.get_or_insert_with(|| error.clone());
                self.is_open.store(false, Ordering::Release);
            }
            // A matter of this one prompt; the server has understood.
            ContextLength | InvalidInput => self.open(),
            _ => {}
        }
    }

    fn closed_by(&self) -> Option<Error> {
        self.closed_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first() {
        let gate = Gate::default();
        let first = gate.enter().await.unwrap();
        assert!(first.is_some());
        assert!(
            timeout(Duration::from_millis(5), gate.enter())
                .await
                .is_err()
        );
        gate.open();
        drop(first);
        assert!(gate.enter().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_fails_for_all_is_not_tried_again() {
        let gate = Gate::default();
        gate.open();
        gate.note(&Error::new(ErrorKind::ContextLength, "long"));
        assert!(gate.enter().await.unwrap().is_none());
        gate.note(&Error::new(ErrorKind::Unauthorized, "no"));
        gate.open();
        assert_eq!(gate.enter().await.unwrap_err().message, "no");
    }
}
