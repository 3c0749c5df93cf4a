//! Rules for language models.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};

use super::{Fault, Subject, Verdict, fail, rules, skip};
use crate::{
    messages::{
        Completion, Error, ErrorKind, FinishReason, GenerateEvent, GenerateRequest, Grammar,
        Message, Result, Sampling,
    },
    traits::{Events, Llm},
};

rules! {
    "LLM-01" "`info` names the model and does not change" => info;
    "LLM-02" "a short question is answered, with its usage" => answers;
    "LLM-03" "the deltas joined in order are the text" => deltas;
    "LLM-04" "the parts of the usage fit into their wholes" => usage;
    "LLM-05" "`max_tokens` bounds the output, and the reason says so" => max_tokens;
    "LLM-06" "a request without a message is refused as invalid input" => no_message;
    "LLM-07" "a dropped call frees what it held" => dropped;
    "LLM-08" "64 calls at a time are all answered" => concurrent;
    "LLM-09" "an empty prompt is answered or refused as invalid input" => empty_prompt;
    "LLM-10" "a prompt of 1 MB is answered or refused for its length" => long_prompt;
    "LLM-11" "text beyond ASCII and NUL are answered or refused as invalid input" => odd_text;
    "LLM-12" "a deadline is kept" => deadline;
    "LLM-13" "the same seed gives the same text, whatever else runs" => seed;
    "LLM-14" "calls from several threads are answered" => threads;
    "LLM-15" "a call after an error is answered" => after_error;
    "LLM-16" "a temperature below 0 is refused as invalid input" => bad_temperature;
    "LLM-17" "tokens are counted if that is declared, and refused as unsupported if not" => count_tokens;
    "LLM-18" "a grammar is refused as unsupported if it is not declared" => grammar;
    "LLM-19" "a long answer comes whole, and its parts in order" => long_answer;
    "LLM-20" "a conversation of several turns is answered" => conversation;
    "LLM-21" "after 64 dropped calls, 64 others are answered" => after_dropped;
}

fn request(text: &str) -> GenerateRequest {
    let mut request = GenerateRequest::new(vec![Message::user(text)]);
    request.sampling = Sampling {
        temperature: Some(0.0),
        ..Sampling::default()
    };
    request.max_tokens = Some(8);
    request.seed = Some(1024);
    request
}

async fn ask(llm: &Arc<dyn Llm>, text: &str) -> Result<Completion> {
    llm.generate(request(text), Events::ignored()).await
}

