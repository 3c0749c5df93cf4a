//! Which lane answers a prompt, and how much of it need not be computed.
//!
//! A lane keeps what it saw last. A prompt that begins alike goes on from there; if another lane has
//! more of it, that part is copied. A prompt whose beginning is being computed at this moment waits
//! for it, if that saves enough.

use tale_llama::BLOCK;

use super::task::Task;

/// A lane of the cache, and who has it.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// What the lane of the cache holds, if no request has it.
    pub(super) kept: Vec<u32>,
    /// How many tokens of its text the lane holds.
    pub(super) held: usize,
    /// How many of them were a prompt.
    pub(super) prompt: usize,
    /// The step in which it was used last.
    pub(super) last_used: u64,
    pub(super) task: Option<Task>,
}

/// Where a prompt starts: in `lane`, with `keep` tokens that `from` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) lane: usize,
    pub(super) from: usize,
    pub(super) keep: usize,
}

/// Tokens that a copy must save.
const WORTH_COPYING: usize = 16;

/// Tokens that waiting must save: the wait costs a place in the next steps.
const WORTH_WAITING: usize = 32;

impl Lane {
    /// The text whose beginning the lane holds.
    fn text(&self) -> &[u32] {
        self.task.as_ref().map_or(&self.kept, |task| &task.tokens)
    }

    /// What is to be computed of its request.
    pub(super) fn left(&self) -> &[u32] {
        self.task
            .as_ref()
            .map_or(&[], |task| &task.tokens[self.held..])
    }

    /// Tokens that `prompt` can take over, at most `most`.
    fn shared(&self, prompt: &[u32], most: usize, aligned: bool) -> usize {
        // Where only whole pieces count, only what was a prompt was computed in such.
        let held = if aligned {
            self.held.min(self.prompt)
        } else {
            self.held
        };
        let shared = common(&self.text()[..held], prompt).min(most);
        if aligned {
            shared / BLOCK * BLOCK
        } else {
            shared
        }
    }
}

/// Finds a place for `prompt`: `None` if no lane is free, or if waiting is better.
///
/// At least the last token is always left to compute, because its logits are needed. `aligned` allows
/// whole blocks only.
pub(super) fn choose(lanes: &[Lane], prompt: &[u32], aligned: bool) -> Option<Start> {
    let most = prompt.len().saturating_sub(1);
    let shared = |lane: &Lane| lane.shared(prompt, most, aligned);
    let free = || {
        lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| lane.task.is_none())
    };
    // A lane goes on in place if most of what it holds is kept: else that is worth more where it is,
    // to the prompt that comes back to it.
    let in_place = free()
        .map(|(index, lane)| (index, shared(lane), lane.prompt))
        .filter(|&(_, keep, prompt)| keep > 0 && 2 * keep >= prompt)
        .max_by_key(|&(index, keep, _)| (keep, std::cmp::Reverse(index)));
    let oldest = || free().min_by_key(|(_, lane)| (lane.last_used, lane.held));
    let lane = match in_place {
        Some((index, ..)) => index,
        None => oldest()?.0,
    };
    let keep = shared(&lanes[lane]);
    let (from, there) = (0..)
        .zip(lanes)
        .map(|(index, lane)| (index, shared(lane)))
        .max_by_key(|&(index, shared)| (shared, std::cmp::Reverse(index)))?;
    let coming = lanes.iter().filter(|lane| lane.left().len() > 1);
    let coming = coming.filter_map(|lane| lane.task.as_ref());
    let coming = coming
        .map(|task| common(&task.tokens[..task.prompt], prompt).min(most))
        .max();
    if coming.is_some_and(|coming| coming >= keep.max(there) + WORTH_WAITING) {
        return None;
    }
    if from != lane && there >= keep + WORTH_COPYING {
        return Some(Start {
            lane,
            from,
            keep: there,
        });
    }
    Some(Start {
        lane,
        from: lane,
        keep,
    })
}

/// How many tokens two texts begin with alike.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(text: std::ops::Range<u32>, last_used: u64) -> Lane {
        let kept: Vec<u32> = text.collect();
        Lane {
            held: kept.len(),
            prompt: kept.len(),
            kept,
            last_used,
            task: None,
        }
    }

    fn check(lanes: &[Lane], prompt: &[u32], expected: (usize, usize, usize)) {
        let (lane, from, keep) = expected;
        assert_eq!(
            choose(lanes, prompt, false),
            Some(Start { lane, from, keep })
        );
    }

    fn tokens(range: std::ops::Range<u32>) -> Vec<u32> {
        range.collect()
    }

    #[test]
    fn the_lane_that_saw_most_of_the_prompt_goes_on() {
        let lanes = [lane(100..140, 1), lane(0..40, 2)];
        check(&lanes, &tokens(0..50), (1, 1, 40));
        // The last token is always computed.
        check(&lanes, &tokens(0..40), (1, 1, 39));
    }

    #[test]
    fn a_long_text_is_not_given_up_for_a_short_common_beginning() {
        let prompt = [tokens(0..20), tokens(300..320)].concat();
        check(&[lane(0..100, 2), lane(500..510, 1)], &prompt, (1, 0, 20));
    }

    #[test]
    fn a_few_tokens_are_not_worth_a_copy() {
        let prompt = [tokens(0..10), tokens(300..320)].concat();
        check(&[lane(0..100, 2), lane(500..510, 1)], &prompt, (1, 1, 0));
    }

    #[test]
    fn whole_blocks_are_shared_where_only_these_are_exact() {
        let lanes = [lane(0..200, 1)];
        let start = choose(&lanes, &tokens(0..150), true).unwrap();
        assert_eq!(start.keep, 128);
        let mut answered = lane(0..200, 1);
        answered.prompt = 100;
        let start = choose(&[answered], &tokens(0..150), true).unwrap();
        assert_eq!(start.keep, 64);
    }

    #[test]
    fn without_a_lane_there_is_no_place() {
        assert_eq!(choose(&[], &tokens(0..5), false), None);
    }
}
