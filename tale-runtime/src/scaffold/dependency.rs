//! Where a new crate gets `tale-api` from.

use std::{
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::diagnostics::Diagnostic;

/// A source of the crate `tale-api`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// A folder: the crate, or a checkout with it.
    Path(PathBuf),
    /// A git repository.
    Git(String),
    /// A version requirement, of a registry.
    Version(String),
}

/// Tells the three apart by their look; what is none of the others is a path.
impl FromStr for Dependency {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is_git = text.contains("://")
            || text.starts_with("git@")
            || Path::new(text).extension().is_some_and(|e| e == "git");
        let is_version = text
            .trim_start_matches(['^', '~', '=', ' '])
            .starts_with(|c: char| c.is_ascii_digit())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "^~=.-+ ".contains(c));
        Ok(if is_git {
            Self::Git(text.to_owned())
        } else if is_version && !Path::new(text).exists() {
            Self::Version(text.to_owned())
        } else {
            Self::Path(text.into())
        })
    }
}

impl Dependency {
    /// What a crate written by this `tale` takes if nobody says otherwise: the checkout that this
    /// `tale` was built in, if it is still there, and its own version from the registry otherwise.
    #[must_use]
    pub fn usual() -> Self {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tale-api");
        if is_tale_api(&checkout) {
            Self::Path(checkout)
        } else {
            Self::Version(tale_api::VERSION.to_owned())
        }
    }

    /// The same, with a path made absolute.
    ///
    /// # Errors
    /// A folder without the crate.
    pub fn checked(self) -> Result<Self, Diagnostic> {
        let Self::Path(path) = self else {
            return Ok(self);
        };
        let places = [path.clone(), path.join("tale-api")];
        let found = places.iter().find(|place| is_tale_api(place));
        let absolute = found.and_then(|place| place.canonicalize().ok());
        absolute.map(Self::Path).ok_or_else(|| {
            Diagnostic::error(format!("no crate `tale-api` in `{}`", path.display())).help(
                "`--tale-api` takes the folder of the crate or of a checkout, the address of a git repository, or a version",
            )
        })
    }

    /// The inside of the inline table of a `Cargo.toml`.
    pub(super) fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        match self {
            Self::Path(path) => format!("path = {}", quoted(&path.to_string_lossy())),
            Self::Git(url) => format!("git = {}", quoted(url)),
            Self::Version(version) => format!("version = {}", quoted(version)),
        }
    }
}

fn is_tale_api(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml"));
    let parsed = manifest
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok());
    parsed.is_some_and(|table| {
        table
            .get("package")
            .and_then(|p| p.get("name"))
            .and_then(toml::Value::as_str)
            == Some("tale-api")
    })
}
