//! Trains without a run around it: `train sft|dpo BASE PAIRS OUTPUT [OPTIONS AS JSON]`.
//!
//! A line a step on stderr, the report on stdout; the benches time this.

use std::{collections::BTreeMap, path::PathBuf};

use tale_api::{
    CreateEnv, Error, ErrorKind, Events, Result, TrainEvent, TrainJob, TrainMethod, Trainer as _,
};
use tale_trainer_tch::TchTrainer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let wrong = |message: String| Error::new(ErrorKind::InvalidInput, message);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [method, base, pairs, output, rest @ ..] = arguments.as_slice() else {
        return Err(wrong(
            "usage: train sft|dpo BASE PAIRS OUTPUT [OPTIONS AS JSON]".to_owned(),
        ));
    };
    let options = rest.first().map_or("{}", String::as_str);
    let options = serde_json::from_str(options).map_err(|e| wrong(format!("options: {e}")))?;
    let (method, trainer) = match method.as_str() {
        "sft" => (
            TrainMethod::Sft,
            TchTrainer::sft(options, CreateEnv::default()).await?,
        ),
        "dpo" => (
            TrainMethod::Dpo,
            TchTrainer::dpo(options, CreateEnv::default()).await?,
        ),
        other => return Err(wrong(format!("no method `{other}`"))),
    };
    let job = TrainJob {
        base_model: base.into(),
        pairs: pairs.into(),
        method,
        hyperparameters: BTreeMap::new(),
        output_dir: PathBuf::from(output),
        seed: 1024,
    };
    let events = Events::to(|event| match event {
        TrainEvent::Step {
            step,
            total_steps,
            loss,
            tokens_per_s,
            metrics,
        } => {
            eprintln!(
                "step {step}/{total_steps}  loss {loss:.5}  {tokens_per_s:.1} tokens/s  {metrics:?}"
            );
        }
        TrainEvent::Checkpoint { checkpoint } => {
            let path = checkpoint.path.display();
            eprintln!("checkpoint {path}");
        }
        _ => {}
    });
    let report = trainer.train(job, events).await?;
    println!(
        "{}",
        serde_json::to_string_pretty(&report).unwrap_or_default()
    );
    Ok(())
}
