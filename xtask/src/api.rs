//! Guards of the plugin API: its public surface, what breaks source, and the memory of the boundary.
//!
//! Each needs more than stable cargo, and says how to get what is missing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::steps::{cargo, program, root, run};
use crate::tools::Environment;

/// What the public API looked like when somebody last agreed to a change of it.
const SNAPSHOT: &str = "tale-api/public-api.txt";
/// The first tagged version, as cargo packages it.
const BASELINE: &str = "tale-api/tests/compat/tale-api-0.1.0.crate";
/// Build outputs of these checks: their flags would make cargo build everything anew elsewhere.
const PLACE: &str = "target/api";
/// Sanitizers need a target to be named, so that build scripts are spared.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Compares the public API with its snapshot, or writes that anew with `--bless`.
pub(crate) fn api(arguments: &[OsString]) -> Result<()> {
    let environment = Environment::default();
    let needed = "cargo install cargo-public-api --locked";
    require(&mut program("cargo-public-api"), "cargo-public-api", needed)?;
    run(cargo(&environment)
        .args([
            "rustdoc",
            "--package",
            "tale-api",
            "--lib",
            "--all-features",
        ])
        .args(["--target-dir", PLACE, "--", "-Z", "unstable-options"])
        .args(["--output-format", "json"])
        // rustdoc's JSON is unstable; the tool says so if it cannot read this version of it.
        .env("RUSTC_BOOTSTRAP", "1"))?;
    let json = root().join(PLACE).join("doc/tale_api.json");
    let output = program("cargo-public-api")
        .args(["public-api", "-sss", "--color", "never", "--rustdoc-json"])
        .arg(&json)
        .output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let now = String::from_utf8(output.stdout).context("the API is no text")?;
    let file = root().join(SNAPSHOT);
    if arguments.iter().any(|argument| argument == "--bless") {
        std::fs::write(&file, &now)?;
        eprintln!("{SNAPSHOT}: {} items", now.lines().count());
        return Ok(());
    }
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    let changes = difference(&before, &now);
    if changes.is_empty() {
        eprintln!("the public API is that of {SNAPSHOT}");
        return Ok(());
    }
    for change in &changes {
        eprintln!("{change}");
    }
    bail!(
        "{} lines of the public API changed; if that is meant: `cargo xtask api --bless`, and a line in CHANGELOG.md",
        changes.len()
    )
}

/// Lines that went (`-`) and came (`+`). Both texts are sorted by item, so no order is to be kept.
fn difference(before: &str, now: &str) -> Vec<String> {
    let gone = before
        .lines()
        .filter(|line| !now.lines().any(|other| other == *line))
        .map(|line| format!("- {line}"));
    let new = now
        .lines()
        .filter(|line| !before.lines().any(|other| other == *line))
        .map(|line| format!("+ {line}"));
    gone.chain(new).collect()
}

/// Lists what breaks source that was written against the first tagged version.
pub(crate) fn semver(arguments: &[OsString]) -> Result<()> {
    let environment = Environment::default();
    require(
        cargo(&environment).args(["semver-checks", "--version"]),
        "cargo-semver-checks",
        "cargo install cargo-semver-checks --locked",
    )?;
    let baseline = unpacked()?;
    run(cargo(&environment)
        .args(["semver-checks", "check-release", "--package", "tale-api"])
        .arg("--baseline-root")
        .arg(&baseline)
        // At 0.x the versions alone would allow every change; this asks which are no additions.
        .args(["--release-type", "minor", "--all-features"])
        .args(arguments))
}

/// The baseline's source, below the target folder.
fn unpacked() -> Result<PathBuf> {
    let place = root().join(PLACE);
    std::fs::create_dir_all(&place)?;
    run(program("tar")
        .arg("-xzf")
        .arg(root().join(BASELINE))
        .arg("-C")
        .arg(&place))?;
    let folder = place.join("tale-api-0.1.0");
    let manifest = folder.join("Cargo.toml");
    // Below this workspace, but no member of it.
    let text = std::fs::read_to_string(&manifest)? + "\n[workspace]\n";
    std::fs::write(&manifest, text)?;
    Ok(folder)
}

