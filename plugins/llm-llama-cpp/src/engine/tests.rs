//! Whether a sequence is computed alike whatever else is computed: the bits of all logits that were
//! drawn from are compared, because equal text could be luck.

use tale_api::{Completion, Events, GenerateRequest};
use tale_local_llm::ticket;

use super::*;
use crate::model::Tokens;

const SMOLLM2: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// In `Q4_K_M`: its products are done by kernels that depend on the number of rows.
const QWEN: &str = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";

fn config(file: &str, slots: u32) -> Option<Config> {
    let home = std::env::var_os("HOME")?;
    let path = PathBuf::from(home).join(".cache/tale/models").join(file);
    if !path.is_file() {
        eprintln!("SKIPPED: no {file} in the cache; `tale model fetch` gets it");
        return None;
    }
    Some(Config {
        path,
        lora: None,
        slots,
        context: Some(256),
        threads: 2,
        batch: 256,
        gpu_layers: 0,
        flash_attention: Switch::Auto,
        kv_type: KvType::F16,
        prefix_cache: true,
        reproducible: true,
    })
}

/// Runs `prompts` through an engine of their own, one after the other or all at once.
async fn run(config: Config, prompts: &[String], together: bool) -> Vec<(u64, Completion)> {
    let (engine, ready) = Engine::start(config).await.unwrap();
    let mut outcomes = Vec::new();
    let mut pending = Vec::new();
    for (seed, prompt) in (0..).zip(prompts) {
        let request = GenerateRequest {
            max_tokens: Some(3),
            ..GenerateRequest::new(Vec::new())
        };
        let (ticket, answered) = ticket(&request, false);
        let fingerprint = Arc::default();
        let job = Job {
            prompt: ready.model.prompt_tokens(prompt),
            drawing: Drawing {
                temperature: 1.0,
                seed,
                ..Drawing::GREEDY
            },
            grammar: None,
            ticket,
            fingerprint: Arc::clone(&fingerprint),
        };
        engine.submit(job).await.unwrap();
        let outcome = async move {
            let completion = answered.wait(&Events::ignored()).await.unwrap();
            (fingerprint.load(Ordering::Acquire), completion)
        };
        if together {
            pending.push(outcome);
        } else {
            outcomes.push(outcome.await);
        }
    }
    for outcome in pending {
        outcomes.push(outcome.await);
    }
    outcomes
}

/// Prompts of different lengths; the longest takes two calls, and two share most of theirs.
fn prompts() -> Vec<String> {
    let town = |n: usize| " of the old town".repeat(n);
    vec![
        "Tell me a story".into(),
        format!("1{}", town(16)),
        format!("Tell{} and its people", town(9)),
        format!("Tell{} and then some more of it", town(9)),
        format!("4{}", town(3)),
    ]
}

/// Runs alone without any reuse against runs together with reuse.
async fn check(file: &str, slots: u32) {
    let Some(config) = config(file, slots) else {
        return;
    };
    let prompts = prompts();
    let alone = run(
        Config {
            prefix_cache: false,
            ..config.clone()
        },
        &prompts,
        false,
    )
    .await;
    let together = run(config, &prompts, true).await;
    assert!(
        together
            .iter()
            .any(|(_, c)| c.usage.unwrap().cached_input_tokens > 0),
        "nothing was reused"
    );
    for (i, (a, b)) in alone.iter().zip(&together).enumerate() {
        assert_eq!(
            (a.0, &a.1.text),
            (b.0, &b.1.text),
            "prompt {i} beside others"
        );
    }
}

#[tokio::test]
async fn bits_do_not_depend_on_what_is_computed_beside() {
    check(SMOLLM2, 5).await;
}

#[tokio::test]
async fn bits_do_not_depend_on_what_is_computed_beside_k_quants() {
    check(QWEN, 5).await;
}

#[tokio::test]
async fn bits_of_a_single_slot_do_not_depend_on_what_it_kept() {
    check(QWEN, 1).await;
}
