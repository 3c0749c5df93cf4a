//! A request under way.

use std::time::{Duration, Instant};

use tale_api::{Error, FinishReason, Result};
use tale_llama::Sampler;
use tale_weights::Vocabulary;
use tokio::sync::{mpsc::error::TrySendError, oneshot};

use super::{Job, Outcome, text::Text};

/// A request, from its place in a lane to its end. Prompt and answer are one list of tokens: what
/// the lane does not hold of it is what is to be computed.
#[derive(Debug)]
pub(super) struct Task {
    /// Of the prompt and of the answer so far.
    pub(super) tokens: Vec<u32>,
    pub(super) prompt: usize,
    /// Tokens of the prompt that were not computed for it.
    pub(super) reused: usize,
    sampler: Sampler,
    text: Text,
    unsent: String,
    deltas: Option<tokio::sync::mpsc::Sender<String>>,
    reply: oneshot::Sender<Result<Outcome>>,
    /// The most tokens to draw: the request's bound or what the lane leaves.
    limit: usize,
    queued: Duration,
    started: Instant,
    first_token: Option<Instant>,
    _busy: super::Busy,
}

impl Task {
    pub(super) fn new(job: Job, context: usize) -> Self {
        let started = Instant::now();
        let room = context.saturating_sub(job.prompt.len());
        Self {
            prompt: job.prompt.len(),
            reused: 0,
            sampler: Sampler::new(job.drawing, &job.prompt),
            text: Text::new(job.stop),
            unsent: String::new(),
            deltas: job.deltas,
            reply: job.reply,
            limit: job.max_tokens.map_or(room, |most| most.min(room)),
            queued: started.duration_since(job.submitted),
            started,
            first_token: None,
            tokens: job.prompt,
            _busy: job.busy,
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn drawn(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// Draws the next token; says how the request ended, if it did.
    pub(super) fn draw(
        &mut self,
        logits: &mut [f32],
        vocabulary: &Vocabulary,
    ) -> Result<Option<FinishReason>> {
        let token = self.sampler.draw(logits);
        self.first_token.get_or_insert_with(Instant::now);
        if vocabulary.ends.contains(&token) {
            return Ok(Some(FinishReason::Stop));
        }
        self.tokens.push(token);
        self.text.push(token, vocabulary)?;
        self.send_delta();
        Ok(if self.text.is_stopped() {
            Some(FinishReason::Stop)
        } else if self.drawn() >= self.limit {
            Some(FinishReason::Length)
        } else {
            None
        })
    }

    fn send_delta(&mut self) {
        let Some(deltas) = &self.deltas else { return };
        if let Some(delta) = self.text.take_delta() {
            self.unsent.push_str(delta);
        }
        if self.unsent.is_empty() {
            return;
        }
        match deltas.try_send(std::mem::take(&mut self.unsent)) {
            Ok(()) => {}
            // A slow listener slows nobody: it gets the text at a later step.
            Err(TrySendError::Full(delta)) => self.unsent = delta,
            Err(TrySendError::Closed(_)) => self.deltas = None,
        }
    }

    /// Answers; gives back the text's tokens, for what they are worth to the next prompt.
    pub(super) fn finish(self, reason: FinishReason, vocabulary: &Vocabulary) -> Vec<u32> {
        let (now, drawn) = (Instant::now(), self.drawn());
        let outcome = self.text.finish(vocabulary).map(|text| Outcome {
            text,
            finish_reason: reason,
            input_tokens: self.prompt,
            cached_input_tokens: self.reused,
            output_tokens: drawn,
            queued: self.queued,
            to_first_token: self.first_token.unwrap_or(now).duration_since(self.started),
            total: now.duration_since(self.started),
        });
        let _ = self.reply.send(outcome);
        self.tokens
    }

    pub(super) fn fail(self, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}