/// Runs the boundary's tests where a wrong access is seen: `address`, `valgrind` or `miri`.
pub(crate) fn sanitize(arguments: &[OsString]) -> Result<()> {
    let (with, filter) = match arguments.split_first() {
        Some((with, filter)) => (with.to_string_lossy().into_owned(), filter),
        None => ("address".to_owned(), &[][..]),
    };
    match with.as_str() {
        "address" => address(filter),
        "valgrind" => valgrind(filter),
        "miri" => miri(filter),
        other => bail!("no way `{other}` to look; there are `address`, `valgrind` and `miri`"),
    }
}

/// The tests of loading, whose libraries are built with the same flags.
fn boundary_tests(environment: &Environment, target_dir: &str) -> Command {
    let mut tests = cargo(environment);
    tests
        .args(["test", "--package", "tale-api", "--features", "conformance"])
        .args(["--test", "linked", "--test", "boundary"])
        .env("CARGO_BUILD_TARGET", TARGET)
        .env("CARGO_TARGET_DIR", root().join(target_dir))
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    tests
}

/// Tests that ask how much memory a process takes, which a sanitizer changes.
const NOT_HERE: &str = "memory";

/// `AddressSanitizer` with its leak checker: the host, the loaded library and all crates in both.
fn address(filter: &[OsString]) -> Result<()> {
    run(boundary_tests(&Environment::default(), "target/sanitize")
        .args(["--", "--skip", NOT_HERE])
        .args(filter)
        .env("RUSTC_BOOTSTRAP", "1")
        // The runtime is part of the test's binary, where the library has to find it.
        .env(
            "RUSTFLAGS",
            "-Zsanitizer=address -Clink-arg=-Wl,--export-dynamic",
        )
        .env(
            "ASAN_OPTIONS",
            "detect_leaks=1:detect_stack_use_after_return=1",
        ))
}

/// valgrind, for machines whose compiler has no sanitizer; it knows no AVX-512.
fn valgrind(filter: &[OsString]) -> Result<()> {
    require(
        program("valgrind").arg("--version"),
        "valgrind",
        "apt-get install valgrind",
    )?;
    let runner = "valgrind --quiet --error-exitcode=99 --leak-check=full \
                  --errors-for-leak-kinds=definite --show-leak-kinds=definite";
    run(boundary_tests(&Environment::default(), "target/valgrind")
        .args(["--", "--skip", NOT_HERE, "--test-threads=1"])
        .args(filter)
        .env("RUSTFLAGS", "-C target-cpu=x86-64")
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner))
}

/// Miri cannot open libraries; it runs both ends of a connection within one program.
fn miri(filter: &[OsString]) -> Result<()> {
    let mut has = program("cargo");
    has.args(["+nightly", "miri", "--version"]);
    require(
        &mut has,
        "Miri",
        "rustup component add miri rust-src --toolchain nightly",
    )?;
    // cargo sets the toolchain for its children; the proxy has to choose another one.
    run(program("cargo")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .args(["+nightly", "miri", "test", "--package", "tale-api"])
        .args(["--features", "host", "--lib", "--test", "linked", "--"])
        .args(filter)
        .env("CARGO_TARGET_DIR", root().join("target/miri"))
        .env("MIRIFLAGS", "-Zmiri-disable-isolation"))
}

/// Ends with the way to get a tool if it is not there.
fn require(command: &mut Command, name: &str, way: &str) -> Result<()> {
    let is_there = command
        .arg("--help")
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_there {
        bail!("{name} is not installed: `{way}`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_change_of_the_api_is_shown_by_line() {
        assert!(difference("a\nb\n", "b\na\n").is_empty());
        assert_eq!(
            difference("fn a()\nfn b(u8)\n", "fn a()\nfn b(u16)\n"),
            ["- fn b(u8)", "+ fn b(u16)"]
        );
    }

    #[test]
    fn the_baseline_lies_where_it_is_looked_for() {
        assert!(root().join(BASELINE).is_file());
        assert!(root().join(SNAPSHOT).is_file());
        assert!(Path::new(BASELINE).ends_with("tale-api-0.1.0.crate"));
    }
}
