//! The order of the pairs, and what is computed at a time.
//!
//! Shapes: B sequences, T tokens of the longest one, N targets.

use tale_llama::{Device, Tokens};
use tch::{Kind, Tensor};

use tale_training::Pair;

use crate::{options::Settings, random::Random};

/// The pairs of optimiser step `step`, by index, shortest first.
///
/// An epoch is a shuffle of all pairs cut into batches. Within a batch the order changes nothing but
/// the filling, so equal lengths are put together.
pub(crate) fn indices(pairs: &[Pair], settings: &Settings, seed: u64, step: u64) -> Vec<usize> {
    let batches = pairs.len().div_ceil(settings.batch) as u64;
    let (epoch, batch) = (step / batches, usize::try_from(step % batches).unwrap_or(0));
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    Random::new(seed, 1 + epoch).shuffle(&mut order);
    let from = batch * settings.batch;
    let mut chosen = order[from..pairs.len().min(from + settings.batch)].to_vec();
    chosen.sort_by_key(|&index| (pairs[index].length(), index));
    chosen
}

/// Cuts sorted pairs into parts of at most `tokens` tokens, filling included; a longer pair is a
/// part of its own.
pub(crate) fn parts<'a>(pairs: &[&'a Pair], tokens: usize) -> Vec<Vec<&'a Pair>> {
    let mut parts: Vec<Vec<&Pair>> = Vec::new();
    for &pair in pairs {
        match parts.last_mut() {
            Some(part) if (part.len() + 1) * pair.length() <= tokens => part.push(pair),
            _ => parts.push(vec![pair]),
        }
    }
    parts
}

/// A part of a batch as tensors.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) tokens: Tokens,
    /// N: the place, among B·T, whose hidden state predicts a target.
    pub(crate) rows: Tensor,
    /// N: the targets, for each pair those of `chosen`, then those of `rejected`.
    pub(crate) targets: Tensor,
    /// N: the index among the part's answers (two a pair, chosen first) that a target belongs to.
    pub(crate) answers: Tensor,
    /// Pairs.
    pub(crate) pairs: i64,
}

impl Part {
    /// Both answers of a pair follow its prompt in one sequence, so that the prompt is computed once:
    /// the rejected one takes the positions after the prompt too, and does not see the chosen one.
    #[expect(
        clippy::cast_possible_wrap,
        reason = "lengths of texts are far below 2^63"
    )]
    pub(crate) fn new(pairs: &[&Pair], device: Device) -> Self {
        let longest = pairs.iter().map(|pair| pair.length()).max().unwrap_or(1);
        let (mut ids, mut positions, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rows, mut targets, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for (b, pair) in pairs.iter().enumerate() {
            let (start, prompt) = (b * longest, pair.prompt.len());
            for (segment, part) in [&pair.prompt, &pair.chosen, &pair.rejected]
                .into_iter()
                .enumerate()
            {
                let from = if segment == 0 { 0 } else { prompt };
                let at = ids.len();
                ids.extend(part.iter().map(|&id| i64::from(id)));
                positions.extend((from..from + part.len()).map(|p| p as i64));
                segments.extend(part.iter().map(|_| segment as i64));
                if segment == 0 {
                    continue;
                }
                // The first token of an answer is predicted by the prompt's last one.
                let before = (0..part.len()).map(|i| {
                    if i == 0 {
                        start + prompt - 1
                    } else {
                        at + i - 1
                    }
                });
                rows.extend(before.map(|row| row as i64));
                targets.extend(part.iter().map(|&id| i64::from(id)));
                answers.extend(part.iter().map(|_| (2 * b + segment - 1) as i64));
            }
            for list in [&mut ids, &mut positions, &mut segments] {
                list.resize(start + longest, 0);
            }
        }
        let (b, t) = (pairs.len() as i64, longest as i64);
        let tensor = |list: &[i64]| Tensor::from_slice(list).to_device(device);
        let mask = pairs.iter().any(|pair| !pair.rejected.is_empty()).then(|| {
            let segments = tensor(&segments).view([b, 1, t, 1]);
            let hidden = segments.eq(2).logical_and(&segments.eq(1).transpose(2, 3)); // B 1 T T
            let causal = Tensor::ones([t, t], (Kind::Bool, device)).tril(0); // T T
            causal.logical_and(&hidden.logical_not()) // B 1 T T
        });
        Self {
            tokens: Tokens {
                ids: tensor(&ids).view([b, t]),
                positions: tensor(&positions).view([b, t]),
                mask,
            },
            rows: tensor(&rows),
            targets: tensor(&targets),
            answers: tensor(&answers),
            pairs: b,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use tale_api::TrainMethod;

    fn pair(length: usize) -> Pair {
        Pair {
            prompt: vec![1; length / 2],
            chosen: vec![2; length - length / 2],
            rejected: vec![],
        }
    }

    #[test]
    fn every_pair_is_seen_once_an_epoch_whatever_the_batch() {
        let pairs: Vec<Pair> = (4..27).map(pair).collect();
        for batch in [1, 4, 16, 100] {
            let options = Options {
                batch: Some(batch),
                ..Options::default()
            };
            let settings = Settings::new(TrainMethod::Sft, options).unwrap();
            let steps = pairs.len().div_ceil(batch) as u64;
            for epoch in 0..2 {
                let mut seen: Vec<usize> = (0..steps)
                    .flat_map(|s| indices(&pairs, &settings, 7, epoch * steps + s))
                    .collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..pairs.len()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn parts_hold_no_more_than_their_tokens() {
        let pairs: Vec<Pair> = [4, 5, 9, 10, 30].map(pair).to_vec();
        let all: Vec<&Pair> = pairs.iter().collect();
        let sizes: Vec<usize> = parts(&all, 20).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[test]
    fn answers_do_not_see_each_other() {
        let pair = Pair {
            prompt: vec![5, 6],
            chosen: vec![7, 8],
            rejected: vec![9],
        };
        let part = Part::new(&[&pair], Device::Cpu);
        let list = |t: &Tensor| Vec::<i64>::try_from(t.view(-1).to_kind(Kind::Int64)).unwrap();
        assert_eq!(list(&part.tokens.positions), [0, 1, 2, 3, 2]);
        assert_eq!(list(&part.rows), [1, 2, 1]);
        assert_eq!(list(&part.targets), [7, 8, 9]);
        assert_eq!(list(&part.answers), [0, 0, 1]);
        let mask = list(part.tokens.mask.as_ref().unwrap());
        assert_eq!(mask[20..], [1, 1, 0, 0, 1]);
    }
}
