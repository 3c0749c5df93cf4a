//! Which device computes.

use std::ffi::OsStr;

use tale_api::{Error, ErrorKind, Result};
use tch::{Cuda, Kind, Tensor};

pub use tch::Device;

/// The device that an option names: `auto` (a CUDA card if there is one), `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// [`InvalidOptions`](tale_api::ErrorKind::InvalidOptions): another name;
/// [`Unavailable`](tale_api::ErrorKind::Unavailable): no such card, or it cannot compute.
pub fn device(name: &str) -> Result<Device> {
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => {
            open_cuda();
            if !Cuda::is_available() {
                return Ok(Device::Cpu);
            }
            0
        }
        "cuda" => 0,
        _ => name
            .strip_prefix("cuda:")
            .and_then(|index| index.parse().ok())
            .ok_or_else(|| {
                Error::new(ErrorKind::InvalidOptions, format!("`device` is `{name}`"))
                    .hint("it is `auto`, `cpu`, `cuda` or `cuda:0`, `cuda:1`, …")
            })?,
    };
    open_cuda();
    let cards = Cuda::device_count();
    if usize::try_from(cards).unwrap_or(0) <= index {
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!("`device` is `{name}`, and libtorch finds {cards} CUDA cards"),
        )
        .hint("a CPU libtorch has no CUDA: `pip install torch==2.11.0`, build with `LIBTORCH_USE_PYTORCH=1`; `nvidia-smi` shows the cards; `device = \"cpu\"` works everywhere"));
    }
    let device = Device::Cuda(index);
    // A card that is there may still refuse: another driver, another process's memory.
    match Tensor::f_ones([1], (Kind::Float, device)) {
        Ok(_) => Ok(device),
        Err(e) => {
            let what = format!("`{name}` cannot compute");
            Err(Error::new(ErrorKind::Unavailable, what).caused_by(&e))
        }
    }
}

/// The threads that libtorch computes with, on a CPU.
pub fn limit_threads(threads: Option<u32>) {
    if let Some(threads) = threads {
        tch::set_num_threads(i32::try_from(threads).unwrap_or(1));
    }
}

/// Opens `libtorch_cuda` where it lies beside the libtorch in use.
///
/// Nothing refers to it by name (it registers its kernels and the hooks behind
/// `torch::cuda::is_available` when it is loaded), so a linker with `--as-needed`, the default of
/// Debian and Ubuntu, drops it, and CUDA is silently missing. `torch-sys` 0.24 links it where it lies
/// (`use_cuda` in its `build.rs`), and says there that `--no-as-needed` does not reach the binaries
/// downstream. Opening it at run time needs no flag, and one build serves both devices. It must
/// happen before libtorch is first asked for CUDA: it looks for the hooks once
/// (`at::detail::getCUDAHooks`).
fn open_cuda() {
    use std::sync::Once;
    static OPENED: Once = Once::new();
    OPENED.call_once(|| {
        let library: &OsStr = OsStr::new("libtorch_cuda.so");
        let flags = libloading::os::unix::RTLD_NOW | libloading::os::unix::RTLD_GLOBAL;
        // SAFETY: the library is PyTorch's own, found on this library's rpath; its initialisers
        // register kernels with the libtorch that is loaded already, and it is never unloaded.
        match unsafe { libloading::os::unix::Library::open(Some(library), flags) } {
            Ok(library) => std::mem::forget(library),
            Err(e) => tracing::debug!(error = %e, "no CUDA part of libtorch"),
        }
    });
}
