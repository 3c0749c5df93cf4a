//! The way events leave a call that is under way.

use std::{fmt, sync::Arc};

/// Takes the events of one call, in order.
///
/// Handing an event over runs the receiver at once, in the caller's thread. There is no queue in
/// between, so a component cannot flood the memory of whoever listens: a slow listener slows it.
pub struct Events<E> {
    listener: Option<Arc<dyn Fn(E) + Send + Sync>>,
}

impl<E> Events<E> {
    /// Events that call `listener`. It must return soon and must not block on the same call.
    pub fn to(listener: impl Fn(E) + Send + Sync + 'static) -> Self {
        Self {
            listener: Some(Arc::new(listener)),
        }
    }

    /// Events that nobody wants.
    #[must_use]
    pub fn ignored() -> Self {
        Self { listener: None }
    }

    /// Whether somebody listens; where not, a component may save itself the work.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.listener.is_some()
    }

    /// Hands one event over.
    pub fn send(&self, event: E) {
        if let Some(listener) = &self.listener {
            listener(event);
        }
    }
}

impl<E> Clone for Events<E> {
    fn clone(&self) -> Self {
        Self {
            listener: self.listener.clone(),
        }
    }
}

impl<E> fmt::Debug for Events<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("wanted", &self.is_wanted())
            .finish()
    }
}
