//! Files as they are found in the wild, read through the trait.

use std::{fs, io::Write as _, path::Path};

use tale_api::{AnswerKind, CreateEnv};
use tempfile::TempDir;

use super::*;

struct Folder(TempDir);

impl Folder {
    fn with(content: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data.jsonl"), content).unwrap();
        Self(folder)
    }

    fn env(&self) -> CreateEnv {
        CreateEnv {
            base_dir: self.0.path().to_owned(),
            ..CreateEnv::default()
        }
    }

    async fn jsonl(&self, options: &str) -> Result<FileDataset<Table>> {
        self.table("data.jsonl", options).await
    }

    async fn table(&self, path: &str, options: &str) -> Result<FileDataset<Table>> {
        let options = format!(r#"{{"path": "{path}"{options}}}"#);
        Table::create(serde_json::from_str(&options).unwrap(), self.env()).await
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn numbered(lines: u64) -> String {
    (1..=lines).fold(String::new(), |text, n| {
        text + &format!("{{\"question\": \"q{n}\", \"answer\": {n}}}\n")
    })
}

async fn page(dataset: &dyn Dataset, cursor: Option<String>, limit: u32) -> Result<Page> {
    dataset.page(PageRequest { cursor, limit }).await
}

async fn read_all(dataset: &dyn Dataset, limit: u32) -> Result<Vec<Question>> {
    let (mut questions, mut cursor) = (Vec::new(), None);
    loop {
        let page = page(dataset, cursor, limit).await?;
        assert!(page.questions.len() <= limit as usize);
        questions.extend(page.questions);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(questions);
        }
    }
}

fn example_data() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data"))
}

#[tokio::test]
async fn pages_of_any_size_make_up_the_same_whole() {
    let folder = Folder::with(numbered(100));
    let dataset = folder.jsonl("").await.unwrap();
    let whole = read_all(&dataset, 1000).await.unwrap();
    assert_eq!(whole.len(), 100);
    assert_eq!(
        (
            whole[0].id.as_str(),
            whole[0].text.as_str(),
            whole[99].gold.as_deref()
        ),
        ("1", "q1", Some("100"))
    );
    for limit in [1, 7, 99, 100, 101] {
        assert_eq!(read_all(&dataset, limit).await.unwrap(), whole, "{limit}");
    }
}

#[tokio::test]
async fn a_page_is_read_again_from_its_cursor() {
    let folder = Folder::with(numbered(10));
    let dataset = folder.jsonl("").await.unwrap();
    let first = page(&dataset, None, 4).await.unwrap();
    let second = page(&dataset, first.next.clone(), 4).await.unwrap();
    assert_eq!(page(&dataset, first.next, 4).await.unwrap(), second);
    assert_eq!(second.questions[0].id, "5");
}

#[tokio::test]
async fn line_ends_marks_and_blank_lines_make_no_difference() {
    let plain = read_all(&Folder::with(numbered(5)).jsonl("").await.unwrap(), 2)
        .await
        .unwrap();
    let crlf = format!("\u{feff}{}", numbered(5).replace('\n', "\r\n"));
    let unended = numbered(5).trim_end().to_owned();
    for content in [crlf, unended] {
        let folder = Folder::with(&content);
        let dataset = folder.jsonl("").await.unwrap();
        assert_eq!(read_all(&dataset, 2).await.unwrap(), plain);
        assert_eq!(dataset.info().await.unwrap().size, Some(5));
    }
    let gaps = Folder::with("\n{\"question\": \"a\"}\n  \n\n{\"question\": \"b\"}\n\n");
    let dataset = gaps.jsonl("").await.unwrap();
    let questions = read_all(&dataset, 1).await.unwrap();
    assert_eq!(
        questions.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(),
        ["2", "5"],
        "ids are the file's lines"
    );
    assert_eq!(dataset.info().await.unwrap().size, Some(2));
}

#[tokio::test]
async fn an_empty_file_is_an_empty_data_set() {
    let folder = Folder::with("");
    let dataset = folder.jsonl("").await.unwrap();
    assert_eq!(page(&dataset, None, 5).await.unwrap(), Page::default());
    assert_eq!(dataset.info().await.unwrap().size, Some(0));
}

#[tokio::test]
async fn a_broken_line_17_is_named() {
    for (bad, what) in [
        (
            "{\"question\": \"q\", \"answer\": }",
            "no valid JSON at byte 29",
        ),
        ("{\"question\": \"q", "no valid JSON"),
        ("{\"problem\": \"q\"}", "no field `question`"),
        ("17", "invalid type"),
    ] {
        let content = format!("{}{bad}\n{}", numbered(16), numbered(3));
        let folder = Folder::with(content);
        let dataset = folder.jsonl("").await.unwrap();
        // What stands before it can still be had.
        let good = page(&dataset, None, 16).await.unwrap();
        let error = page(&dataset, good.next, 10).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidData);
        assert!(
            error.message.starts_with("line 17 of `") && error.message.contains(what),
            "{error}"
        );
        assert_eq!(error.context_value("line"), Some("17"));
        assert!(error.context_value("file").unwrap().ends_with("data.jsonl"));
        assert!(error.hint.is_some());
        assert_eq!(error.operation.as_deref(), Some("page"));
    }
}

