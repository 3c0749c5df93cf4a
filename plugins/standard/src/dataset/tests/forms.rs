//! JSONL, CSV and Parquet mean the same; and what is broken in them.

use std::sync::Arc;

use parquet::{
    basic::{Compression, GzipLevel},
    data_type::{ByteArray, ByteArrayType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

use super::*;

/// Rows `q1`, 1, [a1, b1] … in groups of `group`, as Parquet.
fn parquet_of(rows: i64, group: i64, compression: Compression) -> Vec<u8> {
    let schema = "message rows {
        required binary question (UTF8);
        required int64 answer;
        required group options (LIST) { repeated group list { required binary element (UTF8); } }
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(compression);
    let properties = Arc::new(properties.build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    let texts = |texts: Vec<String>| -> Vec<ByteArray> {
        texts
            .into_iter()
            .map(|t| ByteArray::from(t.into_bytes()))
            .collect()
    };
    let numbers: Vec<i64> = (1..=rows).collect();
    for part in numbers.chunks(usize::try_from(group).unwrap()) {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let questions = texts(part.iter().map(|n| format!("q{n}")).collect());
        column
            .typed::<ByteArrayType>()
            .write_batch(&questions, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<Int64Type>()
            .write_batch(part, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let options = texts(
            part.iter()
                .flat_map(|n| [format!("a{n}"), format!("b{n}")])
                .collect(),
        );
        let (definition, repetition): (Vec<i16>, Vec<i16>) =
            part.iter().flat_map(|_| [(1, 0), (1, 1)]).unzip();
        column
            .typed::<ByteArrayType>()
            .write_batch(&options, Some(&definition), Some(&repetition))
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

#[tokio::test]
async fn every_form_asks_the_same_questions_in_pages_of_any_size() {
    let folder = Folder::with(numbered(100));
    let rows: Vec<String> = (1..=100).map(|n| format!("{n},q{n}")).collect();
    folder.write(
        "data.csv",
        format!("answer,question\n{}\n", rows.join("\n")),
    );
    folder.write(
        "crlf.csv",
        format!("\u{feff}answer,question\r\n{}", rows.join("\r\n")),
    );
    folder.write(
        "data.tsv",
        format!("answer\tquestion\n{}", rows.join("\n").replace(',', "\t")),
    );
    folder.write("one.parquet", parquet_of(100, 100, Compression::SNAPPY));
    folder.write(
        "many.parquet",
        parquet_of(100, 7, Compression::UNCOMPRESSED),
    );
    folder.write(
        "gzip.parquet",
        parquet_of(100, 50, Compression::GZIP(GzipLevel::default())),
    );
    let jsonl = read_all(&folder.jsonl("").await.unwrap(), 1000)
        .await
        .unwrap();
    for file in [
        "data.csv",
        "crlf.csv",
        "data.tsv",
        "one.parquet",
        "many.parquet",
        "gzip.parquet",
    ] {
        let dataset = folder.table(file, "").await.unwrap();
        let questions = read_all(&dataset, 1000).await.unwrap();
        assert_eq!(dataset.info().await.unwrap().size, Some(100), "{file}");
        for (question, expected) in questions.iter().zip(&jsonl) {
            assert_eq!(
                (&question.text, &question.gold),
                (&expected.text, &expected.gold),
                "{file}"
            );
        }
        // A line of CSV has the names before it; a row of Parquet has nothing.
        let first = if file.ends_with("parquet") { "1" } else { "2" };
        assert_eq!(questions[0].id, first, "{file}");
        for limit in [1, 7, 99] {
            assert_eq!(
                read_all(&dataset, limit).await.unwrap(),
                questions,
                "{file} {limit}"
            );
        }
    }
}

#[tokio::test]
async fn lists_in_parquet_are_options() {
    let folder = Folder::with("");
    folder.write("data.parquet", parquet_of(3, 2, Compression::UNCOMPRESSED));
    let options = r#", "kind": "choice", "gold": "{{ 'B' }}""#;
    let dataset = folder.table("data.parquet", options).await.unwrap();
    let questions = read_all(&dataset, 9).await.unwrap();
    assert_eq!(questions[2].options, ["a3", "b3"]);
    assert_eq!(questions[2].gold.as_deref(), Some("B"));
}

#[tokio::test]
async fn pages_of_parquet_read_again_from_an_older_cursor() {
    let folder = Folder::with("");
    folder.write("data.parquet", parquet_of(50, 20, Compression::SNAPPY));
    let dataset = folder.table("data.parquet", "").await.unwrap();
    let first = page(&dataset, None, 30).await.unwrap();
    let second = page(&dataset, first.next.clone(), 10).await.unwrap();
    assert_eq!(second.questions[0].id, "31");
    let third = page(&dataset, second.next.clone(), 10).await.unwrap();
    assert_eq!(page(&dataset, first.next, 10).await.unwrap(), second);
    assert_eq!(page(&dataset, second.next, 10).await.unwrap(), third);
}

#[tokio::test]
async fn a_parquet_file_cut_anywhere_is_an_error_and_no_panic() {
    let whole = parquet_of(40, 10, Compression::SNAPPY);
    for keep in [
        0,
        3,
        4,
        12,
        whole.len() / 2,
        whole.len() - 9,
        whole.len() - 1,
    ] {
        let folder = Folder::with("");
        folder.write("data.parquet", &whole[..keep]);
        let dataset = folder.table("data.parquet", "").await.unwrap();
        let error = read_all(&dataset, 9).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidData, "{keep}: {error}");
        assert!(error.hint.unwrap().contains("arrived"));
    }
    // Bytes that are wrong inside.
    let mut spoilt = whole.clone();
    for byte in &mut spoilt[60..200] {
        *byte ^= 0x5a;
    }
    let folder = Folder::with("");
    folder.write("data.parquet", spoilt);
    let dataset = folder.table("data.parquet", "").await.unwrap();
    assert!(read_all(&dataset, 9).await.is_err());
}

#[tokio::test]
async fn quoted_cells_hold_commas_quotes_and_line_ends() {
    let folder = Folder::with("");
    folder.write(
        "data.csv",
        "question,answer\n\"a, \"\"b\"\"\nc\",1\n\nd,\n\"e\",3\n",
    );
    let dataset = folder.table("data.csv", "").await.unwrap();
    for limit in [1, 9] {
        let questions = read_all(&dataset, limit).await.unwrap();
        assert_eq!(questions[0].text, "a, \"b\"\nc");
        assert_eq!(questions[1].gold, None, "an empty cell is nothing");
        let ids: Vec<&str> = questions.iter().map(|q| q.id.as_str()).collect();
        // A row's number is that of the line after the row before it, blank or not.
        assert_eq!(ids, ["2", "4", "6"]);
    }
    assert_eq!(dataset.info().await.unwrap().size, Some(3));
}

#[tokio::test]
async fn broken_csv_is_placed() {
    for (content, line, what) in [
        ("question,answer\na,1\nb\n", "3", "1 values under 2 names"),
        ("question,answer\na,1,2\n", "2", "3 values under 2 names"),
        (
            "question,question\na,1\n",
            "1",
            "two columns are called \"question\"",
        ),
        ("problem,answer\na,1\n", "2", "no field `question`"),
        ("question,answer\n,1\n", "2", "`question` is null or empty"),
    ] {
        let folder = Folder::with("");
        folder.write("data.csv", content);
        let dataset = folder.table("data.csv", "").await.unwrap();
        let error = read_all(&dataset, 9).await.unwrap_err();
        assert!(error.message.contains(what), "{error}");
        assert_eq!(error.context_value("line"), Some(line), "{error}");
    }
    let folder = Folder::with("");
    folder.write("data.csv", b"question,answer\n\xff,1\n");
    let dataset = folder.table("data.csv", "").await.unwrap();
    let error = read_all(&dataset, 9).await.unwrap_err();
    assert!(error.message.contains("no UTF-8"), "{error}");
}

#[tokio::test]
async fn a_quote_that_is_never_closed_does_not_take_the_whole_file() {
    let folder = Folder::with("");
    let rest = "b,1\n".repeat(3 << 20);
    folder.write("data.csv", format!("question,answer\na,1\n\"b,1\n{rest}"));
    let dataset = folder
        .table("data.csv", r#", "max_line_bytes": 1000000"#)
        .await
        .unwrap();
    let error = read_all(&dataset, 9).await.unwrap_err();
    assert_eq!(error.context_value("line"), Some("3"), "{error}");
    assert!(
        error.message.contains("longer than 1000000 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn an_empty_csv_and_one_of_names_only_are_empty() {
    for content in ["", "question,answer\n", "question,answer"] {
        let folder = Folder::with("");
        folder.write("data.csv", content);
        let dataset = folder.table("data.csv", "").await.unwrap();
        assert_eq!(read_all(&dataset, 9).await.unwrap(), [], "{content:?}");
        assert_eq!(dataset.info().await.unwrap().size, Some(0));
    }
}

#[tokio::test]
async fn records_that_cannot_be_read_are_left_out_and_counted_where_asked() {
    let long = format!("{{\"question\": \"{}\"}}", "x".repeat(2000));
    let bad = ["{\"question\": ", "{\"problem\": 1}", "17", long.as_str()];
    let mut lines: Vec<String> = numbered(20).lines().map(str::to_owned).collect();
    for (at, line) in bad.iter().enumerate() {
        lines.insert(3 + 4 * at, (*line).to_owned());
    }
    let folder = Folder::with(lines.join("\n"));
    let dataset = folder
        .jsonl(r#", "on_error": "skip", "max_line_bytes": 1000"#)
        .await
        .unwrap();
    let info = dataset.info().await.unwrap();
    let skipped = info.skipped.unwrap();
    assert_eq!((info.size, skipped.records), (Some(20), 4));
    assert!(
        skipped.first.starts_with("line 4 of `"),
        "{}",
        skipped.first
    );
    for limit in [1, 3, 100] {
        let questions = read_all(&dataset, limit).await.unwrap();
        assert_eq!(questions.len(), 20, "{limit}");
        assert_eq!(questions[3].id, "5", "lines keep their numbers");
    }
    // Without it, the first of them ends the reading.
    let strict = folder.jsonl("").await.unwrap();
    assert_eq!(strict.info().await.unwrap().skipped, None);
    assert!(read_all(&strict, 100).await.is_err());

    folder.write("data.csv", "question,answer\na,1\nb\nc,3\n");
    let csv = folder
        .table("data.csv", r#", "on_error": "skip""#)
        .await
        .unwrap();
    assert_eq!(csv.info().await.unwrap().skipped.unwrap().records, 1);
    assert_eq!(read_all(&csv, 1).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_overlong_line_is_passed_over_wherever_its_end_lies() {
    // The line's end may be the very byte at which reading stopped.
    for length in [19, 20, 21, 22, 23, 40] {
        let long = "x".repeat(length);
        let folder = Folder::with(format!(
            "{{\"question\":\"a\"}}\n{long}\n{{\"question\":\"b\"}}\n"
        ));
        let dataset = folder
            .jsonl(r#", "on_error": "skip", "max_line_bytes": 20"#)
            .await
            .unwrap();
        let questions = read_all(&dataset, 1).await.unwrap();
        let texts: Vec<&str> = questions.iter().map(|q| q.text.as_str()).collect();
        assert_eq!(texts, ["a", "b"], "{length}");
    }
}

#[tokio::test]
async fn a_folder_is_its_files_by_name_and_ids_tell_them_apart() {
    let folder = Folder::with("");
    folder.write("set/b.jsonl", numbered(3));
    folder.write("set/a.csv", "question,answer\nx,1\ny,2\n");
    folder.write("set/notes.txt", "not data");
    folder.write(
        "set/origin.json",
        r#"{"licence": "mit", "source": "https://hub/x", "files": []}"#,
    );
    let dataset = folder.table("set", "").await.unwrap();
    for limit in [1, 2, 9] {
        let questions = read_all(&dataset, limit).await.unwrap();
        let ids: Vec<&str> = questions.iter().map(|q| q.id.as_str()).collect();
        assert_eq!(ids, ["a:2", "a:3", "b:1", "b:2", "b:3"]);
    }
    let info = dataset.info().await.unwrap();
    assert_eq!((info.size, info.name.as_str()), (Some(5), "set"));
    assert_eq!(info.license.as_deref(), Some("mit"));
    assert_eq!(info.source.as_deref(), Some("https://hub/x"));
    // The digest is that of all files: another order or content is another.
    let before = info.digest;
    folder.write("set/b.jsonl", numbered(2));
    let after = folder
        .table("set", "")
        .await
        .unwrap()
        .info()
        .await
        .unwrap()
        .digest;
    assert_ne!(before, after);
    folder.write("empty/notes.txt", "");
    let error = folder.table("empty", "").await.unwrap_err();
    assert!(error.message.contains("holds no data"), "{error}");
}

/// A generator without a crate: `SplitMix64`.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    usize::try_from((x ^ (x >> 31)) >> 33).unwrap()
}

#[tokio::test]
async fn files_of_random_pieces_end_in_pages_that_agree_or_in_an_error() {
    const PIECES: [&[u8]; 18] = [
        b"question",
        b"answer",
        b",",
        b",",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\"",
        b"\"\"",
        b"\t",
        b" ",
        b"{\"question\":\"q\"}\n",
        b"{\"question\":",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\0",
        "中".as_bytes(),
    ];
    let mut state = 1024;
    for case in 0..400 {
        let mut content = Vec::new();
        if case % 2 == 0 {
            content.extend(b"question,answer\n");
        }
        for _ in 0..random(&mut state) % 40 {
            content.extend(PIECES[random(&mut state) % PIECES.len()]);
        }
        for file in ["data.csv", "data.tsv", "data.jsonl", "data.parquet"] {
            let folder = Folder::with("");
            folder.write(file, &content);
            for on_error in ["stop", "skip"] {
                let options = format!(r#", "on_error": "{on_error}", "max_line_bytes": 100"#);
                let dataset = folder.table(file, &options).await.unwrap();
                let whole = read_all(&dataset, 1000).await;
                for limit in [1, 2] {
                    let paged = read_all(&dataset, limit).await;
                    match (&whole, &paged) {
                        (Ok(whole), Ok(paged)) => assert_eq!(whole, paged, "{file} {content:?}"),
                        (Err(_), Err(_)) => {}
                        other => panic!("{file} {content:?}: {other:?}"),
                    }
                }
                if let (Ok(whole), Ok(info)) = (&whole, dataset.info().await) {
                    assert_eq!(info.size, Some(whole.len() as u64), "{file} {content:?}");
                }
            }
        }
    }
}
