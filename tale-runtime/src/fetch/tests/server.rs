//! A tiny HTTP/1.1 server whose replies a test scripts.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a client asked.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// How many requests came before this one.
    pub(super) number: usize,
    /// `GET` or `HEAD`.
    pub(super) method: String,
    pub(super) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What it gets.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    status: u16,
    headers: String,
    body: Vec<u8>,
    delay: Duration,
    /// Bytes of the body after which the connection breaks, or falls silent.
    cut: Option<usize>,
    stall: Option<usize>,
}

impl Reply {
    /// The file, by range where one is asked for and the validator fits.
    pub(super) fn of(request: &Request, file: &[u8]) -> Self {
        let start = request
            .header("range")
            .filter(|_| {
                request
                    .header("if-range")
                    .is_none_or(|etag| etag == "\"v1\"")
            })
            .and_then(|range| {
                range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse::<usize>()
                    .ok()
            });
        match start {
            Some(start) if start >= file.len() => Self::status(416),
            Some(start) => {
                let mut reply = Self::whole(&file[start..]);
                reply.status = 206;
                let _ = write!(
                    reply.headers,
                    "content-range: bytes {start}-{}/{}\r\n",
                    file.len() - 1,
                    file.len()
                );
                reply
            }
            None => Self::whole(file),
        }
    }

    pub(super) fn whole(file: &[u8]) -> Self {
        let mut reply = Self::status(200);
        reply.headers = "etag: \"v1\"\r\n".to_owned();
        reply.body = file.to_vec();
        reply
    }

    pub(super) fn status(status: u16) -> Self {
        Self {
            status,
            headers: String::new(),
            body: Vec::new(),
            delay: Duration::ZERO,
            cut: None,
            stall: None,
        }
    }

    pub(super) fn json(value: &serde_json::Value) -> Self {
        let mut reply = Self::status(200);
        reply.body = value.to_string().into_bytes();
        reply
    }

    pub(super) fn redirect(to: &str) -> Self {
        let mut reply = Self::status(302);
        reply.headers = format!("location: {to}\r\n");
        reply
    }

    pub(super) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    pub(super) fn stall_after(mut self, bytes: usize) -> Self {
        self.stall = Some(bytes);
        self
    }

    pub(super) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

pub(super) struct Server {
    base: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves on a free port until the test's runtime ends.
    pub(super) async fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, reply) = (requests.clone(), Arc::new(reply));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, log.clone(), reply.clone()));
            }
        });
        Self { base, requests }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer(
    stream: TcpStream,
    log: Arc<Mutex<Vec<Request>>>,
    reply: Arc<impl Fn(&Request) -> Reply + Send + Sync + 'static>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else {
        return Ok(());
    };
    let headers = lines[1..].iter().filter_map(|line| line.split_once(':'));
    let headers = headers
        .map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let request = {
        let mut log = log.lock().unwrap();
        let request = Request {
            number: log.len(),
            method: lines[0].split(' ').next().unwrap_or_default().to_owned(),
            path: path.to_owned(),
            headers,
        };
        log.push(request.clone());
        request
    };
    let reply = reply(&request);
    tokio::time::sleep(reply.delay).await;
    let head = format!(
        "HTTP/1.1 {} reason\r\ncontent-length: {}\r\nconnection: close\r\n{}\r\n",
        reply.status,
        reply.body.len(),
        reply.headers
    );
    stream.write_all(head.as_bytes()).await?;
    if request.method == "HEAD" {
        return stream.shutdown().await;
    }
    let end = reply
        .cut
        .or(reply.stall)
        .unwrap_or(usize::MAX)
        .min(reply.body.len());
    stream.write_all(&reply.body[..end]).await?;
    stream.flush().await?;
    if reply.stall.is_some() {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    stream.shutdown().await
}
