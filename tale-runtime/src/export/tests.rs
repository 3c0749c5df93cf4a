//! Each format as its consumer documents it, and every reason for a question without a pair.

use serde_json::{Value, json};

use super::*;
use crate::store::{CallRow, SearchMeasure};

fn call(prompt: &str, completion: &str, finish_reason: &str) -> CallRow {
    CallRow {
        prompt: prompt.to_owned(),
        completion: completion.to_owned(),
        finish_reason: finish_reason.to_owned(),
        reasoning: None,
        input_tokens: None,
        cached_input_tokens: 0,
        output_tokens: None,
        reasoning_tokens: 0,
        latency_s: 0.0,
        cost_usd: None,
        model: None,
        service_tier: None,
        from_cache: false,
    }
}

fn attempt(budget: Option<u32>, completion: &str, tokens: u64) -> AttemptRow {
    AttemptRow {
        budget,
        outcome: Outcome::Correct,
        answer: Some("7".to_owned()),
        output_tokens: Some(tokens),
        feasible: budget.map(|_| true),
        reason: None,
        extra: false,
        call: call("Q: 3 + 4?", completion, "stop"),
    }
}

/// A search that found a budget of 50.
fn found() -> SearchRow {
    SearchRow {
        id: "gsm8k-7".to_owned(),
        question: "3 + 4?".to_owned(),
        gold: Some("7".to_owned()),
        kind: "number".to_owned(),
        measure: SearchMeasure {
            position: 0,
            ending: SearchEnding::Found,
            budget: Some(50),
            vanilla_tokens: Some(200),
            tokens: Some(40),
            calls: 4,
            extra_calls: 0,
        },
        result: Some(2),
        attempts: vec![
            attempt(None, "Let us see …\n[[7]]", 200),
            attempt(Some(100), "3 + 4 = 7. [[7]]", 90),
            attempt(Some(50), "[[7]]", 40),
        ],
        error: None,
    }
}

fn line(format: Format) -> Value {
    let search = found();
    format.line(&pair(&search, "Be brief.").unwrap())
}

#[test]
fn each_format_is_that_of_its_consumer() {
    let prompt = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Q: 3 + 4?"},
    ]);
    let long = "Let us see …\n[[7]]";
    let dpo = line(Format::Dpo);
    assert_eq!(
        (&dpo["prompt"], &dpo["chosen"], &dpo["rejected"]),
        (&prompt, &json!("[[7]]"), &json!(long))
    );
    let sft = line(Format::Sft);
    assert_eq!((&sft["prompt"], &sft["chosen"]), (&prompt, &json!("[[7]]")));
    assert!(sft.get("rejected").is_none());
    // TRL, "Dataset formats and types", conversational preference and prompt-completion.
    assert_eq!(
        line(Format::Trl),
        json!({
            "prompt": prompt,
            "chosen": [{"role": "assistant", "content": "[[7]]"}],
            "rejected": [{"role": "assistant", "content": long}],
        })
    );
    assert_eq!(
        line(Format::TrlSft),
        json!({"prompt": prompt, "completion": [{"role": "assistant", "content": "[[7]]"}]})
    );
    // LLaMA-Factory, data/README.md, "Preference Dataset" in the ShareGPT form.
    assert_eq!(
        line(Format::LlamaFactory),
        json!({
            "conversations": [{"from": "human", "value": "Q: 3 + 4?"}],
            "chosen": {"from": "gpt", "value": "[[7]]"},
            "rejected": {"from": "gpt", "value": long},
            "system": "Be brief.",
        })
    );
    // OpenAI, fine-tuning guides: supervised, and direct preference optimisation.
    let mut messages = prompt.as_array().unwrap().clone();
    messages.push(json!({"role": "assistant", "content": "[[7]]"}));
    assert_eq!(line(Format::Openai), json!({"messages": messages}));
    let preference = line(Format::OpenaiDpo);
    assert_eq!(preference["input"]["messages"], prompt);
    assert_eq!(preference["preferred_output"][0]["content"], "[[7]]");
    assert_eq!(preference["non_preferred_output"][0]["role"], "assistant");
}

#[test]
fn a_prompt_without_a_system_message_has_none() {
    let search = found();
    let bare = pair(&search, "").unwrap();
    assert_eq!(
        Format::Dpo.line(&bare)["prompt"].as_array().map(Vec::len),
        Some(1)
    );
    assert!(Format::LlamaFactory.line(&bare).get("system").is_none());
}

#[test]
fn a_question_without_a_pair_has_a_reason() {
    #[track_caller]
    fn check(reason: &str, change: impl FnOnce(&mut SearchRow)) {
        let mut search = found();
        change(&mut search);
        assert_eq!(pair(&search, "").unwrap_err(), reason);
    }
    let ended = |ending| {
        move |s: &mut SearchRow| {
            s.measure.ending = ending;
            s.result = None;
        }
    };
    check("vanilla-wrong", ended(SearchEnding::VanillaWrong));
    check("vanilla-cut", |s| {
        s.measure.ending = SearchEnding::VanillaWrong;
        s.attempts[0].call.finish_reason = "length".to_owned();
    });
    check("no-gold", ended(SearchEnding::NoGold));
    check("failed", ended(SearchEnding::Failed));
    check(
        "vanilla-zero-tokens",
        ended(SearchEnding::VanillaZeroTokens),
    );
    check("no-shorter-budget", |s| {
        s.measure.ending = SearchEnding::NoShorterBudget;
        s.result = Some(0);
    });
    check("refused-answer-wrong", |s| {
        s.attempts[2].outcome = Outcome::Wrong;
    });
    check("cut-at-max-tokens", |s| {
        s.attempts[2].call.finish_reason = "length".to_owned();
    });
    check("equal-answers", |s| {
        s.attempts[2].call.completion = s.attempts[0].call.completion.clone();
    });
    check("no-cheaper-answer", |s| {
        s.attempts[2].output_tokens = Some(200);
    });
}
