//! Files that are no plugins, or not the ones that were meant.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tale_api::host::{LoadError, LoadPolicy, Plugin};
use tempfile::TempDir;

use crate::built;

/// A copy of the plugin in which the bytes `from` are changed to `to`, from `offset` after them on.
fn patched(dir: &TempDir, from: &[u8], offset: usize, to: &[u8]) -> PathBuf {
    let mut content = fs::read(built::hostile()).unwrap();
    let places: Vec<_> = (0..content.len() - from.len())
        .filter(|&at| content[at..].starts_with(from))
        .collect();
    assert!(!places.is_empty(), "the plugin holds no {from:?}");
    for at in places {
        content[at + offset..at + offset + to.len()].copy_from_slice(to);
    }
    write(dir, &content)
}

fn write(dir: &TempDir, content: &[u8]) -> PathBuf {
    let path = dir.path().join("libplugin.so");
    fs::write(&path, content).unwrap();
    path
}

/// What loading gives; inspecting gives the same, as far as it needs no code of the plugin.
#[track_caller]
fn refused(path: &Path) -> LoadError {
    let inspected = Plugin::inspect(path).unwrap_err();
    let loaded = Plugin::load(path, &LoadPolicy::default()).unwrap_err();
    assert_eq!(inspected.to_string(), loaded.to_string());
    assert!(!loaded.hint().is_empty());
    assert_eq!(loaded.path(), path);
    loaded
}

#[test]
fn what_is_no_library_is_refused() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("missing.so");
    assert!(matches!(
        Plugin::inspect(&missing),
        Err(LoadError::Open { .. })
    ));
    assert!(matches!(
        Plugin::load(&missing, &LoadPolicy::default()),
        Err(LoadError::Open { .. })
    ));
    assert!(matches!(refused(dir.path()), LoadError::NotAFile { .. }));
    for content in [
        &b""[..],
        b"#!/bin/sh\necho no library\n",
        b"\x7fELF",
        &[0; 4096],
    ] {
        let error = refused(&write(&dir, content));
        assert!(matches!(error, LoadError::NotALibrary { .. }), "{error}");
    }
}

#[test]
fn a_library_cut_anywhere_is_refused() {
    let dir = TempDir::new().unwrap();
    let whole = fs::read(built::hostile()).unwrap();
    for part in 1..16 {
        let path = write(&dir, &whole[..whole.len() / 16 * part]);
        assert!(
            Plugin::inspect(&path).is_err(),
            "{part}/16 of a plugin passed"
        );
    }
}

#[test]
fn a_program_is_refused() {
    // This test itself: an executable that exports nothing of the kind.
    let error = Plugin::inspect(&std::env::current_exe().unwrap()).unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::NoSymbol { .. } | LoadError::NotALibrary { .. }
        ),
        "{error}"
    );
}

#[test]
fn a_library_without_the_symbol_is_refused() {
    let dir = TempDir::new().unwrap();
    let error = refused(&patched(&dir, b"tale_plugin\0", 0, b"tale_plugout"));
    assert!(matches!(error, LoadError::NoSymbol { .. }), "{error}");
}

