//! Fetches from a server of this process: whole, cut, lying, slow, and two at a time.

mod packages;
mod remote;
mod server;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::catalogue::{Entry, Kind, Source};
use super::store::{beside, hex};
use super::{
    Check, FetchError, FetchProgress, Fetched, Fetcher, Settings, Silent, Status, Step, Store,
};
use server::{Reply, Server};

/// The right file: large enough for several chunks, different at every offset.
fn content() -> Vec<u8> {
    (0_u32..50_000).flat_map(u32::to_le_bytes).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// An entry whose sources are paths of servers.
fn entry(urls: &[String]) -> Entry {
    Entry {
        kind: Kind::Model,
        name: "small".to_owned(),
        description: String::new(),
        file: "small.gguf".to_owned(),
        bytes: content().len() as u64,
        sha256: Some(sha256(&content())),
        licence: "MIT".to_owned(),
        licence_note: None,
        homepage: None,
        sources: urls
            .iter()
            .map(|url| Source::Url { url: url.clone() })
            .collect(),
    }
}

struct Cache {
    folder: tempfile::TempDir,
    settings: Settings,
}

impl Cache {
    fn new() -> Self {
        let settings = Settings {
            first_wait: Duration::from_millis(1),
            stall: Duration::from_secs(5),
            attempts: 3,
            ..Settings::default()
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            settings,
        }
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(Store::at(self.folder.path()), self.settings.clone())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("models/small.gguf")
    }

    async fn fetch(&self, entry: &Entry) -> Result<Fetched, FetchError> {
        self.fetcher().fetch(entry, Check::Size, &Silent).await
    }

    /// Everything in the folder of models but the lock.
    fn files(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.folder.path().join("models")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "small.gguf.lock")
            .collect();
        names.sort();
        names
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl FetchProgress for Heard {
    fn step(&self, _: &Entry, step: &Step<'_>) {
        self.0.lock().unwrap().push(format!("{step:?}"));
    }
}

impl Heard {
    fn has(&self, what: &str) -> bool {
        self.0
            .lock()
            .unwrap()
            .iter()
            .any(|step| step.starts_with(what))
    }
}

#[tokio::test]
async fn a_fetched_file_costs_no_network_the_second_time() {
    let server = Server::start(|request| Reply::of(request, &content())).await;
    let (cache, entry) = (Cache::new(), entry(&[server.url("/a")]));
    assert_eq!(cache.fetcher().store().status(&entry), Status::Absent);

    let first = cache.fetch(&entry).await.unwrap();
    assert!(
        matches!(&first, Fetched::Downloaded { source, .. } if *source == server.url("/a")[7..])
    );
    assert_eq!(std::fs::read(first.path()).unwrap(), content());
    assert_eq!(cache.files(), ["small.gguf"]);
    assert_eq!(cache.fetcher().store().status(&entry), Status::Present);

    let second = cache.fetch(&entry).await.unwrap();
    assert_eq!(second, Fetched::AlreadyThere { path: cache.path() });
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_cut_connection_is_resumed_where_it_broke() {
    let server = Server::start(|request| match request.number {
        0 => Reply::of(request, &content()).cut_after(70_000),
        _ => Reply::of(request, &content()),
    })
    .await;
    let (cache, entry) = (Cache::new(), entry(&[server.url("/a")]));
    cache.fetch(&entry).await.unwrap();
    assert_eq!(std::fs::read(cache.path()).unwrap(), content());
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("range"), None);
    assert_eq!(requests[1].header("range"), Some("bytes=70000-"));
    assert_eq!(requests[1].header("if-range"), Some("\"v1\""));
}

#[tokio::test]
async fn an_interrupted_fetch_keeps_its_bytes_and_lands_only_when_whole() {
    let server = Server::start(|request| match request.number {
        0 => Reply::of(request, &content()).stall_after(70_000),
        _ => Reply::of(request, &content()),
    })
    .await;
    let (cache, entry) = (Cache::new(), entry(&[server.url("/a")]));
    let store = Store::at(cache.folder.path());
    let arrived = async {
        while store.status(&entry) != (Status::Partial { have: 70_000 }) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = cache.fetch(&entry) => panic!("the server never sends the rest"),
        () = arrived => {}
    }
    assert!(!cache.path().exists());

    cache.fetch(&entry).await.unwrap();
    assert_eq!(std::fs::read(cache.path()).unwrap(), content());
    assert_eq!(server.requests()[1].header("range"), Some("bytes=70000-"));
    assert_eq!(cache.files(), ["small.gguf"]);
}

#[tokio::test]
async fn another_source_goes_on_with_the_bytes_of_the_first() {
    let server = Server::start(|request| match (request.path.as_str(), request.number) {
        ("/a", 0) => Reply::of(request, &content()).cut_after(70_000),
        ("/a", _) => Reply::status(500),
        _ => Reply::of(request, &content()),
    })
    .await;
    let (cache, entry) = (Cache::new(), entry(&[server.url("/a"), server.url("/b")]));
    cache.fetch(&entry).await.unwrap();
    assert_eq!(std::fs::read(cache.path()).unwrap(), content());
    let last = server.requests().pop().unwrap();
    assert_eq!(
        (last.path.as_str(), last.header("range")),
        ("/b", Some("bytes=70000-"))
    );
    assert_eq!(
        last.header("if-range"),
        None,
        "the first source's validator means nothing to the second"
    );
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_start() {
    let server = Server::start(|request| match request.number {
        0 => Reply::whole(&content()).cut_after(70_000),
        _ => Reply::whole(&content()),
    })
    .await;
    let (cache, entry) = (Cache::new(), entry(&[server.url("/a")]));
    cache.fetch(&entry).await.unwrap();
    assert_eq!(std::fs::read(cache.path()).unwrap(), content());
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_wrong_digest_leads_to_the_next_source() {
    let mut wrong = content();
    wrong[100_000] ^= 1;
    let server = Server::start(move |request| match request.path.as_str() {
        "/wrong" => Reply::of(request, &wrong),
        _ => Reply::of(request, &content()),
    })
    .await;
    let (cache, entry) = (
        Cache::new(),
        entry(&[server.url("/wrong"), server.url("/right")]),
    );
    let heard = Heard::default();
    let fetched = cache
        .fetcher()
        .fetch(&entry, Check::Size, &heard)
        .await
        .unwrap();
    assert_eq!(std::fs::read(fetched.path()).unwrap(), content());
    assert!(heard.has("Failed(SourceFailure") && heard.has("Done"));
    assert_eq!(
        server.requests()[1].header("range"),
        None,
        "wrong bytes are never resumed"
    );
}

#[tokio::test]
async fn a_spoilt_part_does_not_condemn_its_source() {
    let server = Server::start(|request| Reply::of(request, &content())).await;
    let (cache, entry) = (Cache::new(), entry(&[server.url("/a")]));
    std::fs::create_dir_all(cache.path().parent().unwrap()).unwrap();
    std::fs::write(beside(&cache.path(), ".part"), vec![7; 1000]).unwrap();
    cache.fetch(&entry).await.unwrap();
    assert_eq!(std::fs::read(cache.path()).unwrap(), content());
    let ranges: Vec<_> = server
        .requests()
        .iter()
        .map(|r| r.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, [Some("bytes=1000-".to_owned()), None]);
}

#[tokio::test]
async fn when_all_sources_fail_each_is_named_with_its_reason() {
    let server = Server::start(|request| match request.path.as_str() {
        "/gone" => Reply::status(404),
        "/page" => Reply::whole(b"<html>please log in</html>"),
        "/busy" => Reply::status(503),
        _ => Reply::of(request, &vec![0; content().len()]),
    })
    .await;
    let urls = ["/gone", "/page", "/busy", "/zeros"].map(|path| server.url(path));
    let (cache, entry) = (Cache::new(), entry(&urls));
    let error = cache.fetch(&entry).await.unwrap_err();
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "no source has model `small`");
    for (line, expected) in lines[1..].iter().zip([
        "/gone: HTTP 404 Not Found",
        "/page: has 26 bytes, not 200000: another file",
        "/busy: HTTP 503 Service Unavailable",
        "/zeros: wrong bytes: their SHA-256 is ",
    ]) {
        assert!(line.contains(expected), "{line}");
    }
    let hint = error.hint().unwrap();
    assert!(
        hint.contains(entry.sha256.as_ref().unwrap()) && hint.contains("small.gguf"),
        "{hint}"
    );
    assert!(cache.files().is_empty(), "{:?}", cache.files());
    let busy = server
        .requests()
        .iter()
        .filter(|r| r.path == "/busy")
        .count();
    assert_eq!(
        busy,
        3,
        "a passing error is tried again, others are not: {}",
        server.requests().len()
    );
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn an_unreachable_server_is_given_up_soon() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let entry = entry(&[format!("http://{free}/a")]);
    let mut cache = Cache::new();
    cache.settings.attempts = 50;
    let error = cache.fetch(&entry).await.unwrap_err();
    assert!(error.to_string().contains("cannot connect: "), "{error}");
    assert!(error.hint().unwrap().contains("`HTTPS_PROXY`"));
}

#[tokio::test]
async fn passing_errors_and_a_slow_start_are_sat_out() {
    let server = Server::start(|request| match request.number {
        0 | 1 => Reply::status(503),
        _ => Reply::of(request, &content()).after(Duration::from_millis(700)),
    })
    .await;
    let (cache, entry) = (Cache::new(), entry(&[server.url("/a")]));
    let heard = Heard::default();
    cache
        .fetcher()
        .fetch(&entry, Check::Size, &heard)
        .await
        .unwrap();
    assert_eq!(std::fs::read(cache.path()).unwrap(), content());
    assert!(heard.has("Retry { reason: \"HTTP 503 Service Unavailable\""));
}

#[tokio::test]
async fn a_silent_connection_counts_as_cut() {
    let server = Server::start(|request| match request.number {
        0 => Reply::of(request, &content()).stall_after(10_000),
        _ => Reply::of(request, &content()),
    })
    .await;
    let mut cache = Cache::new();
    cache.settings.stall = Duration::from_secs(1);
    cache.fetch(&entry(&[server.url("/a")])).await.unwrap();
    assert_eq!(server.requests()[1].header("range"), Some("bytes=10000-"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_fetches_of_one_entry_download_it_once() {
    let server =
        Server::start(|request| Reply::of(request, &content()).after(Duration::from_millis(300)))
            .await;
    let (cache, entry) = (Cache::new(), entry(&[server.url("/a")]));
    let (first, second, heard) = (cache.fetcher(), cache.fetcher(), Heard::default());
    let (a, b) = tokio::join!(
        first.fetch(&entry, Check::Size, &heard),
        second.fetch(&entry, Check::Size, &heard)
    );
    let downloads = [a.unwrap(), b.unwrap()]
        .iter()
        .filter(|f| matches!(f, Fetched::Downloaded { .. }))
        .count();
    assert_eq!((downloads, server.requests().len()), (1, 1));
    assert!(heard.has("Waiting"));
}

#[tokio::test]
async fn a_damaged_file_is_found_on_request_and_fetched_again() {
    let server = Server::start(|request| Reply::of(request, &content())).await;
    let (cache, entry) = (Cache::new(), entry(&[server.url("/a")]));
    std::fs::create_dir_all(cache.path().parent().unwrap()).unwrap();
    std::fs::write(cache.path(), vec![7; content().len()]).unwrap();
    assert!(matches!(
        cache.fetch(&entry).await.unwrap(),
        Fetched::AlreadyThere { .. }
    ));

    let heard = Heard::default();
    let fetched = cache
        .fetcher()
        .fetch(&entry, Check::Digest, &heard)
        .await
        .unwrap();
    assert!(matches!(fetched, Fetched::Downloaded { .. }) && heard.has("Damaged"));
    assert_eq!(std::fs::read(cache.path()).unwrap(), content());
    assert!(matches!(
        cache
            .fetcher()
            .fetch(&entry, Check::Digest, &Silent)
            .await
            .unwrap(),
        Fetched::AlreadyThere { .. }
    ));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_file_cut_in_half_is_no_model_and_is_replaced() {
    let server = Server::start(|request| Reply::of(request, &content())).await;
    let (cache, entry) = (Cache::new(), entry(&[server.url("/a")]));
    std::fs::create_dir_all(cache.path().parent().unwrap()).unwrap();
    std::fs::write(cache.path(), &content()[..100_000]).unwrap();
    assert_eq!(
        cache.fetcher().store().status(&entry),
        Status::WrongSize { have: 100_000 }
    );
    cache.fetch(&entry).await.unwrap();
    assert_eq!(std::fs::read(cache.path()).unwrap(), content());
}

#[tokio::test]
async fn the_hubs_token_goes_to_the_hub_alone_and_into_no_message() {
    const TOKEN: &str = "hf_secretsecret";
    let elsewhere = Server::start(|request| Reply::of(request, &content())).await;
    let away = elsewhere.url("/file").replace("127.0.0.1", "localhost");
    let hub = Server::start(move |request| match request.path.as_str() {
        "/owner/open/resolve/main/small.gguf" => Reply::redirect(&away),
        _ => Reply::status(401),
    })
    .await;
    let mut cache = Cache::new();
    cache.settings.hf_endpoint = hub.url("");
    cache.settings.hf_token = Some(TOKEN.to_owned());
    let from = |repo: &str| Entry {
        sources: vec![Source::HuggingFace {
            repo: repo.to_owned(),
            file: "small.gguf".to_owned(),
            revision: "main".to_owned(),
            dataset: false,
        }],
        ..entry(&[])
    };
    let error = cache.fetch(&from("owner/closed")).await.unwrap_err();
    let shown = format!("{error} {error:?} {:?} {:?}", error.hint(), cache.settings);
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(error.hint().unwrap().contains("`HF_TOKEN`"));

    cache.fetch(&from("owner/open")).await.unwrap();
    assert!(
        hub.requests()
            .iter()
            .all(|r| r.header("authorization") == Some("Bearer hf_secretsecret"))
    );
    assert_eq!(elsewhere.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn too_little_room_is_said_before_anything_is_fetched() {
    let server = Server::start(|request| Reply::of(request, &content())).await;
    let huge = Entry {
        bytes: u64::MAX / 2,
        ..entry(&[server.url("/a")])
    };
    let error = Cache::new().fetch(&huge).await.unwrap_err();
    assert!(matches!(error, FetchError::DiskFull { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("TALE_CACHE_DIR"));
    assert!(server.requests().is_empty());
}
