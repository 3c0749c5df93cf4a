//! How diagnostics look, and what becomes of other errors.

use std::{ffi::OsString, fmt, sync::Arc};

use serde_json::json;

use super::{render::fits, *};

fn text() -> Arc<Text> {
    Arc::new(Text::file(
        "gsm8k.toml",
        "name = \"ü\"\n\ttemprature = 0.1\nlong = [\n  1,\n]\n",
    ))
}

fn span_of(part: &str) -> Place {
    let text = text();
    let start = text.content().find(part).unwrap();
    Place::span(text, start..start + part.len())
}

#[test]
fn a_diagnostic_with_a_span_shows_its_line() {
    let d = Diagnostic::at(span_of("temprature"), "unknown key `temprature` in `[llm]`")
        .label("here")
        .cause("nobody knows it\nnor its sister")
        .help("did you mean `temperature`?")
        .help("or nothing");
    insta::assert_snapshot!("span", d.render(Color::Never));
}

#[test]
fn a_span_over_lines_is_cut_at_the_first() {
    let Place::Span { text, span } = span_of("[\n  1,\n]") else {
        panic!("it is a span")
    };
    assert_eq!(&text.content()[span], "[");
}

#[test]
fn a_span_is_kept_within_the_text_and_its_characters() {
    for (start, end) in [(0, 1000), (1000, 2000), (9, 9), (8, 9), (5, 2)] {
        let place = Place::span(text(), start..end);
        let d = Diagnostic::at(place.clone(), "x");
        let Place::Span { text, span } = place else {
            panic!("it is a span")
        };
        assert!(text.content().get(span).is_some(), "{start}..{end}");
        assert!(d.render(Color::Never).starts_with("error: x\n"));
    }
}

#[test]
fn places_without_a_text_are_shown_in_one_line() {
    let check = |place: Place, expected: &str| {
        let rendered = Diagnostic::warning("w").place(place).render(Color::Never);
        assert_eq!(rendered, format!("warning: w\n  --> {expected}\n"));
    };
    check(Place::file("a.jsonl"), "a.jsonl");
    check(Place::line("a.jsonl", 17), "a.jsonl:17");
    check(
        Place::File {
            file: "a".into(),
            line: Some(3),
            column: Some(4),
        },
        "a:3:4",
    );
    check(Place::named("plugin `x`"), "plugin `x`");
    check(Place::span(text(), 0..0), "gsm8k.toml:1:1");
}

#[test]
fn columns_count_characters() {
    let text = text();
    let at = |part: &str| text.line_column(text.content().find(part).unwrap());
    assert_eq!(at("name"), (1, 1));
    assert_eq!(
        text.line_column(text.content().find('ü').unwrap() + 'ü'.len_utf8()),
        (1, 10)
    );
    assert_eq!(at("temprature"), (2, 2));
    assert_eq!(text.line_column(usize::MAX), (6, 1));
}

#[test]
fn json_says_the_same() {
    let d = Diagnostic::at(span_of("temprature"), "m")
        .label("l")
        .cause("c")
        .help("h");
    assert_eq!(
        d.to_json(),
        json!({
            "severity": "error", "message": "m", "label": "l", "causes": ["c"], "help": ["h"],
            "place": {
                "file": "gsm8k.toml", "line": 2, "column": 2, "end_line": 2, "end_column": 12,
            },
        })
    );
    let argument = Arc::new(Text::argument("--set", "llm.x=1"));
    let d = Diagnostic::at(Place::span(argument, 0..5), "m");
    assert_eq!(
        d.to_json()["place"],
        json!({ "option": "--set", "argument": "llm.x=1", "column": 1, "end_column": 6 })
    );
    assert_eq!(
        Diagnostics::from(Diagnostic::error("m")).to_json()[0]["place"],
        Value::Null
    );
}

#[test]
fn colour_only_adds_to_the_words() {
    let d = Diagnostic::at(span_of("temprature"), "m")
        .cause("c")
        .help("h");
    let coloured = d.render(Color::Always);
    assert!(coloured.contains("\u{1b}["));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, d.render(Color::Never));
}

