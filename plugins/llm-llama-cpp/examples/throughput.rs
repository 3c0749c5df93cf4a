//! How many tokens a second the engine makes, without the framework around it.
//!
//! `throughput MODEL SEQUENCES PROMPT_TOKENS OUTPUT_TOKENS [option=value]…` prints one line of JSON,
//! with the names that llama.cpp's `llama-batched-bench` uses for the same: `speed_pp`, `speed_tg`.
use std::time::Instant;

use tale_api::{CreateEnv, Events, GenerateRequest, Llm, Message, Sampling};
use tale_llm_llama_cpp::LlamaCpp;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || {
        args.next()
            .ok_or("usage: throughput MODEL SEQUENCES PROMPT_TOKENS OUTPUT_TOKENS [option=value]…")
    };
    let (path, sequences, prompt, output) = (next()?, next()?, next()?, next()?);
    let (sequences, prompt, output): (u32, usize, u32) =
        (sequences.parse()?, prompt.parse()?, output.parse()?);
    let length = u32::try_from(prompt)? + output + 64;
    let mut options = serde_json::json!({
        "path": path, "slots": sequences, "context": length, "prefix_cache": false,
        // The bare text, so that the prompt has the length asked for.
        "chat_template": "{{ messages[0].content }}",
    });
    for pair in args {
        let (name, value) = pair.split_once('=').ok_or("an option is `name=value`")?;
        options[name] = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    }
    let llm = LlamaCpp::create(serde_json::from_value(options)?, CreateEnv::default()).await?;
    let (mut texts, mut requests) = (Vec::new(), Vec::new());
    for index in 0..sequences {
        let text = numbers(&llm, index * 1000 + 1, prompt).await?;
        texts.push(text.clone());
        requests.push(GenerateRequest {
            messages: vec![Message::user(text)],
            sampling: Sampling {
                temperature: Some(0.0),
                ..Sampling::default()
            },
            max_tokens: Some(output),
            ..GenerateRequest::default()
        });
    }
    // llama.cpp's tools warm up too: the first call reads the weights from the disk.
    let mut warm_up = GenerateRequest::new(vec![Message::user("1, 2, 3")]);
    warm_up.max_tokens = Some(2);
    llm.generate(warm_up, Events::ignored()).await?;
    let begun = Instant::now();
    let calls = requests
        .into_iter()
        .map(|r| llm.generate(r, Events::ignored()));
    let completions = futures_util::future::try_join_all(calls).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let usage = completions.iter().filter_map(|c| c.usage);
    let (input, made) = usage.fold((0, 0), |(i, o), u| {
        (i + u.input_tokens, o + u.output_tokens)
    });
    if made != u64::from(sequences * output) {
        return Err(format!("{made} tokens were made instead of {}", sequences * output).into());
    }
    let to_first = completions
        .iter()
        .map(|c| c.timings.first_token_s)
        .fold(0.0, f64::max);
    let stats = llm.stats();
    #[expect(
        clippy::cast_precision_loss,
        reason = "token counts are far below 2^52"
    )]
    let line = serde_json::json!({
        "prompts": texts, "sequences": sequences, "input_tokens": input, "output_tokens": made, "seconds": seconds,
        "speed_pp": input as f64 / to_first, "speed_tg": made as f64 / (seconds - to_first),
        "speed": (input + made) as f64 / seconds,
        "steps": stats.steps, "decoding_s": stats.decoding.as_secs_f64(), "sampling_s": stats.sampling.as_secs_f64(),
    });
    println!("{line}");
    Ok(())
}

/// Numbers from `first` on, `tokens` tokens of them: a text that goes on for ever, in any model.
async fn numbers(llm: &LlamaCpp, first: u32, tokens: usize) -> tale_api::Result<String> {
    let mut text = format!("{first}");
    for next in first + 1.. {
        let longer = format!("{text}, {next}");
        if llm.count_tokens(&longer).await? > tokens as u64 {
            break;
        }
        text = longer;
    }
    Ok(text)
}
