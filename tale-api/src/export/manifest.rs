//! The manifest's JSON, put together and checked at compile time.

/// `text`, if it can stand between quotes in JSON as it is.
///
/// # Panics
/// (at compile time) If it contains a quote, a backslash or a control character, or is empty.
#[must_use]
pub const fn json_text(text: &'static str) -> &'static str {
    let bytes = text.as_bytes();
    assert!(
        !bytes.is_empty(),
        "names and descriptions of a plugin must not be empty"
    );
    let mut i = 0;
    while i < bytes.len() {
        assert!(
            bytes[i] != b'"' && bytes[i] != b'\\' && bytes[i] >= 0x20,
            "names and descriptions of a plugin must be free of quotes, backslashes and line breaks"
        );
        i += 1;
    }
    text
}

/// `schema`, if it is a JSON object.
///
/// # Panics
/// (at compile time) If it is not.
#[must_use]
pub const fn options_schema(schema: &'static str) -> &'static str {
    let bytes = schema.as_bytes();
    let start = skip_space(bytes, 0);
    assert!(
        start < bytes.len() && bytes[start] == b'{',
        "the schema of a component's options must be a JSON object"
    );
    let end = skip_space(bytes, value(bytes, start));
    assert!(
        end == bytes.len(),
        "the schema of a component's options has text after its end"
    );
    schema
}

/// Length of what [`join`] gives for `parts`.
#[must_use]
pub const fn length(parts: &[&str]) -> usize {
    let (mut sum, mut i) = (0, 0);
    while i < parts.len() {
        sum += parts[i].len();
        i += 1;
    }
    sum
}

/// `parts` joined. A comma before a closing bracket, as a macro's repetition leaves it, becomes a
/// space.
///
/// # Panics
/// (at compile time) If `LEN` is not [`length`]`(parts)`.
#[must_use]
pub const fn join<const LEN: usize>(parts: &[&str]) -> [u8; LEN] {
    let mut joined = [0; LEN];
    let (mut at, mut i) = (0, 0);
    while i < parts.len() {
        let part = parts[i].as_bytes();
        if part.len() > 1 && part[0] == b']' && at > 0 && joined[at - 1] == b',' {
            joined[at - 1] = b' ';
        }
        let mut j = 0;
        while j < part.len() {
            joined[at] = part[j];
            at += 1;
            j += 1;
        }
        i += 1;
    }
    assert!(at == LEN, "`LEN` must be the length of all parts");
    joined
}

const NOT_JSON: &str = "the schema of a component's options is not JSON";

const fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && matches!(bytes[at], b' ' | b'\t' | b'\n' | b'\r') {
        at += 1;
    }
    at
}

/// The index after the value that starts at `at`.
const fn value(bytes: &[u8], at: usize) -> usize {
    assert!(at < bytes.len(), "{}", NOT_JSON);
    match bytes[at] {
        b'{' => members(bytes, at + 1, b'}'),
        b'[' => members(bytes, at + 1, b']'),
        b'"' => string(bytes, at),
        b't' => word(bytes, at, b"true"),
        b'f' => word(bytes, at, b"false"),
        b'n' => word(bytes, at, b"null"),
        _ => number(bytes, at),
    }
}

/// The rest of an object or array after its opening bracket.
const fn members(bytes: &[u8], start: usize, close: u8) -> usize {
    let mut at = skip_space(bytes, start);
    if at < bytes.len() && bytes[at] == close {
        return at + 1;
    }
    loop {
        if close == b'}' {
            at = skip_space(bytes, string(bytes, at));
            assert!(at < bytes.len() && bytes[at] == b':', "{}", NOT_JSON);
            at = skip_space(bytes, at + 1);
        }
        at = skip_space(bytes, value(bytes, at));
        assert!(
            at < bytes.len() && (bytes[at] == b',' || bytes[at] == close),
            "{}",
            NOT_JSON
        );
        if bytes[at] == close {
            return at + 1;
        }
        at = skip_space(bytes, at + 1);
    }
}

const fn string(bytes: &[u8], start: usize) -> usize {
    assert!(start < bytes.len() && bytes[start] == b'"', "{}", NOT_JSON);
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        assert!(bytes[at] >= 0x20, "{}", NOT_JSON);
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    assert!(at < bytes.len(), "{}", NOT_JSON);
    at + 1
}

const fn word(bytes: &[u8], start: usize, expected: &[u8]) -> usize {
    let mut i = 0;
    while i < expected.len() {
        assert!(
            start + i < bytes.len() && bytes[start + i] == expected[i],
            "{}",
            NOT_JSON
        );
        i += 1;
    }
    start + i
}

/// Numbers are checked by their characters only; a host's parser does the rest.
const fn number(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < bytes.len() && matches!(bytes[at], b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') {
        at += 1;
    }
    assert!(at > start, "{}", NOT_JSON);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_without_the_last_comma() {
        const PARTS: &[&str] = &["[", "1,", "2,", "]}"];
        const JOINED: [u8; length(PARTS)] = join(PARTS);
        assert_eq!(std::str::from_utf8(&JOINED).unwrap(), "[1,2 ]}");
    }

    #[test]
    fn schemas_that_are_objects_pass() {
        for schema in [
            "{}",
            " {\n} ",
            r#"{"type": "object", "properties": {"a": {"enum": [1, -2.5e3, true, false, null]}}}"#,
            r#"{"a": "quote \" backslash \\ ä"}"#,
        ] {
            assert_eq!(options_schema(schema), schema);
        }
    }

    #[test]
    fn schemas_that_are_not_json_objects_fail() {
        for schema in [
            "",
            "[]",
            "null",
            "{",
            "{}}",
            r#"{"a"}"#,
            r#"{"a": }"#,
            r#"{"a": 1,}"#,
            "{'a': 1}",
            r#"{"a": tru}"#,
            r#"{"a": [1 2]}"#,
            "{\"a\": \"line\nbreak\"}",
            r#"{"a": "open}"#,
        ] {
            let outcome = std::panic::catch_unwind(|| options_schema(schema));
            assert!(outcome.is_err(), "`{schema}` passed");
        }
    }

    #[test]
    fn names_with_quotes_fail() {
        for name in ["", "a\"b", "a\\b", "a\nb"] {
            assert!(
                std::panic::catch_unwind(|| json_text(name)).is_err(),
                "`{name}` passed"
            );
        }
    }
}
