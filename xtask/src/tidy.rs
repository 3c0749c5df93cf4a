//! The rules of the house that no compiler knows, each with its reason.
//!
//! A rule is a function from the project's files to faults; a fault names a file, a line and what
//! to do. Rules that need judgement are not here.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::steps::{program, root};

/// Where `unsafe` may stand: the C boundary, and what calls C or is called by it. Everything else
/// is safe Rust. `ARCHITECTURE.md` names the same places.
const UNSAFE_PLACES: &[&str] = &[
    "tale-api/src/abi",
    "tale-api/src/export/",
    "tale-api/src/host/",
    "tale-api/src/peer/",
    "plugins/llm-llama-cpp/src/",
    "plugins/common/llama/src/device.rs",
    "plugins/test-hostile/",
    "examples/",
    "tale-runtime/src/main.rs",
];

/// Longer files want to be two.
const LONGEST: usize = 600;

/// Folders under `plugins/` that are no plugins.
const NO_PLUGINS: &[&str] = &["common"];

/// Linked into the binary, not loaded.
const LINKED: &str = "standard";

/// A plugin that breaks every rule on purpose passes no conformance suite.
const HOSTILE: &str = "test-hostile";

/// A file as the rules see it.
struct Source {
    /// From the project's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        has_ending(&self.path, "rs")
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    fn fault(&self, line: usize, what: impl Into<String>) -> Fault {
        Fault {
            path: self.path.clone(),
            line,
            what: what.into(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Fault {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// What is wrong in these files, by one rule.
type Rule = fn(&[Source]) -> Vec<Fault>;

const RULES: &[Rule] = &[
    modules_are_documented,
    files_are_short,
    no_path_of_a_machine,
    unsafe_stays_where_it_belongs,
    nothing_is_left_for_later,
    plugins_look_alike,
    packages_share_the_lints,
    links_lead_somewhere,
    excerpts_are_of_their_file,
];

pub(crate) fn tidy() -> Result<()> {
    let files = files()?;
    let faults: Vec<Fault> = RULES.iter().flat_map(|rule| rule(&files)).collect();
    for fault in &faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        bail!(
            "{} faults against the rules in xtask/src/tidy.rs",
            faults.len()
        );
    }
    eprintln!("{} files are tidy", files.len());
    Ok(())
}

/// The text files that git tracks or would.
fn files() -> Result<Vec<Source>> {
    let output = program("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .context("cannot run git, which knows the project's files")?;
    if !output.status.success() {
        bail!("git: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let paths = String::from_utf8(output.stdout).context("a file's name is no UTF-8")?;
    // What cannot be read as text (pictures, a deleted file) is no matter of these rules.
    let read = |path: &str| {
        Some(Source {
            path: path.to_owned(),
            text: std::fs::read_to_string(root().join(path)).ok()?,
        })
    };
    Ok(paths
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(read)
        .collect())
}

/// A reader meets a file by its first sentence.
fn modules_are_documented(files: &[Source]) -> Vec<Fault> {
    let starts_well = |file: &&Source| {
        let mut lines = file
            .text
            .lines()
            .skip_while(|line| line.starts_with("#!") || line.trim().is_empty());
        lines.next().is_some_and(|line| line.starts_with("//!"))
    };
    let rust = files.iter().filter(|file| file.is_rust());
    rust.filter(|file| !starts_well(file))
        .map(|file| file.fault(1, "begin with a `//!` that says what is here"))
        .collect()
}

/// What is longer is read by nobody as a whole.
fn files_are_short(files: &[Source]) -> Vec<Fault> {
    let rust = files.iter().filter(|file| file.is_rust());
    rust.filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > LONGEST).then(|| {
            file.fault(
                LONGEST,
                format!("{lines} lines; split it by idea (at most {LONGEST})"),
            )
        })
    })
    .collect()
}

/// A path of somebody's machine works nowhere else and tells where it came from.
fn no_path_of_a_machine(files: &[Source]) -> Vec<Fault> {
    // Pieced together, or this file would be its own first fault.
    let paths = ["root", "work", "home", "Users"].map(|folder| format!("/{folder}/"));
    let is_path = |line: &str, path: &String| {
        line.match_indices(path.as_str()).any(|(at, _)| {
            // `https://host/home/` is no absolute path.
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || "-_./~*)}".contains(c))
        })
    };
    let mut faults = Vec::new();
    for file in files
        .iter()
        .filter(|file| !has_ending(&file.path, "jsonl") && !has_ending(&file.path, "lock"))
    {
        for (number, line) in file.lines() {
            if let Some(path) = paths.iter().find(|path| is_path(line, path)) {
                faults.push(file.fault(
                    number,
                    format!("an absolute path (`{path}…`) of one machine"),
                ));
            }
        }
    }
    faults
}

/// Few places to look at when memory goes wrong.
fn unsafe_stays_where_it_belongs(files: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        if UNSAFE_PLACES
            .iter()
            .any(|place| file.path.starts_with(place))
        {
            continue;
        }
        for (number, line) in file.lines() {
            if has_unsafe(line) {
                faults.push(file.fault(
                    number,
                    "`unsafe` outside the places that UNSAFE_PLACES and ARCHITECTURE.md name",
                ));
            }
        }
    }
    faults
}

fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "unsafe trait",
        "unsafe extern",
        "unsafe(",
    ]
    .iter()
    .any(|form| {
        code.match_indices(form)
            .any(|(at, _)| !code[..at].ends_with(['"', '_', '`']))
    })
}

