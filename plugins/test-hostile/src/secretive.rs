//! A model that is given secrets and repeats them wherever it can.

use serde::Deserialize;
use tale_api::{
    Completion, CreateEnv, Error, ErrorKind, Events, GenerateEvent, GenerateRequest, Llm, LlmInfo,
    Result, Usage, async_trait,
};

/// The schema of [`Options`]: a secret, one in a table, some in an array of tables and in an array.
pub(crate) const SCHEMA: &str = r##"{"type": "object", "additionalProperties": false,
    "required": ["token"],
    "properties": {
        "token": {"type": "string", "secret": true, "minLength": 4},
        "proxy": {"type": "object", "additionalProperties": false, "properties": {
            "url": {"type": "string"}, "login": {"type": "string", "secret": true}}},
        "servers": {"type": "array", "items": {"$ref": "#/$defs/server"}},
        "more": {"type": "array", "items": {"type": "string", "secret": true}},
        "refuse": {"type": "boolean"}},
    "$defs": {"server": {"type": "object", "additionalProperties": false, "properties": {
        "url": {"type": "string"}, "pass": {"type": "string", "secret": true}}}}}"##;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    token: String,
    #[serde(default)]
    proxy: Proxy,
    #[serde(default)]
    servers: Vec<Server>,
    #[serde(default)]
    more: Vec<String>,
    #[serde(default)]
    refuse: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Proxy {
    #[serde(default)]
    login: String,
    #[serde(default, rename = "url")]
    _url: String,
}

#[derive(Debug, Deserialize)]
struct Server {
    pass: String,
    #[serde(default, rename = "url")]
    _url: String,
}

/// The model.
pub(crate) struct Secretive {
    secrets: String,
}

impl Secretive {
    pub(crate) async fn create(options: Options, _env: CreateEnv) -> Result<Self> {
        let mut secrets = vec![options.token, options.proxy.login];
        secrets.extend(options.servers.into_iter().map(|server| server.pass));
        secrets.extend(options.more);
        let secrets = secrets.join(" and ");
        tracing::trace!(%secrets, "created with {secrets}");
        if options.refuse {
            return Err(careless(ErrorKind::InvalidOptions, &secrets));
        }
        Ok(Self { secrets })
    }
}

/// An error that repeats the secrets in every one of its fields.
fn careless(kind: ErrorKind, secrets: &str) -> Error {
    let cause = std::io::Error::other(format!("the cause is {secrets}"));
    Error::new(kind, format!("refused with {secrets}"))
        .hint(format!("try another than {secrets}"))
        .context("credentials", secrets)
        .caused_by(&cause)
}

#[async_trait]
impl Llm for Secretive {
    async fn info(&self) -> Result<LlmInfo> {
        tracing::debug!(secrets = %self.secrets, "asked what it is");
        Ok(LlmInfo {
            model: "secretive".to_owned(),
            ..LlmInfo::default()
        })
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        _events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let _span = tracing::info_span!("asking", secrets = %self.secrets).entered();
        tracing::error!(secrets = %self.secrets, "it uses {}", self.secrets);
        let asked = request.messages.last().map_or("", |m| m.content.as_str());
        if asked.contains("What is 1 +") {
            return Err(careless(ErrorKind::Unavailable, &self.secrets));
        }
        Ok(Completion::new("[[7]]", Usage::default()))
    }
}
