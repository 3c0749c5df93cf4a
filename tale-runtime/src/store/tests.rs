//! The journal against crashes, full disks, strangers' files and second writers.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    CallKey, CallRow, Cell, CellId, NewQuestion, NewSample, Outcome, Reader, Store, StoreError,
    schema,
};

fn key(n: u64) -> CallKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    CallKey(key)
}

fn call(completion: impl Into<String>) -> CallRow {
    CallRow {
        prompt: "How many?".to_owned(),
        completion: completion.into(),
        reasoning: None,
        finish_reason: "stop".to_owned(),
        input_tokens: Some(9),
        cached_input_tokens: 0,
        output_tokens: Some(3),
        reasoning_tokens: 0,
        latency_s: 0.5,
        cost_usd: None,
        model: None,
        service_tier: None,
        from_cache: false,
    }
}

fn question(position: u64) -> NewQuestion {
    NewQuestion {
        dataset: "set".to_owned(),
        position,
        id: position.to_string(),
        question: "How many?".to_owned(),
        gold: Some("7".to_owned()),
        kind: "number".to_owned(),
    }
}

fn sample(cell: CellId, position: u64) -> NewSample {
    NewSample {
        outcome: Outcome::Correct,
        answer: Some("7".to_owned()),
        ..NewSample::unanswered(cell, position, 0)
    }
}

async fn cell(store: &Store) -> CellId {
    let names = ["model", "set", "vanilla-cot"].map(str::to_owned);
    let [llm, dataset, method] = names;
    store
        .cell(Cell {
            llm,
            dataset,
            method,
        })
        .await
        .unwrap()
}

/// Records `n` calls, each with its sample, every record in a transaction of its own.
async fn record(store: &Store, n: u64) {
    let cell = cell(store).await;
    for i in 0..n {
        let id = store
            .put_call(key(i), call(format!("answer {i}")))
            .await
            .unwrap();
        let sample = NewSample {
            answer_call: Some(id),
            ..sample(cell, i)
        };
        store.put_sample(question(i), sample).await.unwrap();
    }
}

/// The numbers of calls, samples and questions in the file, which must be whole.
fn counts(dir: &Path) -> [u64; 3] {
    let db = Connection::open(dir.join(schema::FILE)).unwrap();
    let check: String = db
        .query_row("PRAGMA integrity_check", [], |r| r.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    ["call", "sample", "question"].map(|table| {
        db.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0))
            .unwrap()
    })
}

#[tokio::test]
async fn a_journal_cut_anywhere_holds_whole_transactions_only() {
    const RECORDS: u64 = 20;
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    record(&store, RECORDS).await;
    // As a killed process leaves it: the store is open still, so nothing is tidied up.
    let main = fs::read(dir.path().join(schema::FILE)).unwrap();
    let log = fs::read(dir.path().join(format!("{}-wal", schema::FILE))).unwrap();
    assert!(log.len() > 100_000, "the records lie in the log");

    let mut last = 0;
    for cut in (0..log.len())
        .step_by(log.len() / 40)
        .chain([log.len() - 1, log.len()])
    {
        let copy = TempDir::new().unwrap();
        fs::write(copy.path().join(schema::FILE), &main).unwrap();
        fs::write(
            copy.path().join(format!("{}-wal", schema::FILE)),
            &log[..cut],
        )
        .unwrap();
        let opened = Store::open(copy.path()).unwrap();
        for i in 0..RECORDS {
            if let Some((_, call)) = opened.find_call(key(i)).await.unwrap() {
                assert_eq!(call.completion, format!("answer {i}"));
            }
        }
        let found = cell(&opened).await;
        let done = opened.finished(vec![found], 0, RECORDS).await.unwrap();
        let positions: Vec<u64> = done.iter().map(|(_, m)| m.position).collect();
        let [calls, samples, questions] = counts(copy.path());
        assert_eq!(positions, (0..samples).collect::<Vec<_>>(), "cut at {cut}");
        assert_eq!(
            samples, questions,
            "a sample and its question stand together"
        );
        assert!(
            calls == samples || calls == samples + 1,
            "cut at {cut}: {calls}, {samples}"
        );
        assert!(calls + samples >= last, "a longer log never holds less");
        last = calls + samples;
        // And the run goes on from there.
        record(&opened, RECORDS).await;
        drop(opened);
        assert_eq!(counts(copy.path()), [RECORDS; 3], "cut at {cut}");
    }
    assert_eq!(last, 2 * RECORDS);
}

#[tokio::test]
async fn only_one_store_at_a_time_has_the_journal() {
    let dir = TempDir::new().unwrap();
    let first = Store::open(dir.path()).unwrap();
    match Store::open(dir.path()) {
        Err(StoreError::Busy { dir: busy }) => assert_eq!(busy, dir.path()),
        other => panic!("{:?}", other.err()),
    }
    // A report may be made meanwhile.
    assert_eq!(Reader::open(dir.path()).unwrap().call_count().unwrap(), 0);
    drop(first);
    Store::open(dir.path()).unwrap();
}

