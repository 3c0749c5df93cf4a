//! Understanding the rest of a manifest in spite of a fault, so that plugins and files can be checked
//! as well and a person hears of everything at once. Nothing repaired is ever run.

use serde_json::Value;

use super::explain::Finding;
use crate::manifest::source::{Source, child, pointer_of, segments};

/// Keys without which the rest of a table means something else: a table with a fault in one of these
/// is not understood, and no further faults are guessed from it.
const TELLING: [&str; 5] = ["plugin", "model", "path", "name", "options"];

/// A change that takes one fault away.
pub(super) enum Fix {
    /// Leaves out the value at a pointer.
    LeaveOut(String),
    /// Takes the key of a table for another one.
    Rename {
        table: String,
        from: String,
        to: String,
    },
}

impl Fix {
    /// Leaves out the value at `path`, if the rest can be understood without it.
    pub(super) fn leave_out(path: &str) -> Option<Self> {
        let segments = segments(path);
        let key = segments
            .iter()
            .rev()
            .find(|s| s.parse::<usize>().is_err())?;
        if TELLING.contains(&key.as_str()) {
            return None;
        }
        // An element goes with its whole array: the others may depend on its place.
        let end = segments.iter().rposition(|s| s == key)?;
        Some(Self::LeaveOut(pointer_of(&segments[..=end])))
    }

    /// Takes an unknown key for the one it resembles, or leaves it out.
    pub(super) fn unknown(table: &str, key: &str, near: Option<&str>) -> Self {
        match near {
            Some(to) => Self::Rename {
                table: table.into(),
                from: key.into(),
                to: to.into(),
            },
            None => Self::LeaveOut(child(table, key)),
        }
    }

    /// Table and key of what is left out, if it is.
    pub(super) fn leaves_out(&self) -> Option<(String, String)> {
        let Self::LeaveOut(pointer) = self else {
            return None;
        };
        let mut table = segments(pointer);
        let key = table.pop()?;
        Some((pointer_of(&table), key))
    }

    pub(super) fn apply(self, source: &mut Source) {
        let (table, from, to) = match &self {
            Self::LeaveOut(_) => {
                let Some((table, key)) = self.leaves_out() else {
                    return;
                };
                (table, key, None)
            }
            Self::Rename { table, from, to } => (table.clone(), from.clone(), Some(to.clone())),
        };
        let Some(Value::Object(entries)) = source.value.pointer_mut(&table) else {
            return;
        };
        let Some(value) = entries.shift_remove(&from) else {
            return;
        };
        let old = child(&table, &from);
        let Some(to) = to.filter(|to| !entries.contains_key(to)) else {
            return;
        };
        entries.insert(to.clone(), value);
        let new = child(&table, &to);
        let moved: Vec<_> = source
            .spots
            .iter()
            .filter_map(|(pointer, spot)| {
                let rest = pointer.strip_prefix(&old)?;
                (rest.is_empty() || rest.starts_with('/'))
                    .then(|| (format!("{new}{rest}"), spot.clone()))
            })
            .collect();
        source.spots.extend(moved);
    }
}

/// Drops what follows from another fault: a key is not missing where a misspelt one was meant for it.
pub(super) fn settle(findings: &mut Vec<Finding>) {
    let meant: Vec<_> = findings
        .iter()
        .filter_map(|f| match &f.fix {
            Some(Fix::Rename { table, to, .. }) => Some((table.clone(), to.clone())),
            _ => None,
        })
        .collect();
    findings.retain(|f| {
        f.missing
            .as_ref()
            .is_none_or(|missing| !meant.contains(missing))
    });
}
