//! What a manifest may say under `[llm.options]`, and its checks; no I/O.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use tale_api::{Error, ErrorKind, Result};

use crate::profile::Limiting;

/// The JSON Schema of [`Options`].
pub const SCHEMA: &str = include_str!("../data/options.schema.json");

/// What a manifest may say under `[llm.options]`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("x-tale" = "remote")))]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The model's name at the provider.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub model: Option<String>,
    /// Where the server is, up to and without `/chat/completions`; mostly it ends in `/v1`.
    /// Default: the provider's own.
    pub base_url: Option<String>,
    /// What the server does differently: `openai`, `yi`, `vllm`, `sglang`, `tgi`, `llama-server`,
    /// `ollama`, `deepseek`, `openrouter` or `generic`. Default: by `base_url`.
    pub profile: Option<String>,
    /// Whether answers come in parts. In one piece they cost less work here, but a long one may
    /// outlast a proxy's patience, and nothing is seen of it before its end.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner")))]
    pub stream: bool,
    /// `interactive` asks at once; `batch` gathers requests for the provider's batch API, at half the
    /// price and within a day.
    #[cfg_attr(test, schemars(extend("x-tale" = "service-tier")))]
    pub mode: Mode,
    /// The environment variable that holds the key. Default: the provider's own, and only for the
    /// provider's own server.
    #[cfg_attr(
        test,
        schemars(extend("x-tale" = "manner", "x-tale-env" = true))
    )]
    pub api_key_env: Option<String>,
    /// A file that holds the key, relative to the manifest's folder.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner")))]
    pub api_key_file: Option<PathBuf>,
    /// A program with its arguments that prints the key, for instance `["pass", "openai"]`.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner"), length(min = 1)))]
    pub api_key_command: Option<Vec<String>>,
    /// Refused: a key does not belong into a manifest. Use `api_key_env`, `api_key_file` or
    /// `api_key_command`.
    #[cfg_attr(test, schemars(extend("secret" = true, "x-tale" = "refused")))]
    pub api_key: Option<String>,
    /// The organisation that is billed (`OpenAI-Organization`).
    #[cfg_attr(test, schemars(extend("x-tale" = "manner")))]
    pub organization: Option<String>,
    /// The project that is billed (`OpenAI-Project`).
    #[cfg_attr(test, schemars(extend("x-tale" = "manner")))]
    pub project: Option<String>,
    /// Further headers of every request. None with a secret: those come from `api_key_env` and its
    /// like.
    pub headers: BTreeMap<String, String>,
    /// Further fields of every request, as the server documents them; they replace ours of the same
    /// name.
    pub extra_body: Map<String, Value>,
    /// A proxy, without credentials. Default: `HTTPS_PROXY` and its like.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner")))]
    pub proxy: Option<String>,
    /// A PEM file with further certificate authorities, relative to the manifest's folder.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner")))]
    pub ca_file: Option<PathBuf>,
    /// The provider's class of service: `flex`, `priority`, …
    #[cfg_attr(test, schemars(extend("x-tale" = "service-tier")))]
    pub service_tier: Option<String>,
    /// How hidden reasoning is limited. Default: as the profile and the model's rules say.
    pub reasoning: Option<Limiting>,
    /// Whether reasoning stands in the text itself and is taken out of there. Default: as the profile
    /// says.
    pub think_tags: Option<ThinkTags>,
    /// Who counts output tokens: `provider`, or an encoding by the name of a model it belongs to, such
    /// as `gpt-4` for the count of the paper's code.
    pub count: String,
    /// The most tokens of prompt and answer together, where it is known.
    pub context_length: Option<u32>,
    /// How often a request is tried before it counts as failed. Being asked to slow down is not
    /// counted.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner"), range(min = 1, max = 100)))]
    pub max_attempts: u32,
    /// Seconds after which a request that is refused or fails again and again counts as failed.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner"), range(min = 0, max = 86_400)))]
    pub retry_for_s: f64,
    /// Seconds until a connection must be there.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner"), range(min = 0.001, max = 3600)))]
    pub connect_timeout_s: f64,
    /// Seconds without a single byte after which a streamed answer counts as broken.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner"), range(min = 0.001, max = 86_400)))]
    pub idle_timeout_s: f64,
    /// Seconds that one attempt may take in all.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner"), range(min = 0.001, max = 86_400)))]
    pub attempt_timeout_s: f64,
    /// The most requests a minute.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner"), range(min = 1)))]
    pub rpm: Option<u32>,
    /// The most tokens a minute, those of prompts included.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner"), range(min = 1)))]
    pub tpm: Option<u32>,
    /// The most requests at a time. Default: the run's `concurrency`.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner"), range(min = 1)))]
    pub max_concurrency: Option<u32>,
    /// Whether fewer requests are sent at a time when the server cannot bear them.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner")))]
    pub adaptive: bool,
    /// Settings of `mode = "batch"`.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner")))]
    pub batch: BatchOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: None,
            base_url: None,
            profile: None,
            stream: true,
            mode: Mode::Interactive,
            api_key_env: None,
            api_key_file: None,
            api_key_command: None,
            api_key: None,
            organization: None,
            project: None,
            headers: BTreeMap::new(),
            extra_body: Map::new(),
            proxy: None,
            ca_file: None,
            service_tier: None,
            reasoning: None,
            think_tags: None,
            count: "provider".to_owned(),
            context_length: None,
            max_attempts: 8,
            retry_for_s: 600.0,
            connect_timeout_s: 10.0,
            idle_timeout_s: 300.0,
            attempt_timeout_s: 600.0,
            rpm: None,
            tpm: None,
            max_concurrency: None,
            adaptive: true,
            batch: BatchOptions::default(),
        }
    }
}

