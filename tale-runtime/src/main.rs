//! The `tale` binary.

fn main() -> std::process::ExitCode {
    tale_runtime::cli::main()
}
