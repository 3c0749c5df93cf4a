//! The cache against two processes, kills and strangers' files.

use std::{fs, sync::Arc, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::store::{CallKey, CallRow};

fn key(n: u64) -> CallKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    CallKey(key)
}

fn call(completion: &str) -> CallRow {
    CallRow {
        prompt: "How many?".to_owned(),
        completion: completion.to_owned(),
        reasoning: Some("Let me see.".to_owned()),
        finish_reason: "stop".to_owned(),
        input_tokens: Some(9),
        cached_input_tokens: 2,
        output_tokens: Some(3),
        reasoning_tokens: 1,
        latency_s: 0.5,
        cost_usd: Some(0.25),
        model: Some("other".to_owned()),
        service_tier: Some("flex".to_owned()),
        from_cache: false,
    }
}

#[tokio::test]
async fn an_answer_is_found_again_without_its_price() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("deep/answers.sqlite");
    let cache = AnswerCache::open(&path, Access::ReadWrite).unwrap();
    assert_eq!(cache.find(key(1)).await, None);
    cache.put(key(1), "m", &call("[[7]]")).await;
    // The first answer of a key stands.
    cache.put(key(1), "m", &call("[[8]]")).await;
    drop(cache);
    let cache = AnswerCache::open(&path, Access::ReadWrite).unwrap();
    let expected = CallRow {
        cost_usd: None,
        from_cache: true,
        ..call("[[7]]")
    };
    assert_eq!(cache.find(key(1)).await, Some(expected));
    assert_eq!(cache.find(key(2)).await, None);
}

#[tokio::test]
async fn what_a_killed_process_had_kept_is_there() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("answers.sqlite");
    let cache = AnswerCache::open(&path, Access::ReadWrite).unwrap();
    for n in 0..50 {
        cache.put(key(n), "m", &call("[[7]]")).await;
    }
    // As a kill leaves it: the files of an open cache, copied.
    let copy = TempDir::new().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("answers.sqlite{suffix}");
        fs::copy(dir.path().join(&name), copy.path().join(&name)).unwrap();
    }
    assert_eq!(
        stat(&copy.path().join("answers.sqlite")).unwrap().answers,
        50
    );
}

#[tokio::test]
async fn a_read_only_cache_gives_and_keeps_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("answers.sqlite");
    let writing = AnswerCache::open(&path, Access::ReadWrite).unwrap();
    writing.put(key(1), "m", &call("[[7]]")).await;
    let reading = AnswerCache::open(&path, Access::ReadOnly).unwrap();
    assert!(reading.find(key(1)).await.is_some());
    reading.put(key(2), "m", &call("[[8]]")).await;
    assert_eq!(writing.find(key(2)).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_write_at_the_same_time_keep_everything() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("answers.sqlite");
    // Two connections, as two processes have them.
    let caches = [0, 1].map(|_| Arc::new(AnswerCache::open(&path, Access::ReadWrite).unwrap()));
    let mut work = tokio::task::JoinSet::new();
    for n in 0..200 {
        for (i, cache) in (0..).zip(&caches) {
            let cache = Arc::clone(cache);
            // Half of the keys are the same in both.
            let key = key(n + i * 100);
            work.spawn(async move { cache.put(key, "m", &call("[[7]]")).await });
        }
    }
    while work.join_next().await.is_some() {}
    assert_eq!(stat(&path).unwrap().answers, 300);
    for n in 0..300 {
        assert!(caches[0].find(key(n)).await.is_some(), "{n}");
    }
}

#[tokio::test]
async fn clearing_goes_by_model_and_age() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("answers.sqlite");
    assert_eq!(stat(&path).unwrap(), Stat::default());
    assert_eq!(clear(&path, None, None).unwrap().removed, 0);
    assert!(!path.exists(), "looking makes no file");
    let cache = AnswerCache::open(&path, Access::ReadWrite).unwrap();
    for n in 0..6 {
        let model = if n < 2 { "small" } else { "large" };
        cache.put(key(n), model, &call("[[7]]")).await;
    }
    drop(cache);
    let db = Connection::open(&path).unwrap();
    db.execute(
        "UPDATE answer SET created = created - 1000 WHERE id IN (1, 3)",
        [],
    )
    .unwrap();
    drop(db);
    let now = stat(&path).unwrap();
    assert_eq!(
        (now.models[0].model.as_str(), now.models[0].answers),
        ("large", 4)
    );
    assert_eq!(now.models[1].output_tokens, 6);
    let old = clear(&path, Some("large"), Some(Duration::from_secs(500))).unwrap();
    assert_eq!((old.removed, old.left), (1, 5));
    assert_eq!(clear(&path, Some("small"), None).unwrap().left, 3);
    assert_eq!(clear(&path, None, None).unwrap().removed, 3);
}

#[tokio::test]
async fn a_damaged_or_newer_file_is_refused_and_says_what_to_do() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("answers.sqlite");
    fs::write(
        &path,
        "no database at all, but longer than the head of one. ".repeat(40),
    )
    .unwrap();
    let Err(e) = AnswerCache::open(&path, Access::ReadWrite) else {
        panic!("it is no database")
    };
    assert!(e.hint().unwrap().contains("--no-cache"), "{e:?}");
    fs::remove_file(&path).unwrap();
    drop(AnswerCache::open(&path, Access::ReadWrite).unwrap());
    let db = Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(db);
    let opened = AnswerCache::open(&path, Access::ReadOnly);
    assert!(matches!(opened, Err(CacheError::Newer { found: 99, .. })));
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("answers.sqlite");
    drop(AnswerCache::open(&path, Access::ReadWrite).unwrap());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
