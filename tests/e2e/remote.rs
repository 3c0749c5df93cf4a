//! Runs against a server of chat completions: faults, errors, keys, batches.

use std::{
    collections::HashSet,
    fs,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tale_test_server::{Config, Counting, Server, TlsMode};

use crate::support::{Place, Ran, library, without_times};

const KEY: &str = "sk-e2e-0123456789-never-to-be-seen";

/// `n` questions of a server, with more options.
fn place(server: &Server, n: usize, options: &str) -> Place {
    let place = Place::new();
    let line = |i| {
        format!(
            "{{\"question\": \"What is {i} plus 1?\", \"answer\": \"{}\"}}\n",
            i + 1
        )
    };
    place.write("questions.jsonl", &(0..n).map(line).collect::<String>());
    place.write(
        "m.toml",
        &format!(
            r#"name = "remote"
concurrency = 16

[llm]
plugin = "openai"
model = "gpt-4o-mini"
prices = {{ input = 0.15, output = 0.6 }}
[llm.options]
base_url = "{}"
profile = "openai"
api_key_env = "TALE_E2E_KEY"
{options}

[dataset]
plugin = "jsonl"
path = "questions.jsonl"

[evaluate]
methods = ["vanilla-cot", "tale-ep"]
"#,
            server.base_url()
        ),
    );
    place
}

/// Whether the plugin has been built; a workspace build does.
fn is_built() -> bool {
    let is_built = library("llm-openai").is_file();
    if !is_built {
        eprintln!("skipped: the plugin `openai` is not built");
    }
    is_built
}

fn tale(place: &Place, args: &[&str]) -> Ran {
    let output = place
        .command(args)
        .env("TALE_E2E_KEY", KEY)
        .env("RUST_LOG", "trace")
        .env("TALE_CACHE_DIR", place.path("cache"))
        .output()
        .expect("tale starts");
    let ran = Ran::of(&output);
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(KEY), "the key is shown");
    }
    no_key_in(&place.path("."));
    ran
}

/// The key is in no file of the folder.
fn no_key_in(dir: &std::path::Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_key_in(&path);
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            let found = bytes.windows(KEY.len()).any(|w| w == KEY.as_bytes());
            assert!(!found, "the key is in {}", path.display());
        }
    }
}

fn summary(place: &Place, run: &str) -> Value {
    let mut summary: Value =
        serde_json::from_str(&place.read(&format!("{run}/summary.json"))).unwrap();
    without_times(&mut summary);
    summary
}

/// No request comes again after its answer.
fn nothing_is_asked_after_its_answer(server: &Server) -> usize {
    let mut answered = HashSet::new();
    for served in server.served() {
        assert!(
            !answered.contains(&served.digest),
            "asked again: {served:?}"
        );
        if served.answered {
            answered.insert(served.digest);
        }
    }
    answered.len()
}

fn config() -> Config {
    Config {
        key: Some(KEY.to_owned()),
        counting: Counting::O200k,
        latency_ms: 5.0,
        ..Config::default()
    }
}

#[test]
fn a_run_with_faults_ends_like_one_without() {
    if !is_built() {
        return;
    }
    // Long enough that a slow answer on a busy machine is not given up for a stalled one.
    let patience = "idle_timeout_s = 3.0\nattempt_timeout_s = 10.0";
    for stream in ["stream = true", "stream = false"] {
        let good = Server::start(config());
        let bad = Server::start(Config {
            fault_rate: 0.3,
            ..config()
        });
        let options = format!("{patience}\n{stream}");
        let (whole, broken) = (place(&good, 40, &options), place(&bad, 40, &options));
        tale(&whole, &["run", "m.toml", "--out", "run"]).code(0);
        tale(&broken, &["run", "m.toml", "--out", "run"]).code(0);
        assert_eq!(summary(&broken, "run"), summary(&whole, "run"));
        assert_eq!(nothing_is_asked_after_its_answer(&bad), 120);
        let faults = bad.served().iter().filter(|s| s.fault.is_some()).count();
        assert!(faults > 25, "{faults} faults");
    }
}

/// A run that fails as a whole: exit code 1, one error, at most one request.
fn fails(place: &Place, server: &Server, most: usize, parts: &[&str]) {
    let ran = tale(place, &["run", "m.toml"]).code(1).says(parts);
    let errors = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("error"))
        .count();
    assert_eq!(errors, 1, "{}", ran.stderr);
    assert!(
        server.served().len() <= most,
        "{} requests",
        server.served().len()
    );
}

