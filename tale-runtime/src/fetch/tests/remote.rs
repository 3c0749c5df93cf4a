//! Addresses, against a server that speaks the hub's API.

use serde_json::{Value, json};

use super::server::Request;
use super::*;
use crate::fetch::Remote;

/// The first and second shard of a split, and a file beside them.
fn shards() -> [Vec<u8>; 2] {
    [content(), content()[..50_000].to_vec()]
}

/// `owner/set`: two configurations, `main` in two shards, on the branch of Parquet.
fn hub(request: &Request) -> Reply {
    let [one, two] = shards();
    let file = |path: &str, bytes: &[u8]| {
        json!({
            "rfilename": path, "size": bytes.len(), "blobId": "x",
            "lfs": {"sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 130},
        })
    };
    match request.path.as_str() {
        "/api/datasets/owner/set" => Reply::json(&json!({
            "id": "owner/set", "sha": "abc", "private": false,
            "tags": ["task_categories:question-answering", "license:mit"],
            "siblings": [{"rfilename": "README.md"}],
        })),
        "/api/datasets/owner/set/revision/refs%2Fconvert%2Fparquet?blobs=true" => {
            Reply::json(&json!({"sha": "def", "siblings": [
                {"rfilename": ".gitattributes", "size": 5},
                file("main/test/0001.parquet", &two),
                file("main/test/0000.parquet", &one),
                file("main/train/0000.parquet", &two),
                file("other/train/0000.parquet", &one),
                file("big/partial-test-of-it/0000.parquet", &one),
            ]}))
        }
        "/api/datasets/owner/set/revision/v1?blobs=true" => Reply::json(&json!({
            "sha": "123", "tags": ["license:mit"],
            "siblings": [{"rfilename": "data/small.jsonl", "size": one.len()}],
        })),
        "/datasets/owner/set/resolve/def/main/test/0000.parquet"
        | "/datasets/owner/set/resolve/123/data/small.jsonl" => Reply::of(request, &one),
        "/datasets/owner/set/resolve/def/main/test/0001.parquet" => Reply::of(request, &two),
        "/api/datasets/owner/closed" => Reply::status(401),
        _ => Reply::status(404),
    }
}

fn remote(text: &str) -> Remote {
    Remote::parse(text).unwrap().unwrap()
}

async fn at_hub() -> (Server, Cache) {
    let server = Server::start(hub).await;
    let mut cache = Cache::new();
    cache.settings.hf_endpoint = server.url("");
    cache.settings.datasets_server = server.url("/server");
    (server, cache)
}

fn origin(folder: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("origin.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn a_split_is_fetched_shard_by_shard_with_digest_licence_and_commit() {
    let (server, cache) = at_hub().await;
    let split = remote("hf://owner/set/test");
    assert!(split.fetched(cache.fetcher().store()).is_none());
    let got = cache
        .fetcher()
        .fetch_remote(&split, Check::Size, &Silent)
        .await
        .unwrap();
    assert!(got.downloaded && got.path.ends_with("datasets/hub/owner--set/test"));
    let [one, two] = shards();
    assert_eq!(std::fs::read(got.path.join("0000.parquet")).unwrap(), one);
    assert_eq!(std::fs::read(got.path.join("0001.parquet")).unwrap(), two);
    let note = origin(&got.path);
    assert_eq!(note["licence"], "mit");
    assert_eq!(note["revision"], "def");
    assert_eq!(note["files"][1]["sha256"], sha256(&two));
    assert_eq!(note["address"], "hf://owner/set/test");

    let asked = server.requests().len();
    let again = cache
        .fetcher()
        .fetch_remote(&split, Check::Size, &Silent)
        .await
        .unwrap();
    assert!(!again.downloaded && again.path == got.path);
    assert_eq!(server.requests().len(), asked, "no network the second time");
}

#[tokio::test]
async fn a_damaged_shard_is_found_on_request_and_fetched_again() {
    let (_server, cache) = at_hub().await;
    let split = remote("hf://owner/set/main/test");
    let got = cache
        .fetcher()
        .fetch_remote(&split, Check::Size, &Silent)
        .await
        .unwrap();
    let shard = got.path.join("0001.parquet");
    std::fs::write(&shard, vec![7; 50_000]).unwrap();
    let again = cache
        .fetcher()
        .fetch_remote(&split, Check::Digest, &Silent)
        .await
        .unwrap();
    assert!(again.downloaded);
    assert_eq!(std::fs::read(&shard).unwrap(), shards()[1]);
    // A shard that went away is no split.
    std::fs::remove_file(&shard).unwrap();
    assert!(split.fetched(cache.fetcher().store()).is_none());
}

#[tokio::test]
async fn a_download_cut_in_the_middle_goes_on_there() {
    let server = Server::start(|request| {
        let reply = hub(request);
        let first = request.path.ends_with("0000.parquet") && request.header("range").is_none();
        if first {
            reply.cut_after(150_000)
        } else {
            reply
        }
    })
    .await;
    let mut cache = Cache::new();
    cache.settings.hf_endpoint = server.url("");
    let split = remote("hf://owner/set/main/test");
    cache
        .fetcher()
        .fetch_remote(&split, Check::Size, &Silent)
        .await
        .unwrap();
    let resumed = server
        .requests()
        .iter()
        .any(|r| r.header("range") == Some("bytes=150000-"));
    assert!(resumed);
}

#[tokio::test]
async fn bytes_other_than_the_hub_s_digest_are_refused() {
    let server = Server::start(|request| {
        if request.path.contains("/resolve/") {
            return Reply::of(request, &vec![0; content().len()]);
        }
        hub(request)
    })
    .await;
    let mut cache = Cache::new();
    cache.settings.hf_endpoint = server.url("");
    let split = remote("hf://owner/set/main/test");
    let error = cache
        .fetcher()
        .fetch_remote(&split, Check::Size, &Silent)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("wrong bytes"), "{error}");
    assert!(split.fetched(cache.fetcher().store()).is_none());
}

#[tokio::test]
async fn what_the_hub_lacks_is_said_with_what_it_has() {
    let (_server, cache) = at_hub().await;
    for (address, reason, hint) in [
        (
            "hf://owner/set/train",
            "several configurations have a split `train`",
            "`main`, `other`",
        ),
        (
            "hf://owner/set/dev",
            "no configuration has a split `dev`",
            "`big`, `main`, `other`",
        ),
        (
            "hf://owner/set/other/test",
            "no split `test` in the configuration `other`",
            "`main`",
        ),
        (
            "hf://owner/none/test",
            "there is no such data set",
            "HF_TOKEN",
        ),
        (
            "hf://owner/closed/test",
            "HTTP 401 Unauthorized",
            "accept its terms",
        ),
        (
            "hf://datasets/owner/set@v1/data/large.jsonl",
            "no file `data/large.jsonl`",
            "data/small.jsonl",
        ),
    ] {
        let got = cache
            .fetcher()
            .fetch_remote(&remote(address), Check::Size, &Silent)
            .await;
        let error = got.unwrap_err();
        assert!(error.to_string().contains(reason), "{address}: {error}");
        assert!(
            error.hint().unwrap().contains(hint),
            "{address}: {:?}",
            error.hint()
        );
    }
}

#[tokio::test]
async fn without_the_branch_the_data_sets_server_lists_the_files() {
    let base = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let here = std::sync::Arc::clone(&base);
    let server = Server::start(move |request| match request.path.as_str() {
        "/api/datasets/owner/set" => {
            Reply::json(&json!({"sha": "abc", "tags": ["license:cc0-1.0"]}))
        }
        "/server/parquet?dataset=owner%2Fset" => Reply::json(&json!({
            "parquet_files": [{
                "dataset": "owner/set", "config": "default", "split": "test",
                "url": format!("{}/files/0000.parquet", here.get().unwrap()),
                "filename": "0000.parquet", "size": content().len(),
            }],
            "pending": [], "failed": [], "partial": false,
        })),
        "/files/0000.parquet" => Reply::of(request, &content()),
        _ => Reply::status(404),
    })
    .await;
    base.set(server.url("")).unwrap();
    let mut cache = Cache::new();
    cache.settings.hf_endpoint = server.url("");
    cache.settings.datasets_server = server.url("/server");
    let split = remote("hf://owner/set/test");
    let got = cache
        .fetcher()
        .fetch_remote(&split, Check::Size, &Silent)
        .await
        .unwrap();
    assert_eq!(
        std::fs::read(got.path.join("0000.parquet")).unwrap(),
        content()
    );
    // Nobody stated a digest, so that of the bytes that came is noted.
    assert_eq!(origin(&got.path)["files"][0]["sha256"], sha256(&content()));
}

#[tokio::test]
async fn single_files_are_fetched_from_the_hub_and_from_anywhere() {
    let (server, cache) = at_hub().await;
    let file = remote("hf://datasets/owner/set@v1/data/small.jsonl");
    let got = cache
        .fetcher()
        .fetch_remote(&file, Check::Size, &Silent)
        .await
        .unwrap();
    assert!(got.path.ends_with("small.jsonl"));
    assert_eq!(std::fs::read(&got.path).unwrap(), content());

    let url = server.url("/datasets/owner/set/resolve/123/data/small.jsonl");
    let got = cache
        .fetcher()
        .fetch_remote(&remote(&url), Check::Size, &Silent)
        .await
        .unwrap();
    assert_eq!(std::fs::read(&got.path).unwrap(), content());
    assert_eq!(got.origin.licence, None);
    let missing = remote(&server.url("/nowhere.csv"));
    let error = cache
        .fetcher()
        .fetch_remote(&missing, Check::Size, &Silent)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("HTTP 404"), "{error}");
}

