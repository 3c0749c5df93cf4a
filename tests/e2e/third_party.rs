//! The example of a plugin by somebody else, as its author and its user handle it.

use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    fs,
    path::Path,
    process::Command,
};

use crate::support::{Place, repository};

/// A copy of the example in `place`, as it were a repository of its own, built and tested.
fn build(place: &Place) {
    let example = repository().join("examples/plugins/estimator-regression");
    let folder = place.path("estimator-regression");
    for file in [
        "Cargo.toml",
        "example.toml",
        "data/coefficients.json",
        "data/search.jsonl",
        "src/estimator.rs",
        "src/features.rs",
        "src/fit.rs",
        "src/lib.rs",
        "src/options.rs",
        "src/options.schema.json",
        "tests/plugin.rs",
    ] {
        let to = folder.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(example.join(file), to).unwrap();
    }
    // The path leads out of the example, and the versions are those that are known to be here.
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let api = format!("path = \"{}\"", repository().join("tale-api").display());
    let manifest = manifest.replace("path = \"../../../tale-api\"", &api);
    assert!(manifest.contains(&api));
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins");
    for arguments in [&["test", "--tests"][..], &["build"]] {
        let output = Command::new("cargo")
            .args(arguments)
            .args(["--release", "--offline"])
            .current_dir(&folder)
            // As in the tests of `tale plugin new`, so that most is compiled once for both.
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{arguments:?}\n{said}\n{errors}");
        assert!(!errors.contains("warning"), "{errors}");
    }
    // Where the author's own build would have put it, and the example looks for it.
    let name = format!("{DLL_PREFIX}tale_estimator_regression{DLL_SUFFIX}");
    let release = folder.join("target/release");
    fs::create_dir_all(&release).unwrap();
    fs::copy(target.join("release").join(&name), release.join(&name)).unwrap();
}

#[test]
fn the_example_estimator_builds_passes_its_tests_and_makes_budgets() {
    let place = Place::new();
    build(&place);
    let manifest = "estimator-regression/example.toml";
    place.tale(&["run", manifest, "--dry-run"]).code(0);
    place.tale(&["run", manifest, "--out", "out"]).code(0);
    let samples = place.lines("out/samples.jsonl");
    assert_eq!(samples.len(), 4);
    let budgets: Vec<u64> = samples
        .iter()
        .filter(|sample| sample["method"] == "tale-ep")
        .map(|sample| {
            // No model was asked for them.
            assert_eq!(sample["estimate_output_tokens"].as_u64().unwrap_or(0), 0);
            sample["budget"].as_u64().unwrap()
        })
        .collect();
    let &[long, short] = budgets.as_slice() else {
        panic!("{budgets:?}")
    };
    assert!(short < long, "{budgets:?}");
    // What is wrong is said before the library is loaded.
    let text = fs::read_to_string(place.path(manifest)).unwrap();
    place.write(
        "estimator-regression/wrong.toml",
        &text.replace("slack = 1.1", "slak = 1.1"),
    );
    let wrong = "estimator-regression/wrong.toml";
    place
        .tale(&["run", wrong, "--dry-run"])
        .code(2)
        .says(&["slak", "slack"]);
}
