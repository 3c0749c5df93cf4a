//! What a recorded run costs to replay: `cargo run --release -p tale-llm-replay --example footprint [LINES]`
//!
//! Writes a `samples.jsonl` of LINES lines (default 1,000,000) of some 900 bytes each to the temporary
//! folder, opens it, asks for 10,000 prompts spread over it, and prints times and peak memory.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::{BufWriter, Write},
    time::Instant,
};

use tale_api::{CreateEnv, Events, GenerateRequest, Llm, Message};
use tale_llm_replay::{Options, Replay};

const ASKED: u64 = 10_000;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
async fn main() -> Result<(), Box<dyn Error>> {
    let lines: u64 = env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse())?;
    let path = env::temp_dir().join(format!(
        "tale-replay-footprint-{}.jsonl",
        std::process::id()
    ));
    let mut file = BufWriter::new(File::create(&path)?);
    let filler = "She sells the rest at the market. ".repeat(12);
    for n in 0..lines {
        writeln!(
            file,
            r#"{{"id":"{n}","llm":"m","method":"tale-ep","question":"{n}","prompt":"Q: {n}?\n{filler}","completion":"[[{n}]]","input_tokens":150,"output_tokens":6,"finish_reason":"stop","error":null,"estimate_prompt":"How long? {n} {filler}","estimate_completion":"[[12]]"}}"#
        )?;
    }
    file.flush()?;
    let bytes = fs::metadata(&path)?.len();

    let before = Instant::now();
    let options = Options {
        path: Some(path.clone()),
        ..Options::default()
    };
    let llm = Replay::create(options, CreateEnv::default()).await?;
    println!(
        "{lines} lines, {} MB: opened in {:.2} s",
        bytes >> 20,
        before.elapsed().as_secs_f64()
    );

    let before = Instant::now();
    for i in 0..ASKED {
        let n = i * lines / ASKED;
        let request = GenerateRequest::new(vec![Message::user(format!("Q: {n}?\n{filler}"))]);
        let answer = llm.generate(request, Events::ignored()).await?;
        assert_eq!(answer.text, format!("[[{n}]]"));
    }
    let each = before.elapsed().as_secs_f64() / ASKED as f64;
    println!("{ASKED} prompts: {:.1} µs each", each * 1e6);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("peak memory: {}", peak.unwrap_or("unknown on this system"));
    fs::remove_file(&path)?;
    Ok(())
}