#[tokio::test]
async fn bytes_that_are_no_utf_8_are_placed() {
    let folder = Folder::with(b"{\"question\": \"a\"}\n{\"question\": \"\xff\"}\n");
    let error = read_all(&folder.jsonl("").await.unwrap(), 9)
        .await
        .unwrap_err();
    assert!(
        error.message.contains("no UTF-8 from byte 15 on"),
        "{error}"
    );
    assert_eq!(error.context_value("line"), Some("2"));
}

#[tokio::test]
async fn a_json_array_is_told_from_jsonl() {
    let folder = Folder::with("[{\"question\": \"a\"},\n{\"question\": \"b\"}]\n");
    let error = read_all(&folder.jsonl("").await.unwrap(), 9)
        .await
        .unwrap_err();
    assert!(error.hint.unwrap().contains("jq -c '.[]'"));
}

#[tokio::test]
async fn a_line_of_50_mb_is_refused_unless_it_is_allowed() {
    let long = format!(
        "{}{{\"question\": \"{}\"}}\n",
        numbered(1),
        "x".repeat(50 << 20)
    );
    let folder = Folder::with(long);
    let error = read_all(&folder.jsonl("").await.unwrap(), 9)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidData);
    assert_eq!(error.context_value("line"), Some("2"));
    assert!(error.hint.unwrap().contains("`max_line_bytes`"));
    let roomy = folder
        .jsonl(r#", "max_line_bytes": 60000000"#)
        .await
        .unwrap();
    assert_eq!(read_all(&roomy, 9).await.unwrap()[1].text.len(), 50 << 20);
}

#[tokio::test]
async fn a_page_is_bounded_whatever_its_limit() {
    let folder = Folder::with(numbered(5000));
    let dataset = folder.jsonl("").await.unwrap();
    let first = page(&dataset, None, u32::MAX).await.unwrap();
    assert!(first.questions.len() < 5000 && first.next.is_some());
    assert_eq!(read_all(&dataset, u32::MAX).await.unwrap().len(), 5000);
}

