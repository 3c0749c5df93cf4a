//! Where everything in a manifest stands.

use std::{
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use tale_api::host::secret_paths;

use super::words::is_secret_name;
use crate::diagnostics::{Place, Text};

/// A manifest's text, with the place of every key and value in it, `--set` included.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    /// The file, then one text for each `--set`.
    pub(super) texts: Vec<Arc<Text>>,
    /// The whole of what was written, as JSON.
    pub(super) value: Value,
    /// By JSON pointer.
    pub(super) spots: HashMap<String, Spot>,
}

/// Where one value and its key stand, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// Which of [`Source::texts`].
    pub(super) text: usize,
    /// The key; of an element of an array, the element itself.
    pub(super) key: Range<usize>,
    /// The value; of a table, its header.
    pub(super) value: Range<usize>,
}

impl Source {
    pub(super) fn new(path: &Path, file: Text, value: Value, spots: HashMap<String, Spot>) -> Self {
        Self {
            path: path.to_owned(),
            texts: vec![file.into()],
            value,
            spots,
        }
    }

    /// The manifest's path, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest's folder: paths in it are relative to this.
    #[must_use]
    pub fn base_dir(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// What was written, as JSON, without defaults.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Where the value at `path` stands, for instance `["dataset", "0", "path"]`.
    ///
    /// A table and an array with one table are the same here: index 0 of a table is the table
    /// itself. What is not written is taken to stand where its table does.
    #[must_use]
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Place {
        self.place_at(&self.pointer(path))
    }

    /// Where the value at a pointer stands.
    pub(super) fn place_at(&self, pointer: &str) -> Place {
        match self.spots.get(pointer) {
            Some(spot) => self.place(spot.text, spot.value.clone()),
            None => self.whole(),
        }
    }

    /// As [`Source::at`], but the key of it.
    #[must_use]
    pub fn key_at<S: AsRef<str>>(&self, path: &[S]) -> Place {
        let pointer = self.pointer(path);
        match self.spots.get(&pointer) {
            Some(spot) => self.place(spot.text, spot.key.clone()),
            None => self.whole(),
        }
    }

    /// Whether something is written at `path`.
    #[must_use]
    pub fn has<S: AsRef<str>>(&self, path: &[S]) -> bool {
        self.walk(path).1 == path.len()
    }

    /// The manifest as a whole.
    #[must_use]
    pub fn whole(&self) -> Place {
        self.place(0, 0..0)
    }

    /// Never shows what stands at these paths in a diagnostic made from now on. `*` in a path is
    /// every element or member (see [`secret_options`](super::secret_options)).
    pub fn hide<S: AsRef<str>>(&mut self, secrets: &[Vec<S>]) {
        for secret in secrets {
            for path in written_paths(&self.value, secret) {
                self.hide_at(&pointer_of(&path));
            }
        }
    }

    pub(super) fn hide_at(&mut self, pointer: &str) {
        if let Some(Spot { text, value, .. }) = self.spots.get(pointer) {
            Arc::make_mut(&mut self.texts[*text]).hide(value.clone());
        }
    }

    /// Hides values whose keys say that they are secrets, before any plugin's schema is known.
    pub(super) fn seal(&mut self) {
        let secret = |p: &&String| p.rsplit('/').next().is_some_and(is_secret_name);
        let pointers: Vec<_> = self.spots.keys().filter(secret).cloned().collect();
        for pointer in pointers {
            self.hide_at(&pointer);
        }
    }

    pub(super) fn place(&self, text: usize, span: Range<usize>) -> Place {
        Place::span(Arc::clone(&self.texts[text]), span)
    }

    /// The pointer of `path`, or of the innermost thing around it that is written.
    pub(super) fn pointer<S: AsRef<str>>(&self, path: &[S]) -> String {
        self.walk(path).0
    }

    /// How far `path` leads: a pointer, and how many segments it took.
    fn walk<S: AsRef<str>>(&self, path: &[S]) -> (String, usize) {
        let mut pointer = String::new();
        let mut here = &self.value;
        for (taken, segment) in path.iter().enumerate() {
            let segment = segment.as_ref();
            let next = match here {
                Value::Object(table) => match table.get(segment) {
                    None if segment == "0" && taken > 0 => continue,
                    next => next,
                },
                Value::Array(items) => segment.parse().ok().and_then(|i: usize| items.get(i)),
                _ => None,
            };
            let Some(next) = next else {
                return (pointer, taken);
            };
            here = next;
            push(&mut pointer, segment);
        }
        (pointer, path.len())
    }
}

/// The paths of `value` that a path with `*` leads to; index 0 of a table is the table itself.
pub(super) fn written_paths<S: AsRef<str>>(value: &Value, path: &[S]) -> Vec<Vec<String>> {
    let mut path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    if let [first, "0", ..] = *path
        && value.get(first).is_some_and(Value::is_object)
    {
        path.remove(1);
    }
    secret_paths(value, &path)
}

/// Adds a segment to a JSON pointer.
pub(super) fn push(pointer: &mut String, segment: &str) {
    pointer.push('/');
    pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
}

/// `pointer` with one more segment.
pub(super) fn child(pointer: &str, segment: &str) -> String {
    let mut pointer = pointer.to_owned();
    push(&mut pointer, segment);
    pointer
}

/// The segments of a JSON pointer.
pub(super) fn segments(pointer: &str) -> Vec<String> {
    pointer
        .split('/')
        .skip(1)
        .map(|s| s.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// The JSON pointer of a path.
pub(super) fn pointer_of<S: AsRef<str>>(path: &[S]) -> String {
    let mut pointer = String::new();
    for segment in path {
        push(&mut pointer, segment.as_ref());
    }
    pointer
}
