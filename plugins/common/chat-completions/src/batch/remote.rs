//! The provider's side of batches: files, batches, results.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::HeaderMap,
    multipart::{Form, Part},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tale_api::{Error, ErrorKind};
use tokio::time::sleep;

use super::{Digest, state::Record};
use crate::{
    client::Client,
    failure::{Asked, Failure, of_status, of_transport},
    tries::Tries,
};

/// Bytes of a line besides the request itself, at most.
pub(crate) const LINE_FRAME: usize = 160;

/// Tries of one step, over how long.
const TRIES: u32 = 6;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);

/// The key of our name for a batch in its metadata.
const NAME: &str = "tale_batch";

/// What speaks with the provider.
#[derive(Debug)]
pub(crate) struct Remote {
    pub client: Arc<Client>,
    pub model: String,
}

/// A batch as the provider has it.
#[derive(Debug)]
pub(crate) struct Batch {
    pub status: Status,
    pub total: u64,
    pub completed: u64,
    pub failed: u64,
    pub output: Option<String>,
    pub errors: Option<String>,
}

/// How far a batch is.
#[derive(Debug)]
pub(crate) enum Status {
    UnderWay,
    /// Over, with some or all requests answered.
    Ended,
    /// Refused because too many tokens are waiting at the provider.
    Full,
    /// Refused as a whole.
    Failed(String),
}

/// What became of one request.
#[derive(Debug)]
pub(crate) struct Line {
    pub digest: Digest,
    pub outcome: Result<Value, Failure>,
}

