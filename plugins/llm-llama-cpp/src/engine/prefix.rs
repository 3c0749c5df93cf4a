//! Which slot answers a prompt, and how much of it need not be evaluated.
//!
//! A slot keeps the keys and values of what it saw last. A prompt that begins alike goes on from
//! there; if another slot has more of it, that slot's are copied. A prompt whose beginning is being
//! evaluated at this moment waits for it, if that saves enough.

use llama_cpp_2::token::LlamaToken;

/// What a choice needs to know of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// Tokens whose keys and values are there.
    pub(super) cached: &'a [LlamaToken],
    /// The prompt that is being evaluated into it, `cached` included; empty if none is.
    pub(super) coming: &'a [LlamaToken],
    /// How many of `cached` were a prompt: what a later prompt may share.
    pub(super) prompt_len: usize,
    /// Whether no request has it.
    pub(super) free: bool,
    /// When it was last used; larger is later.
    pub(super) last_used: u64,
}

/// Where a prompt starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// In `slot`, keeping its first `keep` tokens.
    There { slot: usize, keep: usize },
    /// In `slot`, with the first `keep` tokens of `from`.
    Copy {
        slot: usize,
        from: usize,
        keep: usize,
    },
    /// In `slot`, once `source` has evaluated `until` tokens.
    Wait {
        slot: usize,
        source: usize,
        until: usize,
    },
}

/// Tokens that a copy must save. A copy moves the whole buffer of a slot, some 25 MB for a model of
/// half a billion parameters with 2048 tokens: 5 to 10 ms, the time of one token or two there.
const WORTH_COPYING: usize = 16;

/// Tokens that waiting must save: the wait costs a place in the next steps.
const WORTH_WAITING: usize = 32;

