//! Recorded runs as `tale run` writes them, and as they should not be.

use std::{fs, sync::Arc, sync::Mutex, time::Duration};

use serde_json::{Value, json};
use tale_api::{
    CreateEnv, Error, ErrorKind, Events, FinishReason, GenerateEvent, GenerateRequest, Grammar,
    Llm, Message, Question, Result, Usage,
};
use tale_plugin_standard::{Method, PromptSet};
use tempfile::TempDir;

use crate::{Options, Replay};

#[test]
fn schema_is_that_of_the_options() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/options.schema.json");
    tale_api::export::check_schema(file, schemars::schema_for!(Options).as_value()).unwrap();
}

fn sample(n: u64) -> Value {
    json!({
        "id": n.to_string(), "llm": "qwen", "dataset": "gsm8k", "method": "tale-ep", "question": format!("q{n}"), "gold": "1",
        "prompt": format!("Q: q{n}\nunder {n} \"tokens\""), "completion": format!("é [[{n}]]"), "answer": n.to_string(),
        "correct": true, "budget": n, "input_tokens": 100 + n, "cached_input_tokens": 20, "output_tokens": n,
        "estimate_input_tokens": 90, "estimate_output_tokens": 6, "cost_usd": null, "latency_s": 1.5, "finish_reason": "length",
        "error": null, "estimate_prompt": format!("How long? q{n}"), "estimate_completion": format!("[[{n}]]"),
    })
}

fn searched(question: &str, budget: Option<u32>) -> Value {
    json!({
        "id": "1", "question": question, "gold": "4", "vanilla": {"output_tokens": 120, "correct": true},
        "trace": [{"budget": 60, "output_tokens": 50, "correct": true, "feasible": true, "reason": "right"}],
        "budget": budget, "output_tokens": 50, "completion": format!("[[4]] under {budget:?}"), "calls": 3,
    })
}

struct Run(TempDir);

impl Run {
    fn of(lines: &[Value]) -> Self {
        Self::with(
            lines
                .iter()
                .fold(String::new(), |text, line| text + &line.to_string() + "\n"),
        )
    }

    fn with(content: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("samples.jsonl"), content).unwrap();
        Self(folder)
    }

    async fn open(&self, mut options: Value) -> Result<Replay> {
        options["path"] = "samples.jsonl".into();
        let env = CreateEnv {
            base_dir: self.0.path().to_owned(),
            ..CreateEnv::default()
        };
        Replay::create(serde_json::from_value(options).unwrap(), env).await
    }
}

async fn constant(options: Value) -> Replay {
    Replay::create(
        serde_json::from_value(options).unwrap(),
        CreateEnv::default(),
    )
    .await
    .unwrap()
}

fn asking(prompt: &str) -> GenerateRequest {
    GenerateRequest::new(vec![
        Message::system("You are a helpful assistant."),
        Message::user(prompt),
    ])
}

async fn ask(llm: &Replay, prompt: &str) -> Result<tale_api::Completion> {
    llm.generate(asking(prompt), Events::ignored()).await
}

async fn deltas(
    llm: &Replay,
    request: GenerateRequest,
) -> (Vec<String>, Result<tale_api::Completion>) {
    let parts = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&parts);
    let events = Events::to(move |event| {
        if let GenerateEvent::Delta { text } = event {
            heard.lock().unwrap().push(text);
        }
    });
    let completion = llm.generate(request, events).await;
    let parts = parts.lock().unwrap().clone();
    (parts, completion)
}

