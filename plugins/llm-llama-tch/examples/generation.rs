//! Times greedy answers through the component: `generation MODEL SEQUENCES OUTPUT PROMPTS [OPTIONS AS JSON]`.
//!
//! PROMPTS is a JSON file with a list of texts, each the question of a sequence; SEQUENCES of them are
//! asked together, twice, and the second time is printed: seconds and tokens drawn, as JSON.
//! `benches/generation/pair.py` runs it.

use std::time::Instant;

use futures_util::future::try_join_all;
use serde_json::json;
use tale_api::{
    CreateEnv, Error, ErrorKind, Events, GenerateRequest, Llm as _, Message, Result, Sampling,
};
use tale_llm_llama_tch::LlamaTch;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let wrong = |message: String| Error::new(ErrorKind::InvalidInput, message);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, sequences, output, prompts, rest @ ..] = arguments.as_slice() else {
        let usage = "usage: generation MODEL SEQUENCES OUTPUT PROMPTS [OPTIONS AS JSON]";
        return Err(wrong(usage.to_owned()));
    };
    let number = |text: &str| {
        let number = text.parse::<u32>();
        number.map_err(|e| wrong(format!("`{text}`: {e}")))
    };
    let (sequences, output) = (number(sequences)?, number(output)?);
    let prompts = std::fs::read_to_string(prompts).map_err(|e| wrong(format!("prompts: {e}")))?;
    let prompts: Vec<String> =
        serde_json::from_str(&prompts).map_err(|e| wrong(format!("prompts: {e}")))?;
    let extra = rest.first().map_or("{}", String::as_str);
    let mut options: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(extra).map_err(|e| wrong(format!("options: {e}")))?;
    options.insert("path".to_owned(), json!(model));
    options.insert("slots".to_owned(), json!(sequences));
    // The second time is to compute what the first one did.
    options.insert("prefix_cache".to_owned(), json!(false));
    let options =
        serde_json::from_value(options.into()).map_err(|e| wrong(format!("options: {e}")))?;
    let llm = LlamaTch::create(options, CreateEnv::default()).await?;
    let ask = |prompt: &String| {
        let mut request = GenerateRequest::new(vec![Message::user(prompt.clone())]);
        request.max_tokens = Some(output);
        request.sampling = Sampling {
            temperature: Some(0.0),
            ..Sampling::default()
        };
        llm.generate(request, Events::ignored())
    };
    let (mut seconds, mut tokens) = (0.0, 0);
    for _ in 0..2 {
        let begun = Instant::now();
        let answers = try_join_all(prompts.iter().take(sequences as usize).map(ask)).await?;
        seconds = begun.elapsed().as_secs_f64();
        let usages = answers.iter().filter_map(|answer| answer.usage);
        tokens = usages.map(|usage| usage.output_tokens).sum::<u64>();
    }
    let stats = llm.stats();
    eprintln!("{stats:?}");
    println!("{}", json!({"seconds": seconds, "tokens": tokens}));
    Ok(())
}
