//! libtorch for the plugins that compute with it.
//!
//! A libtorch of the user's is taken as it is: `LIBTORCH` names a folder, `LIBTORCH_USE_PYTORCH=1`
//! takes the one in the Python at hand. Else a CPU one is put together once, in the user's cache
//! directory, out of the wheels on PyPI; with `TALE_LIBTORCH=cuda` it is `PyTorch`'s own, with CUDA.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::steps::{program, run};
use crate::tools::python;

/// What `tch` 0.24 is made for.
const VERSION: &str = "2.11.0";

/// PyPI's torch is built with CUDA. Its CPU part alone needs these two of NVIDIA's small libraries
/// to load (the profiler is linked to them), and nothing of the gigabytes of others.
const WHEELS: &[&str] = &[
    "torch==2.11.0",
    "nvidia-cuda-cupti==13.0.85",
    "nvidia-cuda-runtime==13.0.96",
];

/// Unpacks what is needed of the wheels in `argv[1]` into `argv[2]`.
const UNPACK: &str = r"
import glob, os, shutil, sys, zipfile
source, target = sys.argv[1:]
wanted = {'torch/lib/libtorch_cpu.so', 'torch/lib/libc10.so', 'torch/lib/libgomp.so.1',
          'nvidia/cu13/lib/libcupti.so.13', 'nvidia/cu13/lib/libcudart.so.13'}
for wheel in glob.glob(source + '/*.whl'):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name in wanted:
                wanted.discard(name)
                path = os.path.join(target, 'lib', os.path.basename(name))
            elif name.startswith('torch/include/') and not name.endswith('/'):
                path = os.path.join(target, name[len('torch/'):])
            else:
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(name) as packed, open(path, 'wb') as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
if wanted:
    sys.exit('not in the wheels: ' + ', '.join(sorted(wanted)))
os.symlink('libtorch_cpu.so', os.path.join(target, 'lib', 'libtorch.so'))
";

/// The folder that `LIBTORCH` must name, fetched if need be; absent if the user has one.
pub(crate) fn set_up() -> Result<Option<PathBuf>> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("LIBTORCH") || is_set("LIBTORCH_USE_PYTORCH") {
        return Ok(None);
    }
    match std::env::var("TALE_LIBTORCH").as_deref() {
        Ok("cuda") => return with_cuda().context(WAY_OUT).map(Some),
        Ok("cpu" | "") | Err(_) => {}
        Ok(other) => bail!("`TALE_LIBTORCH` is `{other}`: it is `cpu` or `cuda`"),
    }
    let folder = cache()?
        .join("tale/libtorch")
        .join(format!("{VERSION}-cpu"));
    if !folder.join("build-version").is_file() {
        fetch(&folder).context(WAY_OUT)?;
    }
    Ok(Some(folder))
}

const WAY_OUT: &str = "cannot fetch libtorch (your own would do as well: `pip install torch==2.11.0` and \
                       `export LIBTORCH_USE_PYTORCH=1`, or `export LIBTORCH=FOLDER`)";

/// The torch of PyPI is built with CUDA 13 and brings NVIDIA's libraries (gigabytes): it is installed
/// as it is, into a Python environment of its own, where its libraries find each other.
fn with_cuda() -> Result<PathBuf> {
    let home = cache()?
        .join("tale/libtorch")
        .join(format!("{VERSION}-cuda"));
    let (own, proof) = (home.join("bin/python"), home.join("complete"));
    if !proof.is_file() {
        eprintln!(
            "fetching PyTorch {VERSION} with CUDA into {} (gigabytes, once)",
            home.display()
        );
        run(program(python()?).args(["-m", "venv"]).arg(&home))?;
        run(program(&own)
            .args(["-m", "pip", "install", "--quiet"])
            .arg("--disable-pip-version-check")
            .arg(format!("torch=={VERSION}")))?;
        std::fs::write(&proof, "").with_context(|| format!("cannot write {}", proof.display()))?;
    }
    let find = "import importlib.util, os; print(os.path.dirname(importlib.util.find_spec('torch').origin))";
    let output = program(&own).args(["-c", find]).output()?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !folder.join("lib/libtorch_cuda.so").is_file() {
        bail!("the torch in {} is built without CUDA", home.display());
    }
    Ok(folder)
}

/// The user's cache directory.
pub(crate) fn cache() -> Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")
}

fn fetch(folder: &Path) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("there is a recipe for Linux on x86-64 only");
    }
    eprintln!(
        "no libtorch on this machine: fetching {VERSION} for the CPU from PyPI into {} (once)",
        folder.display()
    );
    // Of this process alone: two set-ups at a time both work, and the first to end wins.
    let part = folder.with_extension(format!("{}.part", std::process::id()));
    let (wheels, whole) = (part.join("wheels"), part.join("libtorch"));
    std::fs::create_dir_all(&wheels)
        .with_context(|| format!("cannot create {}", wheels.display()))?;
    let outcome = assemble(&wheels, &whole).and_then(|()| {
        if !folder.exists() {
            std::fs::rename(&whole, folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(())
    });
    let _ = std::fs::remove_dir_all(&part);
    outcome
}

fn assemble(wheels: &Path, whole: &Path) -> Result<()> {
    let python = python()?;
    let mut pip = program(&python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(["--disable-pip-version-check", "--only-binary=:all:"]);
    // Whatever Python is here: only the C++ libraries are of interest.
    for platform in ["2_28", "2_25", "2_17"] {
        pip.arg("--platform")
            .arg(format!("manylinux_{platform}_x86_64"));
    }
    pip.args([
        "--platform",
        "manylinux2014_x86_64",
        "--python-version",
        "3.11",
    ])
    .args(["--implementation", "cp", "--abi", "cp311", "--abi", "none"])
    .arg("--dest")
    .arg(wheels)
    .args(WHEELS)
    .stdin(Stdio::null());
    run(&mut pip)?;
    let unpacked = program(&python)
        .args(["-c", UNPACK])
        .args([wheels, whole])
        .status()
        .context("cannot run Python")?;
    if !unpacked.success() {
        bail!("the wheels are not as expected");
    }
    std::fs::write(whole.join("build-version"), format!("{VERSION}+cpu\n"))
        .context("cannot write build-version")
}
