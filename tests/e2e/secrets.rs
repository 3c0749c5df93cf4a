//! Secrets are planted in options of every shape, given to a plugin that repeats them wherever it
//! can, and looked for in everything that comes out.

use std::{fs, path::Path};

use crate::support::{Place, Ran};

const SECRETS: [&str; 5] = [
    "planted-token-1",
    "planted-login-2",
    "planted-pass-3",
    "planted-pass-4",
    "planted-more-5",
];

fn place(isolation: &str, more: &str) -> Place {
    let place = Place::with_constant(4, 0);
    let [token, login, first, second, last] = SECRETS;
    place.write(
        "m.toml",
        &format!(
            r#"name = "secrets"
concurrency = 1

[plugins.hostile]
isolation = "{isolation}"

[llm]
plugin = "secretive"
[llm.options]
token = "{token}"
proxy = {{ url = "http://proxy", login = "{login}" }}
more = ["{last}"]
{more}
[[llm.options.servers]]
url = "http://one"
pass = "{first}"
[[llm.options.servers]]
pass = "{second}"

[dataset]
plugin = "jsonl"
path = "questions.jsonl"

[evaluate]
methods = ["direct"]
"#
        ),
    );
    place
}

fn assert_free(what: &str, content: &[u8]) {
    for secret in SECRETS {
        let found = content
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(
            !found,
            "`{secret}` in {what}:\n{}",
            String::from_utf8_lossy(content)
        );
    }
}

fn assert_free_output(what: &str, ran: &Ran) {
    assert_free(&format!("stdout of {what}"), ran.stdout.as_bytes());
    assert_free(&format!("stderr of {what}"), ran.stderr.as_bytes());
}

/// Every file in a folder and those below it; gives their number.
fn assert_free_folder(folder: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += assert_free_folder(&path);
        } else {
            assert_free(&path.display().to_string(), &fs::read(&path).unwrap());
            files += 1;
        }
    }
    files
}

fn logged(place: &Place, args: &[&str]) -> Ran {
    let output = place
        .command(args)
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_secret_is_found_in_nothing_that_a_run_says_or_writes() {
    for isolation in ["none", "process"] {
        let place = place(isolation, "");
        let ran = logged(&place, &["run", "m.toml", "--out", "out"]).code(3);
        // The plugin did repeat them: in a log record and in an error.
        assert!(
            ran.stderr.contains("it uses [secret] and [secret]"),
            "{}",
            ran.stderr
        );
        let samples = place.read("out/samples.jsonl");
        assert!(samples.contains("refused with [secret]"), "{samples}");
        assert_free_output("run", &ran);
        let files = assert_free_folder(&place.path("out"));
        assert!(files >= 6, "{files} files");
        let resolved = place.read("out/manifest.toml");
        assert!(resolved.contains("http://one"), "{resolved}");
        for args in [
            &["run", "m.toml", "--dry-run"][..],
            &["run", "m.toml", "--dry-run", "--json"],
            &["run", "m.toml", "--out", "out", "--json"],
            &["report", "out"],
            &["report", "out", "--json"],
            &["plugin", "list", "--json"],
            &["plugin", "inspect", "secretive"],
        ] {
            assert_free_output(&args.join(" "), &logged(&place, args));
        }
        assert_free_folder(&place.path("out"));
    }
}

#[test]
fn a_plugin_that_refuses_its_options_cannot_repeat_them() {
    for isolation in ["none", "process"] {
        let place = place(isolation, "refuse = true");
        for args in [
            &["run", "m.toml", "--out", "out"][..],
            &["run", "m.toml", "--out", "out", "--json"],
        ] {
            let ran = logged(&place, args);
            assert_ne!(ran.code, Some(0));
            assert!(ran.stderr.contains("[secret]"), "{}", ran.stderr);
            assert_free_output(&args.join(" "), &ran);
        }
        assert_free_folder(&place.path("out"));
    }
}

#[test]
fn what_is_wrong_with_a_secret_is_told_without_it() {
    let [token, login, first, second, last] = SECRETS;
    let good = place("none", "").read("m.toml");
    for (from, to) in [
        // Of another kind than the schema wants, misspelt, or where none belongs.
        (
            format!("token = \"{token}\""),
            format!("token = [\"{token}\"]"),
        ),
        (
            format!("token = \"{token}\""),
            format!("tokn = \"{token}\""),
        ),
        (format!("more = [\"{last}\"]"), format!("more = \"{last}\"")),
        (
            format!("more = [\"{last}\"]"),
            format!("more = [[\"{last}\"]]"),
        ),
        (
            format!("login = \"{login}\""),
            format!("login = {{ x = \"{login}\" }}"),
        ),
        (
            format!("pass = \"{first}\""),
            format!("pass = [\"{first}\"]"),
        ),
        (
            format!("pass = \"{second}\""),
            format!("pass = {{ y = \"{second}\" }}"),
        ),
    ] {
        assert!(good.contains(&from), "{from}");
        let place = place("none", "");
        place.write("m.toml", &good.replace(&from, &to));
        for args in [&["run", "m.toml"][..], &["run", "m.toml", "--json"]] {
            let ran = logged(&place, args).code(2);
            assert!(ran.stderr.contains("option"), "{to}: {}", ran.stderr);
            assert_free_output(&to, &ran);
        }
    }
    let place = place("none", "");
    let set = format!("llm.options.token=[\"{token}\"]");
    assert_free_output(
        "--set",
        &logged(&place, &["run", "m.toml", "--set", &set]).code(2),
    );
}