#[tokio::test]
async fn answers_and_estimates_come_back_with_their_usage() {
    let run = Run::of(&(1..=50).map(sample).collect::<Vec<_>>());
    let llm = run.open(json!({})).await.unwrap();
    let answer = ask(&llm, "Q: q17\nunder 17 \"tokens\"").await.unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.finish_reason),
        ("é [[17]]", FinishReason::Length)
    );
    let usage = Usage {
        input_tokens: 117,
        cached_input_tokens: 20,
        output_tokens: 17,
        reasoning_tokens: 0,
    };
    assert_eq!(answer.usage, Some(usage));
    let estimate = ask(&llm, "How long? q17").await.unwrap();
    assert_eq!(
        (estimate.text.as_str(), estimate.finish_reason),
        ("[[17]]", FinishReason::Stop)
    );
    assert_eq!(
        estimate.usage,
        Some(Usage {
            input_tokens: 90,
            output_tokens: 6,
            ..Usage::default()
        })
    );
    let info = llm.info().await.unwrap();
    assert_eq!(info.model, "qwen");
    assert_eq!(info.digest.unwrap().len(), "sha256:".len() + 64);
}

#[tokio::test]
async fn an_unknown_prompt_is_not_found_and_shown_in_part() {
    let run = Run::of(&[sample(1)]);
    let llm = run.open(json!({})).await.unwrap();
    let error = ask(&llm, &format!("Q: é{}", "x".repeat(1000)))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(
        error
            .message
            .starts_with("no recorded answer to the prompt `Q: éxxx"),
        "{error}"
    );
    assert!(
        error.message.ends_with("xxx…`") && error.message.len() < 150,
        "{error}"
    );
    assert!(error.hint.is_some());
}

#[tokio::test]
async fn of_equal_prompts_the_first_answered_one_counts() {
    let line = |completion: Value, error: Value| json!({"llm": "m", "method": "x", "prompt": "p", "completion": completion, "error": error, "output_tokens": 1, "input_tokens": 1});
    let run = Run::of(&[
        line(json!(null), json!("timeout: slow")),
        line(json!("first"), json!(null)),
        line(json!("second"), json!(null)),
    ]);
    assert_eq!(
        ask(&run.open(json!({})).await.unwrap(), "p")
            .await
            .unwrap()
            .text,
        "first"
    );
    let run = Run::of(&[line(json!(null), json!("timeout: slow"))]);
    let error = ask(&run.open(json!({})).await.unwrap(), "p")
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (
            ErrorKind::NotFound,
            "this prompt failed in the recorded run: timeout: slow"
        )
    );
}

#[tokio::test]
async fn lines_are_chosen_by_model_and_method() {
    let line = |llm: &str, method: &str, completion: &str| json!({"llm": llm, "method": method, "prompt": "p", "completion": completion});
    let run = Run::of(&[
        line("a", "x", "ax"),
        line("b", "x", "bx"),
        line("b", "y", "by"),
    ]);
    let text = async |options| {
        ask(&run.open(options).await.unwrap(), "p")
            .await
            .unwrap()
            .text
    };
    assert_eq!(text(json!({"llm": "b"})).await, "bx");
    assert_eq!(text(json!({"llm": "b", "method": "y"})).await, "by");
    let undecided = run.open(json!({})).await.unwrap_err();
    assert_eq!(undecided.kind, ErrorKind::InvalidOptions);
    assert!(undecided.message.contains("`a`, `b`"), "{undecided}");
    assert_eq!(
        run.open(json!({"llm": "c"})).await.unwrap_err().kind,
        ErrorKind::InvalidData
    );
    assert_eq!(
        run.open(json!({"llm": "a", "model": "mine"}))
            .await
            .unwrap()
            .info()
            .await
            .unwrap()
            .model,
        "mine"
    );
}

