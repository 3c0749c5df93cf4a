//! Whatever the bytes are, people get an answer.

use proptest::prelude::*;

use super::*;
use crate::diagnostics::{Color, Place};

/// Reads, renders in every way, and holds what must hold of any manifest.
fn read_any(bytes: &[u8], sets: &[String]) {
    let (loaded, problems) = from_bytes(Path::new("any.toml"), bytes, sets);
    assert!(
        loaded.is_some() || problems.has_errors(),
        "neither a manifest nor a reason"
    );
    for problem in &problems.0 {
        assert!(problem.place.is_some(), "no place: {problem}");
        if let Some(Place::Span { text, span }) = &problem.place {
            assert!(
                text.content().get(span.clone()).is_some(),
                "{span:?} is no part of the text"
            );
        }
    }
    let _ = (
        problems.render(Color::Never),
        problems.render(Color::Always),
        problems.to_json(),
    );
    let Some(loaded) = loaded.filter(|_| !problems.has_errors()) else {
        return;
    };
    let resolved = loaded.manifest.resolved_toml::<&str>(&[]);
    let (again, problems) = from_bytes(Path::new("again.toml"), resolved.as_bytes(), &[]);
    assert!(problems.is_empty(), "{problems}\n{resolved}");
    assert_eq!(
        again.expect("no problems").manifest,
        loaded.manifest,
        "{resolved}"
    );
}

/// A key of the manifest, a key near one, or any.
fn key() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 20] = [
        "name",
        "seed",
        "llm",
        "dataset",
        "plugin",
        "options",
        "estimator",
        "fallback",
        "budget",
        "methods",
        "evaluate",
        "sample",
        "n",
        "prices",
        "input",
        "plugins",
        "stop",
        "0",
        "modle",
        "task",
    ];
    prop_oneof![
        4 => prop::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        1 => "[a-z_-]{1,8}",
        1 => any::<String>().prop_map(|s| toml_edit::Key::new(s).to_string()),
    ]
}

/// A TOML value, most often a good one.
fn toml_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| toml_edit::Value::from(n).to_string()),
        any::<String>().prop_map(|s| toml_edit::Value::from(s).to_string()),
        prop::sample::select(
            &[
                "true",
                "\"direct\"",
                "\"gsm8k\"",
                "2024-01-01",
                "inf",
                "'x",
                "{"
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let entries = prop::collection::vec((key(), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            entries.prop_map(|entries| {
                let entries: Vec<_> = entries
                    .into_iter()
                    .map(|(k, v)| format!("{k} = {v}"))
                    .collect();
                format!("{{ {} }}", entries.join(", "))
            }),
        ]
    })
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (key(), toml_value()).prop_map(|(k, v)| format!("{k} = {v}")),
        1 => (key(), key(), toml_value()).prop_map(|(a, b, v)| format!("{a}.{b} = {v}")),
        1 => key().prop_map(|k| format!("[{k}]")),
        1 => key().prop_map(|k| format!("[[{k}]]")),
        1 => (key(), key()).prop_map(|(a, b)| format!("[{a}.{b}]")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_any(&bytes, &[]);
    }

    #[test]
    fn any_text_gets_an_answer(text in any::<String>(), sets in prop::collection::vec(any::<String>(), 0..3)) {
        read_any(text.as_bytes(), &sets);
    }

    #[test]
    fn any_toml_gets_an_answer(lines in prop::collection::vec(line(), 0..12)) {
        read_any(lines.join("\n").as_bytes(), &[]);
    }

    #[test]
    fn a_good_manifest_with_a_few_bytes_changed_gets_an_answer(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = FULL.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_any(&bytes, &[]);
        bytes.truncate(cut.index(bytes.len()));
        read_any(&bytes, &[]);
    }

    #[test]
    fn any_set_on_a_good_manifest_gets_an_answer(
        sets in prop::collection::vec((prop::collection::vec(key(), 1..4), toml_value()), 1..4),
        full in any::<bool>(),
    ) {
        let sets: Vec<_> = sets.into_iter().map(|(k, v)| format!("{}={v}", k.join("."))).collect();
        read_any(if full { FULL } else { SMALL }.as_bytes(), &sets);
    }
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    let deep = 100_000;
    read_any(format!("a = {}", "[".repeat(deep)).as_bytes(), &[]);
    read_any(format!("a = {}", "{a=".repeat(deep)).as_bytes(), &[]);
    read_any(format!("{}a = 1", "a.".repeat(deep)).as_bytes(), &[]);
    read_any(format!("[{}a]", "a.".repeat(deep)).as_bytes(), &[]);
    let set = format!("{}a=1", "a.".repeat(deep));
    read_any(
        SMALL.as_bytes(),
        &[set, format!("seed={}", "[".repeat(deep))],
    );
}