/// A note to oneself is an issue, not a line of code.
fn nothing_is_left_for_later(files: &[Source]) -> Vec<Fault> {
    let marks = ["FIX", "TO", "XX"]
        .iter()
        .zip(["ME", "DO", "X"])
        .map(|(a, b)| format!("{a}{b}"));
    let marks: Vec<String> = marks.chain(["unimplemented!".replace('!', "!(")]).collect();
    let mut faults = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.is_rust() && file.path != "xtask/src/tidy.rs")
    {
        for (number, line) in file.lines() {
            let is_mark = |mark: &&String| {
                line.match_indices(mark.as_str()).any(|(at, _)| {
                    let neighbours = (
                        line[..at].chars().next_back(),
                        line[at + mark.len()..].chars().next(),
                    );
                    ![neighbours.0, neighbours.1]
                        .into_iter()
                        .flatten()
                        .any(|c| c.is_alphanumeric() && !mark.ends_with('('))
                })
            };
            if let Some(mark) = marks.iter().find(is_mark) {
                faults.push(file.fault(
                    number,
                    format!("`{mark}`: do it, or say why not in a sentence"),
                ));
            }
        }
    }
    faults
}

/// Knowing one plugin is knowing all.
fn plugins_look_alike(files: &[Source]) -> Vec<Fault> {
    let has = |path: &str| {
        files
            .iter()
            .any(|file| file.path == path || file.path.starts_with(&format!("{path}/")))
    };
    let mut faults = Vec::new();
    for manifest in files
        .iter()
        .filter(|file| file.path.starts_with("plugins/"))
    {
        let Some(name) = manifest
            .path
            .strip_prefix("plugins/")
            .and_then(|rest| rest.strip_suffix("/Cargo.toml"))
        else {
            continue;
        };
        if NO_PLUGINS.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        let mut want = |is_there: bool, what: &str| {
            if !is_there {
                faults.push(manifest.fault(1, format!("plugin `{name}` has no {what}")));
            }
        };
        let folder = format!("plugins/{name}");
        want(
            name == LINKED || manifest.text.contains("\"cdylib\""),
            "`cdylib` among its crate types",
        );
        want(has(&format!("{folder}/README.md")), "README.md");
        if name != HOSTILE {
            want(
                has(&format!("{folder}/tests/conformance.rs")),
                "tests/conformance.rs, which runs `tale_api::conformance`",
            );
            let options = ["src/options.rs", "src/options", "schemas"];
            want(
                options.iter().any(|path| has(&format!("{folder}/{path}"))),
                "src/options.rs (or schemas/) with its options",
            );
        }
    }
    faults
}

/// A package without the lints is a package without rules.
fn packages_share_the_lints(files: &[Source]) -> Vec<Fault> {
    let inherits = |text: &str| text.contains("[lints]\nworkspace = true");
    let members = files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml") && !file.path.starts_with("examples/"))
        // What is built outside this workspace has no lints to inherit: plugins as strangers write
        // them, and packages with a workspace of their own, as fuzz targets need.
        .filter(|file| !file.path.starts_with("tale-api/tests/compat/"))
        .filter(|file| !file.text.contains("\n[workspace]"));
    members
        .filter(|file| file.text.contains("[package]") && !inherits(&file.text))
        .map(|file| file.fault(1, "inherit the lints: `[lints]`, `workspace = true`"))
        .collect()
}

/// Links between the documents outlive no renaming by themselves.
fn links_lead_somewhere(files: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| has_ending(&file.path, "md")) {
        let folder = root().join(&file.path);
        let folder = folder.parent().unwrap_or(Path::new("."));
        let mut in_code = false;
        for (number, line) in file.lines() {
            in_code ^= line.trim_start().starts_with("```");
            if in_code {
                continue;
            }
            for target in link_targets(line) {
                if !folder.join(target).exists() {
                    faults
                        .push(file.fault(number, format!("the link to `{target}` leads nowhere")));
                }
            }
        }
    }
    faults
}

/// The relative paths that a line of Markdown links to.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ']).next()?.split('#').next()?;
        let is_relative = !target.is_empty() && !target.contains(':') && !target.starts_with('<');
        is_relative.then_some(target)
    })
}

