//! Replies cut, spoilt and mixed in every way; no input may do more than fail.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tale_api::{ErrorKind, Events, FinishReason, GenerateEvent};

use super::*;
use crate::{
    failure::{Again, Asked},
    options::ThinkTags,
};

const ASKED: Asked<'static> = Asked {
    model: "m",
    url: "http://host/v1",
};

/// Reads `pieces` as a reply; gives it with the joined deltas.
fn read_all(pieces: Vec<Vec<u8>>, breaks: bool) -> (Result<Reply, Failure>, String) {
    let heard = Arc::new(Mutex::new(String::new()));
    let hearing = Arc::clone(&heard);
    let events = Events::to(move |event| {
        if let GenerateEvent::Delta { text } = event {
            assert!(!text.is_empty());
            hearing.lock().unwrap().push_str(&text);
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let reply = runtime.block_on(async {
        let mut collector = Collector::new(&events, ASKED, ThinkTags::Tagged);
        let mut items: Vec<Result<Bytes, Failure>> =
            pieces.into_iter().map(|p| Ok(p.into())).collect();
        if breaks {
            items.push(Err(Failure::soon("reset")));
        }
        let bytes = futures_util::stream::iter(items);
        read(bytes, Duration::from_secs(1), &mut collector).await
    });
    let heard = heard.lock().unwrap().clone();
    (reply, heard)
}

const STREAM: &str = concat!(
    ": a comment\n\n",
    "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}\r\n\r\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"4\u{e9}\"}}],\"usage\":null}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"2\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

fn check_stream(reply: Result<Reply, Failure>, heard: &str) {
    let reply = reply.unwrap();
    assert_eq!(
        (reply.text.as_str(), reply.reasoning.as_str()),
        ("4é2", "hm")
    );
    assert_eq!(heard, reply.text);
    assert_eq!(reply.finish, FinishReason::Stop);
    assert_eq!(reply.model.as_deref(), Some("m-1"));
    assert_eq!(reply.usage.unwrap()["completion_tokens"], 2);
}

#[test]
fn a_stream_is_read_whole() {
    let (reply, heard) = read_all(vec![STREAM.into()], false);
    check_stream(reply, &heard);
}

#[test]
fn a_stream_that_ends_early_is_no_answer() {
    // Everything before the reason of the end.
    let end = STREAM
        .find("data: {\"choices\":[{\"index\":0,\"delta\":{},")
        .unwrap();
    for cut in (0..=end).filter(|c| STREAM.is_char_boundary(*c)) {
        for breaks in [false, true] {
            let (reply, _) = read_all(vec![STREAM[..cut].into()], breaks);
            let failure = reply.expect_err("a part of an answer is none");
            assert_ne!(failure.again, Again::Never, "cut at {cut}");
        }
    }
}

#[test]
fn an_answer_without_its_last_mark_counts_once_it_has_its_reason() {
    let cut = STREAM.find("data: [DONE]").unwrap();
    let (reply, heard) = read_all(vec![STREAM[..cut].into()], false);
    check_stream(reply, &heard);
}

#[test]
fn whole_replies_are_read_in_every_form() {
    for (body, text) in [
        (
            r#"{"model":"m","choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#,
            "a",
        ),
        (
            r#" {"choices":[{"message":{"content":[{"type":"text","text":"a"},{"text":"b"}]},"finish_reason":"eos_token"}]}"#,
            "ab",
        ),
        (
            r#"{"choices":[{"message":{"content":"<think>x</think>\n\na"},"finish_reason":"stop"}]}"#,
            "a",
        ),
        (
            r#"{"error":null,"choices":[{"index":0,"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}]}"#,
            "no",
        ),
    ] {
        let (reply, _) = read_all(vec![body.into()], false);
        assert_eq!(reply.unwrap().text, text, "{body}");
    }
    let cut = r#"{"choices":[{"message":{"content":""},"finish_reason":"length"}],"usage":{}}"#;
    assert_eq!(
        read_all(vec![cut.into()], false).0.unwrap().finish,
        FinishReason::Length
    );
}

#[test]
fn what_is_no_answer_is_an_error_that_may_pass() {
    for body in [
        "",
        "  \n",
        "<html>",
        "\u{feff}<!DOCTYPE html>",
        "{",
        "[]",
        "{}",
        "hello",
        r#"{"choices":[]}"#,
        r#"{"choices":null}"#,
        r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"content":7},"finish_reason":"stop"}]}"#,
        r#"{"error":{"message":"upstream"}}"#,
        "data: [DONE]\n\n",
        "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n",
        "data: nonsense\n\n",
    ] {
        let failure = read_all(vec![body.into()], false).0.expect_err(body);
        assert_eq!(failure.error.kind, ErrorKind::Unavailable, "{body}");
        assert_ne!(failure.again, Again::Never, "{body}");
    }
}

proptest! {
    #[test]
    fn it_does_not_matter_how_a_stream_is_cut_into_pieces(sizes in prop::collection::vec(1_usize..40, 1..60)) {
        let mut pieces = Vec::new();
        let mut rest = STREAM.as_bytes();
        for size in sizes {
            let (piece, more) = rest.split_at(size.min(rest.len()));
            pieces.push(piece.to_vec());
            rest = more;
        }
        pieces.push(rest.to_vec());
        let (reply, heard) = read_all(pieces, false);
        check_stream(reply, &heard);
    }

    #[test]
    fn no_bytes_do_more_than_fail(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_all(vec![body], false);
    }

    #[test]
    fn no_change_of_a_stream_does_more_than_fail(at in 0..STREAM.len(), with in any::<u8>(), cut in 0..STREAM.len()) {
        let mut body = STREAM.as_bytes().to_vec();
        body[at] = with;
        body.truncate(cut.max(at + 1));
        let _ = read_all(vec![body], false);
    }
}
