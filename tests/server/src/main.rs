//! `chat-server`: the test server as a program. It prints its `base_url` and serves until it is ended.

use clap::Parser as _;
use tale_test_server::{Config, Server};

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let (key, authority) = (config.key.is_some(), config.tls.is_some());
    let server = Server::try_start(config)?;
    println!("{}", server.base_url());
    if key {
        eprintln!("only the given key is accepted");
    }
    if authority && let Some(pem) = server.authority_pem() {
        eprintln!("{pem}");
    }
    server.wait();
    Ok(())
}