/// Passes for an answer and for a refusal of one of `kinds`.
fn answered_or(outcome: Result<Completion>, kinds: &[ErrorKind]) -> Verdict {
    match outcome {
        Ok(_) => Ok(()),
        Err(e) if kinds.contains(&e.kind) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn refused_as(outcome: Result<Completion>, kind: ErrorKind) -> Verdict {
    match outcome {
        Err(e) if e.kind == kind => Ok(()),
        Err(e) => fail(format!("refused as {}: {e}", e.kind)),
        Ok(_) => fail("answered"),
    }
}

async fn info(subject: &Subject<'_>) -> Verdict {
    let llm = subject.llm().await?;
    let first = llm.info().await?;
    if first.model.is_empty() {
        return fail("the model has no name");
    }
    if llm.info().await? != first {
        return fail("it differs at the second time");
    }
    Ok(())
}

async fn answers(subject: &Subject<'_>) -> Verdict {
    let completion = ask(&subject.llm().await?, "What is 2 + 3?").await?;
    let Some(usage) = completion.usage else {
        return fail("no usage");
    };
    if usage.input_tokens == 0 {
        return fail("no input tokens");
    }
    if !completion.text.is_empty() && usage.output_tokens == 0 {
        return fail("a text, but no output tokens");
    }
    Ok(())
}

async fn deltas(subject: &Subject<'_>) -> Verdict {
    let request = request("Count from one to ten, please.");
    parts_are_the_whole(&subject.llm().await?, request)
        .await
        .map(drop)
}

/// Answers `request`, and holds what was streamed against the completion.
async fn parts_are_the_whole(
    llm: &Arc<dyn Llm>,
    request: GenerateRequest,
) -> Result<Completion, Fault> {
    let parts = Arc::new(Mutex::new((String::new(), String::new(), 0)));
    let heard = Arc::clone(&parts);
    let events = Events::to(move |event| {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            GenerateEvent::Delta { text } if text.is_empty() => heard.2 += 1,
            GenerateEvent::Delta { text } => heard.0.push_str(&text),
            GenerateEvent::ReasoningDelta { text } => heard.1.push_str(&text),
            GenerateEvent::Restart => {
                heard.0.clear();
                heard.1.clear();
            }
            _ => {}
        }
    });
    let completion = llm.generate(request, events).await?;
    let heard = parts.lock().unwrap_or_else(PoisonError::into_inner);
    if heard.0 != completion.text {
        return fail(format!("deltas `{}`, text `{}`", heard.0, completion.text));
    }
    if heard.1 != completion.reasoning.as_deref().unwrap_or_default() {
        return fail("the reasoning differs from its deltas");
    }
    if heard.2 > 0 {
        return fail(format!("{} deltas are empty", heard.2));
    }
    drop(heard);
    Ok(completion)
}

async fn usage(subject: &Subject<'_>) -> Verdict {
    let llm = subject.llm().await?;
    // Asked twice: the second time a cache may answer.
    for _ in 0..2 {
        let Some(usage) = ask(&llm, "Name a colour.").await?.usage else {
            return skip("no usage");
        };
        if usage.cached_input_tokens > usage.input_tokens {
            return fail("more cached than input tokens");
        }
        if usage.reasoning_tokens > usage.output_tokens {
            return fail("more reasoning than output tokens");
        }
    }
    Ok(())
}

async fn max_tokens(subject: &Subject<'_>) -> Verdict {
    let mut asked = request("Count from one to one hundred in words, please.");
    asked.max_tokens = Some(2);
    let completion = subject
        .llm()
        .await?
        .generate(asked, Events::ignored())
        .await?;
    match (completion.usage, completion.finish_reason) {
        (Some(usage), _) if usage.output_tokens > 2 => fail(format!(
            "{} output tokens under a limit of 2",
            usage.output_tokens
        )),
        (Some(usage), reason) if usage.output_tokens == 2 && reason != FinishReason::Length => {
            fail(format!("cut, but the reason is `{}`", reason.as_str()))
        }
        _ => Ok(()),
    }
}

async fn no_message(subject: &Subject<'_>) -> Verdict {
    let outcome = subject
        .llm()
        .await?
        .generate(GenerateRequest::default(), Events::ignored())
        .await;
    refused_as(outcome, ErrorKind::InvalidInput)
}

async fn dropped(subject: &Subject<'_>) -> Verdict {
    let llm = subject.llm().await?;
    for wait_ms in [0, 1, 10, 50] {
        let mut asked = request("Tell a long story about a token and its budget.");
        asked.max_tokens = Some(256);
        let call = llm.generate(asked, Events::ignored());
        // Whether it was faster than that does not matter.
        let _ = tokio::time::timeout(Duration::from_millis(wait_ms), call).await;
    }
    ask(&llm, "Are you still there?").await?;
    subject.idle().await
}

async fn concurrent(subject: &Subject<'_>) -> Verdict {
    many(&subject.llm().await?).await
}

async fn many(llm: &Arc<dyn Llm>) -> Verdict {
    let texts: Vec<_> = (0..64).map(|i| format!("What is {i} + 1?")).collect();
    let outcomes = join_all(texts.iter().map(|text| ask(llm, text))).await;
    match outcomes.into_iter().find_map(Result::err) {
        None => Ok(()),
        Some(e) => Err(e.into()),
    }
}

async fn empty_prompt(subject: &Subject<'_>) -> Verdict {
    answered_or(
        ask(&subject.llm().await?, "").await,
        &[ErrorKind::InvalidInput],
    )
}

async fn long_prompt(subject: &Subject<'_>) -> Verdict {
    let text = "word ".repeat(1 << 20 >> 2);
    let kinds = [ErrorKind::ContextLength, ErrorKind::InvalidInput];
    answered_or(ask(&subject.llm().await?, &text).await, &kinds)
}

async fn odd_text(subject: &Subject<'_>) -> Verdict {
    let llm = subject.llm().await?;
    for text in ["让我们一步一步思考", "a\0b", "👩‍👩‍👧 \u{200f}עברית \u{feff}"]
    {
        answered_or(ask(&llm, text).await, &[ErrorKind::InvalidInput])?;
    }
    Ok(())
}

async fn deadline(subject: &Subject<'_>) -> Verdict {
    let mut asked = request("Tell a long story.");
    asked.max_tokens = Some(256);
    asked.timeout_s = Some(0.001);
    let start = Instant::now();
    let outcome = subject
        .llm()
        .await?
        .generate(asked, Events::ignored())
        .await;
    let took = start.elapsed();
    if took > Duration::from_secs(30) {
        return fail(format!("a deadline of 1 ms took {} s", took.as_secs()));
    }
    answered_or(outcome, &[ErrorKind::Timeout])
}

async fn seed(subject: &Subject<'_>) -> Verdict {
    let llm = subject.llm().await?;
    if !llm.info().await?.capabilities.seed {
        return skip("not declared");
    }
    let mut asked = request("Write a line of a poem.");
    asked.sampling.temperature = Some(1.0);
    let alone = llm.generate(asked.clone(), Events::ignored()).await?.text;
    let others = (0..7).map(|i| {
        let mut other = request("Write a line of another poem.");
        other.seed = Some(i);
        llm.generate(other, Events::ignored())
    });
    let (again, _) = join(llm.generate(asked, Events::ignored()), join_all(others)).await;
    let again = again?.text;
    if alone != again {
        return fail(format!("`{alone}` alone, `{again}` among others"));
    }
    Ok(())
}

async fn threads(subject: &Subject<'_>) -> Verdict {
    let llm = subject.llm().await?;
    let work = move || -> Result<(), Fault> {
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let llm = Arc::clone(&llm);
                thread::spawn(move || -> Result<(), Fault> {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_time()
                        .build()
                        .map_err(|e| Fault::Failed(e.to_string()))?;
                    runtime.block_on(ask(&llm, &format!("What is {i} + 2?")))?;
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().unwrap_or_else(|_| fail("a thread panicked")))
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| fail("a thread panicked"))
}

async fn after_error(subject: &Subject<'_>) -> Verdict {
    let llm = subject.llm().await?;
    // Whether this is refused is another rule's matter.
    let _ = llm
        .generate(GenerateRequest::default(), Events::ignored())
        .await;
    ask(&llm, "What is 1 + 1?").await?;
    Ok(())
}

async fn bad_temperature(subject: &Subject<'_>) -> Verdict {
    let mut asked = request("What is 1 + 1?");
    asked.sampling.temperature = Some(-1.0);
    let outcome = subject
        .llm()
        .await?
        .generate(asked, Events::ignored())
        .await;
    refused_as(outcome, ErrorKind::InvalidInput)
}

async fn count_tokens(subject: &Subject<'_>) -> Verdict {
    let llm = subject.llm().await?;
    let declared = llm.info().await?.capabilities.count_tokens;
    match (declared, llm.count_tokens("one two three").await) {
        (true, Ok(0)) => fail("three words are no tokens"),
        (true, Ok(_)) => match llm.count_tokens("").await? {
            0 => Ok(()),
            n => fail(format!("the empty text has {n} tokens")),
        },
        (
            false,
            Err(Error {
                kind: ErrorKind::Unsupported,
                ..
            }),
        ) => Ok(()),
        (false, Ok(_)) => fail("counted, but not declared"),
        (_, Err(e)) => Err(e.into()),
    }
}

async fn grammar(subject: &Subject<'_>) -> Verdict {
    let llm = subject.llm().await?;
    if llm.info().await?.capabilities.grammar {
        return skip("declared");
    }
    let mut asked = request("Say yes.");
    asked.grammar = Some(Grammar::Gbnf("root ::= \"yes\"".to_owned()));
    refused_as(
        llm.generate(asked, Events::ignored()).await,
        ErrorKind::Unsupported,
    )
}

async fn long_answer(subject: &Subject<'_>) -> Verdict {
    // A model may be brief; one that echoes, or that was asked to go on, is not.
    let words = "one two three four five six seven eight nine ten ".repeat(30);
    let mut asked = request(&format!("Repeat this text: {words}"));
    asked.max_tokens = Some(256);
    let llm = subject.llm().await?;
    let completion = match parts_are_the_whole(&llm, asked.clone()).await {
        Ok(completion) => completion,
        // A small context holds half of it.
        Err(Fault::Failed(reason)) if reason.starts_with("context length") => {
            asked.messages = vec![Message::user("Count from one to two hundred.")];
            parts_are_the_whole(&llm, asked).await?
        }
        Err(fault) => return Err(fault),
    };
    match completion.usage {
        Some(usage) if usage.output_tokens > 256 => fail(format!(
            "{} output tokens under a limit of 256",
            usage.output_tokens
        )),
        _ => Ok(()),
    }
}

async fn conversation(subject: &Subject<'_>) -> Verdict {
    let mut asked = request("");
    asked.messages = vec![
        Message::system("You are a helpful assistant."),
        Message::user("What is 2 + 3?"),
        Message::assistant("5"),
        Message::user("And 1 more?"),
    ];
    subject
        .llm()
        .await?
        .generate(asked, Events::ignored())
        .await?;
    Ok(())
}

async fn after_dropped(subject: &Subject<'_>) -> Verdict {
    let llm = subject.llm().await?;
    let long = (0..64).map(|i| {
        let mut asked = request(&format!("Tell story number {i} of a token."));
        asked.max_tokens = Some(256);
        llm.generate(asked, Events::ignored())
    });
    // Whether some were faster than that does not matter.
    let _ = tokio::time::timeout(Duration::from_millis(20), join_all(long)).await;
    many(&llm).await?;
    subject.idle().await
}
