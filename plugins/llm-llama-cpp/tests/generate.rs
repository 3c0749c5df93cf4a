//! Answers of real models through the component.

mod common;

use common::{QWEN, SMOLLM2, ask, create};
use futures_util::future::join_all;
use serde_json::json;
use tale_api::{Events, FinishReason, Llm};

#[tokio::test(flavor = "multi_thread")]
async fn qwen_answers_and_ends_its_turn() {
    let Some(llm) = create(QWEN, json!({"slots": 2, "context": 512})).await else { return };
    let answer = llm.generate(ask("What is 2 + 2? Answer with the number alone.", 16), Events::ignored()).await.unwrap();
    println!("{answer:?}");
    assert!(answer.text.contains('4'), "{}", answer.text);
    assert_eq!(answer.finish_reason, FinishReason::Stop);
    let usage = answer.usage.unwrap();
    assert!((1..=8).contains(&usage.output_tokens), "{usage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_slots_are_all_answered() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 4, "context": 256})).await else { return };
    let calls = (0..10).map(|i| llm.generate(ask(&format!("Write about the number {i}."), 12), Events::ignored()));
    let answers = join_all(calls).await;
    for answer in &answers {
        let answer = answer.as_ref().unwrap();
        println!("{:?} {:?}", answer.text, answer.timings);
        assert!(answer.usage.unwrap().output_tokens <= 12);
        assert!(!answer.text.is_empty());
    }
    // Together: far fewer steps than tokens.
    let stats = llm.stats();
    println!("{stats:?}");
    assert!(stats.steps < 60, "{stats:?}");
}
