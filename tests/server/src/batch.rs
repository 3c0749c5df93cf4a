//! Files and batches, as OpenAI has them.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Config, Served,
    answer::{Answers, hash, mix},
    chat::{Asked, Shown, whole},
    http::{Reply, Request},
    log::Log,
};

/// All files and batches of a server.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    files: BTreeMap<String, Vec<u8>>,
    by_id: BTreeMap<String, Batch>,
    tries: HashMap<String, u32>,
    next: u64,
}

#[derive(Debug)]
struct Batch {
    input: String,
    metadata: Value,
    since: Instant,
    total: usize,
    /// Output file and error file, with their counts, once it has ended.
    ended: Option<Ended>,
    is_cancelled: bool,
}

#[derive(Clone, Debug)]
struct Ended {
    status: &'static str,
    output: Option<String>,
    errors: Option<String>,
    completed: usize,
    failed: usize,
}

/// A line of a batch's input.
#[derive(Deserialize)]
struct Line {
    custom_id: String,
    method: String,
    url: String,
    body: Value,
}

/// What a batch needs to know of its server.
pub(crate) struct Around<'a> {
    pub config: &'a Config,
    pub answers: &'a Answers,
    pub log: &'a Log,
}

impl Batches {
    /// Serves a request for files or batches; `None` if it is for something else.
    pub(crate) fn serve(&mut self, request: &Request, around: &Around<'_>) -> Option<Reply> {
        let path = request.path.split('?').next().unwrap_or_default();
        let segments: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
        let reply = match (request.method.as_str(), segments.as_slice()) {
            ("POST", ["files"]) => self.upload(request),
            ("GET", ["files", id, "content"]) => match self.files.get(*id) {
                Some(bytes) => Reply::new(200, "application/octet-stream", bytes.clone()),
                None => missing(id),
            },
            ("DELETE", ["files", id]) => match self.files.remove(*id) {
                Some(_) => Reply::json(200, &json!({"id": id, "object": "file", "deleted": true})),
                None => missing(id),
            },
            ("POST", ["batches"]) => self.create(request, around),
            ("GET", ["batches"]) => {
                let ids: Vec<String> = self.by_id.keys().rev().cloned().collect();
                let data: Vec<Value> = ids.iter().map(|id| self.show(id, around)).collect();
                Reply::json(
                    200,
                    &json!({"object": "list", "data": data, "has_more": false}),
                )
            }
            ("GET", ["batches", id]) if self.by_id.contains_key(*id) => {
                Reply::json(200, &self.show(id, around))
            }
            ("POST", ["batches", id, "cancel"]) if self.by_id.contains_key(*id) => {
                if let Some(batch) = self.by_id.get_mut(*id) {
                    batch.is_cancelled = true;
                }
                Reply::json(200, &self.show(id, around))
            }
            (_, ["batches", id, ..]) => missing(id),
            _ => return None,
        };
        Some(reply)
    }

