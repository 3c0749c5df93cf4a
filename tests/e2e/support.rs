//! A folder with a manifest and data, and `tale` run in it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// The folder of the built binary and plugins: this test lies in its `deps`.
pub(crate) fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let dir = test
        .parent()
        .and_then(Path::parent)
        .expect("target/release/deps/test");
    let tale = dir.join(format!("tale{}", std::env::consts::EXE_SUFFIX));
    assert!(
        tale.is_file(),
        "`{}` is not built: run `cargo xtask test`, or `cargo build --release --workspace` first",
        tale.display()
    );
    dir.to_owned()
}

/// The repository's folder.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the repository")
}

/// The file name of a plugin's library.
pub(crate) fn library(plugin: &str) -> PathBuf {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    built().join(format!(
        "{DLL_PREFIX}tale_{}{DLL_SUFFIX}",
        plugin.replace('-', "_")
    ))
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code, showing what was printed.
    #[track_caller]
    pub(crate) fn code(self, expected: i32) -> Self {
        assert_eq!(
            self.code,
            Some(expected),
            "\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Asserts that stderr says all of these.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "no `{part}` in\n{}",
                self.stderr
            );
        }
        self
    }

    /// stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("no JSON ({e}):\n{}\n{}", self.stdout, self.stderr))
    }
}

/// A temporary folder in which `tale` runs.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary folder can be made"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file can be written");
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The lines of a JSONL file.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).expect("a line of JSON");
        self.read(name).lines().map(parse).collect()
    }

    /// `n` questions whose answer is 7, and a manifest `m.toml` that asks them of a model that
    /// always says so after `latency_ms`.
    pub(crate) fn with_constant(n: usize, latency_ms: u32) -> Self {
        let place = Self::new();
        let mut questions = String::new();
        for i in 0..n {
            questions.push_str(&format!(
                "{{\"question\": \"What is {i} + 7 - {i}?\", \"answer\": \"7\"}}\n"
            ));
        }
        place.write("questions.jsonl", &questions);
        place.write(
            "m.toml",
            &format!(
                r#"name = "test"
concurrency = 8

[llm]
plugin = "replay"
name = "seven"
prices = {{ input = 1.0, output = 2.0 }}
[llm.options]
constant = "It is plainly [[7]]"
latency_ms = {latency_ms}
log = "calls.log"

[dataset]
plugin = "jsonl"
path = "questions.jsonl"
"#
            ),
        );
        place
    }

    /// How many times the model of [`Place::with_constant`] has been asked, over all runs.
    pub(crate) fn calls(&self) -> usize {
        self.read("calls.log").lines().count()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(built().join("tale"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .env_remove("TALE_PLUGIN_PATH")
            .env_remove("TALE_PRICES")
            // The answers of one test are not another's.
            .env("TALE_CACHE_DIR", self.path("cache"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn tale(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().expect("tale starts"))
    }

    pub(crate) fn tale_reading(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tale starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        stdin
            .write_all(input.as_bytes())
            .expect("tale reads its input");
        drop(stdin);
        Ran::of(&child.wait_with_output().expect("tale ends"))
    }
}

/// The file of a model that tests use, if it has been fetched.
pub(crate) fn model(file: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("TALE_CACHE_DIR")
        .map(PathBuf::from)
        .or_else(|| {
            let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
            base.or(home).map(|cache| cache.join("tale"))
        })?;
    let path = cache.join("models").join(file);
    path.is_file().then_some(path)
}

/// Removes every time that was taken, at any depth, so that two runs can be compared.
pub(crate) fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| key != "latency_s" && key != "seconds");
            fields.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}
