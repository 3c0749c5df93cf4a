//! Set-up and chores: `cargo xtask --help`.
//!
//! One rule holds for all of them: what a command runs is shown, so that anybody can run a part of
//! it by hand.

mod api;
mod chores;
mod libtorch;
mod parity;
mod steps;
mod tidy;
mod tools;

use std::ffi::OsString;
use std::process::ExitCode;

const HELP: &str = "\
Set-up and chores of TALE.

Usage: cargo xtask COMMAND [ARGUMENTS…]

Commands:
  setup   get what the build lacks: cmake, libclang and libtorch, without root
  env     print the variables of the build for a shell: eval \"$(cargo xtask env)\"
  build   build everything in release; arguments go to `cargo build`
  demo    set up, build, fetch the model and run examples/quickstart.toml; arguments go to `tale run`
  test    set up and run all checks and tests; arguments choose steps (see `cargo xtask test --list`)
  parity  make the parity fixtures anew with PyTorch and PEFT (gigabytes), compare them, repeat the
          comparisons, run TRL; `--python PATH` takes an environment of yours, `--bless` keeps them
  tidy    check the rules of the house that no compiler knows
  bench   run the benchmarks; arguments go to `cargo bench`
  deny    check licences, sources and advisories of all dependencies (needs cargo-deny)
  api     compare the plugin API with its snapshot; `--bless` writes it anew (needs cargo-public-api)
  semver  list what breaks source written against tale-api 0.1.0 (needs cargo-semver-checks)
  sanitize  run the boundary's tests with `address` (default), `valgrind` or `miri`
  docs    build the API documentation; a broken link is an error

Variables:
  CMAKE, LIBCLANG_PATH   tools of your own, taken as they are
  LIBTORCH, LIBTORCH_USE_PYTORCH
                         a libtorch of your own, the same (default: a CPU one in the cache directory)
  TALE_LIBTORCH          `cuda` fetches PyTorch's with CUDA instead (gigabytes)
  TALE_TOOLS_DIR         where `setup` puts what it fetches (default: .tools in the project)
  TALE_PYTHON            the Python whose pip is used (default: python3)
";

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = if arguments.is_empty() {
        OsString::from("--help")
    } else {
        arguments.remove(0)
    };
    // Both `cargo xtask demo --limit 4` and `cargo xtask demo -- --limit 4` do what is meant.
    if arguments.first().is_some_and(|argument| argument == "--") {
        arguments.remove(0);
    } else if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let outcome = match command.to_str() {
        Some("setup") => chores::setup(),
        Some("env") => chores::env(),
        Some("build") => chores::build(&arguments),
        Some("demo") => chores::demo(&arguments),
        Some("test") => chores::test(&arguments),
        Some("parity") => parity::parity(&arguments),
        Some("tidy") => tidy::tidy(),
        Some("bench") => chores::bench(&arguments),
        Some("deny") => chores::deny(&arguments),
        Some("api") => api::api(&arguments),
        Some("semver") => api::semver(&arguments),
        Some("sanitize") => api::sanitize(&arguments),
        Some("docs") => chores::docs(&arguments),
        Some("--help" | "-h" | "help") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!(
                "error: no command `{}`\n\n{HELP}",
                command.to_string_lossy()
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
