//! One sequence of the context and the request that has it.

use llama_cpp_2::{model::LlamaModel, token::LlamaToken};
use tale_api::{Error, FinishReason, Result};
use tale_local_llm::{Progress, Sampler, Scratch};

use super::{
    Job,
    grammar::{Grammar, native},
    prefix::View,
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
    grammar: Option<Grammar>,
    progress: Progress,
    #[cfg(test)]
    hasher: std::hash::DefaultHasher,
    #[cfg(test)]
    fingerprint: std::sync::Arc<std::sync::atomic::AtomicU64>,
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
    /// Nothing where the job's grammar is none, which its caller is told.
    pub(super) fn new(job: Job, context: usize, model: &LlamaModel) -> Option<Self> {
        let grammar = job.grammar.map(|text| Grammar::new(model, &text));
        let grammar = match grammar.transpose() {
            Ok(grammar) => grammar,
            Err(error) => {
                job.ticket.fail(error);
                return None;
            }
        };
        let tokens = job.prompt.iter().map(|token| token.0.cast_unsigned());
        Some(Self {
            phase: Phase::Prompt,
            reused: 0,
            sampler: Sampler::new(job.drawing, tokens),
            grammar,
            progress: Progress::new(job.ticket, job.prompt.len(), context),
            #[cfg(test)]
            hasher: std::hash::DefaultHasher::new(),
            #[cfg(test)]
            fingerprint: job.fingerprint,
            prompt: job.prompt,
        })
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.progress.is_abandoned()
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
            std::hash::Hasher::write_u32(&mut self.hasher, logit.to_bits());
        }
        let token = native(match &mut self.grammar {
            Some(grammar) => {
                let mut grammar = grammar.of(model);
                self.sampler.draw_where(&mut grammar, logits, scratch)?
            }
            None => self.sampler.draw(logits, scratch),
        });
        self.progress.drew();
        if model.vocab().is_eog(token) {
            return Ok(Some(FinishReason::Stop));
        }
        self.phase = Phase::Generating { next: token };
        piece.clear();
        model.vocab().token_to_piece_into(token, piece, false, None);
        Ok(self.progress.push(piece))
    }

    pub(super) fn finish(self, finish_reason: FinishReason) {
        #[cfg(test)]
        self.fingerprint.store(
            std::hash::Hasher::finish(&self.hasher),
            std::sync::atomic::Ordering::Release,
        );
        self.progress.finish(finish_reason, b"", self.reused);
    }

    pub(super) fn fail(self, error: Error) {
        self.progress.fail(error);
    }
}
