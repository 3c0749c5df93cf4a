//! The thread that computes.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use llama_cpp_2::model::LlamaModel;
use tale_api::{Error, ErrorKind, FinishReason, Result};
use tale_local_llm::{Scratch, receive};
use tokio::sync::{mpsc, oneshot};

use super::{
    Config, Counters, Job, Ready,
    cache::Cache,
    prefix::{self, Start},
    rows::{Rows, Shape},
    slot::{Phase, Slot, Task},
};
use crate::model::{self, Loaded};

/// Tokens of a slot where neither option nor model says less.
const USUAL_CONTEXT: u32 = 2048;

/// Loads the model, says so through `ready`, and serves `jobs` until `stop` or until nobody can
/// send any more.
pub(super) fn run(
    config: &Config,
    jobs: mpsc::Receiver<Job>,
    ready: oneshot::Sender<Result<Ready>>,
    stop: &AtomicBool,
    counters: &Counters,
) {
    let lora = config
        .lora
        .as_ref()
        .map(|(path, scale)| (path.as_path(), *scale));
    let Loaded {
        model,
        mut adapter,
        header,
    } = match model::load(&config.path, config.gpu_layers, lora) {
        Ok(loaded) => loaded,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let shape = Shape::of(config, &model);
    let started = context_length(config, &model).and_then(|length| {
        Ok((
            length,
            Cache::new(&model, &mut adapter, config, shape, length)?,
        ))
    });
    let (context, cache) = match started {
        Ok(started) => started,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let reproducible = shape.is_reproducible();
    if ready
        .send(Ok(Ready {
            model: Arc::clone(&model),
            header,
            context,
            reproducible,
        }))
        .is_err()
    {
        return;
    }
    let mut worker = Worker {
        rows: Rows::new(shape, cache.sequences(), config.batch as usize),
        cache,
        shape,
        model: &model,
        slots: (0..config.slots).map(|_| Slot::default()).collect(),
        queue: VecDeque::new(),
        context: context as usize,
        room: config.batch as usize,
        reuse: config.prefix_cache,
        scratch: Scratch::default(),
        piece: Vec::new(),
        step: 0,
        gap_since: None,
        counters,
    };
    worker.serve(jobs, stop);
}

fn context_length(config: &Config, model: &LlamaModel) -> Result<u32> {
    let trained = model.n_ctx_train();
    match config.context {
        None => Ok(trained.min(USUAL_CONTEXT)),
        Some(wanted) if wanted <= trained => Ok(wanted),
        Some(wanted) => Err(Error::new(
            ErrorKind::InvalidOptions,
            format!("`context` is {wanted} tokens, the model was made for {trained}"),
        )),
    }
}

struct Worker<'a> {
    cache: Cache<'a>,
    shape: Shape,
    rows: Rows,
    model: &'a LlamaModel,
    slots: Vec<Slot>,
    /// Requests that wait for a slot, oldest first.
    queue: VecDeque<Job>,
    /// Tokens that one slot holds.
    context: usize,
    /// Prompt tokens that one step evaluates at most.
    room: usize,
    reuse: bool,
    scratch: Scratch,
    piece: Vec<u8>,
    step: u64,
    /// The step in which a gap between busy slots was first seen.
    gap_since: Option<u64>,
    counters: &'a Counters,
}

impl Worker<'_> {
    fn serve(&mut self, mut jobs: mpsc::Receiver<Job>, stop: &AtomicBool) {
        while self.receive(&mut jobs) && !stop.load(Ordering::Relaxed) {
            self.step += 1;
            self.let_go();
            self.admit();
            self.resume_waiting();
            self.close_gap();
            self.generate();
            self.evaluate_prompts(stop);
        }
    }

    /// Takes what has arrived; waits if there is nothing else to do. `false`: the engine is dropped.
    fn receive(&mut self, jobs: &mut mpsc::Receiver<Job>) -> bool {
        let is_idle = self.queue.is_empty() && self.slots.iter().all(|s| s.task.is_none());
        receive(jobs, &mut self.queue, is_idle)
    }

    /// Frees what nobody waits for.
    fn let_go(&mut self) {
        self.queue.retain(|job| !job.ticket.is_abandoned());
        for slot in &mut self.slots {
            if slot.task.as_ref().is_some_and(Task::is_abandoned) {
                slot.task = None;
            }
        }
    }

    /// Gives free slots to the requests that wait longest.
    fn admit(&mut self) {
        let exact = self.shape.generates_as_it_reads();
        while let Some(job) = self.queue.front() {
            let views: Vec<_> = self.slots.iter().map(|s| s.view(exact)).collect();
            let Some(start) = prefix::choose(&views, &job.prompt, self.reuse) else {
                break;
            };
            let job = self.queue.pop_front().expect("there is a front");
            if let Some(task) = Task::new(job, self.context, self.model) {
                self.place(task, start);
            }
        }
    }

    /// Puts `task` where `start` says, with as much of its prompt as is there already.
    fn place(&mut self, mut task: Task, start: Start) {
        let (slot, keep) = match start {
            Start::Wait {
                slot,
                source,
                until,
            } => {
                task.phase = Phase::Waiting { source, until };
                self.slots[slot].task = Some(task);
                return;
            }
            Start::There { slot, keep } => (slot, keep),
            Start::Copy { slot, from, keep } => {
                self.cache.copy(from, slot);
                self.counters.copies.fetch_add(1, Ordering::Relaxed);
                let copied = self.slots[from].cached.clone();
                self.slots[slot].cached = copied;
                (slot, keep)
            }
        };
        let had = self.slots[slot].cached.len();
        let kept = self.cache.trim(slot, had, keep);
        let slot = &mut self.slots[slot];
        slot.cached.truncate(kept);
        slot.prompt_len = task.prompt.len();
        slot.last_used = self.step;
        task.reused = kept;
        task.phase = Phase::Prompt;
        slot.task = Some(task);
    }

    /// Starts requests whose beginning is evaluated by now, or never will be.
    fn resume_waiting(&mut self) {
        let exact = self.shape.generates_as_it_reads();
        for index in 0..self.slots.len() {
            let Some(Task {
                phase: Phase::Waiting { source, until },
                ..
            }) = self.slots[index].task
            else {
                continue;
            };
            let source = &self.slots[source];
            let coming = matches!(
                source.task,
                Some(Task {
                    phase: Phase::Prompt,
                    ..
                })
            );
            if coming && source.cached.len() < until {
                continue;
            }
            let task = self.slots[index].task.take().expect("it was there above");
            let views: Vec<_> = (0..)
                .zip(&self.slots)
                .map(|(i, s)| {
                    let mut view = s.view(exact);
                    view.free = i == index;
                    view
                })
                .collect();
            let start =
                prefix::choose(&views, &task.prompt, self.reuse).expect("its own slot is free");
            self.place(task, start);
        }
    }

    /// Moves the last generating slot into a gap before it, if that makes a step cheaper. A gap that
    /// the next request fills soon is left alone.
    fn close_gap(&mut self) {
        let busy = |s: &Slot| s.task.is_some();
        let first = self.slots.iter().position(busy);
        let last = self.slots.iter().rposition(busy);
        let (Some(first), Some(last)) = (first, last) else {
            return;
        };
        let gap = (first..last).find(|&i| !busy(&self.slots[i]));
        let count = self.slots[first..=last].iter().filter(|s| busy(s)).count();
        let worth = self.shape.gap_costs(last + 1 - first, count);
        let (Some(gap), true, true) = (gap, worth, self.slots[last].is_generating()) else {
            self.gap_since = None;
            return;
        };
        if self.step < *self.gap_since.get_or_insert(self.step) + 2 {
            return;
        }
        self.gap_since = None;
        self.cache.copy(last, gap);
        self.counters.copies.fetch_add(1, Ordering::Relaxed);
        let task = self.slots[last].task.take();
        self.slots[gap] = Slot {
            cached: self.slots[last].cached.clone(),
            prompt_len: self.slots[last].prompt_len,
            last_used: self.step,
            task,
        };
    }

    /// One more token for every slot that generates.
    fn generate(&mut self) {
        let outputs = self.rows.fill_generating(&self.slots);
        if outputs.is_empty() {
            return;
        }
        if let Err(error) = self.decode() {
            for (slot, _) in outputs {
                self.fail(slot, &error);
            }
            return;
        }
        for (index, output) in outputs {
            let slot = &mut self.slots[index];
            if let Some(Task {
                phase: Phase::Generating { next },
                ..
            }) = slot.task
            {
                slot.cached.push(next);
                slot.last_used = self.step;
                self.draw(index, output);
            }
        }
    }

    /// Pieces of the prompts that are to be evaluated.
    fn evaluate_prompts(&mut self, stop: &AtomicBool) {
        let mut room = self.room;
        while room > 0 && !stop.load(Ordering::Relaxed) {
            let pieces = self.rows.fill_prompts(&self.slots, self.room);
            if pieces.is_empty() {
                break;
            }
            if let Err(error) = self.decode() {
                for piece in pieces {
                    self.fail(piece.slot, &error);
                }
                break;
            }
            for piece in pieces {
                room = room.saturating_sub(piece.tokens);
                self.counters
                    .prompt_tokens
                    .fetch_add(piece.tokens as u64, Ordering::Relaxed);
                let slot = &mut self.slots[piece.slot];
                slot.last_used = self.step;
                if let Some(task) = &slot.task {
                    let from = slot.cached.len();
                    slot.cached
                        .extend_from_slice(&task.prompt[from..from + piece.tokens]);
                }
                if let Some(output) = piece.output {
                    self.draw(piece.slot, output);
                }
            }
            self.let_go();
            self.resume_waiting();
        }
    }

    /// Computes the rows that were filled in, and forgets those that only fill up.
    fn decode(&mut self) -> Result<()> {
        let begun = Instant::now();
        let decoded = self.cache.decode(self.rows.batch());
        for (slot, length) in self.rows.fillers() {
            self.cache.trim(slot, length + 1, length);
        }
        count(&self.counters.decoding_ns, begun);
        self.counters.steps.fetch_add(1, Ordering::Relaxed);
        decoded
    }

    fn draw(&mut self, index: usize, output: i32) {
        let begun = Instant::now();
        let Some(task) = &mut self.slots[index].task else {
            return;
        };
        let logits = self.cache.logits(output);
        let drawn = task.draw(logits, self.model, &mut self.scratch, &mut self.piece);
        self.counters
            .generated_tokens
            .fetch_add(1, Ordering::Relaxed);
        count(&self.counters.sampling_ns, begun);
        match drawn {
            Ok(None) => {}
            Ok(Some(reason)) => self.end(index, Ok(reason)),
            Err(error) => self.end(index, Err(error)),
        }
    }

    fn end(&mut self, slot: usize, how: Result<FinishReason>) {
        let task = self.slots[slot]
            .task
            .take()
            .expect("only a slot with a request ends one");
        match how {
            Ok(reason) => task.finish(reason),
            Err(error) => task.fail(error),
        }
    }

    /// Ends a request that could not be computed. Its slot starts anew, because nobody knows what
    /// was stored.
    fn fail(&mut self, index: usize, error: &Error) {
        self.end(index, Err(error.clone()));
        self.cache.trim(index, usize::MAX, 0);
        self.slots[index].cached.clear();
    }
}

fn count(counter: &std::sync::atomic::AtomicU64, since: Instant) {
    let elapsed = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
    counter.fetch_add(elapsed, Ordering::Relaxed);
}
