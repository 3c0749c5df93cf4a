//! What goes wrong in the world: each gets a clear error with its place and a way out.

use std::fs;

use crate::support::{Place, built, library, model};

#[test]
fn a_manifest_that_is_no_toml_shows_where() {
    let place = Place::new();
    place.write("bad.toml", "name = \"x\"\nllm = [[\n");
    place
        .tale(&["run", "bad.toml"])
        .code(2)
        .says(&["not valid TOML", "bad.toml:"]);
}

#[test]
fn all_faults_of_a_manifest_are_told_at_once() {
    let place = Place::with_constant(1, 0);
    let text = place
        .read("m.toml")
        .replace("concurrency = 8", "concurency = 8\nseed = \"x\"");
    place.write(
        "m.toml",
        &(text + "limt = 3\n[evaluate]\nmethods = [\"dirct\"]\n"),
    );
    let ran = place.tale(&["run", "m.toml"]).code(2);
    let ran = ran.says(&[
        "unknown key `concurency`",
        "did you mean `concurrency`?",
        "unknown key `limt`",
        "did you mean `limit`?",
        "m.toml:2:1",
        "dirct",
    ]);
    assert!(ran.stderr.matches("error: ").count() >= 4, "{}", ran.stderr);
}

#[test]
fn an_option_outside_a_plugins_schema_names_the_nearest() {
    let place = Place::with_constant(1, 0);
    let text = place.read("m.toml").replace("latency_ms", "latency_m");
    place.write("m.toml", &text);
    place
        .tale(&["run", "m.toml"])
        .code(2)
        .says(&["latency_m", "did you mean `latency_ms`?"]);
}

#[test]
fn a_demand_on_a_plugin_that_nobody_has_names_its_line_and_the_nearest() {
    let place = Place::with_constant(1, 0);
    let text = place.read("m.toml") + "\n[plugins.replai]\ntimeout_s = 60\n";
    let line = text.lines().position(|l| l.contains("replai")).unwrap() + 1;
    place.write("m.toml", &text);
    place.tale(&["run", "m.toml", "--dry-run"]).code(2).says(&[
        "error: there is no plugin `replai`",
        &format!("m.toml:{line}:"),
        "did you mean `replay`?",
    ]);
}

#[test]
fn a_demand_on_a_plugin_that_the_run_does_not_use_is_a_warning() {
    let place = Place::with_constant(1, 0);
    let text = place.read("m.toml");
    let demand = |name: &str| {
        let demanding = format!("{text}\n[plugins.{name}]\ntimeout_s = 60\n");
        place.write("m.toml", &demanding);
        place.tale(&["run", "m.toml", "--dry-run"]).code(0).stderr
    };
    let said = demand("hostile");
    assert!(
        said.contains("warning: nothing in this run uses plugin `hostile`")
            && said.contains("m.toml:"),
        "{said}"
    );
    let said = demand("replay");
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn a_missing_manifest_and_a_missing_data_file_say_so() {
    let place = Place::with_constant(1, 0);
    place
        .tale(&["run", "nothing.toml"])
        .code(2)
        .says(&["cannot read manifest `nothing.toml`"]);
    place
        .tale(&["run", "m.toml", "--set", "dataset.path=nowhere.jsonl"])
        .code(2)
        .says(&["no file `", "nowhere.jsonl"]);
}

#[test]
fn a_plugin_that_is_none_is_named_with_the_reason() {
    let place = Place::with_constant(1, 0);
    let dir = place.path("plugins");
    fs::create_dir(&dir).unwrap();
    let prefix = std::env::consts::DLL_PREFIX;
    let suffix = std::env::consts::DLL_SUFFIX;
    let text = dir.join(format!("{prefix}tale_text{suffix}"));
    fs::write(&text, "this is a text file").unwrap();
    place
        .tale(&[
            "run",
            "m.toml",
            "--plugin-dir",
            "plugins",
            "--set",
            "llm.plugin=text",
            "--set",
            "llm.options={}",
        ])
        .code(2)
        .says(&["no plugin offers an llm `text`", "cannot be used"]);
    let listed = place
        .tale(&["plugin", "list", "--plugin-dir", "plugins"])
        .code(0);
    assert!(listed.stdout.contains("unusable"), "{}", listed.stdout);
    place
        .tale(&["plugin", "inspect", text.to_str().unwrap()])
        .code(1)
        .says(&["is not a shared library", "help:"]);
}

/// A library that is not one of ours: the C runtime's, which every process has open.
#[cfg(target_os = "linux")]
#[test]
fn a_library_without_the_symbol_is_refused() {
    let place = Place::new();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .find(|path| path.contains("libc.so") || path.contains("libc-"))
        .expect("a process has a C runtime");
    place
        .tale(&["plugin", "inspect", libc])
        .code(1)
        .says(&["no symbol `tale_plugin`"]);
}

#[test]
fn a_plugin_of_a_newer_abi_is_refused_with_both_versions() {
    let place = Place::new();
    let mut bytes = fs::read(library("llm-replay")).unwrap();
    // The descriptor begins with its magic; the major version follows.
    let at = bytes
        .windows(8)
        .position(|w| w == b"TALEPLUG")
        .expect("a plugin holds the magic");
    // The magic may also stand in code that compares with it; a descriptor has version 1.0 after it.
    let at = (at..bytes.len() - 16)
        .find(|&i| &bytes[i..i + 8] == b"TALEPLUG" && bytes[i + 8..i + 12] == 1_u32.to_ne_bytes())
        .unwrap_or(at);
    bytes[at + 8..at + 12].copy_from_slice(&9_u32.to_ne_bytes());
    let path = place.path("libtale_newer.so");
    fs::write(&path, bytes).unwrap();
    place
        .tale(&["plugin", "inspect", path.to_str().unwrap()])
        .code(1)
        .says(&["ABI 9.", "help:"]);
}

#[test]
fn a_broken_line_17_is_named_and_what_was_finished_is_kept() {
    let place = Place::with_constant(30, 0);
    let text = place.read("questions.jsonl");
    let mut lines: Vec<&str> = text.lines().collect();
    lines[16] = "{\"question\": \"What is";
    place.write("questions.jsonl", &(lines.join("\n") + "\n"));
    place
        .tale(&["run", "m.toml"])
        .code(1)
        .says(&["questions.jsonl", "17"]);
}

#[test]
fn an_answer_file_with_a_broken_line_names_it() {
    let place = Place::new();
    let lines = "{\"id\": 1, \"gold\": \"18\", \"completion\": \"[[18]]\"}\nnot json\n";
    place.write("answers.jsonl", lines);
    place
        .tale(&["grade", "answers.jsonl"])
        .code(1)
        .says(&["answers.jsonl:2"]);
}

#[test]
fn a_damaged_journal_says_so_to_run_and_report() {
    let place = Place::with_constant(2, 0);
    place.tale(&["run", "m.toml", "--out", "r"]).code(0);
    let journal = place.path("r/run.sqlite");
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..3000]).unwrap();
    for args in [vec!["report", "r"], vec!["run", "m.toml", "--out", "r"]] {
        place
            .tale(&args)
            .code(1)
            .says(&["the journal is damaged", "help: restore"]);
    }
}

