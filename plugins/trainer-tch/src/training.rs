//! The loop: from pairs to an adapter.

use std::{
    any::Any,
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tale_api::{
    CheckpointRef, Error, ErrorKind, Events, Result, TrainEvent, TrainJob, TrainReport,
};
use tale_chat_template::ChatTemplate;
use tale_llama::{Llama, Lora, device, limit_threads};
use tale_weights::{Config, Model};

use crate::{
    adamw::{self, Moments},
    batch,
    checkpoint::{self, Checkpoint, Progress},
    gradients::{self, Outcome},
    metrics::{Line, Metrics, unwritable},
    options::Settings,
    pairs::{self, Pair, Pairs},
    random::Random,
    schedule::learning_rate,
};

/// Trains, or goes on where an earlier training of the same job ended.
pub(crate) fn run(
    settings: &Settings,
    job: &TrainJob,
    events: &Events<TrainEvent>,
    cancelled: &AtomicBool,
) -> Result<TrainReport> {
    let output = &job.output_dir;
    let identity = identity(settings, job)?;
    fs::create_dir_all(output).map_err(|e| unwritable(output, &e))?;
    let _lock = lock(output, cancelled)?;
    if let Some(report) = done_before(output, &identity)? {
        return Ok(report);
    }
    let base = Model::open(&job.base_model)?;
    let vocabulary = base.vocabulary()?;
    let template = vocabulary.chat_template.clone().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidData,
            format!("`{}` has no chat template", job.base_model.display()),
        )
        .hint("it may be a base model; take an instruct model")
    })?;
    let template = ChatTemplate::new(
        template,
        vocabulary.bos.clone(),
        vocabulary.eos.clone(),
        None,
    )?;
    let pairs = pairs::read(
        &job.pairs,
        settings,
        base.config().context,
        &vocabulary,
        &template,
    )?;
    limit_threads(settings.threads);
    let model = Llama::load(&base, device(&settings.device)?)?;
    let mut state = State::new(settings, job, &model)?;
    let total = u64::from(settings.epochs) * pairs.pairs.len().div_ceil(settings.batch) as u64;
    let mut metrics = Metrics::open(output, state.progress.step)?;
    let mut micro_batch_tokens = settings.micro_batch_tokens;
    while state.progress.step < total {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "the training was given up",
            ));
        }
        let start = Instant::now();
        let indices = batch::indices(&pairs.pairs, settings, job.seed, state.progress.step);
        let chosen: Vec<&Pair> = indices.iter().map(|&index| &pairs.pairs[index]).collect();
        let loss = state.gradients(&model, settings, &chosen, &mut micro_batch_tokens)?;
        let line = state.step(settings, total, &loss, start);
        metrics.write(&line)?;
        events.send(TrainEvent::Step {
            step: line.step,
            total_steps: total,
            loss: line.loss,
            tokens_per_s: line.tokens_per_s,
            metrics: line
                .more
                .iter()
                .map(|(name, &value)| (name.clone(), value))
                .chain([("left_s".to_owned(), line.left_s)])
                .collect(),
        });
        if line.step.is_multiple_of(settings.checkpoint_steps) || line.step == total {
            let path = checkpoint::save(output, &state.progress, &state.lora, &state.moments)?;
            events.send(TrainEvent::Checkpoint {
                checkpoint: CheckpointRef {
                    step: line.step,
                    path,
                },
            });
        }
    }
    finish(output, base.config(), &state, &pairs)
}

/// What changes from step to step.
struct State {
    lora: Lora,
    moments: Vec<Moments>,
    progress: Progress,
}

impl State {
    fn new(settings: &Settings, job: &TrainJob, model: &Llama) -> Result<Self> {
        let (config, device) = (model.config(), model.device());
        let state = if let Some(checkpoint) = Checkpoint::last(&job.output_dir) {
            let lora = Lora::load(&checkpoint.adapter, config, device)?;
            let moments = checkpoint.moments(&lora, device)?;
            Self {
                lora,
                moments,
                progress: checkpoint.progress,
            }
        } else {
            let mut random = Random::new(job.seed, 0);
            let base = job.base_model.to_string_lossy();
            let shape = (settings.rank, settings.alpha);
            let adapter = Lora::fresh(config, &base, shape, &settings.projections, || {
                random.uniform()
            })?;
            let lora = Lora::load(&adapter, config, device)?;
            let moments = lora
                .parameters()
                .iter()
                .map(|(_, p)| Moments::zero(p))
                .collect();
            Self {
                lora,
                moments,
                progress: Progress::default(),
            }
        };
        state.lora.require_gradients();
        Ok(state)
    }