#[test]
fn a_newer_journal_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let path = dir.path().join(schema::FILE);
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let errors = [
        Store::open(dir.path()).err(),
        Reader::open(dir.path()).err(),
    ];
    for error in errors.map(Option::unwrap) {
        assert!(
            matches!(error, StoreError::NewerJournal { found: 99, .. }),
            "{error:?}"
        );
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_no_database_is_damaged_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(schema::FILE);
    let text = "Dear diary, today I was no database. ".repeat(200);
    fs::write(&path, &text).unwrap();
    let errors = [
        Store::open(dir.path()).err(),
        Reader::open(dir.path()).err(),
    ];
    for error in errors.map(Option::unwrap) {
        assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_folder_without_a_journal_is_no_run_and_stays_empty() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(
        Reader::open(dir.path()),
        Err(StoreError::NotARun { .. })
    ));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// One record that does not fit takes the others of its transaction with it, and none before.
#[tokio::test]
async fn a_full_disk_fails_the_whole_transaction_and_nothing_earlier() {
    let dir = TempDir::new().unwrap();
    let store = Store::open_with(dir.path(), |db| {
        // What a full disk answers, at 64 pages of 4 KiB.
        db.query_row("PRAGMA max_page_count = 64", [], |_| Ok(()))
    });
    let store = Arc::new(store.unwrap());
    record(&store, 5).await;

    // While somebody else holds the file, operations gather into one transaction.
    let other = Connection::open(dir.path().join(schema::FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let put = |n: u64, completion: String| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.put_call(key(n), call(completion)).await })
    };
    let first = put(100, "takes the writer to the lock".to_owned());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let batch: Vec<_> = (101..120)
        .map(|n| {
            put(
                n,
                if n == 110 {
                    "x".repeat(1 << 20)
                } else {
                    "small".to_owned()
                },
            )
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    other.execute_batch("ROLLBACK").unwrap();

    first.await.unwrap().unwrap();
    for (operation, n) in batch.into_iter().zip(101..) {
        let result = operation.await.unwrap();
        assert!(matches!(result, Err(StoreError::Full)), "{n}: {result:?}");
        assert_eq!(store.find_call(key(n)).await.unwrap(), None);
    }
    // The journal is of use as before.
    store.put_call(key(200), call("small")).await.unwrap();
    drop(store);
    assert_eq!(counts(dir.path()), [7, 5, 5]);
}

#[tokio::test]
async fn the_first_call_of_a_key_stands() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let first = store.put_call(key(1), call("first")).await.unwrap();
    let second = store.put_call(key(1), call("second")).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(
        store.find_call(key(1)).await.unwrap(),
        Some((first, call("first")))
    );
    assert_eq!(store.find_call(key(2)).await.unwrap(), None);
}

#[tokio::test]
async fn a_failed_sample_is_work_left_until_a_success_replaces_it() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let cell = cell(&store).await;
    let error = Some(("timeout".to_owned(), "no answer within 1 s".to_owned()));
    let failed = NewSample {
        outcome: Outcome::Failed,
        answer: None,
        error,
        ..sample(cell, 3)
    };
    store.put_sample(question(3), failed).await.unwrap();
    assert_eq!(store.finished(vec![cell], 0, 10).await.unwrap(), []);

    let id = store.put_call(key(1), call("7")).await.unwrap();
    let success = NewSample {
        answer_call: Some(id),
        ..sample(cell, 3)
    };
    let measure = store.put_sample(question(3), success).await.unwrap();
    assert_eq!(
        store.finished(vec![cell], 0, 10).await.unwrap(),
        [(cell, measure)]
    );
    assert_eq!(store.finished(vec![cell], 0, 3).await.unwrap(), []);

    let reader = Reader::open(dir.path()).unwrap();
    let row = reader.sample_at(cell, 3).unwrap().unwrap();
    assert_eq!(
        (row.outcome, row.error, row.call),
        (Outcome::Correct, None, Some(call("7")))
    );
    assert_eq!(reader.measures(cell).unwrap().len(), 1);
}

/// A run directory that version 1 wrote.
fn of_version_1() -> TempDir {
    let dir = TempDir::new().unwrap();
    let db = Connection::open(dir.path().join(schema::FILE)).unwrap();
    db.execute_batch(include_str!("fixtures/journal-v1.sql"))
        .unwrap();
    dir
}

#[test]
fn a_journal_of_version_1_is_read_without_being_changed() {
    let dir = of_version_1();
    let before = fs::read(dir.path().join(schema::FILE)).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let cells = reader.cells().unwrap();
    assert_eq!(cells.len(), 2);
    let measures = reader.measures(cells[1].0).unwrap();
    assert_eq!(measures.len(), 2);
    assert_eq!((measures[0].repeat, measures[0].budget), (0, Some(7)));
    let sample = reader.sample_at(cells[1].0, 1).unwrap().unwrap();
    assert_eq!(sample.estimate.len(), 1);
    let call = sample.call.unwrap();
    assert_eq!((call.service_tier, call.from_cache), (None, false));
    let spent = reader.spent_usd().unwrap().unwrap();
    assert!((spent - 2.0 * (3.9e-5 + 5.8e-5 + 4.5e-5)).abs() < 1e-12);
    assert_eq!(fs::read(dir.path().join(schema::FILE)).unwrap(), before);
}

#[tokio::test]
async fn a_run_of_version_1_goes_on_and_keeps_what_it_has() {
    let dir = of_version_1();
    let before = Reader::open(dir.path()).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let id = store
        .cell(Cell {
            llm: "seven".to_owned(),
            dataset: "jsonl".to_owned(),
            method: "vanilla-cot".to_owned(),
        })
        .await
        .unwrap();
    let again = NewSample {
        repeat: 1,
        ..sample(id, 0)
    };
    store.put_sample(question(0), again).await.unwrap();
    drop(store);
    let after = Reader::open(dir.path()).unwrap();
    let mut expected = before.measures(id).unwrap();
    let measures = after.measures(id).unwrap();
    assert_eq!((measures[1].position, measures[1].repeat), (0, 1));
    expected.insert(1, measures[1]);
    assert_eq!(measures, expected);
    assert_eq!(after.call_count().unwrap(), 6);
    // A second opening has nothing to upgrade.
    drop(Store::open(dir.path()).unwrap());
    assert_eq!(counts(dir.path())[1], 5);
}
