//! The loop: from pairs to an adapter.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use tale_api::{
    CheckpointRef, Error, ErrorKind, Events, Result, TrainEvent, TrainJob, TrainReport,
};
use tale_llama::{Llama, Lora, device, is_out_of_memory, limit_threads};
use tale_training::{
    Begun, Line, Metrics, Pair, Pairs, Progress, begin, diverged, given_up, keep_report, read_for,
    write_adapter,
};
use tale_weights::{Config, Model};

use crate::{
    adamw::{self, Moments},
    batch,
    checkpoint::{self, Checkpoint},
    evaluation::Questions,
    gradients::{self, Outcome},
    options::Settings,
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
    let _lock = match begin(settings, settings.schema(), job, cancelled)? {
        Begun::Before(report) => return Ok(report),
        Begun::Now(lock) => lock,
    };
    let base = Model::open(&job.base_model)?;
    let pairs = read_for(&base, &job.pairs, &settings.wanted())?;
    let mut questions = Questions::read(settings, &base)?;
    limit_threads(settings.threads);
    let model = Llama::load(&base, device(&settings.device)?)?;
    let mut state = State::new(settings, job, &model)?;
    let total = u64::from(settings.epochs) * pairs.pairs.len().div_ceil(settings.batch) as u64;
    let mut metrics = Metrics::open(output, state.progress.step)?;
    let mut micro_batch_tokens = settings.micro_batch_tokens;
    let is_cancelled = || cancelled.load(Ordering::Relaxed);
    // What there was before any training stands beside the first step.
    let mut before = match &mut questions {
        Some(questions) if state.progress.step == 0 => {
            let score = questions.ask(&model, &state.lora, is_cancelled)?;
            score.metrics("base")
        }
        _ => BTreeMap::new(),
    };
    while state.progress.step < total {
        if is_cancelled() {
            return Err(given_up());
        }
        let start = Instant::now();
        let indices = batch::indices(&pairs.pairs, settings, job.seed, state.progress.step);
        let chosen: Vec<&Pair> = indices.iter().map(|&index| &pairs.pairs[index]).collect();
        let loss = state.gradients(&model, settings, &chosen, &mut micro_batch_tokens)?;
        let mut line = state.step(settings, total, &loss, start);
        let is_due = line.step.is_multiple_of(settings.eval_every) || line.step == total;
        if let Some(questions) = questions.as_mut().filter(|_| is_due) {
            let score = questions.ask(&model, &state.lora, is_cancelled)?;
            line.more.extend(score.metrics("eval"));
        }
        line.more.extend(std::mem::take(&mut before));
        metrics.write(&line)?;
        events.send(line.event(total));
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
    finish(output, base.config(), &state, &pairs, metrics.evaluation())
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

fn finish(
    output: &Path,
    config: &Config,
    state: &State,
    pairs: &Pairs,
    evaluation: &BTreeMap<String, f64>,
) -> Result<TrainReport> {
    let folder = write_adapter(output, config, &state.lora.to_adapter())?;
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
            .chain(evaluation.clone())
            .collect(),
    };
    keep_report(output, &report)?;
    Ok(report)
}
