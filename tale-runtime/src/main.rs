//! The `tale` binary.

fn main() -> std::process::ExitCode {
    let asked = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"];
    if asked.iter().all(|name| std::env::var_os(name).is_none()) {
        // libgomp, which engine plugins bring in, reads this once, when it is loaded: too early for
        // the plugin itself. Its threads wait for each other at every operation. By default they spin
        // for milliseconds, and beside any other load a step of llama.cpp then took eight times as
        // long; if they sleep at once (`OMP_WAIT_POLICY=passive`), decoding on an idle machine is two
        // to three times slower. Some tens of microseconds of spinning lose neither way.
        // SAFETY: nothing runs beside the first statement of `main` that could read the environment.
        unsafe { std::env::set_var("GOMP_SPINCOUNT", "3000") };
    }
    tale_runtime::cli::main()
}
