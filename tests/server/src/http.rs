//! As much HTTP/1.1 as the tests need.

use std::fmt::Write as _;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A request, read whole.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub content_type: String,
    pub body: Vec<u8>,
    is_last: bool,
}

impl Request {
    /// Whether the client closes the connection after this.
    pub(crate) fn is_last(&self) -> bool {
        self.is_last
    }
}

/// More headers than any client here sends.
const MOST_HEADERS: usize = 64;

/// The largest request that is read: a whole batch.
const LARGEST: usize = 300 << 20;

/// Reads the next request; `None` when the client is gone or speaks something else.
pub(crate) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
) -> Option<Request> {
    loop {
        if let Some((mut request, head, length)) = parse(buffer).ok()? {
            if length > LARGEST {
                return None;
            }
            buffer.advance(head);
            while buffer.len() < length {
                buffer.reserve(length - buffer.len());
                if stream.read_buf(buffer).await.ok()? == 0 {
                    return None;
                }
            }
            request.body = buffer.split_to(length).to_vec();
            return Some(request);
        }
        buffer.reserve(4096);
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// What is no HTTP.
struct NoHttp;

/// The head with its length and that of the body, once it is all there.
fn parse(buffer: &[u8]) -> Result<Option<(Request, usize, usize)>, NoHttp> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(buffer).map_err(|_| NoHttp)? else {
        return Ok(None);
    };
    let mut request = Request {
        method: parsed.method.ok_or(NoHttp)?.to_owned(),
        path: parsed.path.ok_or(NoHttp)?.to_owned(),
        ..Request::default()
    };
    let mut length = 0;
    for header in parsed.headers.iter() {
        let value = || String::from_utf8_lossy(header.value).into_owned();
        if header.name.eq_ignore_ascii_case("content-length") {
            length = value().parse().map_err(|_| NoHttp)?;
        } else if header.name.eq_ignore_ascii_case("authorization") {
            request.authorization = Some(value());
        } else if header.name.eq_ignore_ascii_case("content-type") {
            request.content_type = value();
        } else if header.name.eq_ignore_ascii_case("connection") {
            request.is_last = value().eq_ignore_ascii_case("close");
        }
    }
    Ok(Some((request, head, length)))
}

/// A reply that is written in one piece.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// An error as OpenAI words it.
    pub(crate) fn error(status: u16, kind: &str, code: &str, message: &str) -> Self {
        let error =
            serde_json::json!({"message": message, "type": kind, "param": null, "code": code});
        Self::json(status, &serde_json::json!({ "error": error }))
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The head, for a body of `length` bytes or of unknown length.
    pub(crate) fn head(&self, length: Option<usize>) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} X\r\ncontent-type: {}\r\n",
            self.status, self.content_type
        );
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = match length {
            Some(length) => write!(head, "content-length: {length}\r\n\r\n"),
            None => write!(head, "transfer-encoding: chunked\r\n\r\n"),
        };
        head.into_bytes()
    }

    pub(crate) async fn write<S: AsyncWrite + Unpin>(&self, stream: &mut S) -> std::io::Result<()> {
        let mut bytes = self.head(Some(self.body.len()));
        bytes.extend_from_slice(&self.body);
        stream.write_all(&bytes).await?;
        stream.flush().await
    }
}

/// One part of a body of unknown length.
pub(crate) fn chunk(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
    bytes.extend_from_slice(part);
    bytes.extend_from_slice(b"\r\n");
}

/// The end of such a body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
