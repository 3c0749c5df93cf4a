//! What a manifest means, and what people are told when it means nothing.

mod faults;
mod options;
mod properties;
mod reference;

use std::path::Path;

use super::*;

/// The smallest manifest there is.
const SMALL: &str = r#"
name = "small"

[llm]
plugin = "replay"

[dataset]
plugin = "gsm8k"
"#;

/// One that says everything.
const FULL: &str = r#"
name = "everything"
task = "evaluate"
seed = 7
concurrency = 8
plugin_dirs = ["plugins", "/usr/lib/tale"]

[plugins.llama-cpp]
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"
path = "libtale_llm_llama_cpp.so"
allow_writable_dir = true
timeout_s = 30

[[llm]]
plugin = "llama-cpp"
name = "small one"
model = "qwen2.5-coder-0.5b-instruct"
temperature = 0
top_p = 0.9
top_k = 40
repetition_penalty = 1.2
max_tokens = 512
stop = ["\n\n", "Q:"]
timeout_s = 120.5
prices = { input = 0.15, cached_input = 0.075, output = 0.6 }
[llm.options]
slots = 8
gpu = { layers = 10, devices = [0, 1] }

[[llm]]
plugin = "replay"

[[dataset]]
plugin = "gsm8k"
path = "data/gsm8k.jsonl"
limit = 50
offset = 10
sample = { n = 5, seed = 3 }
on_error = "skip"

[[dataset]]
plugin = "jsonl"
name = "mine"
[dataset.options]
question = "q"

[evaluate]
methods = ["direct", "fixed-100"]
estimate_on = "full-prompt"
prompts = "prompts.toml"

[estimator]
plugin = "zero-shot"
alpha = 1.5
fallback = { budget = 64 }
min_budget = 5
max_budget = 800
[estimator.options]
force_format = true
"#;

fn read_text(text: &str, sets: &[&str]) -> (Option<Loaded>, Diagnostics) {
    let sets: Vec<_> = sets.iter().map(|s| (*s).to_owned()).collect();
    from_bytes(Path::new("runs/gsm8k.toml"), text.as_bytes(), &sets)
}

fn good(text: &str, sets: &[&str]) -> Loaded {
    let (loaded, problems) = read_text(text, sets);
    assert!(problems.is_empty(), "{problems}");
    loaded.expect("a manifest without a fault is read")
}

#[test]
fn what_is_left_out_has_the_documented_defaults() {
    let manifest = good(SMALL, &[]).manifest;
    assert_eq!(manifest.task, Task::Evaluate);
    assert_eq!((manifest.seed, manifest.concurrency), (1024, 16));
    let llm = &manifest.llm.as_slice()[0];
    assert_eq!(
        (llm.temperature.to_bits(), llm.max_tokens),
        (0.1_f64.to_bits(), 1024)
    );
    assert_eq!((llm.label(), llm.top_p, llm.top_k), ("replay", None, None));
    let dataset = &manifest.dataset.as_slice()[0];
    assert_eq!(
        (dataset.label(), dataset.offset, dataset.limit),
        ("gsm8k", 0, None)
    );
    assert_eq!(dataset.on_error, OnError::Stop);
    assert_eq!(
        manifest.evaluate.methods,
        ["direct", "vanilla-cot", "tale-ep"]
    );
    assert_eq!(manifest.evaluate.estimate_on, EstimateOn::Question);
    assert_eq!(manifest.estimator, EstimatorSpec::default());
    assert_eq!(manifest.estimator.fallback, Fallback::VanillaCot);
}

#[test]
fn everything_that_can_be_written_is_read() {
    let manifest = good(FULL, &[]).manifest;
    assert_eq!(manifest.llm.as_slice().len(), 2);
    let llm = &manifest.llm.as_slice()[0];
    assert_eq!((llm.label(), llm.top_k), ("small one", Some(40)));
    assert_eq!(llm.prices.as_ref().map(|p| p.output), Some(0.6));
    assert_eq!(llm.options["gpu"]["devices"][1], 1);
    let dataset = &manifest.dataset.as_slice()[0];
    assert_eq!(
        dataset.sample,
        Some(SampleSpec {
            n: 5,
            seed: Some(3)
        })
    );
    assert_eq!(manifest.estimator.fallback, Fallback::Budget(64));
    assert!(manifest.plugins["llama-cpp"].allow_writable_dir);
}

#[test]
fn set_changes_values_and_makes_tables() {
    let sets = [
        "llm.temperature=0.7",
        "llm.model=qwen2.5-coder-0.5b-instruct",
        "llm.options.slots = 4",
        "dataset.sample={ n = 5 }",
        "evaluate.methods=[\"direct\"]",
        "seed=5",
        "seed=6",
        "name=\"1\"",
        r#"llm.options."a.b=c"=true"#,
    ];
    let manifest = good(SMALL, &sets).manifest;
    let llm = &manifest.llm.as_slice()[0];
    assert_eq!(llm.temperature.to_bits(), 0.7_f64.to_bits());
    assert_eq!(llm.model.as_deref(), Some("qwen2.5-coder-0.5b-instruct"));
    assert_eq!(
        (&llm.options["slots"], &llm.options["a.b=c"]),
        (&4.into(), &true.into())
    );
    assert_eq!(
        manifest.dataset.as_slice()[0].sample,
        Some(SampleSpec { n: 5, seed: None })
    );
    assert_eq!(manifest.evaluate.methods, ["direct"]);
    assert_eq!((manifest.seed, manifest.name.as_str()), (6, "1"));
    let manifest = good(FULL, &["llm.1.max_tokens=3", "llm.0.stop.1=B:"]).manifest;
    assert_eq!(manifest.llm.as_slice()[1].max_tokens, 3);
    assert_eq!(manifest.llm.as_slice()[0].stop[1], "B:");
}