#[derive(Deserialize)]
struct WireLine {
    custom_id: Digest,
    #[serde(default)]
    response: Option<WireResponse>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct WireResponse {
    status_code: u16,
    body: Value,
}

impl Remote {
    /// Uploads the requests; gives the file's id.
    pub(crate) async fn upload(&self, batch: &[(Digest, Bytes)]) -> Result<String, Failure> {
        let mut lines = Vec::new();
        for (digest, body) in batch {
            lines.extend_from_slice(
                format!(r#"{{"custom_id":"{digest}","method":"POST","url":"/v1/chat/completions","body":"#).as_bytes(),
            );
            lines.extend_from_slice(body);
            lines.extend_from_slice(b"}\n");
        }
        let lines = Bytes::from(lines);
        let reply = self
            .json(Method::POST, "files", |request| {
                let length = lines.len() as u64;
                let part = Part::stream_with_length(lines.clone(), length).file_name("tale.jsonl");
                request.multipart(Form::new().text("purpose", "batch").part("file", part))
            })
            .await?;
        id(&reply)
    }

    /// Creates the batch of a record, or finds it if it has been created already.
    pub(crate) async fn create(&self, record: &Record) -> Result<String, Failure> {
        // Looked for each time: of a create that failed on the way nobody knows whether it arrived.
        let mut tries = Tries::new(TRIES, PATIENCE);
        loop {
            let attempt = async {
                if let Some(id) = self.find(&record.name).await? {
                    return Ok(id);
                }
                let body = json!({
                    "input_file_id": record.file,
                    "endpoint": "/v1/chat/completions",
                    "completion_window": "24h",
                    "metadata": {NAME: record.name},
                });
                id(&self
                    .once(Method::POST, "batches", &|request| request.json(&body))
                    .await?)
            };
            match attempt.await {
                Ok(id) => return Ok(id),
                Err(failure) => match tries.next(&failure) {
                    Some(delay) => sleep(delay).await,
                    None => return Err(failure),
                },
            }
        }
    }

    async fn find(&self, name: &str) -> Result<Option<String>, Failure> {
        let list = self
            .once(Method::GET, "batches", &|request| {
                request.query(&[("limit", "100")])
            })
            .await?;
        let batches = list["data"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let found = batches.iter().find(|batch| batch["metadata"][NAME] == name);
        found.map(id).transpose()
    }

    /// How a batch stands.
    pub(crate) async fn batch(&self, id: &str) -> Result<Batch, Failure> {
        let reply = self
            .json(Method::GET, &format!("batches/{id}"), |r| r)
            .await?;
        let count = |name: &str| reply["request_counts"][name].as_u64().unwrap_or(0);
        let file = |name: &str| reply[name].as_str().map(str::to_owned);
        let status = match reply["status"].as_str().unwrap_or_default() {
            "completed" | "expired" | "cancelled" => Status::Ended,
            "failed"
                if reply.pointer("/errors/data/0/code") == Some(&json!("token_limit_exceeded")) =>
            {
                Status::Full
            }
            "failed" => {
                let why = reply
                    .pointer("/errors/data/0/message")
                    .and_then(Value::as_str);
                Status::Failed(why.unwrap_or("the provider does not say why").to_owned())
            }
            _ => Status::UnderWay,
        };
        Ok(Batch {
            status,
            total: count("total"),
            completed: count("completed"),
            failed: count("failed"),
            output: file("output_file_id"),
            errors: file("error_file_id"),
        })
    }

    /// The lines of a result file.
    pub(crate) async fn lines(&self, file: &str) -> Result<Vec<Line>, Failure> {
        let mut tries = Tries::new(TRIES, PATIENCE);
        let path = format!("files/{file}/content");
        let bytes = loop {
            let attempt = async {
                let request = self.client.request(Method::GET, &path).await?;
                let response = self
                    .client
                    .send(request, self.client.shown(), &self.model)
                    .await?;
                response
                    .bytes()
                    .await
                    .map_err(|e| of_transport(e, self.client.shown()))
            };
            match attempt.await {
                Ok(bytes) => break bytes,
                Err(failure) => match tries.next(&failure) {
                    Some(delay) => sleep(delay).await,
                    None => return Err(failure),
                },
            }
        };
        let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        Ok(lines.filter_map(|line| self.line(line)).collect())
    }

    fn line(&self, line: &[u8]) -> Option<Line> {
        // What cannot be read belongs to no request; those without a line are asked again.
        let line: WireLine = serde_json::from_slice(line).ok()?;
        let asked = Asked {
            model: &self.model,
            url: self.client.shown(),
        };
        let outcome = match (line.response, line.error.filter(|e| !e.is_null())) {
            (
                Some(WireResponse {
                    status_code: 200,
                    body,
                }),
                None,
            ) => Ok(body),
            (Some(WireResponse { status_code, body }), _) => {
                let status = StatusCode::from_u16(status_code).unwrap_or(StatusCode::BAD_GATEWAY);
                Err(of_status(
                    status,
                    &HeaderMap::new(),
                    &body.to_string(),
                    asked,
                ))
            }
            (None, error) => {
                let why = error.as_ref().and_then(|e| e["message"].as_str());
                Err(Failure::soon(format!(
                    "not answered in its batch: {}",
                    why.unwrap_or("no reason given")
                )))
            }
        };
        Some(Line {
            digest: line.custom_id,
            outcome,
        })
    }

    /// A request with its JSON reply, tried again where that helps.
    async fn json(
        &self,
        method: Method,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder + Sync,
    ) -> Result<Value, Failure> {
        let mut tries = Tries::new(TRIES, PATIENCE);
        loop {
            match self.once(method.clone(), path, &fill).await {
                Ok(value) => return Ok(value),
                Err(failure) => match tries.next(&failure) {
                    Some(delay) => sleep(delay).await,
                    None => return Err(failure),
                },
            }
        }
    }

    async fn once(
        &self,
        method: Method,
        path: &str,
        fill: &(dyn Fn(RequestBuilder) -> RequestBuilder + Sync),
    ) -> Result<Value, Failure> {
        let request = fill(self.client.request(method, path).await?);
        let response = self
            .client
            .send(request, self.client.shown(), &self.model)
            .await?;
        let bytes = response
            .bytes()
            .await
            .map_err(|e| of_transport(e, self.client.shown()))?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Failure::no_answer(format!("a reply to `{path}` that is no JSON: {e}")))
    }
}

fn id(value: &Value) -> Result<String, Failure> {
    value["id"].as_str().map(str::to_owned).ok_or_else(|| {
        Error::new(
            ErrorKind::Protocol,
            "the server gives no id; has it a batch API?",
        )
        .into()
    })
}
