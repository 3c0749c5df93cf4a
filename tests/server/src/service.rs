//! A request in, a reply out.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use crate::{
    Config, Fault, Served,
    answer::{Answers, hash},
    batch::{Around, Batches},
    chat::{self, Asked, Shown},
    delivery,
    http::{self, Reply, Request},
    log::Log,
};

/// What all connections share.
pub(crate) struct Service {
    pub(crate) config: Config,
    answers: Answers,
    pub(crate) log: Log,
    tries: Mutex<HashMap<u64, u32>>,
    batches: Mutex<Batches>,
    /// Connections that have been opened so far.
    pub(crate) connections: AtomicUsize,
    under_way: AtomicUsize,
    /// Answers given so far.
    pub(crate) answered: AtomicU64,
    next: AtomicU64,
}

/// What becomes of a connection after a reply.
enum After {
    GoOn,
    Close,
    /// Closed so that the client sees a reset and not an end.
    Reset,
}

/// A stream that can be reset.
pub(crate) trait Resettable {
    fn reset(&self);
}

impl Resettable for TcpStream {
    fn reset(&self) {
        // With no time to linger, closing drops what is unsent and resets.
        let _ = self.set_zero_linger();
    }
}

impl Resettable for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

impl Service {
    /// Nobody has asked anything yet.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub(crate) fn new(config: Config) -> anyhow::Result<Self> {
        Ok(Self {
            answers: Answers::new(&config)?,
            log: Log::new(config.log.as_deref(), config.forget)?,
            tries: Mutex::default(),
            batches: Mutex::default(),
            connections: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            next: AtomicU64::new(1),
            config,
        })
    }

    /// Answers what a client asks until it closes, or is closed.
    pub(crate) async fn connection<S>(&self, mut stream: S)
    where
        S: AsyncRead + AsyncWrite + Resettable + Unpin,
    {
        let mut buffer = BytesMut::with_capacity(4096);
        while let Some(request) = http::read(&mut stream, &mut buffer).await {
            let after = self.request(&request, &mut stream).await;
            match after {
                After::GoOn if !request.is_last() => {}
                After::Reset => {
                    stream.reset();
                    return;
                }
                _ => break,
            }
        }
        let _ = stream.shutdown().await;
    }

    async fn request<S: AsyncWrite + Unpin>(&self, request: &Request, stream: &mut S) -> After {
        if let Some(refusal) = self.refuse(request) {
            return after(&refusal.write(stream).await);
        }
        let path = request.path.split('?').next().unwrap_or_default();
        if request.method == "POST" && path == "/v1/chat/completions" {
            return self.completion(request, stream).await;
        }
        let around = Around {
            config: &self.config,
            answers: &self.answers,
            log: &self.log,
        };
        let served = {
            let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
            batches.serve(request, &around)
        };
        let reply = served.unwrap_or_else(|| match path {
            "/v1/models" => Reply::json(200, &self.models()),
            _ => Reply::new(404, "text/html", "<html><body>Not Found</body></html>"),
        });
        after(&reply.write(stream).await)
    }

    fn models(&self) -> serde_json::Value {
        let model = |id: &String| json!({"id": id, "object": "model", "owned_by": "tests"});
        let data: Vec<_> = self.config.model.iter().map(model).collect();
        json!({"object": "list", "data": data})
    }

    /// Whether the key is another one. Like careless servers do, the refusal repeats it.
    fn refuse(&self, request: &Request) -> Option<Reply> {
        let key = self.config.key.as_ref()?;
        let given = request.authorization.as_deref().unwrap_or_default();
        if given.strip_prefix("Bearer ") == Some(key.as_str()) {
            return None;
        }
        let message = format!("Incorrect API key provided: {given}. You can find yours online.");
        Some(Reply::error(
            401,
            "invalid_request_error",
            "invalid_api_key",
            &message,
        ))
    }

    async fn completion<S: AsyncWrite + Unpin>(&self, request: &Request, stream: &mut S) -> After {
        let asked: Asked = match serde_json::from_slice(&request.body) {
            Ok(asked) => asked,
            Err(e) => {
                let reply = Reply::error(400, "invalid_request_error", "json", &e.to_string());
                return after(&reply.write(stream).await);
            }
        };
        let digest = hash(format!(
            "{}\n{:?}\n{:?}",
            asked.model,
            asked.max_tokens(),
            asked.messages()
        ));
        let fault = self.fault(digest);
        let mut served = Served {
            prompt: asked.prompt().to_owned(),
            model: asked.model.clone(),
            digest,
            fault,
            status: 200,
            answered: false,
            batch: None,
        };
        if fault == Some(Fault::Stall) {
            // Noted when it comes: its end lies long after the request that takes its place.
            served.status = 0;
            self.log.push(served.clone());
        }
        let under_way = UnderWay::new(&self.under_way);
        let after = match self.cannot(&asked, under_way.count) {
            Some(reply) => {
                served.status = reply.status;
                after(&reply.write(stream).await)
            }
            None => self.answer(&asked, stream, &mut served).await,
        };
        drop(under_way);
        if served.answered {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        if fault != Some(Fault::Stall) {
            self.log.push(served);
        }
        after
    }

    /// Why this cannot be answered whatever else happens.
    fn cannot(&self, asked: &Asked, under_way: usize) -> Option<Reply> {
        let config = &self.config;
        if !config.model.is_empty() && !config.model.contains(&asked.model) {
            let message = format!("The model `{}` does not exist", asked.model);
            return Some(Reply::error(
                404,
                "invalid_request_error",
                "model_not_found",
                &message,
            ));
        }
        if asked.messages.is_empty() {
            return Some(Reply::error(
                400,
                "invalid_request_error",
                "empty",
                "no messages",
            ));
        }
        if config
            .quota
            .is_some_and(|q| self.answered.load(Ordering::Relaxed) >= q)
        {
            let message = "You exceeded your current quota, please check your plan";
            return Some(Reply::error(
                429,
                "insufficient_quota",
                "insufficient_quota",
                message,
            ));
        }
        if config.capacity.is_some_and(|most| under_way > most) {
            return Some(Reply::error(
                429,
                "requests",
                "rate_limit_exceeded",
                "Rate limit reached",
            ));
        }
        None
    }

    fn fault(&self, digest: u64) -> Option<Fault> {
        if self.config.fault_rate <= 0.0 {
            return None;
        }
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = tries.entry(digest).or_default();
        let fault = Fault::of(&self.config, digest, *tries);
        *tries += 1;
        fault
    }

    async fn answer<S: AsyncWrite + Unpin>(
        &self,
        asked: &Asked,
        stream: &mut S,
        served: &mut Served,
    ) -> After {
        if let Some(fault) = served.fault
            && !fault.answers()
            && fault != Fault::Half
        {
            return self.go_wrong(fault, stream, served).await;
        }
        if self.config.latency_ms > 0.0 {
            sleep(Duration::from_secs_f64(self.config.latency_ms / 1e3)).await;
        }
        let answer = self.answers.to(&asked.messages(), asked.max_tokens());
        let mut shown = Shown::of(asked, &answer);
        match served.fault {
            Some(Fault::Usage) => shown.spoil(),
            Some(Fault::OtherModel) => "another-model".clone_into(&mut shown.model),
            _ => {}
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let written = if asked.stream {
            let parts = chat::parts(
                id,
                &answer,
                &shown,
                asked.wants_usage(),
                self.config.part_words,
            );
            let pause = Duration::from_secs_f64(self.config.part_ms / 1e3);
            delivery::in_parts(parts, pause, stream, served.fault).await
        } else {
            let body = chat::whole(id, &answer, &shown).to_string();
            delivery::whole(body, stream, served.fault).await
        };
        if served.fault == Some(Fault::Half) {
            return After::Reset;
        }
        served.answered = written.is_ok();
        after(&written)
    }

    /// A reply without an answer.
    async fn go_wrong<S: AsyncWrite + Unpin>(
        &self,
        fault: Fault,
        stream: &mut S,
        served: &mut Served,
    ) -> After {
        let busy = |code| Reply::error(429, "requests", code, "Rate limit reached, slow down");
        let reply = match fault {
            Fault::Reset => {
                served.status = 0;
                return After::Reset;
            }
            Fault::Stall => {
                served.status = 0;
                // Until the client gives up: it closes, and nobody is there to see this any more.
                sleep(Duration::from_secs(30)).await;
                return After::Close;
            }
            Fault::TooMany => busy("rate_limit_exceeded"),
            Fault::TooManyAfter => busy("rate_limit_exceeded").header("retry-after-ms", "40"),
            Fault::TooManyHeaders => busy("rate_limit_exceeded")
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "60ms")
                .header("x-ratelimit-remaining-tokens", "1000")
                .header("x-ratelimit-reset-tokens", "1m0s"),
            Fault::Error500 => {
                Reply::error(500, "server_error", "internal", "The server had an error")
            }
            Fault::Error503 => Reply::new(503, "text/plain", ""),
            Fault::Garbage => {
                Reply::new(200, "application/json", &b"\xff\xfe{\"choices\": [[["[..])
            }
            Fault::Html => Reply::new(200, "text/html", "<html><body>Log in</body></html>"),
            Fault::ErrorInside => {
                let error = json!({"error": {"message": "upstream failed", "code": 502}});
                Reply::json(200, &error)
            }
            _ => Reply::new(200, "application/json", ""),
        };
        served.status = reply.status;
        after(&reply.write(stream).await)
    }
}

fn after(written: &std::io::Result<()>) -> After {
    if written.is_ok() {
        After::GoOn
    } else {
        After::Close
    }
}

/// Counts a request while it is under way.
struct UnderWay<'a> {
    all: &'a AtomicUsize,
    /// How many there are with this one.
    count: usize,
}

impl<'a> UnderWay<'a> {
    fn new(all: &'a AtomicUsize) -> Self {
        let count = all.fetch_add(1, Ordering::Relaxed) + 1;
        Self { all, count }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}
