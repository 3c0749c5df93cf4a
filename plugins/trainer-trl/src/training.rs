//! A training: what the processes are given, what is made of what they say, and what is left.

use std::{fs, io::Write as _, path::Path, process::Command, sync::atomic::AtomicBool};

use serde_json::json;
use tale_api::{
    CheckpointRef, Error, ErrorKind, Events, Result, TrainEvent, TrainJob, TrainReport,
};
use tale_training::{
    Begun, Line, Metrics, Pairs, Progress, begin, keep_report, read_for, unwritable, write_adapter,
};
use tale_weights::{Model, adapter::Adapter};

use crate::{checkpoints, options::Settings, process, protocol::Message, python::Python};

const SCRIPT: &str = include_str!("train.py");

/// Trains, or goes on where an earlier training of the same job ended.
pub(crate) fn run(
    python: &Python,
    settings: &Settings,
    job: &TrainJob,
    events: &Events<TrainEvent>,
    cancelled: &AtomicBool,
) -> Result<TrainReport> {
    let output = &job.output_dir;
    let _lock = match begin(settings, settings.schema(), job, cancelled)? {
        Begun::Before(report) => return Ok(report),
        Begun::Now(lock) => lock,
    };
    let base = open(&job.base_model)?;
    let pairs = read_for(&base, &job.pairs, &settings.wanted())?;
    let home = output.join("trl");
    let checkpoints = home.join("checkpoints");
    fs::create_dir_all(&checkpoints).map_err(|e| unwritable(&checkpoints, &e))?;
    let (resume, progress) = checkpoints::last(&checkpoints).unzip();
    let mut state = State {
        metrics: Metrics::open(output, progress.unwrap_or_default().step)?,
        progress: progress.unwrap_or_default(),
        events,
    };
    write(&home.join("train.py"), SCRIPT.as_bytes())?;
    write(&home.join("pairs.jsonl"), &as_lines(&pairs))?;
    let task = task(settings, job, &base, &home, resume.as_deref())?;
    write(&home.join("job.json"), format!("{task:#}\n").as_bytes())?;
    tracing::info!(python = %python.program.display(), versions = ?python.versions, "training with TRL");
    let mut command = command(python, settings, &home);
    process::run(&mut command, &home.join("log.txt"), cancelled, |message| {
        state.hear(message)
    })?;
    finish(output, &home, &base, job, &pairs, &state.progress)
}

/// The base model; Transformers read folders only.
fn open(path: &Path) -> Result<Model> {
    if path.is_file() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("`{}` is a file, and TRL trains Hugging Face folders", path.display()),
        )
        .hint("name the folder of the model (`config.json`, `*.safetensors`, `tokenizer.json`); the trainers `sft` and `dpo` of the plugin `tch` take a GGUF file"));
    }
    Model::open(path)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| unwritable(path, &e))
}

