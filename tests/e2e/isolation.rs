//! `isolation = "process"`: what ends a plugin's process costs the sample, not the run.

use std::{
    fs,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{Place, library};

/// Ten questions for a model of the hostile plugin, which is isolated.
fn place(options: &str, concurrency: u32) -> Place {
    let place = Place::with_constant(10, 0);
    let manifest = format!(
        r#"name = "isolated"
concurrency = {concurrency}

[plugins.hostile]
isolation = "process"

[llm]
plugin = "faulty"
[llm.options]
{options}

[dataset]
plugin = "jsonl"
path = "questions.jsonl"

[evaluate]
methods = ["direct"]
"#
    );
    place.write("m.toml", &manifest);
    place
}

#[test]
fn an_abort_in_one_of_ten_calls_fails_that_sample_alone() {
    let place = place("mode = \"abort\"\non = \"What is 4 +\"", 1);
    let ran = place.tale(&["run", "m.toml", "--out", "out"]).code(3);
    assert!(ran.stderr.contains("SIGABRT"), "{}", ran.stderr);
    let samples = place.lines("out/samples.jsonl");
    assert_eq!(samples.len(), 10);
    for sample in &samples {
        let is_the_one = sample["question"].as_str().unwrap().contains("What is 4 +");
        let error = sample["error"].to_string();
        assert_eq!(!sample["error"].is_null(), is_the_one, "{sample}");
        if is_the_one {
            for part in ["hostile", "generate", "signal 6 (SIGABRT)"] {
                assert!(error.contains(part), "no {part} in {error}");
            }
        }
    }
    // The journal has the others; only the one is tried again.
    place.tale(&["run", "m.toml", "--out", "out"]).code(3);
    let summary: serde_json::Value = serde_json::from_str(&place.read("out/summary.json")).unwrap();
    assert_eq!(summary["rows"][0]["n"], 9, "{summary}");
    assert_eq!(summary["rows"][0]["errors"], 1, "{summary}");
}

#[test]
fn a_run_over_isolated_plugins_is_the_run_over_those_in_the_process() {
    let place = Place::with_constant(6, 0);
    let manifest = place.read("m.toml");
    place.tale(&["run", "m.toml", "--out", "here"]).code(0);
    place.write(
        "apart.toml",
        &manifest.replace(
            "concurrency = 8\n",
            "concurrency = 8\n[plugins.replay]\nisolation = \"process\"\n",
        ),
    );
    place.tale(&["run", "apart.toml", "--out", "apart"]).code(0);
    let answers = |run: &str| {
        let lines = place.lines(&format!("{run}/samples.jsonl"));
        let keep = [
            "id",
            "method",
            "completion",
            "correct",
            "output_tokens",
            "cost_usd",
        ];
        lines
            .iter()
            .map(|line| keep.map(|key| line[key].to_string()))
            .collect::<Vec<_>>()
    };
    assert_eq!(answers("here"), answers("apart"));
}

#[test]
fn what_is_linked_in_cannot_be_isolated_and_says_so() {
    let place = Place::with_constant(1, 0);
    let manifest = place.read("m.toml").replace(
        "concurrency = 8\n",
        "concurrency = 8\n[plugins.jsonl]\nisolation = \"process\"\n",
    );
    place.write("m.toml", &manifest);
    place.tale(&["run", "m.toml"]).code(2).says(&[
        "`jsonl` is linked into `tale`",
        "m.toml:4",
        "isolation",
    ]);
    let manifest = manifest.replace("\"process\"", "\"proces\"");
    place.write("m.toml", &manifest);
    place.tale(&["run", "m.toml"]).code(2).says(&["process"]);
}

#[test]
fn the_check_passes_through_the_pipe_too() {
    let file = library("llm-replay");
    let args = [
        "plugin",
        "check",
        file.to_str().unwrap(),
        "--isolated",
        "--option",
        "constant=one two three four [[5]]",
        "--option",
        "stream=words",
        "--json",
    ];
    let report = Place::new().tale(&args).code(0).json();
    assert!(report[0]["checks"].as_array().unwrap().len() > 20);
}

/// The children of a process that hold a plugin.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|process| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let mut fields = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            fields.next() != Some("Z") && fields.next() == Some(&parent.to_string())
        })
        .collect()
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn started(place: &Place) -> (Child, u32) {
    let host = place
        .command(&["run", "m.toml", "--out", "out"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = until("no child appears", || children(host.id()).pop());
    (host, child)
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_host_leaves_no_child_behind() {
    for mode in ["never", "block"] {
        let place = place(&format!("mode = \"{mode}\"\non = \"What\""), 4);
        let (mut host, child) = started(&place);
        // So that calls are under way.
        thread::sleep(Duration::from_millis(300));
        host.kill().unwrap();
        host.wait().unwrap();
        until("the child lives on", || {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_run_is_resumable_and_leaves_no_child_behind() {
    use rustix::process::{Pid, Signal, kill_process};
    let place = place("mode = \"never\"\non = \"What\"", 4);
    let (mut host, child) = started(&place);
    thread::sleep(Duration::from_millis(300));
    let pid = Pid::from_raw(host.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(host.wait().unwrap().code(), Some(130));
    until("the child lives on", || {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}
