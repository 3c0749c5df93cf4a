//! llama.cpp's log lines become `tracing` events; nothing of it reaches stderr.
//!
//! The library reports why a load failed in its log only, so [`capture`] also keeps the error lines
//! that the current thread causes.

use std::{
    cell::RefCell,
    ffi::{CStr, c_char, c_void},
    panic::catch_unwind,
    sync::Once,
};

use llama_cpp_sys_2 as sys;

thread_local! {
    /// Error lines of this thread, while somebody captures.
    static CAPTURED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Sends llama.cpp's log to `tracing` from now on; the first call counts.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the callback is a function of this library, which is never unloaded, and it takes
        // no user data. `llama_log_set` sets ggml's callback too.
        unsafe { sys::llama_log_set(Some(receive), std::ptr::null_mut()) };
    });
}

/// Runs `work` and returns with its result the error lines that llama.cpp logged in this thread.
pub(crate) fn capture<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    CAPTURED.with_borrow_mut(|lines| *lines = Some(Vec::new()));
    let value = work();
    let lines = CAPTURED.with_borrow_mut(Option::take).unwrap_or_default();
    (value, lines)
}

unsafe extern "C" fn receive(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp hands over a NUL-terminated string that lives until this call returns.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let line = text.trim();
    if line.is_empty() || line == "." {
        return; // parts of a progress bar
    }
    // A subscriber that panics must not unwind into C.
    let _ = catch_unwind(|| record(level, line));
}

fn record(level: sys::ggml_log_level, line: &str) {
    let captured = level == sys::GGML_LOG_LEVEL_ERROR
        && CAPTURED
            .with_borrow_mut(|lines| lines.as_mut().map(|l| l.push(line.to_owned())).is_some());
    // Each level is one lower here: what llama.cpp calls a warning ("the full capacity of the model
    // will not be utilized") is news at most, and its news are a page for every model.
    match level {
        sys::GGML_LOG_LEVEL_ERROR if !captured => tracing::error!(target: "llama_cpp", "{line}"),
        sys::GGML_LOG_LEVEL_WARN => tracing::info!(target: "llama_cpp", "{line}"),
        sys::GGML_LOG_LEVEL_DEBUG => tracing::trace!(target: "llama_cpp", "{line}"),
        _ => tracing::debug!(target: "llama_cpp", "{line}"),
    }
}
