//! The commands: what each of them runs, in order.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use anyhow::{Result, bail};

use crate::steps::{Summary, cargo, program, run, target};
use crate::tidy;
use crate::tools::{self, Environment};

/// The model of the demo, and the one that tests of the engine load.
const DEMO_MODEL: &str = "qwen2.5-coder-0.5b-instruct";
const TEST_MODEL: &str = "smollm2-135m-instruct";
const DEMO: &str = "examples/quickstart.toml";

pub(crate) fn setup() -> Result<()> {
    let environment = tools::set_up()?;
    if environment.iter().next().is_none() {
        eprintln!("cmake, libclang and libtorch are there; plain `cargo build --release` works");
    } else {
        eprintln!(
            "cmake, libclang and libtorch are there; for plain cargo: eval \"$(cargo xtask env)\""
        );
    }
    Ok(())
}

pub(crate) fn env() -> Result<()> {
    for (name, value) in tools::set_up()?.iter() {
        println!(
            "export {name}='{}'",
            value.to_string_lossy().replace('\'', r"'\''")
        );
    }
    Ok(())
}

pub(crate) fn build(arguments: &[OsString]) -> Result<()> {
    build_with(&tools::set_up()?, arguments)
}

/// The whole workspace, so that the plugins lie beside the binary, where it looks for them.
fn build_with(environment: &Environment, arguments: &[OsString]) -> Result<()> {
    eprintln!("(the first build compiles llama.cpp, which takes some minutes)");
    run(cargo(environment)
        .args(["build", "--release", "--workspace"])
        .args(arguments))
}

pub(crate) fn demo(arguments: &[OsString]) -> Result<()> {
    build_with(&tools::set_up()?, &[])?;
    run(tale().args(["model", "fetch", DEMO_MODEL]))?;
    run(tale().args(["run", DEMO]).args(arguments))
}

pub(crate) fn bench(arguments: &[OsString]) -> Result<()> {
    let environment = tools::set_up()?;
    build_with(&environment, &[])?;
    run(cargo(&environment)
        .args(["bench", "--package", "tale-benches"])
        .args(arguments))
}

pub(crate) fn docs(arguments: &[OsString]) -> Result<()> {
    let environment = tools::set_up()?;
    run(cargo(&environment)
        .args(["doc", "--release", "--workspace", "--no-deps"])
        .args(arguments)
        // Links to private items serve those who read the code; they only lead nowhere on a page.
        .env(
            "RUSTDOCFLAGS",
            "-D warnings -A rustdoc::private_intra_doc_links",
        ))
}

/// `deny.toml` says what may enter. No part of `test`: advisories come from the network, and change
/// without a change of ours.
pub(crate) fn deny(arguments: &[OsString]) -> Result<()> {
    let environment = Environment::default();
    if !cargo(&environment)
        .args(["deny", "--version"])
        .output()?
        .status
        .success()
    {
        bail!("cargo-deny is not installed: `cargo install cargo-deny --locked`");
    }
    run(cargo(&environment).args(["deny", "check"]).args(arguments))
}

/// The binary that was just built.
fn tale() -> Command {
    program(target().join("tale"))
}

/// A step of `cargo xtask test`.
struct Check {
    name: &'static str,
    /// Whether it runs what `build` made.
    needs_build: bool,
    work: fn(&Environment) -> Result<()>,
}

/// Cheap ones first; the lints last, for they say least about whether it works.
const CHECKS: &[Check] = &[
    Check {
        name: "tidy",
        needs_build: false,
        work: |_| tidy::tidy(),
    },
    Check {
        name: "format",
        needs_build: false,
        work: |env| run(cargo(env).args(["fmt", "--all", "--check"])),
    },
    Check {
        name: "build",
        needs_build: false,
        work: |env| build_with(env, &[]),
    },
    Check {
        name: "model",
        needs_build: true,
        work: |_| run(tale().args(["model", "fetch", TEST_MODEL])),
    },
    Check {
        name: "tests",
        needs_build: true,
        work: tests,
    },
    Check {
        name: "doc tests",
        needs_build: true,
        work: doc_tests,
    },
    Check {
        name: "lints",
        needs_build: false,
        work: lints,
    },
    Check {
        name: "docs",
        needs_build: false,
        work: |_| docs(&[]),
    },
];

pub(crate) fn test(arguments: &[OsString]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--list") {
        for check in CHECKS {
            println!("{}", check.name);
        }
        return Ok(());
    }
    for name in arguments {
        if !CHECKS.iter().any(|check| OsStr::new(check.name) == name) {
            bail!(
                "no step `{}`; `cargo xtask test --list` names them",
                name.to_string_lossy()
            );
        }
    }
    let environment = tools::set_up()?;
    let mut summary = Summary::default();
    let mut built = true;
    for check in CHECKS {
        let asked =
            arguments.is_empty() || arguments.iter().any(|name| OsStr::new(check.name) == name);
        if !asked {
            continue;
        }
        if check.needs_build && !built {
            summary.skip(check.name);
            continue;
        }
        let passed = summary.step(check.name, || (check.work)(&environment));
        built &= passed || check.name != "build";
    }
    summary.end()
}

/// nextest runs each test in a process of its own, which plugins that misbehave are glad of.
fn tests(environment: &Environment) -> Result<()> {
    let nextest = cargo(environment).args(["nextest", "--version"]).output();
    if nextest.is_ok_and(|output| output.status.success()) {
        run(cargo(environment).args([
            "nextest",
            "run",
            "--release",
            "--workspace",
            "--no-fail-fast",
        ]))
    } else {
        eprintln!(
            "(cargo-nextest is not installed; `cargo test` does the same, with less of an overview)"
        );
        run(cargo(environment).args([
            "test",
            "--release",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ]))
    }
}

fn doc_tests(environment: &Environment) -> Result<()> {
    run(cargo(environment).args([
        "test",
        "--release",
        "--workspace",
        "--doc",
        "--no-fail-fast",
    ]))
}

fn lints(environment: &Environment) -> Result<()> {
    run(cargo(environment).args([
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}
