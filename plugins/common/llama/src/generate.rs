//! Answers to a list of prompts, many at a time.

use std::collections::VecDeque;

use tale_local_llm::{Drawing, Sampler, Scratch};
use tch::Kind;

use crate::{cache::Cache, decode::Piece, lora::Lora, model::Llama};

/// What is to be answered, and how.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// At least a token each.
    pub prompts: &'a [Vec<u32>],
    /// Tokens that end an answer.
    pub ends: &'a [u32],
    /// The most tokens of an answer, the one that ends it not counted; at least 1.
    pub max_tokens: usize,
    /// Answers computed together.
    pub batch: usize,
    /// Each answer's seed is this one's with the prompt's index added.
    pub drawing: Drawing,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Without the token that ended it.
    pub tokens: Vec<u32>,
    /// Whether the model ended it.
    pub is_ended: bool,
}

/// An answer under way.
struct Text {
    /// Index of the prompt.
    index: usize,
    sampler: Sampler,
    next: u32,
}

/// Prompt tokens computed in one pass, if no single prompt has more.
const PASS: usize = 1024;

/// Answers all prompts, in their order; what they all begin with is computed once.
///
/// `go_on` is asked before each pass; once it says no, what has been answered so far is given.
///
/// # Panics
/// A prompt is empty; libtorch has no memory.
pub fn generate(
    model: &Llama,
    lora: Option<&Lora>,
    request: &Request<'_>,
    mut go_on: impl FnMut() -> bool,
) -> Vec<Answer> {
    let prompts = request.prompts;
    let mut answers = vec![Answer::default(); prompts.len()];
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let lanes = request.batch.clamp(1, prompts.len().max(1));
    // One lane more, for what all prompts begin with.
    let mut cache = Cache::new(model, lanes + 1, longest + request.max_tokens);
    // Like lengths next to each other: a pass attends as far as its longest text.
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&index| (prompts[index].len(), index));
    let mut queue = VecDeque::from(order);
    let shared = shared_start(prompts);
    if shared > 0 && go_on() {
        let start = Piece {
            lane: lanes,
            tokens: &prompts[0][..shared],
            wants_logits: false,
        };
        let _ = model.extend(&mut cache, &[start], lora);
    }
    let mut texts: Vec<Option<Text>> = (0..lanes).map(|_| None).collect();
    let (mut row, mut scratch) = (Vec::new(), Scratch::default());
    while go_on() {
        // The texts under way come first and side by side.
        let mut pass: Vec<usize> = (0..lanes).filter(|&lane| texts[lane].is_some()).collect();
        let next: Vec<u32> = texts.iter().flatten().map(|text| text.next).collect();
        let mut fresh = 0;
        for (lane, place) in texts.iter_mut().enumerate() {
            let Some(&index) = queue.front() else { break };
            let rest = prompts[index].len() - shared;
            if place.is_some() || (fresh > 0 && fresh + rest > PASS) {
                continue;
            }
            queue.pop_front();
            fresh += rest;
            cache.truncate(lane, 0);
            cache.copy(lanes, lane, shared);
            let drawing = &request.drawing;
            let seed = drawing.seed.wrapping_add(index as u64);
            let sampler = Sampler::new(
                Drawing {
                    seed,
                    ..drawing.clone()
                },
                prompts[index].iter().copied(),
            );
            *place = Some(Text {
                index,
                sampler,
                next: 0,
            });
            pass.push(lane);
        }
        if pass.is_empty() {
            break;
        }
        let text = |lane: usize| texts[lane].as_ref().expect("a lane of the pass has a text");
        let pieces: Vec<Piece<'_>> = pass
            .iter()
            .enumerate()
            .map(|(i, &lane)| Piece {
                lane,
                tokens: match next.get(i) {
                    Some(token) => std::slice::from_ref(token),
                    None => &prompts[text(lane).index][shared..],
                },
                wants_logits: true,
            })
            .collect();
        let logits = model.extend(&mut cache, &pieces, lora); // N V
        for (i, lane) in (0..).zip(pass) {
            let logits = logits
                .get(i)
                .to_device(tch::Device::Cpu)
                .to_kind(Kind::Float);
            row.resize(logits.numel(), 0.0);
            logits.copy_data(&mut row, logits.numel());
            let text = texts[lane].as_mut().expect("a lane of the pass has a text");
            let answer = &mut answers[text.index];
            text.next = text.sampler.draw(&row, &mut scratch);
            answer.is_ended = request.ends.contains(&text.next);
            if !answer.is_ended {
                answer.tokens.push(text.next);
            }
            if answer.is_ended || answer.tokens.len() >= request.max_tokens {
                texts[lane] = None;
            }
        }
    }
    answers
}

/// How many tokens all prompts begin with alike; each has at least one more, whose logits are needed.
fn shared_start(prompts: &[Vec<u32>]) -> usize {
    let Some((first, others)) = prompts
        .split_first()
        .filter(|(_, others)| !others.is_empty())
    else {
        return 0;
    };
    let common = |other: &Vec<u32>| {
        let same = first.iter().zip(other).take_while(|(a, b)| a == b);
        same.count().min(other.len() - 1)
    };
    let least = others.iter().map(common).min().unwrap_or(0);
    least.min(first.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prompts_share_leaves_a_token_of_each() {
        let start = |prompts: &[&[u32]]| {
            shared_start(&prompts.iter().map(|p| p.to_vec()).collect::<Vec<_>>())
        };
        assert_eq!(start(&[&[1, 2, 3], &[1, 2, 4, 5]]), 2);
        assert_eq!(start(&[&[1, 2], &[1, 2, 3]]), 1);
        assert_eq!(start(&[&[1, 2, 3], &[1, 2]]), 1);
        assert_eq!(start(&[&[1], &[2]]), 0);
        assert_eq!(start(&[&[1, 2, 3]]), 0);
    }
}
