//! Panics stop here: nothing unwinds over the boundary.

use std::{any::Any, panic::AssertUnwindSafe};

/// Runs `f`, or gives the text of its panic.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(f)).map_err(panic_text)
}

/// What a panic said.
pub(crate) fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let payload = match payload.downcast::<String>() {
        Ok(text) => return *text,
        Err(other) => other,
    };
    match payload.downcast::<&'static str>() {
        Ok(text) => (*text).to_owned(),
        Err(other) => {
            // An unknown value may panic again when it is dropped; better a few bytes lost.
            std::mem::forget(other);
            "a panic without text".to_owned()
        }
    }
}
