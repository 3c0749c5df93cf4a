//! What a step computes, row by row, so that a row's result does not depend on the others.
//!
//! ggml's kernels round differently by how many rows they are given. Weights that were repacked are
//! multiplied with four rows at once, and the rest one by one; K-quants that were not have another
//! kernel from eight rows on; a single row has a third. Attention has one way for fewer than 64 rows
//! of a sequence, another for more, and one of its own for a single row of a single sequence. So the
//! last bits of a sequence's logits, and with them now and then a token, depend on what stands
//! beside it: with `Q4_K_M` weights the same prompt had logits in three versions.
//!
//! Hence in a reproducible engine every call has at least eight rows and a multiple of four, as many
//! outputs, and no more than 60 rows of a sequence. Rows that are missing are filled with tokens
//! whose keys and values are removed again. Each row is then computed by the same kernels whatever
//! stands beside it, a prompt may be cut anywhere, and a prefix can be shared. With one slot there
//! is never another row beside a generated token, so those stay single; only what was a prompt is
//! then reused, because a generated token's keys came from other kernels.
//!
//! `tests.rs` compares the bits of all logits.

use llama_cpp_2::{llama_batch::LlamaBatch, model::LlamaModel, token::LlamaToken};

use super::{
    Config,
    cache::sequence,
    slot::{Phase, Slot},
};
use crate::options::Switch;

/// Rows that the kernels take together, and the fewest that all kernels compute in the same way.
const GROUP: usize = 4;
const FEWEST: usize = 8;

/// `rows` filled up.
fn filled(rows: usize) -> usize {
    rows.next_multiple_of(GROUP).max(FEWEST)
}

/// Rows of one sequence in one call: the most that is a multiple of [`GROUP`] and below the 64 from
/// which attention takes another way.
const PIECE: u32 = 60;

/// Which rows a call may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Any: fastest with few sequences, results depend on what is computed together.
    Free,
    /// Whole groups, always.
    Groups,
    /// Whole groups for prompts, single rows for the only slot's generated tokens.
    OneSlot,
}

impl Shape {
    /// The shape that `config` asks for, as far as the model lets itself be computed so.
    pub(super) fn of(config: &Config, model: &LlamaModel) -> Self {
        let architecture = model
            .meta_val_str("general.architecture")
            .unwrap_or_default();
        // Rows of a mixture of experts are regrouped by expert inside; a recurrent state cannot
        // forget the rows that only fill up; a GPU has kernels of its own.
        let experts = model.meta_val_str(&format!("{architecture}.expert_count"));
        let mixture = experts.is_ok_and(|n| n != "0");
        let other = mixture || model.is_recurrent() || model.is_hybrid() || config.gpu_layers > 0;
        if !config.reproducible || other || config.flash_attention == Switch::Off {
            Self::Free
        } else if config.slots == 1 {
            Self::OneSlot
        } else {
            Self::Groups
        }
    }

    pub(super) fn is_reproducible(self) -> bool {
        self != Self::Free
    }

    /// Whether generated tokens have the keys and values that they would have as part of a prompt.
    pub(super) fn generates_as_it_reads(self) -> bool {
        self != Self::OneSlot
    }

    /// Sequences that the context needs for `slots`.
    pub(super) fn sequences(self, slots: u32) -> u32 {
        match self {
            Self::Groups => slots.next_multiple_of(4).max(8),
            Self::Free | Self::OneSlot => slots,
        }
    }

    /// Cells of a sequence beyond its length, for rows that only fill up.
    pub(super) fn spare_cells(self) -> u32 {
        if self.is_reproducible() { 8 } else { 0 }
    }

    /// Whether `count` busy slots among `span` neighbours would be cheaper side by side. llama.cpp
    /// splits a call at every sequence that is left out, and each part costs nearly the whole.
    pub(super) fn gap_costs(self, span: usize, count: usize) -> bool {
        match self {
            Self::Groups => filled(span) > filled(count),
            Self::Free | Self::OneSlot => span > count,
        }
    }
}

/// The fewest rows that a call must have room for: a piece, or one of every sequence.
pub(super) fn least_room(sequences: u32) -> u32 {
    sequences.max(PIECE)
}

/// A piece of a prompt that was filled in.
pub(super) struct Piece {
    pub(super) slot: usize,
    /// Tokens of the prompt.
    pub(super) tokens: usize,
    /// Where the logits after its last token are, if that is the prompt's end.
    pub(super) output: Option<i32>,
}

/// The rows of the next call.
pub(super) struct Rows {
    shape: Shape,
    sequences: usize,
    batch: LlamaBatch<'static>,
    /// Sequences that have rows which only fill up, with their true lengths.
    fillers: Vec<(usize, usize)>,
}

impl Rows {
    /// `batch` is the most rows of a prompt where the shape does not say less.
    pub(super) fn new(shape: Shape, sequences: usize, batch: usize) -> Self {
        let most = batch.max(PIECE as usize).max(sequences);
        Self {
            shape,
            sequences,
            batch: LlamaBatch::new(most, 1),
            fillers: Vec::new(),
        }
    }