    /// The gradients of a batch. Where a card's memory does not suffice, the batch is cut into
    /// smaller parts, which changes nothing in the result, and computed anew.
    fn gradients(
        &self,
        model: &Llama,
        settings: &Settings,
        pairs: &[&Pair],
        micro_batch_tokens: &mut usize,
    ) -> Result<Outcome> {
        loop {
            let tokens = *micro_batch_tokens;
            let work = AssertUnwindSafe(|| {
                gradients::accumulate(model, &self.lora, settings, pairs, tokens)
            });
            let panic = match catch_unwind(work) {
                Ok(loss) if loss.loss.is_finite() => return Ok(loss),
                Ok(loss) => return Err(diverged(self.progress.step + 1, loss.loss)),
                Err(panic) => panic,
            };
            if !is_out_of_memory(panic.as_ref()) {
                resume_unwind(panic);
            }
            let longest = pairs.iter().map(|pair| pair.length()).max().unwrap_or(1);
            if tokens <= longest {
                return Err(Error::new(
                    ErrorKind::ResourceExhausted,
                    format!("out of memory at a single pair of {longest} tokens"),
                )
                .hint("lower `max_length`, or set `activation_checkpointing = true`"));
            }
            *micro_batch_tokens = (tokens / 2).max(longest);
            tracing::warn!(
                from = tokens,
                to = *micro_batch_tokens,
                "out of memory: `micro_batch_tokens` is lowered"
            );
            for (_, parameter) in self.lora.parameters() {
                parameter.shallow_clone().zero_grad();
            }
        }
    }

    /// Moves the adapter by its gradients.
    fn step(&mut self, settings: &Settings, total: u64, loss: &Outcome, start: Instant) -> Line {
        let parameters = self.lora.parameters();
        let parameters: Vec<_> = parameters.iter().map(|(_, p)| *p).collect();
        let rate = learning_rate(settings, self.progress.step, total);
        let norm = adamw::gradient_norm(&parameters);
        // As `torch.nn.utils.clip_grad_norm_` does it.
        let limit = settings.max_grad_norm;
        let scale = if limit > 0.0 {
            (limit / (norm + 1e-6)).min(1.0)
        } else {
            1.0
        };
        let step = self.progress.step + 1;
        adamw::step(
            &parameters,
            &mut self.moments,
            step,
            rate,
            settings.weight_decay,
            scale,
        );
        let seconds = start.elapsed().as_secs_f64();
        self.progress = Progress {
            step,
            tokens: self.progress.tokens + loss.tokens,
            seconds: self.progress.seconds + seconds,
            loss: loss.loss,
        };
        let mut more = BTreeMap::from([
            ("learning_rate".to_owned(), rate),
            ("gradient_norm".to_owned(), norm),
        ]);
        if settings.method == tale_api::TrainMethod::Dpo {
            more.insert("preferred".to_owned(), loss.accuracy);
            more.insert("margin".to_owned(), loss.margin);
        }
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let (tokens, step_count, left) = (loss.tokens as f64, step as f64, (total - step) as f64);
        Line {
            step,
            loss: loss.loss,
            tokens_per_s: tokens / seconds,
            left_s: self.progress.seconds / step_count * left,
            more,
        }
    }
}

fn diverged(step: u64, loss: f64) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the loss of step {step} is {loss}"))
        .hint("the last checkpoint is as it was; lower `learning_rate`, and check the pairs and that the base model answers sensibly")
}

fn is_out_of_memory(panic: &(dyn Any + Send)) -> bool {
    // tch panics with the error's text; libtorch has no other mark of it.
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.is_some_and(|text| {
        text.contains("out of memory")
            || text.contains("not enough memory")
            || text.contains("can't allocate memory")
    })
}

