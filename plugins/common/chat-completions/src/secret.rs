//! The key: where it comes from, and that it goes nowhere but into its header.

use std::{fmt, path::PathBuf, process::Stdio, time::Duration};

use reqwest::header::HeaderValue;
use tale_api::{Error, ErrorKind, Result};
use tokio::process::Command;

use crate::{options::Options, profile::Profile};

/// How long a program that prints a key may take: somebody may have to type a password.
const COMMAND_PATIENCE: Duration = Duration::from_secs(120);

/// Shorter pieces of a text are not taken for the key.
const SHORTEST: usize = 6;

/// A key. It shows itself nowhere.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secret {
    /// The value of the header that carries it.
    pub(crate) fn bearer(&self) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).map_err(|_| {
            unauthorized("the key has characters that cannot stand in a header")
                .hint("a line break in the middle, or text that is no key?")
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// `text` without the key.
    pub(crate) fn scrub(&self, text: &str) -> String {
        if self.0.len() < SHORTEST {
            return text.to_owned();
        }
        text.replace(&self.0, "***")
    }
}

/// Where a key comes from.
#[derive(Clone, Debug)]
pub(crate) enum KeySource {
    /// There is none.
    None,
    /// An environment variable; whether it must be set.
    Env { name: String, needed: bool },
    /// A file.
    File(PathBuf),
    /// What a program prints.
    Command(Vec<String>),
    /// None was named, and the provider wants one.
    Missing { usual: String },
}

impl KeySource {
    /// As the options say. The provider's own variable is used for its own server only: a key for one
    /// must not be sent to another because `base_url` has changed.
    pub(crate) fn of(
        options: &Options,
        profile: &Profile,
        is_own_server: bool,
        base: &std::path::Path,
    ) -> Self {
        if let Some(name) = &options.api_key_env {
            Self::Env {
                name: name.clone(),
                needed: true,
            }
        } else if let Some(file) = &options.api_key_file {
            Self::File(base.join(file))
        } else if let Some(command) = &options.api_key_command {
            Self::Command(command.clone())
        } else {
            match &profile.key_env {
                Some(name) if is_own_server => Self::Env {
                    name: name.clone(),
                    needed: profile.needs_key,
                },
                Some(name) if profile.needs_key => Self::Missing {
                    usual: name.clone(),
                },
                _ => Self::None,
            }
        }
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`]: it is not there; says how to give one.
    pub(crate) async fn read(&self) -> Result<Option<Secret>> {
        let (text, from) = match self {
            Self::None => return Ok(None),
            Self::Missing { usual } => {
                return Err(unauthorized("no key is named for this server").hint(format!(
                    "`base_url` is not the provider's own, so `{usual}` is not sent there unasked; \
                     `api_key_env = \"{usual}\"` says that it may, or choose another `profile`"
                )));
            }
            Self::Env { name, needed } => match std::env::var(name) {
                Ok(text) if !text.trim().is_empty() => (text, format!("variable `{name}`")),
                _ if !needed => return Ok(None),
                _ => {
                    return Err(unauthorized(format!(
                        "environment variable `{name}`, which should hold the key, is not set"
                    ))
                    .hint(format!(
                        "`export {name}=…`; or say `api_key_env`, `api_key_file` or `api_key_command`"
                    )));
                }
            },
            Self::File(path) => {
                let text = tokio::fs::read_to_string(path).await.map_err(|e| {
                    unauthorized(format!("cannot read the key from `{}`", path.display()))
                        .caused_by(&e)
                })?;
                (text, format!("file `{}`", path.display()))
            }
            Self::Command(command) => (run(command).await?, format!("program `{}`", command[0])),
        };
        let key = text.trim();
        if key.is_empty() || key.contains(char::is_whitespace) || key.contains(char::is_control) {
            return Err(unauthorized(format!("{from} does not hold a key"))
                .hint("a key is one word, alone"));
        }
        Ok(Some(Secret(key.to_owned())))
    }
}

async fn run(command: &[String]) -> Result<String> {
    let failed = |why: String| {
        unauthorized(format!(
            "`{}`, which should print the key, {why}",
            command[0]
        ))
    };
    let child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(COMMAND_PATIENCE, child)
        .await
        .map_err(|_| failed("takes too long".to_owned()))?
        .map_err(|e| failed("cannot be run".to_owned()).caused_by(&e))?;
    if !output.status.success() {
        return Err(failed(format!("fails ({})", output.status)));
    }
    String::from_utf8(output.stdout).map_err(|_| failed("prints no text".to_owned()))
}

fn unauthorized(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unauthorized, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret("sk-very-secret".into());
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert!(!format!("{:?}", secret.bearer().unwrap()).contains("very"));
        assert_eq!(
            secret.scrub("key sk-very-secret is wrong"),
            "key *** is wrong"
        );
    }

    #[test]
    fn the_providers_key_is_not_sent_to_another_server() {
        let openai = &profile::all()["openai"];
        let source =
            |own| KeySource::of(&Options::default(), openai, own, std::path::Path::new(""));
        assert!(matches!(source(true), KeySource::Env { needed: true, .. }));
        assert!(matches!(source(false), KeySource::Missing { .. }));
        let vllm = &profile::all()["vllm"];
        let source = KeySource::of(&Options::default(), vllm, false, std::path::Path::new(""));
        assert!(matches!(source, KeySource::None));
    }

    #[tokio::test]
    async fn a_key_comes_from_a_file_or_a_program() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "sk-from-file\n").unwrap();
        let key = KeySource::File(path).read().await.unwrap().unwrap();
        assert_eq!(key.0, "sk-from-file");
        let command = ["echo", "sk-from-program"].map(String::from).to_vec();
        let key = KeySource::Command(command).read().await.unwrap().unwrap();
        assert_eq!(key.0, "sk-from-program");
        for command in [
            ["false", ""],
            ["no-such-program-here", ""],
            ["echo", "two words"],
        ] {
            let command = command.map(String::from).to_vec();
            let error = KeySource::Command(command).read().await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unauthorized);
        }
    }
}