    pub(super) fn batch(&mut self) -> &mut LlamaBatch<'static> {
        &mut self.batch
    }

    /// What has to be forgotten after the call: sequences and the lengths they keep.
    pub(super) fn fillers(&mut self) -> Vec<(usize, usize)> {
        std::mem::take(&mut self.fillers)
    }

    /// Fills in the next token of every generating slot; returns each with the place of its logits.
    pub(super) fn fill_generating(&mut self, slots: &[Slot]) -> Vec<(usize, i32)> {
        self.clear();
        let mut generating = (0..slots.len()).filter(|&i| slots[i].is_generating());
        let Some(first) = generating.next() else {
            return Vec::new();
        };
        let last = generating.next_back().unwrap_or(first);
        let range = if self.shape == Shape::Groups {
            let rows = filled(last + 1 - first);
            let start = first.min(self.sequences - rows);
            start..start + rows
        } else {
            first..last + 1
        };
        let mut outputs = Vec::new();
        for index in range {
            let slot = slots.get(index);
            let length = slot.map_or(0, |s| s.cached.len());
            let next = slot
                .and_then(|s| s.task.as_ref())
                .and_then(|t| match t.phase {
                    Phase::Generating { next } => Some(next),
                    _ => None,
                });
            if let Some(token) = next {
                outputs.push((index, self.add(index, token, length, true)));
            } else if self.shape == Shape::Groups {
                self.add(index, FILLER, length, true);
                self.fillers.push((index, length));
            }
        }
        outputs
    }

    /// Fills in pieces of the prompts that are being evaluated, as many together as are neighbours,
    /// at most `room` rows. Together they keep the kernels busy: eight rows cost half of what sixty
    /// do.
    pub(super) fn fill_prompts(&mut self, slots: &[Slot], room: usize) -> Vec<Piece> {
        self.clear();
        let left = |s: &Slot| s.prompt_left().map_or(0, <[_]>::len);
        let Some(first) = slots.iter().position(|s| left(s) > 0) else {
            return Vec::new();
        };
        let most = room / GROUP;
        let group = slots[first..]
            .iter()
            .take_while(|s| left(s) > 0)
            .take(most.max(1));
        let group: Vec<&Slot> = group.collect();
        let rows = self.rows_each(group.iter().map(|s| left(s)), room / group.len());
        let ending = group.iter().filter(|s| left(s) <= rows).count();
        // The outputs are rows of the last product, so they are filled up like all rows; but an only
        // slot's prompt has one output always.
        let mut extra = match ending {
            1.. if self.shape == Shape::Groups => filled(ending) - ending,
            _ => 0,
        };
        let mut pieces = Vec::new();
        for (index, slot) in (first..).zip(group) {
            let from = slot.cached.len();
            let tokens = slot.prompt_left().unwrap_or_default();
            let piece = tokens.len().min(rows);
            let mut output = None;
            for row in 0..rows {
                let token = tokens.get(row).copied().unwrap_or(FILLER);
                let last = row + 1 == tokens.len();
                let filler = !last && extra > 0;
                extra -= usize::from(filler);
                let place = self.add(index, token, from + row, last || filler);
                output = output.or(last.then_some(place));
            }
            if rows > piece {
                self.fillers.push((index, from + piece));
            }
            pieces.push(Piece {
                slot: index,
                tokens: piece,
                output,
            });
        }
        pieces
    }

    /// Rows that each of a group of prompts gets: one number for all, because llama.cpp computes
    /// sequences together only with equally many, and the fewest that any of them is best cut into,
    /// because a short last piece is the dearest.
    fn rows_each(&self, left: impl ExactSizeIterator<Item = usize>, room: usize) -> usize {
        let alone = left.len() == 1;
        let most = if self.shape.is_reproducible() {
            (PIECE as usize).min(room / GROUP * GROUP)
        } else {
            room
        }
        .max(GROUP);
        let fewest = left
            .map(|n| n.div_ceil(n.div_ceil(most)))
            .min()
            .unwrap_or(1);
        match self.shape {
            Shape::Free => fewest,
            Shape::Groups | Shape::OneSlot if alone => filled(fewest),
            Shape::Groups | Shape::OneSlot => fewest.next_multiple_of(GROUP),
        }
    }

    fn clear(&mut self) {
        self.batch.clear();
        self.fillers.clear();
    }

    fn add(&mut self, slot: usize, token: LlamaToken, position: usize, output: bool) -> i32 {
        self.batch
            .add(token, sequence(position), &[sequence(slot)], output)
            .expect("the batch holds the longest piece and a row of every sequence");
        self.batch.n_tokens() - 1
    }
}

/// Any token does where only a row is needed.
const FILLER: LlamaToken = LlamaToken(0);