/// Finds a place for `prompt`; `None` if no slot is free.
///
/// At least the last token is always left to evaluate, because its logits are needed.
pub(super) fn choose(slots: &[View<'_>], prompt: &[LlamaToken], reuse: bool) -> Option<Start> {
    let most = prompt.len().saturating_sub(1);
    let shared = |tokens: &[LlamaToken]| common(tokens, prompt).min(most);
    let oldest = || {
        let free = slots.iter().enumerate().filter(|(_, s)| s.free);
        free.min_by_key(|(_, s)| (s.last_used, s.cached.len()))
            .map(|(i, _)| i)
    };
    if !reuse {
        return oldest().map(|slot| Start::There { slot, keep: 0 });
    }
    // A slot goes on in place if most of its prompt is kept: else its content is worth more where
    // it is, to the prompt that comes back to it.
    let in_place = slots
        .iter()
        .enumerate()
        .filter(|(_, s)| s.free)
        .map(|(i, s)| (i, shared(s.cached), s.prompt_len))
        .filter(|&(_, keep, prompt_len)| keep > 0 && 2 * keep >= prompt_len)
        .max_by_key(|&(i, keep, _)| (keep, std::cmp::Reverse(i)));
    let slot = in_place.map(|(i, ..)| i).or_else(oldest)?;
    let keep = shared(slots[slot].cached);

    let best = |score: &dyn Fn(&View<'_>) -> usize| {
        slots
            .iter()
            .enumerate()
            .map(|(i, s)| (i, score(s)))
            .max_by_key(|&(i, n)| (n, std::cmp::Reverse(i)))
    };
    let (from, there) = best(&|s| shared(s.cached))?;
    let (source, coming) = best(&|s| shared(s.coming))?;
    if source != slot && coming >= keep.max(there) + WORTH_WAITING {
        return Some(Start::Wait {
            slot,
            source,
            until: coming,
        });
    }
    if from != slot && there >= keep + WORTH_COPYING {
        return Some(Start::Copy {
            slot,
            from,
            keep: there,
        });
    }
    Some(Start::There { slot, keep })
}

/// How many tokens two sequences begin with alike.
fn common(a: &[LlamaToken], b: &[LlamaToken]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(range: std::ops::Range<i32>) -> Vec<LlamaToken> {
        range.map(LlamaToken).collect()
    }

    fn slot(cached: &[LlamaToken], free: bool, last_used: u64) -> View<'_> {
        View {
            cached,
            coming: &[],
            prompt_len: cached.len(),
            free,
            last_used,
        }
    }

    fn check(slots: &[View<'_>], prompt: &[LlamaToken], expected: Option<Start>) {
        assert_eq!(choose(slots, prompt, true), expected);
    }

    #[test]
    fn the_slot_that_saw_most_of_the_prompt_goes_on() {
        let (a, b) = (tokens(0..40), tokens(100..140));
        let slots = [slot(&b, true, 1), slot(&a, true, 2)];
        check(
            &slots,
            &tokens(0..50),
            Some(Start::There { slot: 1, keep: 40 }),
        );
    }

    #[test]
    fn the_last_token_is_always_evaluated() {
        let a = tokens(0..40);
        check(
            &[slot(&a, true, 1)],
            &tokens(0..40),
            Some(Start::There { slot: 0, keep: 39 }),
        );
        check(
            &[slot(&a, true, 1)],
            &tokens(0..1),
            Some(Start::There { slot: 0, keep: 0 }),
        );
    }

    #[test]
    fn a_busy_slot_is_copied_from() {
        let a = tokens(0..40);
        let slots = [slot(&a, false, 2), slot(&[], true, 0)];
        check(
            &slots,
            &tokens(0..50),
            Some(Start::Copy {
                slot: 1,
                from: 0,
                keep: 40,
            }),
        );
    }

    #[test]
    fn a_few_tokens_are_not_worth_a_copy() {
        let a = tokens(0..10);
        let slots = [slot(&a, false, 2), slot(&[], true, 0)];
        check(
            &slots,
            &tokens(0..50),
            Some(Start::There { slot: 1, keep: 0 }),
        );
    }

    #[test]
    fn a_long_prompt_is_not_given_up_for_a_short_common_beginning() {
        let (long, other) = (tokens(0..100), tokens(500..510));
        let prompt: Vec<_> = tokens(0..20).into_iter().chain(tokens(300..320)).collect();
        let slots = [slot(&long, true, 1), slot(&other, true, 2)];
        check(&slots, &prompt, Some(Start::There { slot: 0, keep: 20 }));
        let slots = [slot(&long, true, 2), slot(&other, true, 1)];
        check(
            &slots,
            &prompt,
            Some(Start::Copy {
                slot: 1,
                from: 0,
                keep: 20,
            }),
        );
    }

    #[test]
    fn a_beginning_under_evaluation_is_waited_for() {
        let (now, coming) = (tokens(0..8), tokens(0..60));
        let busy = View {
            cached: &now,
            coming: &coming,
            prompt_len: 60,
            free: false,
            last_used: 3,
        };
        let slots = [busy, slot(&[], true, 0)];
        check(
            &slots,
            &tokens(0..50),
            Some(Start::Wait {
                slot: 1,
                source: 0,
                until: 49,
            }),
        );
        // What is there already is not waited for.
        let busy = View {
            cached: &coming[..45],
            ..busy
        };
        check(
            &[busy, slot(&[], true, 0)],
            &tokens(0..50),
            Some(Start::Copy {
                slot: 1,
                from: 0,
                keep: 45,
            }),
        );
    }

    #[test]
    fn without_a_free_slot_there_is_no_place() {
        let a = tokens(0..40);
        check(&[slot(&a, false, 1)], &tokens(0..50), None);
    }

    #[test]
    fn without_reuse_the_oldest_slot_starts_anew() {
        let a = tokens(0..40);
        let slots = [slot(&a, true, 2), slot(&a, true, 1)];
        assert_eq!(
            choose(&slots, &a, false),
            Some(Start::There { slot: 1, keep: 0 })
        );
    }
}
