//! Answers of a tiny model through the component.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

mod common;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{ask, create, draw, place, write_adapter};
use futures_util::future::join_all;
use serde_json::json;
use tale_api::{ErrorKind, Events, FinishReason, GenerateEvent, Grammar, Llm as _};
use tale_llama::{Device, Llama, Lora, Tokens};
use tale_weights::{Model, adapter::Adapter};
use tch::{Kind, Tensor, no_grad};

/// The likeliest text after a question, by the forward pass of training: no cache, no batch.
fn expected(base: &Path, adapter: Option<&Path>, question: &str, tokens: usize) -> String {
    let model = Model::open(base).unwrap();
    let vocabulary = model.vocabulary().unwrap();
    let prompt = format!("<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n");
    let mut ids = vocabulary.encode(&prompt).unwrap();
    let start = ids.len();
    let llama = Llama::load(&model, Device::Cpu).unwrap();
    let lora = adapter.map(|folder| {
        Lora::load(&Adapter::read(folder).unwrap(), model.config(), Device::Cpu).unwrap()
    });
    while ids.len() < start + tokens {
        let wide: Vec<i64> = ids.iter().map(|&id| id.into()).collect();
        let length = i64::try_from(wide.len()).unwrap();
        let input = Tokens {
            ids: Tensor::from_slice(&wide).unsqueeze(0),
            positions: Tensor::arange(length, (Kind::Int64, Device::Cpu)).unsqueeze(0),
            mask: None,
        };
        let logits = no_grad(|| llama.logits(&llama.hidden(&input, lora.as_ref())));
        let next = logits
            .squeeze_dim(0)
            .get(-1)
            .argmax(-1, false)
            .int64_value(&[]);
        let next = u32::try_from(next).unwrap();
        if vocabulary.ends.contains(&next) {
            break;
        }
        ids.push(next);
    }
    vocabulary.decode(&ids[start..]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn greedy_answers_are_those_of_the_plain_model_alone_and_in_company() {
    let place = place();
    let llm = create(&place, json!({"slots": 3, "batch": 32}))
        .await
        .unwrap();
    let questions = [
        "1 + 1?",
        "What is the capital of France, and why?",
        "x",
        "1 + 1!",
        "12 * 12 = ?",
    ];
    let calls = questions.map(|question| llm.generate(ask(question, 40), Events::ignored()));
    for (question, answer) in questions.iter().zip(join_all(calls).await) {
        let answer = answer.unwrap();
        let expected = expected(&place.path().join("base"), None, question, 40);
        assert_eq!(answer.text, expected, "{question}");
        let usage = answer.usage.unwrap();
        assert_eq!(usage.output_tokens, 40);
        assert_eq!(answer.finish_reason, FinishReason::Length);
    }
    let stats = llm.stats();
    assert_eq!(stats.generated_tokens, 200);
    // One by one it would be 200.
    assert!(stats.steps < 130, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_are_the_text_and_show_nothing_of_a_stop_text() {
    let place = place();
    let llm = create(&place, json!({"slots": 2})).await.unwrap();
    let plain = llm
        .generate(ask("Count.", 40), Events::ignored())
        .await
        .unwrap();
    // A stop text from the middle of what is known to come.
    let characters: Vec<char> = plain.text.chars().collect();
    let middle = characters.len() / 2;
    let stop: String = characters[middle..middle + 3].iter().collect();
    let before = plain.text.split(&stop).next().unwrap();

    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let events = Events::to(move |event| {
        if let GenerateEvent::Delta { text } = event {
            listener.lock().unwrap().push(text);
        }
    });
    let mut request = ask("Count.", 40);
    request.stop = vec![stop];
    let stopped = llm.generate(request, events).await.unwrap();
    assert_eq!(
        (stopped.text.as_str(), stopped.finish_reason),
        (before, FinishReason::Stop)
    );
    assert_eq!(heard.lock().unwrap().concat(), stopped.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_frees_its_lane() {
    let place = place();
    let llm = create(&place, json!({"slots": 1, "context": 512}))
        .await
        .unwrap();
    let long = llm.generate(ask("Tell a very long story.", 400), Events::ignored());
    let dropped = tokio::time::timeout(Duration::from_millis(20), long).await;
    let made = llm.stats().generated_tokens;
    llm.generate(ask("Hi.", 1), Events::ignored())
        .await
        .unwrap();
    let more = llm.stats().generated_tokens - made;
    // Whoever waited for the whole story would wait for 400 tokens.
    assert!(
        dropped.is_err() && more <= 60,
        "{more} tokens after the drop"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_a_time_out_and_dropping_the_model_does_not_hang() {
    let place = place();
    let llm = create(&place, json!({"slots": 1, "context": 512}))
        .await
        .unwrap();
    let mut request = ask("Tell a long story.", 450);
    request.timeout_s = Some(0.01);
    let error = llm.generate(request, Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    let call = llm.generate(ask("Tell a long story.", 450), Events::ignored());
    let _ = tokio::time::timeout(Duration::from_millis(10), call).await;
    drop(llm);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_beginning_is_computed_once() {
    let place = place();
    let llm = create(&place, json!({"slots": 4})).await.unwrap();
    let question = "A farmer has twelve cows and sells three of them. ".repeat(3);
    let calls = (0..4).map(|i| llm.generate(ask(&format!("{question}{i}"), 2), Events::ignored()));
    let answers = join_all(calls).await;
    let usages: Vec<_> = answers
        .into_iter()
        .map(|a| a.unwrap().usage.unwrap())
        .collect();
    let input: u64 = usages.iter().map(|usage| usage.input_tokens).sum();
    let cached: u64 = usages.iter().map(|usage| usage.cached_input_tokens).sum();
    let stats = llm.stats();
    // What is reported is what was done.
    assert_eq!(stats.prompt_tokens, input - cached, "{stats:?}");
    let one = usages[0].input_tokens;
    assert!(
        stats.prompt_tokens < one + 4 * 40,
        "{} of {input}",
        stats.prompt_tokens
    );
    // The same prompt later: all but its last token is there.
    let again = llm
        .generate(ask(&format!("{question}0"), 2), Events::ignored())
        .await
        .unwrap();
    let usage = again.usage.unwrap();
    assert_eq!(usage.cached_input_tokens, usage.input_tokens - 1);
    let text = expected(&place.path().join("base"), None, &format!("{question}0"), 2);
    assert_eq!(again.text, text);

    let llm = create(&place, json!({"slots": 1, "prefix_cache": false}))
        .await
        .unwrap();
    for _ in 0..2 {
        let answer = llm
            .generate(ask(&question, 2), Events::ignored())
            .await
            .unwrap();
        assert_eq!(answer.usage.unwrap().cached_input_tokens, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_slot_a_seed_gives_the_same_text_whatever_came_before() {
    let place = place();
    let options = json!({"slots": 1});
    let llm = create(&place, options.clone()).await.unwrap();
    assert!(llm.info().await.unwrap().capabilities.seed);
    let question = "Write a poem about a river that forgets its way to the sea. ".repeat(2);
    let alone = llm
        .generate(draw(&question, 24, 7), Events::ignored())
        .await
        .unwrap();
    let calls =
        (0..6).map(|seed| llm.generate(draw(&question, 24, seed % 8 + 4), Events::ignored()));
    let texts: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(|a| a.unwrap())
        .collect();
    assert_eq!(texts[3].text, alone.text);
    assert!(
        texts[3].usage.unwrap().cached_input_tokens > 0,
        "nothing was shared"
    );
    assert_ne!(texts[4].text, alone.text);
    let again = create(&place, options).await.unwrap();
    let other = again
        .generate(draw("Hi!", 9, 1), Events::ignored())
        .await
        .unwrap();
    assert_eq!(other.usage.unwrap().output_tokens, 9);
    let fresh = again
        .generate(draw(&question, 24, 7), Events::ignored())
        .await
        .unwrap();
    assert_eq!(fresh.text, alone.text);
    // More slots promise nothing.
    let many = create(&place, json!({"slots": 2})).await.unwrap();
    assert!(!many.info().await.unwrap().capabilities.seed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_is_applied_by_path_by_name_and_from_a_trainings_folder() {
    let place = place();
    let folder = place.path().join("trained/adapter");
    write_adapter(place.path(), &folder, false);
    let base = place.path().join("base");
    let with = expected(&base, Some(&folder), "1 + 1?", 30);
    assert_ne!(with, expected(&base, None, "1 + 1?", 30));
    let mut digests = Vec::new();
    for options in [
        json!({"lora": [{"path": "trained/adapter"}]}),
        json!({"lora": [{"path": "trained"}]}),
        json!({"lora": [{"name": "mine"}], "adapters": {"mine": "trained"}}),
    ] {
        let llm = create(&place, options).await.unwrap();
        let answer = llm
            .generate(ask("1 + 1?", 30), Events::ignored())
            .await
            .unwrap();
        assert_eq!(answer.text, with);
        digests.push(llm.info().await.unwrap().digest);
    }
    // Answers with an adapter are kept apart from those without, and from other scales.
    for options in [
        json!({}),
        json!({"lora": [{"path": "trained", "scale": 0.5}]}),
    ] {
        digests.push(
            create(&place, options)
                .await
                .unwrap()
                .info()
                .await
                .unwrap()
                .digest,
        );
    }
    digests.dedup();
    assert_eq!(digests.len(), 3, "{digests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_of_another_base_is_refused_with_both_shapes() {
    let place = place();
    write_adapter(place.path(), &place.path().join("other"), true);
    let error = create(&place, json!({"lora": [{"path": "other"}]}))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidData);
    assert!(
        error.message.contains("another base") && error.message.contains("65"),
        "{error}"
    );
    let error = create(&place, json!({"lora": [{"path": "nowhere"}]}))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_devices_share_the_requests() {
    let place = place();
    let options = json!({"device": ["cpu", "cpu"], "slots": 2});
    let llm = create(&place, options).await.unwrap();
    assert_eq!(
        llm.info().await.unwrap().capabilities.max_concurrency,
        Some(4)
    );
    let calls = (0..8).map(|i| llm.generate(ask(&format!("{i}?"), 20), Events::ignored()));
    let answers = join_all(calls).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap().usage.unwrap().output_tokens == 20)
    );
}

#[tokio::test]
async fn what_cannot_be_had_is_said_at_the_start() {
    let place = place();
    for (options, kind, named) in [
        (
            json!({"device": "cuda:99"}),
            ErrorKind::Unavailable,
            "cuda:99",
        ),
        (
            json!({"device": ["cpu", "gpu"]}),
            ErrorKind::InvalidOptions,
            "`gpu`",
        ),
        (json!({"path": "nowhere"}), ErrorKind::NotFound, "nowhere"),
        (
            json!({"context": 5000}),
            ErrorKind::InvalidOptions,
            "the model was made for 512",
        ),
        (
            json!({"date": "today"}),
            ErrorKind::InvalidOptions,
            "YYYY-MM-DD",
        ),
        (
            json!({"chat_template": "{% for %}"}),
            ErrorKind::InvalidData,
            "template",
        ),
    ] {
        let error = create(&place, options).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(named), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_named() {
    let place = place();
    let llm = create(&place, json!({"context": 64})).await.unwrap();
    let error = llm
        .generate(ask(&"word ".repeat(30), 8), Events::ignored())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::ContextLength);
    let tokens = error.context_value("prompt_tokens").unwrap();
    assert!(
        error.message.contains(tokens) && error.message.contains("64"),
        "{error}"
    );
    // A lane that fills up in mid-answer is a length, and is full to the last token.
    let answer = llm
        .generate(ask("Tell.", 1000), Events::ignored())
        .await
        .unwrap();
    let usage = answer.usage.unwrap();
    assert_eq!(answer.finish_reason, FinishReason::Length);
    assert_eq!(usage.input_tokens + usage.output_tokens, 64);
    let check = async |edit: &dyn Fn(&mut tale_api::GenerateRequest), kind, named: &str| {
        let mut request = ask("Hi.", 4);
        edit(&mut request);
        let error = llm.generate(request, Events::ignored()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(named), "{error}");
    };
    let input = ErrorKind::InvalidInput;
    check(&|r| r.messages.clear(), input, "no message").await;
    check(&|r| r.sampling.top_p = Some(0.0), input, "`top_p` is 0").await;
    check(
        &|r| r.sampling.temperature = Some(f64::NAN),
        input,
        "`temperature` is NaN",
    )
    .await;
    check(&|r| r.max_tokens = Some(0), input, "`max_tokens` is 0").await;
    let grammar = |r: &mut tale_api::GenerateRequest| {
        r.grammar = Some(Grammar::Gbnf("root ::= \"a\"".into()));
    };
    check(&grammar, ErrorKind::Unsupported, "grammar").await;
}
