//! The context, with the few things that are done to its keys and values.
//!
//! Each slot is a stream of its own (llama.cpp's `kv_unified = false`): attention of one sequence
//! does not walk over the others', and what a sequence computes does not depend on where in a shared
//! buffer its tokens lie. The price: only whole streams can be copied, and a step is cheap only if
//! the slots that take part are neighbours, because llama.cpp splits it at every gap.

use std::num::NonZeroU32;

use llama_cpp_2::{
    context::{
        LlamaContext,
        params::{KvCacheType, LlamaContextParams},
    },
    llama_batch::LlamaBatch,
    model::{LlamaLoraAdapter, LlamaModel},
};
use llama_cpp_sys_2 as sys;
use tale_api::{Error, ErrorKind, Result};

use super::{
    Config,
    rows::{Shape, least_room},
};
use crate::{
    logs, model,
    options::{KvType, Switch},
};

/// A context whose sequences are the slots.
pub(super) struct Cache<'model> {
    context: LlamaContext<'model>,
    sequences: usize,
    /// Whether the end of a sequence can be removed; a recurrent state only goes forward.
    pub(super) can_trim: bool,
}

impl<'model> Cache<'model> {
    /// Makes room for `config.slots` sequences of `length` tokens.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`], or what llama.cpp has against the options.
    pub(super) fn new(
        model: &'model LlamaModel,
        adapter: &mut Option<(LlamaLoraAdapter, f32)>,
        config: &Config,
        shape: Shape,
        length: u32,
    ) -> Result<Self> {
        let threads = i32::try_from(config.threads).unwrap_or(i32::MAX);
        let kv_type = match config.kv_type {
            KvType::F32 => KvCacheType::F32,
            KvType::F16 => KvCacheType::F16,
            KvType::Bf16 => KvCacheType::BF16,
            KvType::Q8_0 => KvCacheType::Q8_0,
            KvType::Q4_0 => KvCacheType::Q4_0,
        };
        let flash_attention = match config.flash_attention {
            // Without it, attention is a product whose rounding depends on the other rows.
            Switch::Auto if shape.is_reproducible() => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            Switch::Auto => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            Switch::On => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            Switch::Off => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
        };
        let sequences = shape.sequences(config.slots);
        let cells = length + shape.spare_cells();
        let total = cells
            .checked_mul(sequences)
            .and_then(NonZeroU32::new)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidOptions,
                    format!(
                        "{} slots of {length} tokens are more than a context can hold",
                        config.slots
                    ),
                )
            })?;
        let parameters = LlamaContextParams::default()
            .with_n_ctx(Some(total))
            .with_n_seq_max(sequences)
            .with_n_batch(config.batch.max(least_room(sequences)))
            .with_n_ubatch(config.batch.max(least_room(sequences)))
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_type_k(kv_type)
            .with_type_v(kv_type)
            .with_flash_attention_policy(flash_attention)
            .with_kv_unified(false)
            .with_no_perf(true);
        let (context, errors) = logs::capture(|| {
            model
                .new_context(model::backend()?, parameters)
                .map_err(|e| {
                    Error::new(
                        ErrorKind::ResourceExhausted,
                        format!(
                            "no context of {} slots with {length} tokens each can be made",
                            config.slots
                        ),
                    )
                    .hint("lower `slots` or `context`, or use a smaller `kv_type`")
                    .caused_by(&e)
                })
        });
        let mut context = context.map_err(|mut e| {
            e.causes.splice(0..0, errors);
            e
        })?;
        if let Some((adapter, scale)) = adapter {
            context.lora_adapter_set(adapter, *scale).map_err(|e| {
                Error::new(ErrorKind::InvalidData, "the LoRA adapter cannot be applied")
                    .caused_by(&e)
            })?;
        }
        Ok(Self {
            context,
            sequences: sequences as usize,
            can_trim: !model.is_recurrent() && !model.is_hybrid(),
        })
    }

    /// Sequences there are: the slots, and some that only fill up steps.
    pub(super) fn sequences(&self) -> usize {
        self.sequences
    }

    /// Evaluates `batch`.
    pub(super) fn decode(&mut self, batch: &mut LlamaBatch<'_>) -> Result<()> {
        let (decoded, errors) = logs::capture(|| self.context.decode(batch));
        decoded.map_err(|e| {
            let mut error =
                Error::new(ErrorKind::Internal, "llama.cpp cannot evaluate a step").caused_by(&e);
            error.causes.extend(errors);
            error
        })
    }

    /// The logits after the batch's token `index`.
    pub(super) fn logits(&self, index: i32) -> &[f32] {
        self.context.get_logits_ith(index)
    }

    /// Forgets what `slot` has from token `keep` on; says how many tokens are left, which is 0
    /// where the end alone cannot be removed.
    pub(super) fn trim(&mut self, slot: usize, had: usize, keep: usize) -> usize {
        if keep == had {
            return keep;
        }
        let id = sequence(slot);
        let from = u32::try_from(keep).ok();
        if keep > 0 && self.can_trim && self.context.kv_cache_seq_rm(id, from, None).is_ok() {
            return keep;
        }
        // Removing all of a sequence never fails.
        let _ = self.context.kv_cache_seq_rm(id, None, None);
        0
    }

    /// Gives `to` everything that `from` has. The copy itself is done at the next step.
    pub(super) fn copy(&mut self, from: usize, to: usize) {
        let _ = self.context.kv_cache_seq_rm(sequence(to), None, None);
        let copied = self
            .context
            .copy_kv_cache_seq(sequence(from), sequence(to), None, None);
        debug_assert!(
            copied.is_ok(),
            "no position was given that could be too large"
        );
    }
}

/// llama.cpp's number for a slot.
pub(super) fn sequence(slot: usize) -> i32 {
    i32::try_from(slot).expect("slots are at most MAX_SLOTS")
}
