//! A server of chat completions for tests and load measurements.
//!
//! It is deterministic: the text of an answer follows from the prompt and the seed, and so does what
//! goes wrong (see [`Fault`]), whatever the order of requests. It is light: HTTP/1.1 read by
//! `httparse` and written in one piece, because client and server share the cores of a measurement.
//! And it writes down what it was asked and what it really answered ([`Served`]), so that a test can
//! prove that nothing is asked again.
//!
//! ```no_run
//! use tale_test_server::{Config, Server};
//! let server = Server::start(Config { latency_ms: 20.0, ..Config::default() });
//! let base_url = server.base_url(); // http://127.0.0.1:PORT/v1
//! // … run something against it …
//! assert!(server.served().iter().all(|s| s.answered));
//! ```

mod answer;
mod batch;
mod chat;
mod config;
mod delivery;
mod fault;
mod http;
mod log;
mod server;
mod service;
mod tls;

pub use config::{Config, Counting, TlsMode};
pub use fault::Fault;
pub use log::Served;
pub use server::Server;
