//! Python, and whether it has what the script imports.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde::Deserialize;
use tale_api::{Error, ErrorKind, Result};

/// With these versions the plugin was tested; the command of the hint installs them.
const TESTED: &str =
    "torch==2.11.0 transformers==5.24.0 peft==0.21.2 trl==1.16.0 accelerate==1.15.0";
/// `DPOTrainer` keeps pairs as `prompt_ids`, `chosen_ids` and `rejected_ids` from here on.
const OLDEST_TRL: (u32, u32) = (1, 16);
/// Reading the versions takes a fraction of a second, on a slow network disk some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads versions without importing anything, so it takes no time and no memory.
const ASK: &str = r#"
import json, platform
from importlib.metadata import PackageNotFoundError, version
def of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
names = ("torch", "transformers", "peft", "trl", "accelerate", "datasets")
print(json.dumps({"python": platform.python_version(), "packages": {name: of(name) for name in names}}))
"#;

/// A Python that can train.
#[derive(Clone, Debug)]
pub(crate) struct Python {
    pub(crate) program: PathBuf,
    /// By package.
    pub(crate) versions: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Answer {
    python: String,
    packages: BTreeMap<String, Option<String>>,
}

impl Python {
    /// Asks `program`; a path is relative to `base_dir`, a bare name is looked up in `PATH`.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable): it cannot be started, or lacks something; the hint
    /// has the command that installs it.
    pub(crate) fn find(program: &str, base_dir: &Path) -> Result<Self> {
        let path = located(program, base_dir);
        let install = format!("{} -m pip install {TESTED}", path.display());
        let unusable = |what: String| {
            Error::new(
                ErrorKind::Unavailable,
                format!("Python `{}` {what}", path.display()),
            )
            .hint(format!(
                "the option `python` names another one, of a virtual environment for instance; `{install}` installs what is needed; the trainers `sft` and `dpo` of the plugin `tch` need no Python"
            ))
        };
        let started = Command::new(&path)
            .args(["-c", ASK])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let child = started.map_err(|e| unusable("cannot be started".into()).caused_by(&e))?;
        let text = answer(child).map_err(&unusable)?;
        let answer: Answer = serde_json::from_str(&text)
            .map_err(|e| unusable("does not answer as Python does".into()).caused_by(&e))?;
        let missing: Vec<String> = answer
            .packages
            .iter()
            .filter(|(_, version)| version.is_none())
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Err(unusable(format!("({}) has no {missing}", answer.python)));
        }
        let versions: BTreeMap<String, String> = answer
            .packages
            .into_iter()
            .filter_map(|(name, version)| Some((name, version?)))
            .collect();
        let trl = &versions["trl"];
        if !is_new_enough(trl) {
            let (major, minor) = OLDEST_TRL;
            return Err(unusable(format!(
                "has trl {trl}, and {major}.{minor} or a later {major}.x is needed"
            )));
        }
        Ok(Self {
            program: path,
            versions,
        })
    }
}

/// A leading `~` is the home, for no shell sees an option of a manifest.
fn located(program: &str, base_dir: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match (program.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ if program.contains('/') => base_dir.join(program),
        _ => PathBuf::from(program),
    }
}

/// What the child prints; an error in words if it fails or takes too long.
fn answer(mut child: Child) -> Result<String, String> {
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("gives no answer within {} s", PATIENCE.as_secs()));
            }
        }
    };
    let mut text = String::new();
    // The answer is far shorter than what a pipe holds, so the child did not wait for this.
    if let Some(out) = child.stdout.take() {
        let _ = out.take(1 << 16).read_to_string(&mut text);
    }
    if status.success() {
        Ok(text)
    } else {
        Err(format!("fails to look for packages ({status})"))
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => major == OLDEST_TRL.0 && minor >= OLDEST_TRL.1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_to_the_manifest_and_a_name_is_not() {
        let at = |program| located(program, Path::new("place"));
        assert_eq!(at("venv/bin/python"), Path::new("place/venv/bin/python"));
        assert_eq!(at("/usr/bin/python3"), Path::new("/usr/bin/python3"));
        assert_eq!(at("python3"), Path::new("python3"));
        assert!(at("~/trl/bin/python").is_absolute());
    }

    #[test]
    fn versions_of_trl_are_compared_by_number() {
        for (version, expected) in [
            ("1.16.0", true),
            ("1.20.0.dev0", true),
            ("1.9.0", false),
            ("0.29.1", false),
            // Its parts that are used here may have changed.
            ("2.0.0", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), expected, "{version}");
        }
    }
}
