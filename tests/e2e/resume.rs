//! Nothing is lost and nothing is done twice: kills, interrupts, two runs at once, changed manifests.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, without_times};

fn summary_without_times(place: &Place, run: &str) -> serde_json::Value {
    let text = place.read(&format!("{run}/summary.json"));
    let mut summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    without_times(&mut summary);
    summary
}

#[test]
fn a_run_killed_ten_times_repeats_no_finished_call_and_ends_the_same() {
    let place = Place::with_constant(60, 15);
    place.tale(&["run", "m.toml", "--out", "whole"]).code(0);
    let whole = place.calls();
    assert_eq!(whole, 240, "60 times direct, vanilla, estimate, answer");
    let mut kills = 0;
    for round in 0..200 {
        let mut child = place
            .command(&["run", "m.toml", "--out", "killed", "--quiet"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        if kills < 10 {
            // Another moment each time, from before the first call to near the end.
            sleep(Duration::from_millis(20 + (round * 37) % 180));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
                child.wait().unwrap();
                continue;
            }
        }
        if child.wait().unwrap().success() {
            break;
        }
    }
    assert_eq!(kills, 10);
    // Only what was under way at a kill, eight calls at most, may be asked again.
    let asked = place.calls() - whole;
    assert!((240..=240 + 10 * 8).contains(&asked), "{asked} calls");
    assert_eq!(
        summary_without_times(&place, "killed"),
        summary_without_times(&place, "whole")
    );
    let strip = |run: &str| {
        let mut lines = place.lines(&format!("{run}/samples.jsonl"));
        for line in &mut lines {
            line["latency_s"] = serde_json::Value::Null;
        }
        lines
    };
    assert_eq!(strip("killed"), strip("whole"));
}

#[test]
fn a_finished_run_asks_nothing() {
    let place = Place::with_constant(5, 0);
    place.tale(&["run", "m.toml"]).code(0);
    let before = place.read("runs/test/samples.jsonl");
    assert_eq!(place.calls(), 20);
    place.tale(&["run", "m.toml"]).code(0);
    assert_eq!(place.calls(), 20);
    assert_eq!(place.read("runs/test/samples.jsonl"), before);
}

#[test]
fn an_interrupt_ends_with_130_and_a_report_and_resumes() {
    let place = Place::with_constant(200, 50);
    let child = place
        .command(&["run", "m.toml"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(700));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("goes on from here"), "{stderr}");
    let partial = place.lines("runs/test/samples.jsonl").len();
    assert!(partial > 0 && partial < 600, "{partial}");
    place.tale(&["run", "m.toml", "--limit", "20"]).code(0);
}

#[test]
fn a_second_run_in_the_same_directory_says_so_and_stops() {
    let place = Place::with_constant(100, 50);
    let mut first = place
        .command(&["run", "m.toml", "--quiet"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !place.path("runs/test/run.sqlite").exists() && Instant::now() < deadline {
        sleep(Duration::from_millis(10));
    }
    sleep(Duration::from_millis(100));
    place
        .tale(&["run", "m.toml"])
        .code(1)
        .says(&["another `tale` is working", "--out DIR"]);
    first.kill().unwrap();
    first.wait().unwrap();
    place.tale(&["run", "m.toml", "--limit", "2"]).code(0);
}

#[test]
fn a_changed_manifest_names_the_keys_and_what_fresh_would_do() {
    let place = Place::with_constant(3, 0);
    place.tale(&["run", "m.toml"]).code(0);
    place
        .tale(&[
            "run",
            "m.toml",
            "--set",
            "llm.temperature=0.7",
            "--set",
            "seed=1",
        ])
        .code(2)
        .says(&[
            "holds a run of another manifest",
            "`llm.temperature` was 0.1, now 0.7",
            "`seed` was 1024, now 1",
            "--fresh",
        ]);
    place
        .tale(&["run", "m.toml", "--set", "llm.temperature=0.7", "--fresh"])
        .code(0)
        .says(&["moved to"]);
    assert!(
        place.path("runs/test.1/summary.json").is_file(),
        "nothing is deleted"
    );
}

#[test]
fn concurrency_limit_and_methods_may_change() {
    let place = Place::with_constant(6, 0);
    place.tale(&["run", "m.toml", "--limit", "2"]).code(0);
    place
        .tale(&["run", "m.toml", "--set", "concurrency=2"])
        .code(0);
    assert_eq!(place.lines("runs/test/samples.jsonl").len(), 18);
    place
        .tale(&[
            "run",
            "m.toml",
            "--set",
            "evaluate.methods=[\"direct\", \"fixed-50\"]",
        ])
        .code(0);
    assert_eq!(place.lines("runs/test/samples.jsonl").len(), 24);
}

#[test]
fn changed_data_stop_a_resumed_run() {
    let place = Place::with_constant(3, 0);
    place.tale(&["run", "m.toml"]).code(0);
    let questions = place
        .read("questions.jsonl")
        .replace("What is 0", "What was 0");
    place.write("questions.jsonl", &questions);
    place.tale(&["run", "m.toml"]).code(2).says(&[
        "have changed since the run",
        "the content of dataset jsonl is another",
    ]);
}
