//! The thread of a device.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use tale_api::{Error, ErrorKind, FinishReason, Result};
use tale_llama::{BLOCK, Cache, Device, Llama, Lora, Piece, is_out_of_memory, limit_threads};
use tale_local_llm::{Scratch, receive};
use tch::Tensor;
use tokio::sync::{mpsc, oneshot};

use super::{
    Counters, Job, Setup,
    lanes::{self, Lane, Start},
    task::Task,
};

/// Loads the model, says so through `ready`, and serves `jobs` until `stop` or until nobody can
/// send any more.
pub(super) fn run(
    setup: &Setup,
    device: Device,
    jobs: mpsc::Receiver<Job>,
    ready: oneshot::Sender<Result<()>>,
    stop: &AtomicBool,
    counters: &Counters,
) {
    // The number of threads is one of this thread's own.
    limit_threads(setup.threads);
    let loaded = catch_unwind(AssertUnwindSafe(|| load(setup, device)));
    let model = match loaded.unwrap_or_else(|panic| Err(failed(panic.as_ref(), "load the model"))) {
        Ok(model) => model,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    Worker::new(&model, setup, counters).serve(jobs, stop);
}

fn load(setup: &Setup, device: Device) -> Result<Llama> {
    let mut model = Llama::load(&setup.model, device)?;
    for (adapter, strength) in &setup.adapters {
        model.merge(&Lora::load(adapter, model.config(), device)?, *strength);
    }
    Ok(model)
}

/// What a panic of `tch` was.
fn failed(panic: &(dyn std::any::Any + Send), what: &str) -> Error {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    let mut error = if is_out_of_memory(panic) {
        Error::new(ErrorKind::ResourceExhausted, format!("no memory to {what}"))
            .hint("lower `slots`, `context` or `batch`, or take a smaller model")
    } else {
        Error::new(ErrorKind::Internal, format!("libtorch cannot {what}"))
    };
    error.causes.extend(text);
    error
}

struct Worker<'a> {
    model: &'a Llama,
    setup: &'a Setup,
    cache: Cache,
    lanes: Vec<Lane>,
    /// Requests computed together: the lanes, or fewer once memory did not suffice.
    most: usize,
    /// Prompt tokens of a step.
    room: usize,
    /// Requests that were under way and lost their lane, oldest first.
    waiting: VecDeque<Task>,
    /// Requests that wait for a lane, oldest first.
    queue: VecDeque<Job>,
    row: Vec<f32>,
    scratch: Scratch,
    step: u64,
    counters: &'a Counters,
}

impl<'a> Worker<'a> {
    fn new(model: &'a Llama, setup: &'a Setup, counters: &'a Counters) -> Self {
        Self {
            cache: Cache::new(model, setup.slots, setup.context),
            model,
            setup,
            lanes: (0..setup.slots).map(|_| Lane::default()).collect(),
            most: setup.slots,
            room: setup.batch,
            waiting: VecDeque::new(),
            queue: VecDeque::new(),
            row: Vec::new(),
            scratch: Scratch::default(),
            step: 0,
            counters,
        }
    }

    fn serve(&mut self, mut jobs: mpsc::Receiver<Job>, stop: &AtomicBool) {
        while self.receive(&mut jobs) && !stop.load(Ordering::Relaxed) {
            self.step += 1;
            self.let_go();
            self.admit();
            self.advance();
        }
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.waiting.is_empty() && self.busy() == 0
    }

