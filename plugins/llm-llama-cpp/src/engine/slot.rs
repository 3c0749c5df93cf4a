//! One sequence of the context and the request that has it.

use std::time::{Duration, Instant};

use llama_cpp_2::{model::LlamaModel, token::LlamaToken};
use tale_api::{Error, FinishReason, Result};
use tokio::sync::{mpsc::error::TrySendError, oneshot};

use super::{
    Job, Outcome,
    prefix::View,
    sampler::{Sampler, Scratch},
    stop::Visible,
};

/// A sequence: what is stored for it, and who uses it.
#[derive(Default)]
pub(super) struct Slot {
    /// Tokens whose keys and values are in the context, in order of position.
    pub(super) cached: Vec<LlamaToken>,
    /// How many of `cached` were a prompt.
    pub(super) prompt_len: usize,
    /// The step in which it was used last.
    pub(super) last_used: u64,
    pub(super) task: Option<Task>,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its beginning is being evaluated in slot `source`, up to token `until`.
    Waiting { source: usize, until: usize },
    /// Its prompt is being evaluated.
    Prompt,
    /// `next` was drawn and is to be evaluated.
    Generating { next: LlamaToken },
}

/// A request under way.
pub(super) struct Task {
    pub(super) prompt: Vec<LlamaToken>,
    pub(super) phase: Phase,
    /// Tokens of the prompt that were not evaluated for it.
    pub(super) reused: usize,
    sampler: Sampler,
    visible: Visible,
    unsent: String,
    deltas: Option<tokio::sync::mpsc::Sender<String>>,
    reply: oneshot::Sender<Result<Outcome>>,
    /// The most tokens to draw: the request's bound or what the slot leaves.
    limit: u32,
    drawn: u32,
    queued: Duration,
    started: Instant,
    first_token: Option<Instant>,
    /// Of the bits of all logits that were drawn from: tests compare computations by it.
    #[cfg(test)]
    fingerprint: std::hash::DefaultHasher,
}

impl Slot {
    /// `exact`: whether what was generated is as good for a prompt as what was a prompt.
    pub(super) fn view(&self, exact: bool) -> View<'_> {
        let coming = match &self.task {
            Some(Task {
                phase: Phase::Prompt,
                prompt,
                ..
            }) => prompt.as_slice(),
            _ => &[],
        };
        View {
            cached: if exact {
                &self.cached
            } else {
                &self.cached[..self.prompt_len.min(self.cached.len())]
            },
            coming,
            prompt_len: self.prompt_len,
            free: self.task.is_none(),
            last_used: self.last_used,
        }
    }

    /// The part of its prompt that is to be evaluated, if it is at that.
    pub(super) fn prompt_left(&self) -> Option<&[LlamaToken]> {
        let task = self.task.as_ref().filter(|t| t.phase == Phase::Prompt)?;
        task.prompt.get(self.cached.len()..)
    }

    pub(super) fn is_generating(&self) -> bool {
        matches!(
            self.task,
            Some(Task {
                phase: Phase::Generating { .. },
                ..
            })
        )
    }
}

impl Task {
    /// # Errors
    /// The job's reply with the error, if its grammar is none.
    pub(super) fn new(job: Job, context: usize, model: &LlamaModel) -> Option<Self> {
        let started = Instant::now();
        let sampler = match Sampler::new(job.drawing, &job.prompt, job.grammar.as_deref(), model) {
            Ok(sampler) => sampler,
            Err(error) => {
                let _ = job.reply.send(Err(error));
                return None;
            }
        };
        let room = u32::try_from(context.saturating_sub(job.prompt.len())).unwrap_or(u32::MAX);
        Some(Self {
            phase: Phase::Prompt,
            reused: 0,
            sampler,
            visible: Visible::new(job.stop),
            unsent: String::new(),
            deltas: job.deltas,
            reply: job.reply,
            limit: job.max_tokens.map_or(room, |most| most.min(room)),
            drawn: 0,
            queued: started.duration_since(job.submitted),
            started,
            first_token: None,
            #[cfg(test)]
            fingerprint: std::hash::DefaultHasher::new(),
            prompt: job.prompt,
        })
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Draws the next token; says how the request ended, if it did.
    pub(super) fn draw(
        &mut self,
        logits: &[f32],
        model: &LlamaModel,
        scratch: &mut Scratch,
        piece: &mut Vec<u8>,
    ) -> Result<Option<FinishReason>> {
        #[cfg(test)]
        for logit in logits {
            std::hash::Hasher::write_u32(&mut self.fingerprint, logit.to_bits());
        }
        let token = self.sampler.draw(logits, model, scratch)?;
        self.first_token.get_or_insert_with(Instant::now);
        if model.vocab().is_eog(token) {
            return Ok(Some(FinishReason::Stop));
        }
        self.drawn += 1;
        self.phase = Phase::Generating { next: token };
        piece.clear();
        model.vocab().token_to_piece_into(token, piece, false, None);
        self.visible.push(piece);
        self.send_delta();
        Ok(if self.visible.is_stopped() {
            Some(FinishReason::Stop)
        } else if self.drawn >= self.limit {
            Some(FinishReason::Length)
        } else {
            None
        })
    }

    fn send_delta(&mut self) {
        let Some(deltas) = &self.deltas else { return };
        if let Some(delta) = self.visible.take_delta() {
            self.unsent.push_str(delta);
        }
        if self.unsent.is_empty() {
            return;
        }
        match deltas.try_send(std::mem::take(&mut self.unsent)) {
            Ok(()) => {}
            Err(TrySendError::Full(delta)) => self.unsent = delta,
            // Nobody listens: the request is abandoned and about to be noticed as such.
            Err(TrySendError::Closed(_)) => self.deltas = None,
        }
    }

    pub(super) fn finish(self, finish_reason: FinishReason) {
        let now = Instant::now();
        let outcome = Outcome {
            text: self.visible.finish(),
            finish_reason,
            input_tokens: self.prompt.len(),
            cached_input_tokens: self.reused,
            output_tokens: self.drawn,
            queued: self.queued,
            to_first_token: self.first_token.unwrap_or(now).duration_since(self.started),
            total: now.duration_since(self.started),
            #[cfg(test)]
            fingerprint: std::hash::Hasher::finish(&self.fingerprint),
        };
        let _ = self.reply.send(Ok(outcome));
    }

    pub(super) fn fail(self, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}