    fn id(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}{:08}", self.next)
    }

    fn upload(&mut self, request: &Request) -> Reply {
        let Some(file) = part(request, "file") else {
            return Reply::error(400, "invalid_request_error", "missing", "no file");
        };
        if part(request, "purpose").as_deref() != Some(b"batch") {
            return Reply::error(400, "invalid_request_error", "purpose", "no purpose");
        }
        let id = self.id("file-");
        let bytes = file.len();
        self.files.insert(id.clone(), file);
        Reply::json(
            200,
            &json!({"id": id, "object": "file", "bytes": bytes, "purpose": "batch"}),
        )
    }

    fn create(&mut self, request: &Request, around: &Around<'_>) -> Reply {
        let refuse = |message: &str| Reply::error(400, "invalid_request_error", "batch", message);
        let Ok(asked) = serde_json::from_slice::<Value>(&request.body) else {
            return refuse("no JSON");
        };
        let input = asked["input_file_id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let Some(file) = self.files.get(&input) else {
            return missing(&input);
        };
        let total = file
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .count();
        if total > around.config.batch_most {
            return refuse("too many requests in one batch");
        }
        if asked["endpoint"] != "/v1/chat/completions" || asked["completion_window"] != "24h" {
            return refuse("another endpoint or window");
        }
        let id = self.id("batch_");
        let batch = Batch {
            input,
            metadata: asked["metadata"].clone(),
            since: Instant::now(),
            total,
            ended: None,
            is_cancelled: false,
        };
        self.by_id.insert(id.clone(), batch);
        Reply::json(200, &self.show(&id, around))
    }

    fn show(&mut self, id: &str, around: &Around<'_>) -> Value {
        let takes = Duration::from_secs_f64(around.config.batch_s);
        let is_due = self
            .by_id
            .get(id)
            .is_some_and(|b| b.ended.is_none() && (b.is_cancelled || b.since.elapsed() >= takes));
        if is_due {
            let ended = self.work(id, around);
            if let Some(batch) = self.by_id.get_mut(id) {
                batch.ended = Some(ended);
            }
        }
        let Some(batch) = self.by_id.get(id) else {
            return Value::Null;
        };
        let running = if batch.since.elapsed() < takes / 4 {
            "validating"
        } else {
            "in_progress"
        };
        let ended = batch.ended.clone();
        json!({
            "id": id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": batch.input,
            "completion_window": "24h",
            "status": ended.as_ref().map_or(running, |e| e.status),
            "output_file_id": ended.as_ref().and_then(|e| e.output.clone()),
            "error_file_id": ended.as_ref().and_then(|e| e.errors.clone()),
            "request_counts": {
                "total": batch.total,
                "completed": ended.as_ref().map_or(0, |e| e.completed),
                "failed": ended.as_ref().map_or(0, |e| e.failed),
            },
            "metadata": batch.metadata,
            "errors": null,
        })
    }

    /// Answers every line of a batch, or half of them where it expires.
    fn work(&mut self, id: &str, around: &Around<'_>) -> Ended {
        let batch = &self.by_id[id];
        let is_cancelled = batch.is_cancelled;
        let number = self.by_id.keys().position(|k| k == id).unwrap_or(0);
        let expires = number < around.config.batch_expired;
        let input = self.files.get(&batch.input).cloned().unwrap_or_default();
        let lines: Vec<&[u8]> = input
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .collect();
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let (mut completed, mut failed) = (0, 0);
        for (index, line) in lines.iter().enumerate() {
            if is_cancelled || (expires && index >= lines.len() / 2) {
                let code = if is_cancelled {
                    "batch_cancelled"
                } else {
                    "batch_expired"
                };
                let custom_id = serde_json::from_slice::<Line>(line).map(|l| l.custom_id);
                let line = json!({"id": "x", "custom_id": custom_id.unwrap_or_default(),
                    "response": null, "error": {"code": code, "message": "not done in time"}});
                errors.extend_from_slice(format!("{line}\n").as_bytes());
                continue;
            }
            let (line, is_good) = self.line(id, line, around);
            let file = if is_good { &mut output } else { &mut errors };
            file.extend_from_slice(format!("{line}\n").as_bytes());
            *(if is_good { &mut completed } else { &mut failed }) += 1;
        }
        let mut keep = |bytes: Vec<u8>| {
            (!bytes.is_empty()).then(|| {
                let id = self.id("file-");
                self.files.insert(id.clone(), bytes);
                id
            })
        };
        Ended {
            status: match (is_cancelled, expires) {
                (true, _) => "cancelled",
                (_, true) => "expired",
                _ => "completed",
            },
            output: keep(output),
            errors: keep(errors),
            completed,
            failed,
        }
    }

    fn line(&mut self, batch: &str, line: &[u8], around: &Around<'_>) -> (Value, bool) {
        let bad = |custom_id: &str, message: &str| {
            let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
            let response = json!({"status_code": 400, "request_id": "r", "body": body});
            (
                json!({"id": "x", "custom_id": custom_id, "response": response, "error": null}),
                false,
            )
        };
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            return bad("", "no line of a batch");
        };
        let id = line.custom_id.as_str();
        if line.method != "POST" || line.url != "/v1/chat/completions" {
            return bad(id, "another method or address");
        }
        let Ok(asked) = serde_json::from_value::<Asked>(line.body) else {
            return bad(id, "no request");
        };
        let digest = hash(id);
        let tries = self.tries.entry(id.to_owned()).or_default();
        *tries += 1;
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let draw = (mix(digest ^ mix(around.config.seed)) >> 11) as f64 / (1_u64 << 53) as f64;
        let fails = *tries == 1 && draw < around.config.batch_failures;
        around.log.push(Served {
            prompt: asked.prompt().to_owned(),
            model: asked.model.clone(),
            digest,
            fault: None,
            status: if fails { 500 } else { 200 },
            answered: !fails,
            batch: Some(batch.to_owned()),
        });
        let (status, body) = if fails {
            (
                500,
                json!({"error": {"message": "a passing fault", "type": "server_error"}}),
            )
        } else {
            let answer = around.answers.to(&asked.messages(), asked.max_tokens());
            (200, whole(digest, &answer, &Shown::of(&asked, &answer)))
        };
        let response = json!({"status_code": status, "request_id": "r", "body": body});
        let line = json!({"id": "x", "custom_id": id, "response": response, "error": null});
        (line, !fails)
    }
}

fn missing(id: &str) -> Reply {
    Reply::error(
        404,
        "invalid_request_error",
        "not_found",
        &format!("no such thing: {id}"),
    )
}

/// A part of a multipart form, by name.
fn part(request: &Request, name: &str) -> Option<Vec<u8>> {
    let boundary = request
        .content_type
        .split("boundary=")
        .nth(1)?
        .trim_matches('"');
    let mark = format!("--{boundary}");
    let mut rest = request.body.as_slice();
    while let Some(at) = find(rest, mark.as_bytes()) {
        rest = &rest[at + mark.len()..];
        let end = find(rest, mark.as_bytes())?;
        let section = &rest[..end];
        let head = find(section, b"\r\n\r\n")?;
        if find(&section[..head], format!("name=\"{name}\"").as_bytes()).is_some() {
            return Some(section[head + 4..].strip_suffix(b"\r\n")?.to_vec());
        }
    }
    None
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