#[tokio::test]
async fn the_token_is_for_the_hub_and_for_nobody_else() {
    const TOKEN: &str = "hf_secretsecret";
    let elsewhere = Server::start(|request| match request.path.as_str() {
        "/server/parquet?dataset=owner%2Fset" => Reply::status(500),
        _ => Reply::of(request, &content()),
    })
    .await;
    let hub = Server::start(|request| match request.path.as_str() {
        "/api/datasets/owner/set" => Reply::json(&json!({"tags": []})),
        _ => Reply::status(404),
    })
    .await;
    let mut cache = Cache::new();
    cache.settings.hf_endpoint = hub.url("");
    cache.settings.datasets_server = elsewhere.url("/server").replace("127.0.0.1", "localhost");
    cache.settings.hf_token = Some(TOKEN.to_owned());
    let split = remote("hf://owner/set/test");
    let error = cache
        .fetcher()
        .fetch_remote(&split, Check::Size, &Silent)
        .await
        .unwrap_err();
    assert!(!format!("{error} {error:?}").contains(TOKEN));
    let bearer = Some("Bearer hf_secretsecret");
    assert!(
        hub.requests()
            .iter()
            .all(|r| r.header("authorization") == bearer)
    );
    assert_eq!(elsewhere.requests()[0].header("authorization"), None);
}