#[tokio::test]
async fn a_foreign_cursor_is_refused() {
    let folder = Folder::with(numbered(10));
    let dataset = folder.jsonl("").await.unwrap();
    for cursor in [
        "",
        "x",
        "5",
        "0:5:1",
        "0:5:1:0",
        "0:-1:0:0",
        "0:999999:3:0",
        "0:0:3:0",
        "0:3:0:0",
        "0:32:40:0",
        "1:0:0:0",
        "0:0:0:99",
        "18446744073709551616:0:0:0",
    ] {
        let error = page(&dataset, Some(cursor.to_owned()), 1)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{cursor}");
    }
    assert_eq!(
        page(&dataset, None, 0).await.unwrap_err().kind,
        ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn a_file_that_changes_is_noticed() {
    let folder = Folder::with(numbered(10));
    let dataset = folder.jsonl("").await.unwrap();
    let first = page(&dataset, None, 5).await.unwrap();
    let file = fs::OpenOptions::new()
        .append(true)
        .open(folder.0.path().join("data.jsonl"));
    writeln!(file.unwrap(), "{{\"question\": \"one more\"}}").unwrap();
    for result in [
        page(&dataset, first.next, 5).await.map(drop),
        dataset.info().await.map(drop),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidData);
        assert!(error.message.contains("written to"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_file_and_a_folder_are_named_at_once() {
    let folder = Folder::with("");
    let missing = Gsm8kOptions {
        path: "no.jsonl".into(),
        on_error: OnError::Stop,
    };
    let error = Gsm8k::create(missing, folder.env()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.context_value("file").unwrap().ends_with("no.jsonl"));
    let itself = Gsm8kOptions {
        path: ".".into(),
        on_error: OnError::Stop,
    };
    let error = Gsm8kZero::create(itself, folder.env()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidData);
}

#[tokio::test]
async fn ids_that_repeat_are_refused_with_both_lines() {
    let folder = Folder::with(
        "{\"question\": \"a\", \"uid\": \"x\"}\n{\"question\": \"b\", \"uid\": \"y\"}\n{\"question\": \"c\", \"uid\": \"x\"}\n",
    );
    let error = folder
        .jsonl(r#", "id": "uid""#)
        .await
        .unwrap()
        .info()
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidData);
    assert!(
        error.message.ends_with("the id `x` is line 1's already"),
        "{error}"
    );
    assert_eq!(error.context_value("line"), Some("3"));
    // Without the option, ids are lines and cannot repeat.
    assert_eq!(
        folder.jsonl("").await.unwrap().info().await.unwrap().size,
        Some(3)
    );
}

#[tokio::test]
async fn the_digest_is_the_file_s_sha_256() {
    let info = Folder::with("abc")
        .jsonl("")
        .await
        .unwrap()
        .info()
        .await
        .unwrap();
    assert_eq!(
        info.digest.as_deref(),
        Some("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    );
    assert_eq!(info.name, "data");
}

#[tokio::test]
async fn the_sample_of_gsm8k_is_read_whole() {
    let env = CreateEnv {
        base_dir: example_data().to_owned(),
        ..CreateEnv::default()
    };
    let options = Gsm8kOptions {
        path: "gsm8k-test-200.jsonl".into(),
        on_error: OnError::Stop,
    };
    let dataset = Gsm8k::create(options, env).await.unwrap();
    let info = dataset.info().await.unwrap();
    assert_eq!(
        (info.size, info.license.as_deref()),
        (Some(200), Some("MIT"))
    );
    let questions = read_all(&dataset, 64).await.unwrap();
    assert_eq!(questions.len(), 200);
    let golds: Vec<&str> = questions.iter().filter_map(|q| q.gold.as_deref()).collect();
    assert_eq!(golds.len(), 200);
    assert!(
        golds.iter().all(|g| g.parse::<i64>().is_ok()),
        "test golds are integers: {golds:?}"
    );
    assert!(
        golds.iter().any(|g| g.len() > 3),
        "the sample holds golds with thousands commas"
    );
}

/// The whole sets, where somebody has them: `TALE_DATA_DIR` names a folder with `gsm8k/test.jsonl`,
/// `gsm8k/train.jsonl`, `gsm8k-zero/gsm8k_zero.jsonl` and `aqua/dev.json`.
#[tokio::test]
async fn the_whole_sets_are_read_to_the_last_record() {
    let Some(dir) = std::env::var_os("TALE_DATA_DIR") else {
        eprintln!("skipped: TALE_DATA_DIR is not set");
        return;
    };
    let env = || CreateEnv {
        base_dir: dir.clone().into(),
        ..CreateEnv::default()
    };
    for (path, size, golds_from_thousand_on) in [
        ("gsm8k/test.jsonl", 1319, 14),
        ("gsm8k/train.jsonl", 7473, 79),
    ] {
        let written = fs::read_to_string(env().base_dir.join(path)).unwrap();
        let with_comma: Vec<usize> = written
            .lines()
            .enumerate()
            .filter(|(_, line)| line.rsplit_once("####").unwrap().1.contains(','))
            .map(|(n, _)| n)
            .collect();
        let dataset = Gsm8k::create(
            Gsm8kOptions {
                path: path.into(),
                on_error: OnError::Stop,
            },
            env(),
        )
        .await
        .unwrap();
        let questions = read_all(&dataset, 500).await.unwrap();
        assert_eq!(questions.len(), size);
        assert_eq!(dataset.info().await.unwrap().size, Some(size as u64));
        assert_eq!(with_comma.len(), golds_from_thousand_on);
        for n in with_comma {
            let gold: u64 = questions[n].gold.as_ref().unwrap().parse().unwrap();
            assert!(gold >= 1000, "line {}: {gold}", n + 1);
        }
    }
    let options = Gsm8kOptions {
        path: "gsm8k-zero/gsm8k_zero.jsonl".into(),
        on_error: OnError::Stop,
    };
    let zero = read_all(&Gsm8kZero::create(options, env()).await.unwrap(), 500)
        .await
        .unwrap();
    assert_eq!(zero.len(), 2978);
    assert_eq!(
        zero.iter()
            .filter(|q| q.gold.as_ref().unwrap().contains('.'))
            .count(),
        65
    );
    assert_eq!(zero[2977].gold.as_deref(), Some("50"));

    let options =
        serde_json::from_str(r#"{"path": "aqua/dev.json", "kind": "choice", "gold": "correct"}"#)
            .unwrap();
    let aqua = read_all(&Table::create(options, env()).await.unwrap(), 100)
        .await
        .unwrap();
    assert_eq!(aqua[0].options, ["32400", "6000", "600", "60000", "10"]);
    assert!(
        aqua.iter()
            .all(|q| "ABCDE".contains(q.gold.as_ref().unwrap()))
    );
}

mod forms;
mod layouts;