/// A block of code that is marked `from=PATH` stands in the file PATH, line by line, so that
/// what a document shows is what is compiled and tested.
fn excerpts_are_of_their_file(files: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for document in files.iter().filter(|file| has_ending(&file.path, "md")) {
        let mut lines = document.lines();
        while let Some((number, line)) = lines.next() {
            let Some(path) = line
                .strip_prefix("```")
                .and_then(|info| info.split_once(" from="))
                .map(|(_, path)| path.trim())
            else {
                continue;
            };
            let block: String = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| !line.starts_with("```"))
                .flat_map(|line| [line, "\n"])
                .collect();
            match files.iter().find(|file| file.path == path) {
                Some(file) if file.text.contains(&block) => {}
                Some(_) => {
                    faults.push(document.fault(number, format!("`{path}` has no such lines")));
                }
                None => faults.push(document.fault(number, format!("there is no file `{path}`"))),
            }
        }
    }
    faults
}

fn has_ending(path: &str, ending: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: Rule, files: &[(&str, &str)], expected: &[&str]) {
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        let files: Vec<Source> = files.iter().map(source).collect();
        let found: Vec<String> = rule(&files)
            .iter()
            .map(|fault| format!("{}:{}", fault.path, fault.line))
            .collect();
        assert_eq!(found, expected, "{:?}", rule(&files));
    }

    #[test]
    fn modules_want_a_first_sentence() {
        let files = [
            ("a.rs", "//! A.\nfn a() {}"),
            ("b.rs", "#![no_std]\n\n//! B."),
            ("c.rs", "fn c() {}"),
            ("d.md", "x"),
        ];
        check(modules_are_documented, &files, &["c.rs:1"]);
    }

    #[test]
    fn long_files_are_refused() {
        let (long, short) = ("x\n".repeat(LONGEST + 1), "x\n".repeat(LONGEST));
        check(
            files_are_short,
            &[("a.rs", &long), ("b.rs", &short), ("c.toml", &long)],
            &["a.rs:600"],
        );
    }

    #[test]
    fn absolute_paths_are_found_and_addresses_are_not() {
        let [home, work] = ["home", "work"].map(|folder| format!("/{folder}/"));
        let bad = format!("fine\nlet p = \"{home}me/x\";");
        let good = format!("https://host{home}page and the{work}of art");
        check(
            no_path_of_a_machine,
            &[("a.rs", &bad), ("b.md", &good), ("c.jsonl", &bad)],
            &["a.rs:2"],
        );
    }

    #[test]
    fn unsafe_is_found_in_code_only() {
        let text = "//! unsafe { }\n// unsafe fn\nlet x = \"unsafe {\";\nunsafe { f() }\nunsafe_op();\n#[unsafe(no_mangle)]";
        check(
            unsafe_stays_where_it_belongs,
            &[("a.rs", text), ("tale-api/src/abi.rs", text)],
            &["a.rs:4", "a.rs:6"],
        );
    }

    #[test]
    fn notes_to_oneself_are_found() {
        let text = format!(
            "// {0}: x\n// {0}S and 0x{1}A\n{2}()",
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("unimple", "mented!")
        );
        check(
            nothing_is_left_for_later,
            &[("a.rs", &text)],
            &["a.rs:1", "a.rs:3"],
        );
    }

    #[test]
    fn a_plugin_lacks_what_the_others_have() {
        let files = [
            ("plugins/a/Cargo.toml", "crate-type = [\"cdylib\"]"),
            ("plugins/a/README.md", ""),
            ("plugins/a/src/options.rs", ""),
            ("plugins/a/tests/conformance.rs", ""),
            ("plugins/b/Cargo.toml", ""),
            ("plugins/test-hostile/Cargo.toml", "\"cdylib\""),
            ("plugins/common/x/Cargo.toml", ""),
        ];
        let b = "plugins/b/Cargo.toml:1";
        check(
            plugins_look_alike,
            &files,
            &[b, b, b, b, "plugins/test-hostile/Cargo.toml:1"],
        );
    }

    #[test]
    fn packages_without_the_lints_are_found() {
        let good = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n";
        let files = [
            ("a/Cargo.toml", good),
            ("b/Cargo.toml", "[package]"),
            ("Cargo.toml", "[workspace]"),
        ];
        check(packages_share_the_lints, &files, &["b/Cargo.toml:1"]);
    }

    #[test]
    fn excerpts_are_compared_with_their_file() {
        let text = "```rust from=a.rs\nb\nc\n```\n```rust from=a.rs\nc\nb\n```\n```rust from=z.rs\n```\n```rust\nx\n```";
        let files = [("a.rs", "a\nb\nc\n"), ("x.md", text)];
        check(excerpts_are_of_their_file, &files, &["x.md:5", "x.md:9"]);
    }

    #[test]
    fn links_are_followed() {
        let text =
            "[a](Cargo.toml) [b](https://x.y/z) [c](#d) [e](nothing.md#f)\n```\n[g](nowhere)\n```";
        check(links_lead_somewhere, &[("x.md", text)], &["x.md:1"]);
    }
}
