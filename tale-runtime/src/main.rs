//! The `tale` binary.

fn main() -> std::process::ExitCode {
    let asked = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"];
    if asked.iter().all(|name| std::env::var_os(name).is_none()) {
        // libgomp, which engine plugins bring in, reads this once, when it is loaded: too early for
        // the plugin itself. By default its threads spin while they wait for each other, and beside
        // any other load a step of llama.cpp then took eight times as long.
        // SAFETY: nothing runs beside the first statement of `main` that could read the environment.
        unsafe { std::env::set_var("OMP_WAIT_POLICY", "passive") };
    }
    tale_runtime::cli::main()
}