#[test]
fn what_is_wrong_for_all_is_one_clear_error() {
    if !is_built() {
        return;
    }
    let server = Server::start(Config {
        key: Some("another".to_owned()),
        ..config()
    });
    fails(
        &place(&server, 40, ""),
        &server,
        0,
        &["Incorrect API key", "is it the right one"],
    );

    let server = Server::start(Config {
        model: vec!["another".to_owned()],
        ..config()
    });
    fails(
        &place(&server, 40, ""),
        &server,
        1,
        &["no model `gpt-4o-mini`"],
    );

    let server = Server::start(Config {
        quota: Some(0),
        ..config()
    });
    fails(
        &place(&server, 40, ""),
        &server,
        40,
        &["money or quota is used up"],
    );

    let server = Server::start(config());
    let wrong = place(&server, 40, "");
    wrong.write("m.toml", &wrong.read("m.toml").replace("/v1\"", "/v2\""));
    fails(&wrong, &server, 0, &["nothing answers at", "`/v1`"]);

    let server = Server::start(Config {
        tls: Some(TlsMode::Expired),
        ..config()
    });
    let expired = place(&server, 40, "ca_file = \"ca.pem\"");
    expired.write("ca.pem", server.authority_pem().unwrap());
    fails(&expired, &server, 0, &["certificate", "`ca_file`"]);

    let server = Server::start(config());
    let nobody = place(&server, 40, "");
    let url = server.base_url();
    drop(server);
    let other = Server::start(config());
    assert_ne!(other.base_url(), url);
    fails(
        &nobody,
        &other,
        0,
        &["cannot connect to", "is the server running"],
    );
}

#[test]
fn a_missing_key_matters_to_a_real_run_only() {
    if !is_built() {
        return;
    }
    let server = Server::start(config());
    let place = place(&server, 5, "");
    let run = |args: &[&str]| {
        let output = place
            .command(args)
            .env_remove("TALE_E2E_KEY")
            .output()
            .unwrap();
        Ran::of(&output)
    };
    run(&["run", "m.toml", "--dry-run"]).code(0);
    run(&["run", "m.toml"])
        .code(1)
        .says(&["`TALE_E2E_KEY`", "is not set"]);
    assert!(server.served().is_empty());
}

#[test]
fn every_example_of_a_remote_model_dry_runs_without_key_or_network() {
    if !is_built() || !library("llm-yi").is_file() {
        return;
    }
    for (example, key) in [
        ("table3-gpt-4o-mini.toml", Some("OPENAI_API_KEY")),
        ("table4-models.toml", Some("YI_API_KEY")),
        ("vllm.toml", None),
    ] {
        let place = Place::new();
        let path = crate::support::repository().join("examples").join(example);
        let output = place
            .command(&["run", &path.display().to_string(), "--dry-run"])
            .env_remove("OPENAI_API_KEY")
            .env_remove("YI_API_KEY")
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .output()
            .unwrap();
        let ran = Ran::of(&output).code(0);
        assert!(ran.stdout.contains("Forecast"), "{}", ran.stdout);
        match key {
            Some(key) => drop(ran.says(&[&format!("`{key}` is not set")])),
            None => assert!(!ran.stderr.contains("is not set"), "{}", ran.stderr),
        }
    }
}

#[test]
fn a_key_in_a_manifest_is_refused_and_not_shown() {
    if !is_built() {
        return;
    }
    let server = Server::start(config());
    let place = place(&server, 5, "");
    let secret = "sk-in-the-manifest-777";
    let manifest = place.read("m.toml").replace(
        "api_key_env = \"TALE_E2E_KEY\"",
        &format!("api_key = \"{secret}\""),
    );
    place.write("m.toml", &manifest);
    let ran = place.tale(&["run", "m.toml"]);
    assert_ne!(ran.code, Some(0));
    assert!(
        !ran.stderr.contains(secret) && !ran.stdout.contains(secret),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("does not belong into a manifest"),
        "{}",
        ran.stderr
    );
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_run_killed_while_its_batch_is_under_way_sends_nothing_twice() {
    if !is_built() {
        return;
    }
    let options = "mode = \"batch\"\nbatch = { gather_s = 0.5, poll_s = 0.1 }";
    let config = || Config {
        batch_s: 1.5,
        ..config()
    };
    let (calm, rough) = (Server::start(config()), Server::start(config()));
    let (whole, killed) = (place(&calm, 30, options), place(&rough, 30, options));
    for place in [&whole, &killed] {
        place.write(
            "m.toml",
            &place
                .read("m.toml")
                .replace("concurrency = 16", "concurrency = 1000"),
        );
    }
    tale(&whole, &["run", "m.toml", "--out", "run"]).code(0);
    let batches: HashSet<_> = calm.served().into_iter().filter_map(|s| s.batch).collect();
    assert_eq!(
        batches.len(),
        2,
        "estimates with vanilla answers, then answers under budget"
    );

    let mut child = killed
        .command(&["run", "m.toml", "--out", "run", "--quiet"])
        .env("TALE_E2E_KEY", KEY)
        .env("TALE_CACHE_DIR", killed.path("cache"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Once the batch has its id.
    let folder = killed.path("cache/batches");
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_sent = || {
        let Ok(servers) = fs::read_dir(&folder) else {
            return false;
        };
        let files = servers
            .filter_map(|s| fs::read_dir(s.ok()?.path()).ok())
            .flatten();
        files
            .flatten()
            .any(|f| fs::read_to_string(f.path()).is_ok_and(|t| t.contains("batch_0")))
    };
    while !is_sent() && Instant::now() < deadline {
        sleep(Duration::from_millis(20));
    }
    assert!(is_sent());
    child.kill().unwrap();
    child.wait().unwrap();
    tale(&killed, &["run", "m.toml", "--out", "run"]).code(0);
    assert_eq!(summary(&killed, "run"), summary(&whole, "run"));
    assert_eq!(nothing_is_asked_after_its_answer(&rough), 90);
    assert_eq!(rough.served().len(), 90);
}