#[test]
fn a_wrong_magic_is_refused() {
    let dir = TempDir::new().unwrap();
    let error = refused(&patched(&dir, b"TALEPLUG", 4, b"PLUM"));
    let LoadError::WrongMagic { found, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(&found, b"TALEPLUM");
}

#[test]
fn loader_refuses_a_newer_abi_major() {
    let dir = TempDir::new().unwrap();
    let error = refused(&patched(&dir, b"TALEPLUG", 8, &2_u32.to_ne_bytes()));
    assert!(
        error
            .to_string()
            .ends_with("is built for plugin ABI 2.1, this program speaks 1.1")
    );
    assert!(
        error.hint().starts_with("update this program"),
        "{}",
        error.hint()
    );
    assert!(matches!(error, LoadError::NewerAbi { .. }));
}

#[test]
fn an_older_abi_major_is_refused() {
    let dir = TempDir::new().unwrap();
    let error = refused(&patched(&dir, b"TALEPLUG", 8, &0_u32.to_ne_bytes()));
    assert!(matches!(error, LoadError::OlderAbi { .. }), "{error}");
}

#[test]
fn a_newer_abi_minor_is_welcome() {
    let dir = TempDir::new().unwrap();
    let path = patched(&dir, b"TALEPLUG", 12, &7_u32.to_ne_bytes());
    assert_eq!(Plugin::inspect(&path).unwrap().abi.to_string(), "1.7");
    Plugin::load(&path, &LoadPolicy::default()).unwrap();
}

#[test]
fn a_smaller_descriptor_is_refused() {
    let dir = TempDir::new().unwrap();
    let error = refused(&patched(&dir, b"TALEPLUG", 16, &24_u32.to_ne_bytes()));
    assert!(
        matches!(
            error,
            LoadError::TooSmall {
                found: 24,
                needed: 32,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_manifest_that_cannot_be_is_refused() {
    let dir = TempDir::new().unwrap();
    for (offset, to) in [
        (20, &u32::MAX.to_ne_bytes()[..]),  // longer than the file
        (20, &5_u32.to_ne_bytes()[..]),     // cut short
        (16, &1_000_u32.to_ne_bytes()[..]), // starts in its own middle
        (32, b"not { JSON"),
    ] {
        let error = refused(&patched(&dir, b"TALEPLUG", offset, to));
        assert!(matches!(error, LoadError::BadManifest { .. }), "{error}");
    }
    let error = refused(&patched(&dir, b"\"name\":\"asking\"", 8, b"faulty\""));
    assert!(
        error
            .to_string()
            .ends_with("two estimators are named `faulty`"),
        "{error}"
    );
}

#[test]
fn a_start_that_fails_is_an_error() {
    let dir = TempDir::new().unwrap();
    for (mode, reason) in [
        (b'n', "it gave no table"),
        (b's', "it gave a table of 8 bytes where 64 are needed"),
        (b'f', "it gave a table with a null function"),
    ] {
        let path = patched(&dir, b"HOSTILE-START: ", 15, &[mode]);
        // A name of its own, or the system's loader takes it for the one it has already.
        let own = dir.path().join(format!("lib{}.so", char::from(mode)));
        fs::rename(path, &own).unwrap();
        let error = Plugin::load(&own, &LoadPolicy::default()).unwrap_err();
        let LoadError::StartFailed { reason: found, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(found, reason);
    }
}

#[test]
fn a_start_that_hangs_is_given_up() {
    let dir = TempDir::new().unwrap();
    let path = patched(&dir, b"HOSTILE-START: ", 15, b"h");
    let mut policy = LoadPolicy::default();
    policy.start_within = Duration::from_millis(200);
    let start = Instant::now();
    let error = Plugin::load(&path, &policy).unwrap_err();
    assert!(matches!(error, LoadError::StartTimeout { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_pin_is_compared_with_the_bytes_that_are_loaded() {
    let path = built::hostile();
    let mut policy = LoadPolicy::default();
    policy.sha256 = Some(Plugin::inspect(&path).unwrap().sha256.to_uppercase());
    let plugin = Plugin::load(&path, &policy).unwrap();
    assert_eq!(plugin.manifest().name, "hostile");
    policy.sha256 = Some("0".repeat(64));
    let error = Plugin::load(&path, &policy).unwrap_err();
    assert!(matches!(error, LoadError::Digest { .. }), "{error}");
    assert_eq!(
        error.hint(),
        "if you trust the new file, put its SHA-256 into the manifest"
    );
}

#[cfg(unix)]
#[test]
fn a_plugin_that_others_can_replace_is_refused_unless_allowed() {
    use std::os::unix::fs::PermissionsExt;
    let set =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let dir = TempDir::new().unwrap();
    let path = write(&dir, &fs::read(built::hostile()).unwrap());
    set(&path, 0o755);
    set(dir.path(), 0o777);
    let error = Plugin::load(&path, &LoadPolicy::default()).unwrap_err();
    let LoadError::WritableByOthers { writable, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(writable, &dir.path().canonicalize().unwrap());
    let mut policy = LoadPolicy::default();
    policy.allow_writable_by_others = true;
    Plugin::load(&path, &policy).unwrap();

    set(dir.path(), 0o755);
    Plugin::load(&path, &LoadPolicy::default()).unwrap();
    set(&path, 0o757);
    let error = Plugin::load(&path, &LoadPolicy::default()).unwrap_err();
    assert!(
        matches!(error, LoadError::WritableByOthers { .. }),
        "{error}"
    );
}
