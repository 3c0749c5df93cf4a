//! A look into a GGUF file before llama.cpp loads it.
//!
//! llama.cpp says in its log only why it refuses a file. What happens to real users (a download that
//! stopped, a web page saved under the name of a model) is told apart here, with numbers.

use std::{ffi::CString, fs::File, io::Read, path::Path, ptr::NonNull};

use llama_cpp_sys_2 as sys;
use tale_api::{Error, ErrorKind, Result};

use crate::logs;

/// What the header says.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// `general.architecture`.
    pub(crate) architecture: Option<String>,
    /// The name of the model, `general.name`.
    pub(crate) name: Option<String>,
    /// The kind of tokenizer, `tokenizer.ggml.model`, with its `tokenizer.ggml.pre`.
    pub(crate) tokenizer: Option<String>,
}

/// Reads the header of `path` and checks that the file is as long as its table of tensors says.
///
/// # Errors
/// [`ErrorKind::NotFound`]: no such file. [`ErrorKind::InvalidData`]: no GGUF, or cut.
pub(crate) fn inspect(path: &Path) -> Result<Header> {
    let shown = path.display();
    let length = check_magic(path)?;
    let (opened, errors) = logs::capture(|| Gguf::open(path));
    let Some(file) = opened else {
        let mut error = Error::new(
            ErrorKind::InvalidData,
            format!("`{shown}` ({length} bytes) is a GGUF file whose header cannot be read"),
        )
        .hint(FETCH_AGAIN);
        error.causes = errors;
        return Err(error);
    };
    let end = file.end_of_tensors();
    if end > length {
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!(
                "`{shown}` is cut: it has {length} bytes, and its table of tensors needs {end}"
            ),
        )
        .hint(FETCH_AGAIN));
    }
    let tokenizer = match (
        file.text(c"tokenizer.ggml.model"),
        file.text(c"tokenizer.ggml.pre"),
    ) {
        (Some(model), Some(pre)) => Some(format!("{model}/{pre}")),
        (model, _) => model,
    };
    Ok(Header {
        architecture: file.text(c"general.architecture"),
        name: file.text(c"general.name"),
        tokenizer,
    })
}

const FETCH_AGAIN: &str =
    "delete it and fetch it again (`tale model fetch NAME` resumes, and checks the digest)";

/// The length of the file, once it is known to begin as a GGUF file does.
fn check_magic(path: &Path) -> Result<u64> {
    let shown = path.display();
    let unreadable = |e: &std::io::Error| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::InvalidData,
        };
        Error::new(kind, format!("cannot open the model file `{shown}`"))
            .hint("`tale model list` shows the models that `tale model fetch NAME` downloads")
            .caused_by(e)
    };
    let mut file = File::open(path).map_err(|e| unreadable(&e))?;
    let length = file.metadata().map_err(|e| unreadable(&e))?.len();
    let mut magic = [0; 4];
    let read = file.read(&mut magic).map_err(|e| unreadable(&e))?;
    if &magic[..read] == b"GGUF" {
        return Ok(length);
    }
    Err(Error::new(
        ErrorKind::InvalidData,
        format!(
            "`{shown}` is no GGUF file: it begins with `{}`",
            magic[..read].escape_ascii()
        ),
    )
    .hint("models in other formats are converted with llama.cpp's `convert_hf_to_gguf.py`"))
}

/// The header of a file as ggml reads it; freed on drop.
struct Gguf(NonNull<sys::gguf_context>);

impl Gguf {
    fn open(path: &Path) -> Option<Self> {
        let path = CString::new(path.to_str()?).ok()?;
        let parameters = sys::gguf_init_params {
            no_alloc: true,
            ctx: std::ptr::null_mut(),
        };
        // SAFETY: the path is NUL-terminated and lives over the call; without `ctx` no tensors are
        // made. The library returns null for whatever it cannot read.
        let context = unsafe { sys::gguf_init_from_file(path.as_ptr(), parameters) };
        NonNull::new(context).map(Self)
    }

    /// Where the last tensor ends, in bytes from the start of the file.
    fn end_of_tensors(&self) -> u64 {
        let gguf = self.0.as_ptr();
        // SAFETY: `gguf` is valid until `self` is dropped, and every index is below the count that
        // the library gives.
        let end = unsafe {
            let data = sys::gguf_get_data_offset(gguf);
            (0..sys::gguf_get_n_tensors(gguf))
                .map(|i| {
                    let offset = data.saturating_add(sys::gguf_get_tensor_offset(gguf, i));
                    offset.saturating_add(sys::gguf_get_tensor_size(gguf, i))
                })
                .max()
                .unwrap_or(data)
        };
        end as u64
    }

    /// The value of `key`, if it is there and is text.
    fn text(&self, key: &std::ffi::CStr) -> Option<String> {
        let gguf = self.0.as_ptr();
        // SAFETY: `gguf` is valid until `self` is dropped; the key is NUL-terminated; the value is
        // read as text only after its type was found to be that, and is copied at once.
        unsafe {
            let index = sys::gguf_find_key(gguf, key.as_ptr());
            if index < 0 || sys::gguf_get_kv_type(gguf, index) != sys::GGUF_TYPE_STRING {
                return None;
            }
            let value = sys::gguf_get_val_str(gguf, index);
            Some(
                std::ffi::CStr::from_ptr(value)
                    .to_string_lossy()
                    .into_owned(),
            )
        }
    }
}

impl Drop for Gguf {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `gguf_init_from_file` and is freed once, here.
        unsafe { sys::gguf_free(self.0.as_ptr()) };
    }
}