#[tokio::test]
async fn a_search_answers_the_budget_it_found() {
    let question = "What is 2+2?\nA. three\nA. four";
    let run = Run::of(&[searched(question, Some(60)), searched("other", None)]);
    let llm = run.open(json!({})).await.unwrap();
    let prompt = |text: &str, options: &[&str], method: &Method| {
        let kind = if options.is_empty() {
            "number"
        } else {
            "choice"
        };
        let q = Question {
            text: text.to_owned(),
            kind: kind.parse().unwrap(),
            options: options.iter().map(|&o| o.to_owned()).collect(),
            ..Question::default()
        };
        PromptSet::standard()
            .render(method, &q, None)
            .unwrap()
            .pop()
            .unwrap()
            .content
    };
    let answer = ask(&llm, &prompt(question, &[], &Method::Fixed(60)))
        .await
        .unwrap();
    assert_eq!(answer.text, "[[4]] under Some(60)");
    assert_eq!(answer.usage.unwrap().output_tokens, 50);
    let with_options = ask(&llm, &prompt(question, &["3", "4"], &Method::Fixed(60)))
        .await
        .unwrap();
    assert_eq!(with_options.text, "[[4]] under Some(60)");
    assert_eq!(
        ask(&llm, &prompt("other", &[], &Method::VanillaCot))
            .await
            .unwrap()
            .text,
        "[[4]] under None"
    );
    for (text, method) in [
        (question, Method::Fixed(61)),
        (question, Method::VanillaCot),
        ("third", Method::Fixed(60)),
        (question, Method::Direct),
    ] {
        assert_eq!(
            ask(&llm, &prompt(text, &[], &method))
                .await
                .unwrap_err()
                .kind,
            ErrorKind::NotFound,
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_missing_broken_or_empty_is_named() {
    let refused = async |run: Run| run.open(json!({})).await.unwrap_err();
    let run = Run::of(&[sample(1)]);
    fs::remove_file(run.0.path().join("samples.jsonl")).unwrap();
    assert_eq!(refused(run).await.kind, ErrorKind::NotFound);
    let broken = refused(Run::with(format!("{}\n{{\"prompt\": \"p", sample(1)))).await;
    assert_eq!(
        (broken.kind, broken.context_value("line")),
        (ErrorKind::InvalidData, Some("2"))
    );
    assert!(broken.message.contains("line 2 of `"), "{broken}");
    assert_eq!(refused(Run::with("")).await.kind, ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_file_that_changes_gives_no_wrong_answer() {
    let run = Run::of(&[sample(1), sample(2)]);
    let llm = run.open(json!({})).await.unwrap();
    let path = run.0.path().join("samples.jsonl");
    let content = fs::read_to_string(&path).unwrap().replace("q2", "q3");
    fs::write(&path, content).unwrap();
    assert_eq!(
        ask(&llm, "Q: q2\nunder 2 \"tokens\"")
            .await
            .unwrap_err()
            .kind,
        ErrorKind::NotFound
    );
    fs::write(&path, "x\n".repeat(2000)).unwrap();
    assert_eq!(
        ask(&llm, "How long? q1").await.unwrap_err().kind,
        ErrorKind::InvalidData
    );
}

#[tokio::test]
async fn a_line_longer_than_a_buffer_is_read_whole() {
    let long = "y".repeat(100_000);
    let run = Run::of(&[
        sample(1),
        json!({"llm": "qwen", "prompt": "p", "completion": long}),
        sample(2),
    ]);
    assert_eq!(
        ask(&run.open(json!({})).await.unwrap(), "p")
            .await
            .unwrap()
            .text,
        long
    );
}

#[tokio::test]
async fn one_text_is_given_to_everything_and_words_are_tokens() {
    let llm = constant(json!({"constant": "one two  three\n[[4]]"})).await;
    let answer = ask(&llm, "how many words").await.unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.finish_reason),
        ("one two  three\n[[4]]", FinishReason::Stop)
    );
    assert_eq!(
        answer.usage,
        Some(Usage {
            input_tokens: 8,
            output_tokens: 4,
            ..Usage::default()
        })
    );
    assert_eq!(llm.count_tokens("a b\nc").await.unwrap(), 3);

    let cut = llm
        .generate(
            GenerateRequest {
                max_tokens: Some(2),
                ..asking("p")
            },
            Events::ignored(),
        )
        .await
        .unwrap();
    assert_eq!(
        (cut.text.as_str(), cut.finish_reason),
        ("one two", FinishReason::Length)
    );
    let none = llm
        .generate(
            GenerateRequest {
                max_tokens: Some(0),
                ..asking("p")
            },
            Events::ignored(),
        )
        .await
        .unwrap();
    assert_eq!(
        (none.text.as_str(), none.finish_reason),
        ("", FinishReason::Length)
    );
    let stop = vec!["[[".to_owned(), " three".to_owned()];
    let stopped = llm
        .generate(
            GenerateRequest {
                stop,
                ..asking("p")
            },
            Events::ignored(),
        )
        .await
        .unwrap();
    assert_eq!(
        (stopped.text.as_str(), stopped.finish_reason),
        ("one two ", FinishReason::Stop)
    );
}

#[tokio::test]
async fn the_parts_make_up_the_text() {
    for (stream, count) in [("whole", 1), ("words", 4)] {
        let llm = constant(json!({"constant": "one two\nthree  ", "stream": stream})).await;
        let (parts, completion) = deltas(&llm, asking("p")).await;
        assert_eq!(parts.concat(), completion.unwrap().text);
        assert_eq!(parts.len(), count, "{parts:?}");
        assert!(parts.iter().all(|part| !part.is_empty()));
    }
    let (parts, _) = deltas(&constant(json!({"constant": ""})).await, asking("p")).await;
    assert!(parts.is_empty(), "a part is never empty");
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_its_time_and_no_longer_than_allowed() {
    let llm = constant(
        json!({"constant": "a b c d", "latency_ms": 1000, "per_token_ms": 250, "stream": "words"}),
    )
    .await;
    let before = tokio::time::Instant::now();
    ask(&llm, "p").await.unwrap();
    let took = before.elapsed();
    assert!(
        (Duration::from_millis(1950)..Duration::from_millis(2100)).contains(&took),
        "{took:?}"
    );
    let (parts, completion) = deltas(
        &llm,
        GenerateRequest {
            timeout_s: Some(1.6),
            ..asking("p")
        },
    )
    .await;
    assert_eq!(completion.unwrap_err().kind, ErrorKind::Timeout);
    assert_eq!(parts, ["a ", "b "]);
}

#[tokio::test]
async fn what_a_model_must_refuse_is_refused() {
    let llm = constant(json!({"constant": "x"})).await;
    let kind = async |request: GenerateRequest| -> ErrorKind {
        let result: Result<_, Error> = llm.generate(request, Events::ignored()).await;
        result.unwrap_err().kind
    };
    assert_eq!(
        kind(GenerateRequest::default()).await,
        ErrorKind::InvalidInput
    );
    let mut hot = asking("p");
    hot.sampling.temperature = Some(-1.0);
    assert_eq!(kind(hot).await, ErrorKind::InvalidInput);
    assert_eq!(
        kind(GenerateRequest {
            timeout_s: Some(-1.0),
            ..asking("p")
        })
        .await,
        ErrorKind::InvalidInput
    );
    let forced = GenerateRequest {
        grammar: Some(Grammar::Gbnf("root ::= \"x\"".to_owned())),
        ..asking("p")
    };
    assert_eq!(kind(forced).await, ErrorKind::Unsupported);
}

#[tokio::test]
async fn options_that_do_not_fit_are_refused() {
    for options in [
        json!({}),
        json!({"path": "x", "constant": "y"}),
        json!({"constant": "y", "latency_ms": -1}),
        json!({"constant": "y", "per_token_ms": 1e12}),
    ] {
        let parsed = serde_json::from_value(options.clone()).unwrap();
        let error = Replay::create(parsed, CreateEnv::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidOptions, "{options}");
    }
    assert!(serde_json::from_value::<Options>(json!({"constnat": "x"})).is_err());
}
