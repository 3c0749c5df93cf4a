//! Statuses and bodies as providers send them, and what becomes of them.

use serde_json::json;

use super::*;

const ASKED: Asked<'static> = Asked {
    model: "m",
    url: "http://host/v1",
};

#[track_caller]
fn check(status: u16, body: &str, kind: ErrorKind, again: Again) -> Error {
    let status = StatusCode::from_u16(status).unwrap();
    let failure = of_status(status, &HeaderMap::new(), body, ASKED);
    assert_eq!(
        (failure.error.kind, failure.again),
        (kind, again),
        "{status} {body}"
    );
    failure.error
}

#[test]
fn what_is_final_is_final_and_says_what_to_do() {
    use ErrorKind::{ContextLength, InvalidInput, InvalidOptions, QuotaExhausted, Unauthorized};
    for (status, body, kind, hint) in [
        (
            401,
            r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#,
            Unauthorized,
            "key",
        ),
        (
            403,
            r#"{"error":"Country not supported"}"#,
            Unauthorized,
            "closed to it",
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
            QuotaExhausted,
            "goes on",
        ),
        (
            402,
            r#"{"error":{"message":"Insufficient Balance"}}"#,
            QuotaExhausted,
            "goes on",
        ),
        (
            404,
            r#"{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}"#,
            InvalidOptions,
            "no model `m`",
        ),
        (
            404,
            r#"{"object":"error","message":"The model `m` does not exist.","type":"NotFoundError","code":404}"#,
            InvalidOptions,
            "no model `m`",
        ),
        (
            404,
            r#"{"error":"model \"m\" not found, try pulling it first"}"#,
            InvalidOptions,
            "no model `m`",
        ),
        (
            400,
            r#"{"error":{"message":"m is not a valid model ID","code":400}}"#,
            InvalidOptions,
            "no model `m`",
        ),
        (
            404,
            "<html><title>Not Found</title></html>",
            InvalidOptions,
            "`/v1`",
        ),
        (404, "404 page not found", InvalidOptions, "`/v1`"),
        (
            405,
            r#"{"detail":"Method Not Allowed"}"#,
            InvalidOptions,
            "`/v1`",
        ),
        (308, "", InvalidOptions, "final address"),
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens","code":"context_length_exceeded"}}"#,
            ContextLength,
            "context",
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
            ContextLength,
            "context",
        ),
        (413, "", ContextLength, "too long"),
        (
            400,
            r#"{"error":{"message":"Unsupported parameter: 'temperature'","code":"unsupported_parameter","param":"temperature"}}"#,
            InvalidOptions,
            "`temperature`",
        ),
        (
            400,
            r#"{"error":{"message":"bad"}}"#,
            InvalidInput,
            "refused",
        ),
        (422, r#"{"detail":[{"msg":"x"}]}"#, InvalidInput, "refused"),
    ] {
        let error = check(status, body, kind, Again::Never);
        assert!(
            error.hint.as_deref().is_some_and(|h| h.contains(hint)),
            "{error:?}"
        );
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    use ErrorKind::{RateLimited, Timeout, Unavailable};
    check(429, "", RateLimited, Again::Slower(None));
    check(503, "", Unavailable, Again::Slower(None));
    check(529, "overloaded", Unavailable, Again::Slower(None));
    check(500, "{}", Unavailable, Again::Soon);
    check(
        502,
        "<html><title>Bad Gateway</title>",
        Unavailable,
        Again::Soon,
    );
    check(520, "", Unavailable, Again::Soon);
    check(408, "", Timeout, Again::Soon);
    check(409, "", Unavailable, Again::Soon);
}

#[test]
fn a_refusal_waits_as_long_as_it_asks() {
    let headers = HeaderMap::from_iter([("retry-after".parse().unwrap(), "7".parse().unwrap())]);
    let failure = of_status(StatusCode::TOO_MANY_REQUESTS, &headers, "", ASKED);
    assert_eq!(failure.again, Again::Slower(Some(Duration::from_secs(7))));
    assert_eq!(failure.error.retry_after_s, Some(7.0));
}

#[test]
fn an_error_inside_a_good_reply_is_taken_by_its_code() {
    let check = |value: Value, kind, again| {
        let failure = of_error_inside(&value, ASKED);
        assert_eq!(
            (failure.error.kind, failure.again),
            (kind, again),
            "{value}"
        );
    };
    check(
        json!({"error": {"message": "x", "code": 429}}),
        ErrorKind::RateLimited,
        Again::Slower(None),
    );
    check(
        json!({"error": {"message": "x", "code": 502}}),
        ErrorKind::Unavailable,
        Again::Soon,
    );
    check(
        json!({"error": {"message": "x"}}),
        ErrorKind::Unavailable,
        Again::Soon,
    );
    check(json!({"error": "x"}), ErrorKind::Unavailable, Again::Soon);
    check(
        json!({"error": {"message": "no money", "code": "insufficient_quota"}}),
        ErrorKind::QuotaExhausted,
        Again::Never,
    );
}

#[test]
fn long_texts_and_pages_are_cut_short() {
    let error = check(
        500,
        &"word \n".repeat(1000),
        ErrorKind::Unavailable,
        Again::Soon,
    );
    assert!(
        error.message.len() < 500 && !error.message.contains('\n'),
        "{error}"
    );
    let error = check(
        500,
        "<html><TITLE> Oh no </TITLE>",
        ErrorKind::Unavailable,
        Again::Soon,
    );
    assert!(error.message.contains("a web page, `Oh no`"), "{error}");
    check(500, "<title>é", ErrorKind::Unavailable, Again::Soon);
}