#[test]
fn places_are_found_however_a_table_is_written() {
    let place = |source: &Source, path: &[&str]| source.at(path).one_line();
    let small = good(SMALL, &["llm.options.slots=4", "dataset.path=x"]).source;
    assert_eq!(
        place(&small, &["llm", "0", "plugin"]),
        "runs/gsm8k.toml:5:10"
    );
    assert_eq!(place(&small, &["llm", "plugin"]), "runs/gsm8k.toml:5:10");
    assert_eq!(
        small.key_at(&["llm", "plugin"]).one_line(),
        "runs/gsm8k.toml:5:1"
    );
    assert_eq!(place(&small, &["llm", "0", "model"]), "runs/gsm8k.toml:4:1");
    assert_eq!(
        place(&small, &["llm", "0", "options", "slots"]),
        "--set llm.options.slots=4"
    );
    assert_eq!(
        place(&small, &["dataset", "0", "path"]),
        "--set dataset.path=x"
    );
    assert_eq!(
        place(&small, &["estimator", "plugin"]),
        "runs/gsm8k.toml:1:1"
    );
    let full = good(FULL, &[]).source;
    assert_eq!(
        place(&full, &["llm", "1", "plugin"]),
        "runs/gsm8k.toml:31:10"
    );
    assert_eq!(
        place(&full, &["llm", "0", "options", "gpu", "devices", "1"]),
        "runs/gsm8k.toml:28:36"
    );
    assert_eq!(
        place(&full, &["dataset", "0", "path"]),
        "runs/gsm8k.toml:35:8"
    );
    assert_eq!(
        place(&full, &["evaluate", "methods", "1"]),
        "runs/gsm8k.toml:48:22"
    );
    let dotted = good(
        "name = \"x\"\nllm.plugin = \"a\"\ndataset = { plugin = 'b' }",
        &[],
    )
    .source;
    assert_eq!(
        place(&dotted, &["llm", "0", "model"]),
        "runs/gsm8k.toml:2:1"
    );
    assert_eq!(
        place(&dotted, &["dataset", "0", "plugin"]),
        "runs/gsm8k.toml:3:22"
    );
    assert!(dotted.has(&["dataset", "0", "plugin"]) && !dotted.has(&["dataset", "0", "path"]));
    assert_eq!(dotted.base_dir(), Path::new("runs"));
}

#[test]
fn resolved_manifest_reads_back_as_itself() {
    for text in [SMALL, FULL] {
        let manifest = good(text, &[]).manifest;
        let resolved = manifest.resolved_toml::<&str>(&[]);
        assert_eq!(good(&resolved, &[]).manifest, manifest, "{resolved}");
    }
    insta::assert_snapshot!(
        "resolved_small",
        good(SMALL, &[]).manifest.resolved_toml::<&str>(&[])
    );
    insta::assert_snapshot!(
        "resolved_full",
        good(FULL, &[]).manifest.resolved_toml::<&str>(&[])
    );
}

#[test]
fn resolved_manifest_holds_no_secret() {
    let sets = [
        "llm.options.api_key=sk-1",
        "llm.options.proxy={ password = \"sk-2\", port = 1 }",
    ];
    let manifest = good(SMALL, &sets).manifest;
    let secrets = [
        vec!["llm", "0", "options", "api_key"],
        vec!["llm", "0", "options", "proxy", "password"],
        vec!["llm", "0", "options", "absent"],
    ];
    let resolved = manifest.resolved_toml(&secrets);
    assert!(
        !resolved.contains("sk-") && resolved.contains("port = 1"),
        "{resolved}"
    );
    let whole = manifest.resolved_toml::<&str>(&[]);
    assert!(whole.contains("sk-1") && whole.contains("sk-2"), "{whole}");
}

#[test]
fn differences_name_the_innermost_keys() {
    let before = good(SMALL, &[]).manifest.resolved::<&str>(&[]);
    let sets = [
        "llm.temperature=0",
        "evaluate.methods=[\"direct\"]",
        "llm.options.slots=2",
    ];
    let after = good(SMALL, &sets).manifest.resolved::<&str>(&[]);
    let keys: Vec<_> = differences(&before, &after)
        .into_iter()
        .map(|c| c.key)
        .collect();
    assert_eq!(
        keys,
        ["llm.temperature", "llm.options.slots", "evaluate.methods"]
    );
    assert_eq!(differences(&before, &before), []);
    let change = &differences(&after, &before)[1];
    assert_eq!(
        (change.before.as_ref(), change.after.as_ref()),
        (Some(&2.into()), None)
    );
}

#[test]
fn a_file_is_read_with_paths_relative_to_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gsm8k.toml");
    std::fs::write(&file, SMALL).unwrap();
    let loaded = load(&file, &["seed=3".into()]).unwrap();
    assert_eq!(
        (loaded.manifest.seed, loaded.source.base_dir()),
        (3, dir.path())
    );
    assert!(load(&file, &["sed=3".into()]).is_err());
}

#[test]
fn a_file_that_is_not_there_or_no_manifest_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    std::fs::write(file("gsm8k.toml"), SMALL).unwrap();
    std::fs::File::create(file("model.gguf"))
        .unwrap()
        .set_len(5 << 30)
        .unwrap();
    let told = |name: &str| {
        let text = load(&file(name), &[]).unwrap_err().to_string();
        text.replace(&dir.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!("file_misspelt", told("gsm9k.toml"));
    insta::assert_snapshot!("file_without_extension", told("gsm8k"));
    insta::assert_snapshot!("file_far_from_any", told("x"));
    insta::assert_snapshot!("file_is_a_folder", told(""));
    insta::assert_snapshot!("file_is_a_model", told("model.gguf"));
}
