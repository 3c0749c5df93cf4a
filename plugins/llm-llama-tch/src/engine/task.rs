//! A request under way.

use tale_api::{Error, FinishReason, Result};
use tale_local_llm::{Progress, Sampler, Scratch};
use tale_weights::Vocabulary;

use super::{Job, decoder::Decoder};

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
    decoder: Decoder,
    progress: Progress,
    _busy: super::Busy,
}

impl Task {
    pub(super) fn new(job: Job, context: usize) -> Self {
        Self {
            prompt: job.prompt.len(),
            reused: 0,
            sampler: Sampler::new(job.drawing, job.prompt.iter().copied()),
            decoder: Decoder::default(),
            progress: Progress::new(job.ticket, job.prompt.len(), context),
            tokens: job.prompt,
            _busy: job.busy,
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.progress.is_abandoned()
    }

    /// Draws the next token; says how the request ended, if it did.
    pub(super) fn draw(
        &mut self,
        logits: &[f32],
        scratch: &mut Scratch,
        vocabulary: &Vocabulary,
    ) -> Result<Option<FinishReason>> {
        let token = self.sampler.draw(logits, scratch);
        self.progress.drew();
        if vocabulary.ends.contains(&token) {
            return Ok(Some(FinishReason::Stop));
        }
        self.tokens.push(token);
        let text = self.decoder.push(token, vocabulary)?;
        Ok(self.progress.push(text.as_bytes()))
    }

    /// Answers; gives back the text's tokens, for what they are worth to the next prompt.
    pub(super) fn finish(mut self, reason: FinishReason, vocabulary: &Vocabulary) -> Vec<u32> {
        match self.decoder.rest(vocabulary) {
            Ok(rest) => self.progress.finish(reason, rest.as_bytes(), self.reused),
            Err(error) => self.progress.fail(error),
        }
        self.tokens
    }

    pub(super) fn fail(self, error: Error) {
        self.progress.fail(error);
    }
}