/// When answers are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// At once.
    #[default]
    Interactive,
    /// Within a day, at half the price.
    Batch,
}

/// Where reasoning stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ThinkTags {
    /// In fields of its own, or nowhere.
    #[default]
    Off,
    /// In the text, from `<think>` at its beginning to `</think>`.
    Tagged,
    /// In the text from its beginning to `</think>`: templates that open the tag themselves.
    Open,
}

/// Settings of `mode = "batch"`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct BatchOptions {
    /// The folder that remembers batches under way, relative to the manifest's. Default: in the user's
    /// cache.
    pub dir: Option<PathBuf>,
    /// The most requests in one batch. Default: what the provider takes.
    #[cfg_attr(test, schemars(range(min = 1, max = 50_000)))]
    pub max_requests: usize,
    /// The most bytes in one batch. Default: what the provider takes.
    #[cfg_attr(test, schemars(range(min = 1024, max = 200_000_000)))]
    pub max_bytes: usize,
    /// Seconds without a new request after which what has been gathered is sent.
    #[cfg_attr(test, schemars(range(min = 0.001, max = 3600)))]
    pub gather_s: f64,
    /// Seconds between two looks at a batch.
    #[cfg_attr(test, schemars(range(min = 0.01, max = 3600)))]
    pub poll_s: f64,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            dir: None,
            max_requests: 50_000,
            max_bytes: 200_000_000,
            gather_s: 2.0,
            poll_s: 20.0,
        }
    }
}

/// Durations of one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub connect: Duration,
    pub idle: Duration,
    pub attempt: Duration,
    pub retries: Duration,
}

impl Options {
    /// The time-outs, if they are possible ones.
    pub(crate) fn patience(&self) -> Result<Patience> {
        let duration = |name: &str, seconds: f64| {
            Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|d| *d <= Duration::from_secs(86_400))
                .ok_or_else(|| invalid(format!("`{name}` is {seconds}, not between 0 and 86400")))
        };
        Ok(Patience {
            connect: duration("connect_timeout_s", self.connect_timeout_s)?,
            idle: duration("idle_timeout_s", self.idle_timeout_s)?,
            attempt: duration("attempt_timeout_s", self.attempt_timeout_s)?,
            retries: duration("retry_for_s", self.retry_for_s)?,
        })
    }

    /// The headers of every request, except for the key.
    pub(crate) fn header_map(&self) -> Result<HeaderMap> {
        let mut map = HeaderMap::new();
        let billed = [
            ("OpenAI-Organization", &self.organization),
            ("OpenAI-Project", &self.project),
        ];
        let billed = billed
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let own = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        for (name, value) in billed.chain(own) {
            let lower = name.to_ascii_lowercase();
            if SECRET_HEADERS.iter().any(|part| lower.contains(part)) {
                return Err(invalid(format!("header `{name}` carries a secret"))
                    .hint("a key comes from `api_key_env`, `api_key_file` or `api_key_command`"));
            }
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| invalid(format!("`{name}` is no name of a header")))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| invalid(format!("the value of header `{name}` is none")))?;
            map.insert(header, value);
        }
        Ok(map)
    }

    /// Refuses what would put a secret into a manifest.
    pub(crate) fn refuse_secrets(&self) -> Result<()> {
        if self.api_key.is_some() {
            return Err(
                invalid("`api_key`: a key does not belong into a manifest").hint(
                    "put it into an environment variable and name that in `api_key_env`, or use \
                 `api_key_file` or `api_key_command`; consider the one in the manifest leaked",
                ),
            );
        }
        if self.proxy.as_deref().is_some_and(|p| p.contains('@')) {
            return Err(invalid("`proxy` holds credentials")
                .hint("set `HTTPS_PROXY` in the environment instead"));
        }
        let keys = [
            self.api_key_env.is_some(),
            self.api_key_file.is_some(),
            self.api_key_command.is_some(),
        ];
        if keys.into_iter().filter(|k| *k).count() > 1 {
            return Err(invalid(
                "only one of `api_key_env`, `api_key_file` and `api_key_command` can say where the key is",
            ));
        }
        Ok(())
    }
}

/// Parts of the names of headers that authenticate.
const SECRET_HEADERS: &[&str] = &[
    "authorization",
    "api-key",
    "apikey",
    "token",
    "cookie",
    "secret",
];

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOptions, message).operation("create")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str, part: &str) {
        let options: Options = toml::from_str(toml).unwrap();
        let outcome = options
            .refuse_secrets()
            .and_then(|()| options.header_map().map(drop))
            .and_then(|()| options.patience().map(drop));
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidOptions);
        assert!(error.message.contains(part), "{error:?}");
        assert!(!format!("{error:?}").contains("sk-1"), "{error:?}");
    }

    #[test]
    fn the_schema_is_that_of_the_options() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/data/options.schema.json");
        let schema = schemars::schema_for!(Options);
        tale_api::export::check_schema(file, schema.as_value()).expect("it is");
    }

    #[test]
    fn secrets_are_refused_without_being_repeated() {
        check("api_key = 'sk-1'", "does not belong into a manifest");
        check(
            "headers = { Authorization = 'Bearer sk-1' }",
            "carries a secret",
        );
        check("headers = { X-Api-Key = 'sk-1' }", "carries a secret");
        check("proxy = 'http://me:sk-1@proxy'", "holds credentials");
        check("api_key_env = 'A'\napi_key_file = 'b'", "only one of");
    }

    #[test]
    fn impossible_values_are_refused() {
        check("idle_timeout_s = -1.0", "idle_timeout_s");
        check("attempt_timeout_s = nan", "attempt_timeout_s");
        check("headers = { 'a b' = 'c' }", "no name of a header");
    }
}
