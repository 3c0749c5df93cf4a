//! The search path: which folders, and which files in them may be plugins.

use std::{
    env,
    path::{Path, PathBuf},
};

use tale_api::host::{Inspected, LoadError, Plugin};

use crate::diagnostics::{Diagnostic, Diagnostics, Place};

/// Where a folder of the search path comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// `--plugin-dir`.
    CommandLine,
    /// `TALE_PLUGIN_PATH`.
    Environment,
    /// `plugin_dirs` of the manifest.
    Manifest,
    /// Beside the executable.
    Executable,
}

/// A library in the search path that looks like a plugin.
#[derive(Debug)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// Which part of the search path it was found in.
    pub origin: Origin,
    /// What its descriptor says, or why it cannot be used.
    pub inspected: Result<Inspected, LoadError>,
}

/// The folders of the search path, in order, without repeats.
pub(super) fn dirs(
    command_line: &[PathBuf],
    manifest: &[PathBuf],
) -> Result<Vec<(Origin, PathBuf)>, Diagnostics> {
    let mut dirs: Vec<(Origin, PathBuf)> = Vec::new();
    for (origin, named) in [
        (Origin::CommandLine, command_line),
        (Origin::Manifest, manifest),
    ] {
        for dir in named {
            if !dir.is_dir() {
                let place = match origin {
                    Origin::CommandLine => "`--plugin-dir`",
                    _ => "`plugin_dirs` of the manifest",
                };
                let message = format!("no plugin folder `{}`", dir.display());
                return Err(Diagnostic::at(Place::named(place), message).into());
            }
            dirs.push((origin, dir.clone()));
        }
        if origin == Origin::CommandLine
            && let Some(path) = env::var_os("TALE_PLUGIN_PATH")
        {
            dirs.extend(env::split_paths(&path).map(|dir| (Origin::Environment, dir)));
        }
    }
    if let Ok(executable) = env::current_exe()
        && let Some(dir) = executable.parent()
    {
        dirs.push((Origin::Executable, dir.to_owned()));
    }
    let mut seen = std::collections::HashSet::new();
    dirs.retain(|(_, dir)| seen.insert(dir.canonicalize().unwrap_or_else(|_| dir.clone())));
    Ok(dirs)
}

/// The plugins in `dirs`, sorted by name within a folder.
pub(super) fn candidates(dirs: &[(Origin, PathBuf)]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (origin, dir) in dirs {
        // A folder of the environment or of the executable that is gone has no plugins.
        let Ok(entries) = std::fs::read_dir(dir) else {
            continue;
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|e| e.path())
            .filter(|p| is_named_like_one(p))
            .collect();
        paths.sort();
        candidates.extend(paths.into_iter().map(|path| {
            let inspected = Plugin::inspect(&path);
            Candidate {
                path,
                origin: *origin,
                inspected,
            }
        }));
    }
    candidates
}

/// Plugins are named `libtale_*.so` (or the platform's like); cargo makes that of a crate `tale-*`.
fn is_named_like_one(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return false;
    };
    let prefix = format!("{}tale_", env::consts::DLL_PREFIX);
    name.starts_with(&prefix) && name.ends_with(env::consts::DLL_SUFFIX)
}
