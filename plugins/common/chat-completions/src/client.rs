//! The HTTP client: address, headers, key.

use std::path::Path;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::{
    Certificate, Method, Proxy, RequestBuilder, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect,
};
use tale_api::{Error, Result};
use tokio::sync::OnceCell;

use crate::{
    failure::{Asked, Failure, of_status, of_transport},
    options::{Options, Patience, invalid},
    secret::{KeySource, Secret},
};

/// The most of a refusal that is read.
const MOST_OF_A_REFUSAL: usize = 64 << 10;

/// Speaks with one server under one key.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    chat: Url,
    /// The base without query, for people.
    shown: String,
    headers: HeaderMap,
    source: KeySource,
    key: OnceCell<Key>,
}

/// The key, once it has been read, and the headers with it.
#[derive(Debug)]
struct Key {
    secret: Option<Secret>,
    headers: HeaderMap,
}

/// The address in `base_url`, if it is one.
pub(crate) fn address(text: &str) -> Result<Url> {
    let bad = |why: &str| {
        invalid(format!("`base_url`: {why}")).hint("for instance `http://localhost:8000/v1`")
    };
    let mut url = Url::parse(text).map_err(|e| bad(&format!("no address ({e})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "it holds credentials, which do not belong into a manifest",
        ));
    }
    let path = url.path().trim_end_matches('/');
    let path = path
        .strip_suffix("/chat/completions")
        .unwrap_or(path)
        .to_owned();
    url.set_path(&path);
    url.set_fragment(None);
    Ok(url)
}

/// `host:port` of an address.
pub(crate) fn authority(url: &Url) -> String {
    format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default()
    )
}

/// `url` with more of a path.
fn extended(url: &Url, path: &str) -> Url {
    let mut longer = url.clone();
    longer.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
    longer
}

impl Client {
    /// Prepares everything and asks nothing.
    pub(crate) fn new(
        options: &Options,
        patience: Patience,
        base: Url,
        source: KeySource,
        base_dir: &Path,
    ) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tale/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(patience.connect)
            // A key must not follow to wherever a server sends it.
            .redirect(redirect::Policy::none())
            // Over HTTP/2 a client keeps to one connection and its limit of streams, often 100.
            .http1_only()
            .tcp_nodelay(true);
        if let Some(proxy) = &options.proxy {
            let proxy =
                Proxy::all(proxy).map_err(|e| invalid("`proxy` is no address").caused_by(&e))?;
            builder = builder.proxy(proxy);
        }
        if let Some(file) = &options.ca_file {
            let path = base_dir.join(file);
            let cannot = |e: &dyn std::fmt::Display| {
                invalid(format!(
                    "`ca_file`: cannot read certificates from `{}`: {e}",
                    path.display()
                ))
            };
            let pem = std::fs::read(&path).map_err(|e| cannot(&e))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| cannot(&e))?;
            if certificates.is_empty() {
                return Err(cannot(&"there are none"));
            }
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder
            .build()
            .map_err(|e| invalid("the HTTP client cannot be set up").caused_by(&e))?;
        let mut headers = options.header_map()?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        let chat = extended(&base, "chat/completions");
        let mut bare = base.clone();
        bare.set_query(None);
        Ok(Self {
            http,
            shown: bare.to_string(),
            base,
            chat,
            headers,
            source,
            key: OnceCell::new(),
        })
    }

    /// Where this is, for people.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    async fn key(&self) -> Result<&Key> {
        self.key
            .get_or_try_init(|| async {
                let secret = self.source.read().await?;
                let mut headers = self.headers.clone();
                if let Some(secret) = &secret {
                    headers.insert(AUTHORIZATION, secret.bearer()?);
                    let is_local = matches!(
                        self.base.host_str(),
                        Some("localhost" | "127.0.0.1" | "[::1]")
                    );
                    if self.base.scheme() == "http" && !is_local {
                        tracing::warn!(
                            url = self.shown,
                            "the key goes over plain HTTP: anyone on the way can read it"
                        );
                    }
                }
                Ok(Key { secret, headers })
            })
            .await
    }

    /// An error without the key, should a server have repeated it.
    pub(crate) fn scrubbed(&self, mut error: Error) -> Error {
        if let Some(Key {
            secret: Some(secret),
            ..
        }) = self.key.get()
        {
            error.message = secret.scrub(&error.message);
            error.hint = error.hint.map(|hint| secret.scrub(&hint));
            for cause in &mut error.causes {
                *cause = secret.scrub(cause);
            }
        }
        error
    }

    /// Sends a request for a completion; a reply with another status than 200 is a failure.
    pub(crate) async fn chat(&self, body: Bytes, model: &str) -> Result<Response, Failure> {
        let key = self.key().await?;
        let request = self
            .http
            .request(Method::POST, self.chat.clone())
            .headers(key.headers.clone())
            .body(body);
        self.send(request, self.chat.as_str(), model).await
    }

    /// A request for something else under the base.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
    ) -> Result<RequestBuilder, Failure> {
        let key = self.key().await?;
        let mut headers = key.headers.clone();
        // What is sent says itself what it is.
        headers.remove(CONTENT_TYPE);
        Ok(self
            .http
            .request(method, extended(&self.base, path))
            .headers(headers))
    }

    /// Sends a request; a reply with another status than 200 is a failure.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        url: &str,
        model: &str,
    ) -> Result<Response, Failure> {
        let url = url.split('?').next().unwrap_or_default();
        let response = request.send().await.map_err(|e| of_transport(e, url))?;
        let status = response.status();
        if status == reqwest::StatusCode::OK {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let mut refusal = Vec::new();
        let mut bytes = response.bytes_stream();
        // What cannot be read of it is not needed: the status says most.
        while let Some(Ok(more)) = bytes.next().await
            && refusal.len() < MOST_OF_A_REFUSAL
        {
            refusal.extend_from_slice(&more);
        }
        let asked = Asked { model, url };
        Err(of_status(
            status,
            &headers,
            &String::from_utf8_lossy(&refusal),
            asked,
        ))
    }

    /// The bytes of a reply.
    pub(crate) fn bytes(&self, response: Response) -> impl Stream<Item = Result<Bytes, Failure>> {
        let url = self.shown.clone();
        response
            .bytes_stream()
            .map(move |item| item.map_err(|e| of_transport(e, &url)))
    }

    /// Whether `GET /models` shows that address and key are right and lists `model`. `Ok(false)`: it
    /// does not say so, which proves nothing: aliases and fine-tuned models are often not listed.
    pub(crate) async fn probe(&self, model: &str) -> Result<bool, Failure> {
        let request = self.request(Method::GET, "models").await?;
        match self.send(request, &self.shown, model).await {
            Ok(response) => {
                // Read, so that the connection is used again.
                let body = response.bytes().await.unwrap_or_default();
                let list: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                let models = list["data"].as_array().map(Vec::as_slice);
                Ok(models.unwrap_or_default().iter().any(|m| m["id"] == model))
            }
            Err(failure) => {
                use tale_api::ErrorKind::{QuotaExhausted, Unauthorized};
                let is_certain = failure.is_unreached
                    || matches!(failure.error.kind, Unauthorized | QuotaExhausted)
                    || failure.error.message.contains("certificate");
                if is_certain { Err(failure) } else { Ok(false) }
            }
        }
    }
}
