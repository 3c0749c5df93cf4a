//! Finds the libraries under test, and builds them first where need be.
#![expect(
    clippy::unwrap_used,
    reason = "part of a test, if outside a test function"
)]

use std::{
    path::PathBuf,
    process::Command,
    sync::{Mutex, OnceLock},
};

use tale_api::host::{LoadPolicy, Plugin};

/// The library of the plugin that these tests load. Cargo builds it once per test binary: it is not
/// linked here, because a test of loading must not have the plugin in its own binary.
pub(crate) fn hostile() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            // Beside the `deps` folder that this test runs from.
            let exe = std::env::current_exe().unwrap();
            let profile = exe.ancestors().nth(2).unwrap();
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--package", "tale-test-hostile"]);
            if profile.file_name().is_some_and(|n| n == "release") {
                cargo.arg("--release");
            }
            let status = cargo
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status()
                .unwrap();
            assert!(status.success(), "the plugin does not build");
            let name = format!(
                "{}tale_test_hostile{}",
                std::env::consts::DLL_PREFIX,
                std::env::consts::DLL_SUFFIX
            );
            profile.join(name)
        })
        .clone()
}

/// The plugin, loaded once.
pub(crate) fn plugin() -> Plugin {
    static LOADED: Mutex<Option<Plugin>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap();
    loaded
        .get_or_insert_with(|| Plugin::load(&hostile(), &LoadPolicy::default()).unwrap())
        .clone()
}