    fn busy(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.task.is_some()).count()
    }

    /// Takes what has arrived; waits if there is nothing else to do. `false`: the engine is dropped.
    fn receive(&mut self, jobs: &mut mpsc::Receiver<Job>) -> bool {
        let is_idle = self.is_idle();
        receive(jobs, &mut self.queue, is_idle)
    }

    /// Frees what nobody waits for.
    fn let_go(&mut self) {
        self.queue.retain(|job| !job.ticket.is_abandoned());
        self.waiting.retain(|task| !task.is_abandoned());
        for lane in &mut self.lanes {
            if lane.task.as_ref().is_some_and(Task::is_abandoned)
                && let Some(task) = lane.task.take()
            {
                lane.kept = task.tokens;
            }
        }
    }

    /// Gives free lanes to the requests that wait longest.
    fn admit(&mut self) {
        while self.busy() < self.most {
            let tokens = match (self.waiting.front(), self.queue.front()) {
                (Some(task), _) => &task.tokens,
                (None, Some(job)) => &job.prompt,
                (None, None) => return,
            };
            let start = if self.setup.prefix_cache {
                lanes::choose(&self.lanes, tokens, self.setup.aligned)
            } else {
                let free = (0..)
                    .zip(&self.lanes)
                    .filter(|(_, lane)| lane.task.is_none());
                let oldest = free.min_by_key(|(_, lane)| lane.last_used);
                oldest.map(|(lane, _)| Start {
                    lane,
                    from: lane,
                    keep: 0,
                })
            };
            let Some(start) = start else { return };
            let task = self.waiting.pop_front().or_else(|| {
                let job = self.queue.pop_front()?;
                Some(Task::new(job, self.setup.context))
            });
            let Some(task) = task else { return };
            if let Some(task) = self.place(task, start) {
                self.waiting.push_front(task);
                return;
            }
        }
    }

    /// Puts a request where `start` says; gives it back where there is no memory for it.
    fn place(&mut self, mut task: Task, Start { lane, from, keep }: Start) -> Option<Task> {
        if from == lane {
            self.cache.truncate(lane, keep);
        } else {
            let copied = AssertUnwindSafe(|| self.cache.copy(from, lane, keep));
            if let Err(panic) = catch_unwind(copied) {
                self.retreat(panic.as_ref());
                return Some(task);
            }
            count(&self.counters.copies, 1);
        }
        task.reused = keep.min(task.prompt);
        self.lanes[lane] = Lane {
            kept: Vec::new(),
            held: keep,
            prompt: task.prompt,
            last_used: self.step,
            task: Some(task),
        };
        None
    }

    /// The next token of every text, and pieces of the prompts that are new.
    fn advance(&mut self) {
        let mut room = self.room;
        // Texts with one token first: those whose lanes are neighbours are attended to together.
        let (mut ones, mut more) = (Vec::new(), Vec::new());
        for (index, lane) in self.lanes.iter().enumerate() {
            match lane.left().len() {
                0 => {}
                1 => ones.push((index, 1)),
                left => {
                    let piece = self.piece(lane.held, left).min(room);
                    room -= piece;
                    if piece > 0 {
                        more.push((index, piece));
                    }
                }
            }
        }
        ones.extend(more);
        if ones.is_empty() {
            return;
        }
        let pieces: Vec<Piece<'_>> = ones
            .iter()
            .map(|&(lane, count)| {
                let left = self.lanes[lane].left();
                Piece {
                    lane,
                    tokens: &left[..count],
                    wants_logits: count == left.len(),
                }
            })
            .collect();
        let begun = Instant::now();
        let pass = AssertUnwindSafe(|| self.model.extend(&mut self.cache, &pieces, None));
        let logits = match catch_unwind(pass) {
            Ok(logits) => logits,
            Err(panic) => return self.retreat(panic.as_ref()),
        };
        let wanted: Vec<usize> = pieces
            .iter()
            .filter(|p| p.wants_logits)
            .map(|p| p.lane)
            .collect();
        count(&self.counters.computing_ns, nanos(begun));
        count(&self.counters.steps, 1);
        for (index, tokens) in ones {
            let lane = &mut self.lanes[index];
            let of_prompt = lane.prompt.saturating_sub(lane.held).min(tokens);
            count(&self.counters.prompt_tokens, of_prompt as u64);
            lane.held += tokens;
            lane.last_used = self.step;
        }
        let begun = Instant::now();
        for (row, lane) in (0..).zip(wanted) {
            self.draw(lane, &logits.get(row));
        }
        count(&self.counters.drawing_ns, nanos(begun));
    }

    /// Tokens of a prompt's next piece: as many as there are, or up to the next whole block.
    fn piece(&self, held: usize, left: usize) -> usize {
        if self.setup.aligned {
            left.min(BLOCK - held % BLOCK)
        } else {
            left
        }
    }

    fn draw(&mut self, index: usize, logits: &Tensor) {
        let Some(task) = &mut self.lanes[index].task else {
            return;
        };
        let logits = logits.to_device(Device::Cpu);
        self.row.resize(logits.numel(), 0.0);
        logits.copy_data(&mut self.row, logits.numel());
        let drawn = task.draw(&self.row, &mut self.scratch, &self.setup.vocabulary);
        count(&self.counters.generated_tokens, 1);
        match drawn {
            Ok(None) => {}
            Ok(Some(reason)) => self.end(index, reason),
            Err(error) => {
                if let Some(task) = self.free(index) {
                    task.fail(error);
                }
            }
        }
    }

    fn end(&mut self, index: usize, reason: FinishReason) {
        let lane = &mut self.lanes[index];
        if let Some(task) = lane.task.take() {
            lane.kept = task.finish(reason, &self.setup.vocabulary);
        }
    }

    /// Takes a request out of its lane, of which nothing is kept.
    fn free(&mut self, index: usize) -> Option<Task> {
        self.cache.truncate(index, 0);
        std::mem::take(&mut self.lanes[index]).task
    }

    /// After a failed step. For want of memory all requests lose their lanes, and half as many go on
    /// together, each from the text it has; a single one that does not fit fails, and so do all after
    /// any other failure.
    fn retreat(&mut self, panic: &(dyn std::any::Any + Send)) {
        let under_way = self.busy();
        let tasks: Vec<Task> = (0..self.lanes.len()).filter_map(|i| self.free(i)).collect();
        self.cache.clear();
        if is_out_of_memory(panic) && (under_way > 1 || self.room > BLOCK) {
            self.most = (under_way / 2).max(1);
            self.room = (self.room / 2).max(BLOCK);
            tracing::warn!(
                together = self.most,
                batch = self.room,
                "out of memory: fewer requests are computed together; lower `slots` or `context`"
            );
            count(&self.counters.retreats, 1);
            self.waiting.extend(tasks);
            return;
        }
        let error = failed(panic, "compute a step");
        for task in tasks {
            task.fail(error.clone());
        }
    }
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
