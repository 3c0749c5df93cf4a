//! `--set key.path=value`: a manifest changed from the command line.

use std::{ops::Range, sync::Arc};

use serde_json::{Map, Value};
use toml_edit::Key;

use super::{
    source::{Source, Spot, child},
    tree,
    words::{is_secret_name, kind_of},
};
use crate::diagnostics::{Diagnostic, Diagnostics, Place, Text};

const OPTION: &str = "--set";

/// Lays `sets` over the manifest, later ones over earlier ones.
///
/// The path is a TOML key, elements of arrays by their number (`llm.1.model`). The value is TOML
/// (`8`, `true`, `["a"]`, `{ n = 5 }`), or else text that needs no quotes.
pub(super) fn apply(source: &mut Source, sets: &[String], problems: &mut Diagnostics) {
    for argument in sets {
        let text = source.texts.len();
        source.texts.push(Arc::new(sealed(argument)));
        if let Err(problem) = apply_one(source, text, argument) {
            problems.push(problem);
        }
    }
}

fn apply_one(source: &mut Source, text: usize, argument: &str) -> Result<(), Diagnostic> {
    let at = |span| Place::span(Arc::clone(&source.texts[text]), span);
    let Some(equals) = equals_sign(argument) else {
        let problem = Diagnostic::at(at(0..argument.len()), "`--set` without a value");
        return Err(
            problem.help("write `--set key.path=value`, for instance `--set llm.temperature=0`")
        );
    };
    let path = argument[..equals].trim();
    let keys = Key::parse(path).map_err(|_| {
        let problem = Diagnostic::at(at(0..equals), format!("`{path}` is not the path of a key"));
        problem.help("write keys with dots between them, for instance `llm.options.slots`")
    })?;
    let keys: Vec<String> = keys.iter().map(|k| k.get().to_owned()).collect();
    let written = &argument[equals + 1..];
    let value = match tree::value(written.trim()) {
        Ok(value) => value,
        // What looks like more than text was meant to be more.
        Err(why) if written.trim_start().starts_with(['[', '{', '"', '\'']) => {
            let span = equals + 1..argument.len();
            return Err(Diagnostic::at(at(span), format!("not a TOML value: {why}")));
        }
        Err(_) => written.into(),
    };
    put(
        source,
        text,
        &keys,
        value,
        0..equals,
        equals + 1..argument.len(),
    )
}

/// Puts `value` at `keys`, making tables on the way.
fn put(
    source: &mut Source,
    text: usize,
    keys: &[String],
    value: Value,
    key_span: Range<usize>,
    value_span: Range<usize>,
) -> Result<(), Diagnostic> {
    let place = Place::span(Arc::clone(&source.texts[text]), key_span.clone());
    let mut pointer = String::new();
    let mut made = Vec::new();
    let mut here = &mut source.value;
    for (i, key) in keys.iter().enumerate() {
        let outer = if i == 0 {
            "the manifest".to_owned()
        } else {
            format!("`{}`", keys[..i].join("."))
        };
        here = match here {
            Value::Object(table) => table.entry(key.as_str()).or_insert_with(|| {
                made.push(child(&pointer, key));
                Value::Object(Map::new())
            }),
            Value::Array(items) => {
                let count = items.len();
                let element = key.parse().ok().and_then(|n: usize| items.get_mut(n));
                element.ok_or_else(|| no_element(place.clone(), &outer, keys, i, count))?
            }
            other => {
                let found = kind_of(other);
                return Err(Diagnostic::at(
                    place,
                    format!("{outer} is {found} and has no `{key}`"),
                ));
            }
        };
        pointer = child(&pointer, key);
    }
    *here = value;
    let below = format!("{pointer}/");
    source.spots.retain(|p, _| !p.starts_with(&below));
    let spot = Spot {
        text,
        key: key_span.clone(),
        value: value_span,
    };
    let mut inner = Vec::new();
    pointers_below(here, &pointer, &mut inner);
    for table in made {
        source.spots.insert(
            table,
            Spot {
                text,
                key: key_span.clone(),
                value: key_span.clone(),
            },
        );
    }
    inner.push(pointer);
    for pointer in inner {
        source.spots.insert(pointer, spot.clone());
    }
    Ok(())
}

fn no_element(place: Place, outer: &str, keys: &[String], at: usize, count: usize) -> Diagnostic {
    let mut path = keys.to_vec();
    if path[at].parse::<usize>().is_err() {
        path.insert(at, "0".into());
        let problem = Diagnostic::at(place, format!("{outer} is an array of {count}"));
        return problem.help(format!(
            "say which one is meant, for instance `--set {}=…`",
            path.join(".")
        ));
    }
    let problem = Diagnostic::at(place, format!("{outer} has no element {}", path[at]));
    problem.help(format!("it has {count}, counted from 0"))
}

/// Pointers of everything inside `value`.
fn pointers_below(value: &Value, pointer: &str, out: &mut Vec<String>) {
    let mut add = |segment: &str, inner: &Value| {
        let pointer = child(pointer, segment);
        pointers_below(inner, &pointer, out);
        out.push(pointer);
    };
    match value {
        Value::Object(table) => table.iter().for_each(|(key, inner)| add(key, inner)),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, inner)| add(&i.to_string(), inner));
        }
        _ => {}
    }
}

/// The first `=` outside quotes.
fn equals_sign(argument: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in argument.char_indices() {
        match (quote, c) {
            (None, '=') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

/// The argument's text, the value hidden where the path names a secret.
fn sealed(argument: &str) -> Text {
    let mut text = Text::argument(OPTION, argument);
    if let Some(equals) = argument.find('=') {
        let last = argument[..equals]
            .trim()
            .rsplit('.')
            .next()
            .unwrap_or_default();
        if is_secret_name(last.trim_matches(['"', '\''])) {
            text.hide(equals + 1..argument.len());
        }
    }
    text
}
