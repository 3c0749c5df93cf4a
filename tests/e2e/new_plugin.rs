//! `tale plugin new` as a new author uses it: write, build, test, check.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Place, repository};

const KINDS: [&str; 5] = ["llm", "estimator", "feasibility", "dataset", "trainer"];

/// Runs a build tool in `folder` and shows all it said if it fails.
fn build(folder: &Path, program: &str, args: &[&str]) -> String {
    // One target folder, so that `tale-api` is compiled once for all kinds and runs. Without
    // optimisation: what is tried is the same and builds in a third of the time.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins");
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{program} {args:?}\n{out}\n{err}");
    format!("{out}{err}")
}

/// Asserts that the conformance suite finds no fault in `library`, and that it looked.
fn check(place: &Place, library: &Path, kind: &str, least: usize) {
    let ran = place
        .tale(&["plugin", "check", library.to_str().unwrap(), "--json"])
        .code(0);
    let reports = ran.json();
    assert_eq!(reports.as_array().map(Vec::len), Some(1));
    assert_eq!(reports[0]["kind"], kind);
    let passed = reports[0]["checks"].as_array().unwrap().iter();
    let passed = passed.filter(|check| check["outcome"] == "passed").count();
    assert!(passed >= least, "{passed} rules passed\n{}", ran.stdout);
}

/// Rules that a fresh plugin of each kind passes without being given more than its file.
fn least(kind: &str) -> usize {
    match kind {
        "llm" => 20,
        "estimator" => 10,
        "feasibility" => 8,
        "dataset" => 12,
        _ => 7,
    }
}

#[test]
fn a_new_crate_of_each_kind_builds_passes_its_tests_and_the_check() {
    let place = Place::new();
    let mut libraries = Vec::new();
    for kind in KINDS {
        let ran = place
            .tale(&["plugin", "new", "my-own", "--kind", kind, "--json"])
            .code(0);
        let written = ran.json();
        let folder = place.path(written["folder"].as_str().unwrap());
        // The versions that are known to be here already: no network is needed.
        fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        build(&folder, "cargo", &["fmt", "--check"]);
        build(&folder, "cargo", &["build", "--release", "--offline"]);
        let tested = build(
            &folder,
            "cargo",
            &["test", "--release", "--offline", "--tests"],
        );
        assert!(
            tested.contains("the_loaded_library_keeps_every_rule ... ok"),
            "{tested}"
        );
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins/release");
        libraries.push((kind, library.join(written["library"].as_str().unwrap())));
    }
    for (kind, library) in libraries {
        check(&place, &library, kind, least(kind));
    }
}

#[test]
fn a_new_plugin_in_c_of_each_kind_builds_without_a_warning_and_passes() {
    let place = Place::new();
    for kind in KINDS {
        let written = place
            .tale(&[
                "plugin", "new", "my-own", "--kind", kind, "--lang", "c", "--json",
            ])
            .code(0)
            .json();
        let folder = place.path(written["folder"].as_str().unwrap());
        let said = build(&folder, "make", &["CFLAGS=-O1 -Werror", "all"]);
        assert!(!said.contains("warning"), "{said}");
        assert!(build(&folder, "make", &["CFLAGS=-O1 -Werror", "test"]).contains("passed"));
        let library = folder.join(written["library"].as_str().unwrap());
        check(&place, &library, kind, least(kind));
    }
}

#[test]
fn a_new_estimator_is_found_and_used_by_a_manifest() {
    let place = Place::with_constant(3, 0);
    place
        .tale(&[
            "plugin",
            "new",
            "by-words",
            "--kind",
            "estimator",
            "--lang",
            "c",
            "--out",
            "mine",
        ])
        .code(0);
    build(&place.path("mine"), "make", &[]);
    let mut manifest = place.read("m.toml");
    manifest.push_str(
        "[evaluate]\nmethods = [\"tale-ep\"]\n[estimator]\nplugin = \"by-words\"\n[estimator.options]\ntokens_per_word = 10\n",
    );
    place.write("m.toml", &manifest);
    place
        .tale(&["run", "m.toml", "--out", "out", "--plugin-dir", "mine"])
        .code(0);
    // "What is 0 + 7 - 0?" has seven words.
    let budgets: Vec<_> = place
        .lines("out/samples.jsonl")
        .iter()
        .map(|sample| sample["budget"].clone())
        .collect();
    assert_eq!(budgets, [70, 70, 70]);
}

#[test]
fn what_cannot_be_written_is_refused_and_nothing_is_touched() {
    let place = Place::new();
    let new = |args: &[&str]| place.tale(&[&["plugin", "new"], args].concat());
    new(&["My Plugin", "--kind", "llm"])
        .code(2)
        .says(&["`my-plugin`"]);
    new(&["x", "--kind", "model"])
        .code(2)
        .says(&["llm, estimator, feasibility, dataset, trainer"]);
    new(&["x", "--kind", "llm", "--lang", "zig"])
        .code(2)
        .says(&["rust, c"]);
    new(&["x", "--kind", "llm", "--tale-api", "no/such/folder"])
        .code(2)
        .says(&["no crate `tale-api` in `no/such/folder`", "git repository"]);
    place.write("mine.txt", "mine");
    new(&["x", "--kind", "llm", "--out", "."])
        .code(2)
        .says(&["is not empty", "`--out DIR`"]);
    new(&["x", "--kind", "llm", "--out", "mine.txt"])
        .code(2)
        .says(&["`mine.txt` is a file"]);
    let left: Vec<PathBuf> = fs::read_dir(place.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [place.path("./mine.txt")]);
}

#[test]
fn a_published_version_or_a_repository_can_be_depended_on() {
    let place = Place::new();
    for (source, line) in [
        ("^0.1", "tale-api = { version = \"^0.1\" }"),
        (
            "https://example.org/tale.git",
            "tale-api = { git = \"https://example.org/tale.git\" }",
        ),
    ] {
        place
            .tale(&[
                "plugin",
                "new",
                "x",
                "--kind",
                "dataset",
                "--out",
                source.split('.').next_back().unwrap(),
                "--tale-api",
                source,
            ])
            .code(0)
            .says(&[
                "FILL IN",
                "src/lib.rs",
                "cargo build --release",
                "tale plugin check",
            ]);
        let folder = source.split('.').next_back().unwrap();
        let manifest = place.read(&format!("{folder}/Cargo.toml"));
        assert!(manifest.contains(line), "{manifest}");
        assert!(manifest.contains("\n[workspace]\n"), "{manifest}");
    }
}
