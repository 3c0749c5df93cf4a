//! Answers of real models through the component.

mod common;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::{QWEN, SMOLLM2, ask, create};
use futures_util::future::join_all;
use serde_json::json;
use tale_api::{ErrorKind, Events, FinishReason, GenerateEvent, Grammar, Llm, Message};

#[tokio::test(flavor = "multi_thread")]
async fn qwen_answers_and_ends_its_turn() {
    let Some(llm) = create(QWEN, json!({"slots": 1, "context": 512})).await else {
        return;
    };
    let question = "What is 2 + 2? Answer with the number alone.";
    let answer = llm
        .generate(ask(question, 16), Events::ignored())
        .await
        .unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.finish_reason),
        ("4", FinishReason::Stop)
    );
    // The token that ends the turn is not counted.
    assert_eq!(answer.usage.unwrap().output_tokens, 1);
    assert!(
        answer.timings.first_token_s > 0.0
            && answer.timings.first_token_s <= answer.timings.total_s
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_slots_are_all_answered_together() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 8, "context": 256})).await else {
        return;
    };
    let calls = (0..20).map(|i| {
        llm.generate(
            ask(&format!("Write about the number {i}."), 12),
            Events::ignored(),
        )
    });
    for answer in join_all(calls).await {
        let answer = answer.unwrap();
        assert!(
            !answer.text.is_empty() && answer.usage.unwrap().output_tokens <= 12,
            "{answer:?}"
        );
    }
    let stats = llm.stats();
    assert_eq!(stats.generated_tokens, 240);
    // One by one it would be 240 steps and 20 prompts.
    assert!(stats.steps < 100, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_are_the_text_and_show_nothing_of_a_stop_text() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 1, "context": 256})).await else {
        return;
    };
    let plain = llm
        .generate(ask("Count from one to ten.", 24), Events::ignored())
        .await
        .unwrap();
    assert_eq!(plain.finish_reason, FinishReason::Length);
    // A stop text from the middle of what is known to come, across a token's border.
    let (before, stop) = plain.text.split_at(plain.text.len() / 2);
    let stop: String = stop.chars().take(7).collect();
    let before = plain.text.split(&stop).next().unwrap_or(before);

    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let events = Events::to(move |event| {
        if let GenerateEvent::Delta { text } = event {
            listener.lock().unwrap().push(text);
        }
    });
    let mut request = ask("Count from one to ten.", 24);
    request.stop = vec![stop];
    let stopped = llm.generate(request, events).await.unwrap();
    assert_eq!(
        (stopped.text.as_str(), stopped.finish_reason),
        (before, FinishReason::Stop)
    );
    let heard = heard.lock().unwrap();
    assert!(
        heard.len() > 1 && heard.iter().all(|d| !d.is_empty()),
        "{heard:?}"
    );
    assert_eq!(heard.concat(), stopped.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_frees_its_slot() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 1, "context": 2048})).await else {
        return;
    };
    let mut endless = ask("Tell a very long story.", 1900);
    endless.grammar = Some(Grammar::Gbnf("root ::= [a-z ]+ root".into()));
    let dropped = tokio::time::timeout(
        Duration::from_millis(1500),
        llm.generate(endless, Events::ignored()),
    )
    .await;
    assert!(dropped.is_err(), "it should have been under way");
    let made = llm.stats().generated_tokens;
    let begun = Instant::now();
    llm.generate(ask("Hi.", 1), Events::ignored())
        .await
        .unwrap();
    // Whoever waited for the whole story would wait for 1900 tokens.
    let more = llm.stats().generated_tokens - made;
    assert!(
        more <= 3,
        "{more} tokens after the drop, {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_a_time_out() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 1, "context": 512})).await else {
        return;
    };
    let mut request = ask("Tell a long story.", 400);
    request.timeout_s = Some(0.05);
    let error = llm.generate(request, Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_model_in_mid_answer_does_not_hang() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 2, "context": 1024})).await else {
        return;
    };
    let call = llm.generate(ask("Tell a long story.", 900), Events::ignored());
    let _ = tokio::time::timeout(Duration::from_millis(300), call).await;
    let begun = Instant::now();
    drop(llm);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_beginning_is_evaluated_once() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 4, "context": 512})).await else {
        return;
    };
    let question = "A farmer has twelve cows and sells three of them at the market for ".repeat(6);
    let calls = (0..4).map(|i| llm.generate(ask(&format!("{question}{i}"), 2), Events::ignored()));
    let usages: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(|a| a.unwrap().usage.unwrap())
        .collect();
    let (input, cached) = usages.iter().fold((0, 0), |(i, c), u| {
        (i + u.input_tokens, c + u.cached_input_tokens)
    });
    let stats = llm.stats();
    // What is reported is what was done.
    assert_eq!(stats.prompt_tokens, input - cached, "{stats:?}");
    let one = usages[0].input_tokens;
    assert!(
        stats.prompt_tokens < one + 4 * 12,
        "{} of {input} tokens evaluated",
        stats.prompt_tokens
    );

    // The same prompt later: all but its last token is there.
    let again = llm
        .generate(ask(&format!("{question}0"), 2), Events::ignored())
        .await
        .unwrap();
    assert_eq!(
        again.usage.unwrap().cached_input_tokens,
        again.usage.unwrap().input_tokens - 1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_gives_the_same_text_in_any_company() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 8, "context": 256})).await else {
        return;
    };
    assert!(llm.info().await.unwrap().capabilities.seed);
    let request = |seed| {
        let mut request = ask("Write a line of a poem.", 16);
        request.sampling.temperature = Some(1.0);
        request.seed = Some(seed);
        request
    };
    let alone = llm
        .generate(request(7), Events::ignored())
        .await
        .unwrap()
        .text;
    let others = (0..11).map(|i| llm.generate(request(i), Events::ignored()));
    let texts: Vec<_> = join_all(others)
        .await
        .into_iter()
        .map(|a| a.unwrap().text)
        .collect();
    assert_eq!(texts[7], alone);
    assert_ne!(texts[7], texts[8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grammar_is_obeyed_and_a_broken_one_refused() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 1, "context": 256})).await else {
        return;
    };
    let mut request = ask("How many tokens does an essay take?", 16);
    request.grammar = Some(Grammar::Gbnf(
        r#"root ::= "[[" [1-9] [0-9]{0,3} "]]""#.into(),
    ));
    let answer = llm
        .generate(request.clone(), Events::ignored())
        .await
        .unwrap();
    let number = answer
        .text
        .strip_prefix("[[")
        .and_then(|t| t.strip_suffix("]]"))
        .unwrap_or_default();
    assert!(number.parse::<u32>().is_ok(), "{}", answer.text);
    assert_eq!(answer.finish_reason, FinishReason::Stop);

    request.grammar = Some(Grammar::Gbnf("root ::= <<<".into()));
    let error = llm
        .generate(request.clone(), Events::ignored())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    request.grammar = Some(Grammar::JsonSchema("{}".into()));
    assert_eq!(
        llm.generate(request, Events::ignored())
            .await
            .unwrap_err()
            .kind,
        ErrorKind::Unsupported
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_longer_than_the_context_says_both_lengths() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 2, "context": 64})).await else {
        return;
    };
    let error = llm
        .generate(ask(&"word ".repeat(100), 8), Events::ignored())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::ContextLength);
    let tokens = error.context_value("prompt_tokens").unwrap();
    assert!(
        error.message.contains(tokens) && error.message.contains("64"),
        "{error}"
    );
    assert!(
        error
            .hint
            .as_deref()
            .unwrap_or_default()
            .contains("`context`")
    );

    // A slot that fills up in mid-answer is a length, and is full to the last token.
    let answer = llm
        .generate(ask("Tell a long story.", 1000), Events::ignored())
        .await
        .unwrap();
    let usage = answer.usage.unwrap();
    assert_eq!(answer.finish_reason, FinishReason::Length);
    assert_eq!(usage.input_tokens + usage.output_tokens, 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_named() {
    let Some(llm) = create(SMOLLM2, json!({"slots": 1, "context": 64})).await else {
        return;
    };
    let check = async |edit: &dyn Fn(&mut tale_api::GenerateRequest), named: &str| {
        let mut request = ask("Hi.", 4);
        edit(&mut request);
        let error = llm.generate(request, Events::ignored()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(error.message.contains(named), "{error}");
    };
    check(&|r| r.messages.clear(), "no message").await;
    check(&|r| r.sampling.top_p = Some(0.0), "`top_p` is 0").await;
    check(
        &|r| r.sampling.temperature = Some(f64::NAN),
        "`temperature` is NaN",
    )
    .await;
    check(
        &|r| r.sampling.repetition_penalty = Some(-1.0),
        "`repetition_penalty` is -1",
    )
    .await;
    check(&|r| r.max_tokens = Some(0), "`max_tokens` is 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_rendered_as_transformers_do() {
    // Expected by hand from the templates in the files; the system message is the paper's.
    if let Some(llm) = create(QWEN, json!({"slots": 1, "context": 64})).await {
        assert_eq!(
            llm.render(&ask("Hi.", 1)).unwrap(),
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n"
        );
        let mut request = ask("", 1);
        request.messages = vec![
            Message::user("a"),
            Message::assistant("b"),
            Message::user("c"),
        ];
        assert_eq!(
            llm.render(&request).unwrap(),
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n"
        );
    }
    if let Some(llm) = create(SMOLLM2, json!({"slots": 1, "context": 64})).await {
        assert_eq!(
            llm.render(&ask("Hi.", 1)).unwrap(),
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n"
        );
        // Special tokens are read as such: three of them, then words; plain text has none.
        assert_eq!(llm.count_tokens("Hi.").await.unwrap(), 2);
        assert!(llm.count_tokens("<|im_end|>").await.unwrap() > 1);
    }
}
