//! The comparison methods: by name, by number, as published and with our answer format.

use super::*;

/// Every comparison method as a manifest names it.
const HARMONISED: [&str; 7] = [
    "chain-of-draft",
    "ccot-45",
    "concise-cot",
    "word-limit-50",
    "token-limit-100",
    "step-limit-5",
    "tale-one",
];

fn messages(method: &str, kind: AnswerKind, language: &str) -> Vec<(Role, String)> {
    let set = PromptSet::standard();
    let method = set.method(method).unwrap();
    let budget = method.fixed_budget();
    let rendered = set.render(&method, &question(kind, language), budget);
    rendered
        .unwrap()
        .into_iter()
        .map(|m| (m.role, m.content.replace(TRICKY, "<q>")))
        .collect()
}

#[test]
fn every_comparison_method_has_a_prompt_for_every_kind_of_answer_and_language() {
    for method in HARMONISED {
        for kind in [
            AnswerKind::Number,
            AnswerKind::Choice,
            AnswerKind::Math,
            AnswerKind::Text,
        ] {
            for language in ["en", "zh"] {
                let messages = messages(method, kind, language);
                let [(Role::System, system), (Role::User, user)] = messages.as_slice() else {
                    panic!("{method} {kind} {language}: {messages:?}");
                };
                assert_eq!(system, "You are a helpful assistant.");
                // Options, if any, stand in the question; the format is the one of vanilla CoT.
                let vanilla = rendered("vanilla-cot", kind, language, None);
                let format = vanilla
                    .split(['.', '\n', '。'])
                    .find(|part| part.contains("[["))
                    .unwrap_or("<q>");
                assert!(user.contains(format), "{method} {kind} {language}: {user}");
            }
        }
    }
}

#[test]
fn a_limit_stands_in_the_prompt_and_tokens_are_a_budget() {
    let prompt = |method| messages(method, AnswerKind::Number, "en")[1].1.clone();
    assert!(prompt("ccot-45").contains("limit the answer length to 45 words."));
    assert!(prompt("word-limit-7").contains("Only use 7 words"));
    assert!(prompt("step-limit-3").contains("Use at most 3 steps."));
    assert!(prompt("token-limit-60").contains("Only use 60 tokens"));
    let set = PromptSet::standard();
    let budget = |name| set.method(name).unwrap().fixed_budget();
    assert_eq!(budget("token-limit-60"), Some(60));
    assert_eq!(budget("token-limit-published-60"), Some(60));
    assert_eq!(budget("word-limit-60"), None);
    assert_eq!(budget("ccot-60"), None);
}

#[test]
fn published_prompts_are_the_authors_own_requests() {
    assert_eq!(
        messages("chain-of-draft-published", AnswerKind::Number, "en"),
        [(
            Role::User,
            "Think step by step, but only keep minimum draft for each thinking step, with 5 words at most.\nReturn the answer at the end of the response after a separator ####.\n\nQ: <q>\nA: \n".to_owned()
        )]
    );
    assert_eq!(
        messages("ccot-published-45", AnswerKind::Number, "en"),
        [(
            Role::User,
            "Q: <q>\nA: Let's think a bit step by step and limit the answer length to 45 words.\n"
                .to_owned()
        )]
    );
    assert_eq!(
        messages("word-limit-published-10", AnswerKind::Number, "en"),
        [(
            Role::User,
            "Answer the following question. Only use 10 words for your answer.\n    \nQuestion: <q>\n\nThe last line of your response should be of the following format: 'Answer: ($NUMBER)' (without quotes) where NUMBER is your final answer.\n".to_owned()
        )]
    );
    let concise = messages("concise-cot-published", AnswerKind::Choice, "en");
    assert_eq!(concise.len(), 2);
    assert!(
        concise[0].1.ends_with("\nBe concise.\n"),
        "{}",
        concise[0].1
    );
    assert_eq!(concise[1].1, "Question: <q>\n");
}

#[test]
fn a_method_with_a_limit_is_refused_without_one() {
    let set = PromptSet::standard();
    for name in [
        "ccot",
        "ccot-",
        "ccot-0",
        "ccot-045",
        "word-limit",
        "chain-of-draft-5",
    ] {
        let error = set.method(name).unwrap_err();
        assert_eq!(error.to_string(), format!("unknown method `{name}`"));
        assert!(error.hint().is_some(), "{name}");
    }
    let hint = |name| set.method(name).unwrap_err().hint().unwrap();
    assert_eq!(hint("ccot"), "did you mean `ccot-<n>`?");
    assert_eq!(hint("cot-45"), "did you mean `ccot-45`?");
    assert_eq!(hint("chain-of-draught"), "did you mean `chain-of-draft`?");
}

#[test]
fn a_template_of_ones_own_may_have_a_limit_or_a_system_message() {
    let set = PromptSet::from_toml(
        r#"
        name = "mine"
        extends = "standard"
        [number.en]
        lines = "{question} In at most {n} lines."
        tokens = "{question} In at most {budget} tokens."
        bare = { system = "", user = "{question}" }
        "#,
    )
    .unwrap();
    let ask = |name: &str| {
        let method = set.method(name).unwrap();
        let q = question(AnswerKind::Number, "en");
        set.render(&method, &q, method.fixed_budget()).unwrap()
    };
    assert!(ask("lines-4")[1].content.ends_with(" In at most 4 lines."));
    assert!(
        ask("tokens-9")[1]
            .content
            .ends_with(" In at most 9 tokens.")
    );
    assert_eq!(ask("bare").len(), 1);
    let both = "name = 'x'\nextends = 'standard'\n[number.en]\nx = '{question} {n} {budget}'";
    assert!(PromptSet::from_toml(both).is_err());
    let typo =
        "name = 'x'\nextends = 'standard'\n[number.en]\nx = { sytem = '', user = '{question}' }";
    assert!(
        PromptSet::from_toml(typo)
            .unwrap_err()
            .to_string()
            .contains("sytem")
    );
}

#[test]
fn a_factor_of_its_own_asks_the_same_prompt() {
    let set = PromptSet::standard();
    let q = question(AnswerKind::Number, "en");
    let half = set.method("tale-ep@0.5").unwrap();
    assert_eq!(half.alpha(), Some(0.5));
    assert!(half.needs_estimate());
    for budget in [None, Some(30)] {
        assert_eq!(
            set.render(&half, &q, budget).unwrap(),
            set.render(&Method::TaleEp, &q, budget).unwrap()
        );
    }
}