#[test]
fn a_report_of_no_run_says_so() {
    let place = Place::new();
    place
        .tale(&["report", "."])
        .code(1)
        .says(&["is no run directory"]);
}

/// A file system of its own that is too small. Only root may mount one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing_and_says_what_to_do() {
    let place = Place::with_constant(3000, 0);
    let mount = place.path("small");
    fs::create_dir(&mount).unwrap();
    let status = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=700k", "tmpfs"])
        .arg(&mount)
        .output();
    if !status.is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let full = place.tale(&["run", "m.toml", "--out", "small/run"]);
    let umount = |mount: &std::path::Path| {
        std::process::Command::new("mount")
            .args(["-o", "remount,size=64m"])
            .arg(mount)
            .status()
    };
    assert!(umount(&mount).unwrap().success());
    let resumed = place.tale(&["run", "m.toml", "--out", "small/run", "--json"]);
    std::process::Command::new("umount")
        .arg(&mount)
        .status()
        .unwrap();
    full.code(1)
        .says(&["no space left", "run the same command again"]);
    let summary = resumed.code(0).json();
    assert_eq!(summary["totals"]["samples"], 9000);
    assert_eq!(summary["totals"]["calls"], 12000);
}

fn llama(place: &Place, model: &std::path::Path) {
    place.write(
        "llama.toml",
        &format!(
            "name = \"llama\"\n[llm]\nplugin = \"llama-cpp\"\nmodel = \"{}\"\noptions = {{ threads = 1 }}\n\
             [dataset]\nplugin = \"inline\"\noptions = {{ questions = [{{ text = \"What is 1 + 1?\", gold = \"2\" }}] }}\n\
             [evaluate]\nmethods = [\"direct\"]\n",
            model.display()
        ),
    );
}

#[test]
fn a_model_cut_in_half_is_refused() {
    let Some(whole) = model("SmolLM2-135M-Instruct.Q4_1.gguf") else {
        eprintln!("skipped: `tale model fetch smollm2-135m-instruct` first");
        return;
    };
    let place = Place::new();
    let bytes = fs::read(whole).unwrap();
    let half = place.path("half.gguf");
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    llama(&place, &half);
    place
        .tale(&["run", "llama.toml"])
        .code(1)
        .says(&["half.gguf", "help:"]);
}

#[test]
fn a_model_of_unknown_architecture_is_named() {
    let Some(whole) = model("SmolLM2-135M-Instruct.Q4_1.gguf") else {
        eprintln!("skipped: `tale model fetch smollm2-135m-instruct` first");
        return;
    };
    let place = Place::new();
    let mut bytes = fs::read(whole).unwrap();
    let key = b"general.architecture";
    let at = bytes
        .windows(key.len())
        .position(|w| w == key)
        .expect("a GGUF names its architecture");
    // Key, type (4 bytes), length (8 bytes), then the text `llama`.
    let value = at + key.len() + 12;
    assert_eq!(&bytes[value..value + 5], b"llama");
    bytes[value..value + 5].copy_from_slice(b"lambo");
    let odd = place.path("odd.gguf");
    fs::write(&odd, bytes).unwrap();
    llama(&place, &odd);
    place.tale(&["run", "llama.toml"]).code(1).says(&["lambo"]);
}

#[test]
fn a_model_that_is_neither_in_the_catalogue_nor_a_file_shows_the_way() {
    let place = Place::new();
    assert!(built().is_dir());
    llama(&place, std::path::Path::new("qwen2.5-coder-0.5b-instrukt"));
    place.tale(&["run", "llama.toml"]).code(2).says(&[
        "qwen2.5-coder-0.5b-instrukt",
        "did you mean `qwen2.5-coder-0.5b-instruct`?",
        "llama.toml:",
    ]);
}
