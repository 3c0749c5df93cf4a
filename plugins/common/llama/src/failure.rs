//! What libtorch's panics mean.

use std::any::Any;

/// Whether a panic says that there was no memory.
///
/// `tch` panics with the error's text; libtorch has no other mark of it.
#[must_use]
pub fn is_out_of_memory(panic: &(dyn Any + Send)) -> bool {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.is_some_and(|text| {
        text.contains("out of memory")
            || text.contains("not enough memory")
            || text.contains("can't allocate memory")
    })
}
