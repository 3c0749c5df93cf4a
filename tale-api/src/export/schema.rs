//! Keeps a committed schema equal to the Rust type it describes.

use std::{fs, path::Path};

use serde_json::Value;

/// The schema file does not say what the type says.
#[derive(Debug, thiserror::Error)]
#[error("`{file}` differs from the options' type")]
pub struct SchemaDrift {
    /// The file.
    pub file: String,
    /// What it should hold.
    pub expected: String,
}

/// Compares the file `path` with `schema`, the schema of a component's options; for a test.
///
/// With `TALE_UPDATE_SCHEMA=1` in the environment a file that differs is rewritten. A plugin takes
/// `schemars` as a development dependency only:
///
/// ```toml
/// [dev-dependencies]
/// schemars = "1"
/// ```
/// ```ignore
/// #[derive(Deserialize)]
/// #[cfg_attr(test, derive(schemars::JsonSchema))]
/// #[serde(deny_unknown_fields)]
/// struct Options { /* … */ }
///
/// #[test]
/// fn schema_is_that_of_the_options() -> Result<(), tale_api::export::SchemaDrift> {
///     let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/options.schema.json");
///     tale_api::export::check_schema(file, schemars::schema_for!(Options).as_value())
/// }
/// ```
/// A secret, such as a key, is marked with `#[cfg_attr(test, schemars(extend("secret" = true)))]`.
///
/// # Errors
/// [`SchemaDrift`] if the file is missing or says something else and is not to be rewritten.
pub fn check_schema(path: impl AsRef<Path>, schema: &Value) -> Result<(), SchemaDrift> {
    let path = path.as_ref();
    let found = fs::read_to_string(path)
        .ok()
        .and_then(|t| serde_json::from_str::<Value>(&t).ok());
    if found.as_ref() == Some(schema) {
        return Ok(());
    }
    let mut expected = format!("{schema:#}");
    expected.push('\n');
    if std::env::var_os("TALE_UPDATE_SCHEMA").is_some_and(|v| v == "1")
        && fs::write(path, &expected).is_ok()
    {
        return Ok(());
    }
    Err(SchemaDrift {
        file: path.display().to_string(),
        expected,
    })
}