#[test]
fn no_color_and_dumb_terminals_are_respected() {
    let check = |is_terminal, set: &[(&str, &str)], expected| {
        let variable = |name: &str| {
            set.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| OsString::from(value))
        };
        assert_eq!(fits(is_terminal, variable), expected, "{set:?}");
    };
    check(true, &[], true);
    check(true, &[("NO_COLOR", "")], true);
    check(true, &[("NO_COLOR", "0")], false);
    check(true, &[("TERM", "dumb")], false);
    check(false, &[], false);
}

#[test]
fn escape_codes_of_others_are_not_passed_on() {
    let evil = "\u{1b}[31mred";
    let text = Arc::new(Text::file(evil, format!("key = \"{evil}\"")));
    let d = Diagnostic::at(Place::span(text, 0..3), evil)
        .label(evil)
        .cause(evil)
        .help(evil);
    assert!(!d.render(Color::Never).contains('\u{1b}'));
    let d = Diagnostic::at(Place::named(evil), evil).label(evil);
    assert!(!d.render(Color::Never).contains('\u{1b}'));
}

#[test]
fn hidden_bytes_are_never_shown() {
    let mut text = Text::argument("--set", "llm.api_key=hünter2");
    text.hide(12..text.content().len());
    let d = Diagnostic::at(Place::span(Arc::new(text), 0..11), "m");
    for shown in [
        d.render(Color::Never),
        d.to_json().to_string(),
        format!("{d:?}"),
    ] {
        assert!(!shown.contains("nter2"), "{shown}");
    }
}

#[test]
fn sorting_goes_by_place_and_drops_repetitions() {
    let at = |part| Diagnostic::at(span_of(part), part);
    let set = Arc::new(Text::argument("--set", "x"));
    let argument = Diagnostic::at(Place::span(set, 0..1), "set");
    let mut all = Diagnostics(vec![argument.clone(), at("long"), at("name"), at("long")]);
    all.push(Diagnostic::error("nowhere"));
    all.sort();
    let order: Vec<_> = all.0.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(order, ["nowhere", "name", "long", "set"]);
}

#[test]
fn warnings_alone_do_not_stop() {
    let mut all = Diagnostics::from(Diagnostic::warning("w"));
    assert_eq!(all.clone().into_result(3), Ok(3));
    all.push(Diagnostic::error("e"));
    assert_eq!(all.clone().into_result(3), Err(all));
}

#[derive(Debug)]
struct Outer(Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot open data set `gsm8k`")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_ref())
    }
}

#[test]
fn errors_of_plugins_keep_place_cause_and_hint() {
    use tale_api::{Error, ErrorKind};
    let io = std::io::Error::other("end of file");
    let error = Error::new(ErrorKind::InvalidData, "no JSON")
        .hint("mend the line")
        .context("plugin", "gsm8k")
        .context("file", "gsm8k.jsonl")
        .context("line", "17")
        .caused_by(&io);
    insta::assert_snapshot!(
        "api_error",
        Diagnostic::from_error(&error).render(Color::Never)
    );
    let wrapped = Outer(error.into());
    insta::assert_snapshot!(
        "api_error_wrapped",
        Diagnostic::from_error(&wrapped).render(Color::Never)
    );
    let error = Error::new(ErrorKind::RateLimited, "HTTP 429")
        .retry_after_s(60.0)
        .context("plugin", "openai")
        .operation("generate");
    insta::assert_snapshot!(
        "api_error_elsewhere",
        Diagnostic::from_error(&error).render(Color::Never)
    );
}

#[test]
fn a_cause_that_the_message_says_already_is_not_said_again() {
    let inner = Diagnostic::error("gsm8k").help("h");
    let d = Diagnostic::from_error(&Outer(inner.into()));
    assert_eq!((d.causes.len(), d.help), (0, vec!["h".to_owned()]));
    let all = Diagnostics(vec![Diagnostic::error("a"), Diagnostic::error("b")]);
    assert_eq!(Diagnostics::from_error(&all), all);
}