/// The pairs as tokens, so that both trainers learn from the same ones.
fn as_lines(pairs: &Pairs) -> Vec<u8> {
    let mut lines = Vec::new();
    for pair in &pairs.pairs {
        let line = json!({"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected});
        // Writing to memory cannot fail.
        let _ = writeln!(lines, "{line}");
    }
    lines
}

/// What the script reads.
fn task(
    settings: &Settings,
    job: &TrainJob,
    base: &Model,
    home: &Path,
    resume: Option<&Path>,
) -> Result<serde_json::Value> {
    let mut task = json!(settings);
    let more = json!({
        "base": std::path::absolute(&job.base_model).unwrap_or_else(|_| job.base_model.clone()),
        "pairs": home.join("pairs.jsonl"),
        "checkpoints": home.join("checkpoints"),
        "adapter": home.join("adapter"),
        "resume": resume,
        "seed": job.seed,
        "end": base.vocabulary()?.ends[0],
    });
    if let (Some(task), serde_json::Value::Object(more)) = (task.as_object_mut(), more) {
        task.extend(more);
    }
    Ok(task)
}

/// `python -m accelerate.commands.launch … train.py job.json`.
fn command(python: &Python, settings: &Settings, home: &Path) -> Command {
    let mut command = Command::new(&python.program);
    command.args(["-m", "accelerate.commands.launch"]);
    if let Some(file) = &settings.accelerate_config {
        command.arg("--config_file").arg(file);
    }
    if settings.device == "cpu" {
        command.arg("--cpu");
    }
    let is_one = settings.card().is_some() || settings.device == "cpu";
    let processes = if is_one { Some(1) } else { settings.processes };
    if let Some(processes) = processes {
        command.arg("--num_processes").arg(processes.to_string());
    }
    command.args(&settings.accelerate_args);
    command
        .arg(home.join("train.py"))
        .arg(home.join("job.json"));
    if let Some(card) = settings.card() {
        command.env("CUDA_VISIBLE_DEVICES", card.to_string());
    }
    if let Some(threads) = settings.threads {
        command.env("OMP_NUM_THREADS", threads.to_string());
    }
    command
        .env("PYTHONUNBUFFERED", "1")
        // Nothing is fetched: base and pairs are files.
        .env("HF_HUB_OFFLINE", "1")
        .env("TOKENIZERS_PARALLELISM", "false");
    command
}

/// What grows with the messages.
struct State<'a> {
    metrics: Metrics,
    progress: Progress,
    events: &'a Events<TrainEvent>,
}

impl State<'_> {
    fn hear(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Start {
                total_steps,
                processes,
            } => tracing::info!(total_steps, processes, "the model is loaded"),
            Message::Step {
                step,
                total_steps,
                loss,
                tokens,
                seconds,
                more,
            } => {
                self.progress = Progress {
                    step,
                    tokens: self.progress.tokens + tokens,
                    seconds: self.progress.seconds + seconds,
                    loss,
                };
                #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
                let (tokens, done, left) = (
                    tokens as f64,
                    step.max(1) as f64,
                    total_steps.saturating_sub(step) as f64,
                );
                let line = Line {
                    step,
                    loss,
                    tokens_per_s: tokens / seconds.max(1e-9),
                    left_s: self.progress.seconds / done * left,
                    more,
                };
                self.metrics.write(&line)?;
                self.events.send(line.event(total_steps));
            }
            Message::Checkpoint { step, path } => {
                checkpoints::mark(&path, &self.progress)?;
                let checkpoint = CheckpointRef { step, path };
                self.events.send(TrainEvent::Checkpoint { checkpoint });
            }
            Message::Done { steps } => self.progress.step = steps,
            // These end the training, and whoever runs it has kept them.
            Message::Diverged { .. } | Message::Error { .. } => {}
        }
        Ok(())
    }
}

fn finish(
    output: &Path,
    home: &Path,
    base: &Model,
    job: &TrainJob,
    pairs: &Pairs,
    progress: &Progress,
) -> Result<TrainReport> {
    let found = Adapter::read(&home.join("adapter"))?;
    let is_finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    let broken = found
        .pairs
        .iter()
        .find(|(_, pair)| !is_finite(&pair.a.values) || !is_finite(&pair.b.values));
    if let Some((name, _)) = broken {
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!("TRL's adapter has values that are no numbers in `{name}`"),
        )
        .hint("lower `learning_rate`, or train with `sft` or `dpo` of the plugin `tch`"));
    }
    let adapter = Adapter {
        base: job.base_model.to_string_lossy().into_owned(),
        ..found
    };
    let folder = write_adapter(output, base.config(), &adapter)?;
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let tokens = progress.tokens as f64;
    let metrics = [
        ("loss", progress.loss),
        ("tokens", tokens),
        ("seconds", progress.seconds),
        ("tokens_per_s", tokens / progress.seconds.max(1e-9)),
    ];
    let report = TrainReport {
        adapter: folder,
        steps: progress.step,
        pairs: pairs.pairs.len() as u64,
        skipped: pairs.skipped.clone(),
        metrics: metrics
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    };
    keep_report(output, &report)?;
    Ok(report)
}