/// What makes two jobs the same: all that changes the result but the seed's luck with rounding.
fn identity(settings: &Settings, job: &TrainJob) -> Result<serde_json::Value> {
    let pairs = fs::read(&job.pairs).map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::NotFound {
            ErrorKind::NotFound
        } else {
            ErrorKind::InvalidData
        };
        Error::new(
            kind,
            format!("cannot read the pairs `{}`", job.pairs.display()),
        )
        .caused_by(&e)
    })?;
    let digest: String = Sha256::digest(pairs)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut settings = json!(settings);
    for free in [
        "device",
        "threads",
        "micro_batch_tokens",
        "activation_checkpointing",
        "checkpoint_steps",
    ] {
        settings[free].take();
    }
    let base = job
        .base_model
        .canonicalize()
        .unwrap_or_else(|_| job.base_model.clone());
    Ok(json!({"base_model": base, "pairs_sha256": digest, "seed": job.seed, "settings": settings}))
}

/// One training in a folder at a time. One of this process that was given up ends after its step,
/// and is waited for.
fn lock(output: &Path, cancelled: &AtomicBool) -> Result<File> {
    let path = output.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|e| unwritable(&path, &e))?;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(e)) => return Err(unwritable(&path, &e)),
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(&path).unwrap_or_default();
                if owner != std::process::id().to_string() {
                    return Err(Error::new(
                        ErrorKind::InvalidInput,
                        format!(
                            "another training works in `{}` (process {owner})",
                            output.display()
                        ),
                    )
                    .hint("let it end, or choose another folder"));
                }
                if cancelled.load(Ordering::Relaxed) {
                    return Err(Error::new(
                        ErrorKind::Cancelled,
                        "the training was given up",
                    ));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    fs::write(&path, std::process::id().to_string()).map_err(|e| unwritable(&path, &e))?;
    Ok(file)
}

/// The report of the same job if it is done; an error if the folder belongs to another job.
fn done_before(output: &Path, identity: &serde_json::Value) -> Result<Option<TrainReport>> {
    let (job, report) = (output.join("job.json"), output.join("report.json"));
    let read = |path: &Path| {
        fs::read_to_string(path)
            .ok()
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
    };
    match read(&job) {
        Some(known) if known != *identity => {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "`{}` holds another training: {}",
                    output.display(),
                    difference(&known, identity)
                ),
            )
            .hint("choose another folder, or remove this one"));
        }
        Some(_) => {}
        None => fs::write(&job, format!("{identity:#}\n")).map_err(|e| unwritable(&job, &e))?,
    }
    Ok(read(&report).and_then(|report| serde_json::from_value(report).ok()))
}

/// Names the keys that differ.
fn difference(known: &serde_json::Value, now: &serde_json::Value) -> String {
    let flat = |value: &serde_json::Value| -> BTreeMap<String, serde_json::Value> {
        let top = value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != "settings");
        let inner = value["settings"].as_object().into_iter().flatten();
        top.chain(inner)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let (known, now) = (flat(known), flat(now));
    let differ = now
        .iter()
        .filter(|(name, value)| known.get(*name) != Some(value))
        .map(|(name, _)| format!("`{name}`"));
    differ.collect::<Vec<_>>().join(", ")
}

fn finish(output: &Path, config: &Config, state: &State, pairs: &Pairs) -> Result<TrainReport> {
    let adapter = state.lora.to_adapter();
    let folder = output.join("adapter");
    adapter.write(&folder)?;
    // For llama.cpp, whose plugin takes it as its option `lora`.
    adapter.write_gguf(config, &output.join("adapter.gguf"))?;
    let Progress {
        step,
        tokens,
        seconds,
        loss,
    } = state.progress;
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let metrics = [
        ("loss", loss),
        ("tokens", tokens as f64),
        ("seconds", seconds),
        ("tokens_per_s", tokens as f64 / seconds.max(1e-9)),
    ];
    let report = TrainReport {
        adapter: folder,
        steps: step,
        pairs: pairs.pairs.len() as u64,
        skipped: pairs.skipped.clone(),
        metrics: metrics
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    };
    let path = output.join("report.json");
    let partial = output.join("report.json.part");
    serde_json::to_string_pretty(&report)
        .map_err(std::io::Error::from)
        .and_then(|text| fs::write(&partial, text))
        .and_then(|()| fs::rename(&partial, &path))
        .map_err(|e| unwritable(&path, &e))?;
    Ok(report)
}
