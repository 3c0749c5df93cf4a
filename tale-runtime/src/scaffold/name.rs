//! The name of a plugin to be.

use std::{fmt, str::FromStr};

/// Words of small letters and digits with hyphens between them, as manifests write names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginName(String);

/// Longer names make paths and listings unreadable.
const LONGEST: usize = 50;

impl PluginName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a Rust type: `by-length` is `ByLength`.
    pub(super) fn type_name(&self) -> String {
        let capital = |word: &str| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_ascii_uppercase().to_string() + letters.as_str()
            })
        };
        let name: String = self.0.split('-').map(capital).collect();
        // Names that the generated file uses itself, or that Rust does.
        match name.as_str() {
            "Self" | "Options" | "Option" | "Vec" | "String" | "Result" | "Some" | "None"
            | "Ok" | "Err" | "Box" | "Arc" | "Pair" | "State" | "Llm" | "Estimator"
            | "Feasibility" | "Dataset" | "Trainer" | "Error" | "ErrorKind" | "Estimate"
            | "Page" | "Question" | "Decision" | "Events" | "Message" | "Usage" | "Completion"
            | "Timings" | "File" | "Path" | "Instant" | "Default" => name + "Plugin",
            _ if name.starts_with(|c: char| c.is_ascii_digit()) => format!("Plugin{name}"),
            _ => name,
        }
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PluginName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !name.split('-').all(is_word) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            let mended = mended(name);
            let hint = if mended.is_empty() {
                String::new()
            } else {
                format!(", for instance `{mended}`")
            };
            return Err(format!(
                "a name is small letters and digits with single hyphens between words, and begins with a letter{hint}"
            ));
        }
        if name.len() > LONGEST {
            return Err(format!("a name has at most {LONGEST} characters"));
        }
        if let Some(rest) = name.strip_prefix("tale-") {
            return Err(format!("the package gets `tale-` by itself; say `{rest}`"));
        }
        Ok(Self(name.to_owned()))
    }
}

/// The nearest name that is allowed, if any letter is left.
fn mended(name: &str) -> String {
    let words = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    joined
        .trim_start_matches(|c: char| !c.is_ascii_lowercase())
        .chars()
        .take(LONGEST)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}
