//! How the next token is drawn from logits.
//!
//! In the order of Transformers, which the paper's code used: repetition penalty, temperature, top-k,
//! top-p, draw. What is drawn depends on the logits and the seed alone.

use std::{cmp::Ordering, collections::HashSet};

/// How a text's tokens are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Divides the logits; 0 takes the most probable token.
    pub temperature: f32,
    /// In (0, 1]: only the likeliest tokens whose share reaches it; 1 is off.
    pub top_p: f32,
    /// Only so many of the likeliest tokens; 0 is off.
    pub top_k: usize,
    /// Positive logits of tokens that were seen are divided by it, negative ones multiplied; 1 is off.
    pub repetition_penalty: f32,
    /// Of the draws.
    pub seed: u64,
}

impl Drawing {
    /// Always the most probable token.
    pub const GREEDY: Self = Self {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        repetition_penalty: 1.0,
        seed: 0,
    };

    fn penalises(&self) -> bool {
        (self.repetition_penalty - 1.0).abs() > f32::EPSILON
    }
}

/// e⁻⁴⁰ is 4·10⁻¹⁸: tokens so much less likely than the best have, all together, no share that 53
/// bits could tell from none.
const NEGLIGIBLE: f32 = 40.0;

/// Draws the tokens of one text.
#[derive(Clone, Debug)]
pub struct Sampler {
    drawing: Drawing,
    /// Of `SplitMix64`.
    state: u64,
    /// Tokens of the text; kept for a penalty only.
    seen: HashSet<u32>,
}

/// A token that may be drawn: its number, its logit, its weight over that of the best.
type Candidate = (u32, f32, f64);

impl Sampler {
    /// A sampler for a text that begins with `prompt`.
    #[must_use]
    pub fn new(drawing: Drawing, prompt: &[u32]) -> Self {
        let seen = if drawing.penalises() {
            prompt.iter().copied().collect()
        } else {
            HashSet::new()
        };
        Self {
            state: drawing.seed,
            drawing,
            seen,
        }
    }

    /// The next token. The logits are changed by a penalty.
    pub fn draw(&mut self, logits: &mut [f32]) -> u32 {
        if !self.drawing.penalises() {
            return self.pick(logits);
        }
        let penalty = self.drawing.repetition_penalty;
        for &token in &self.seen {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
        let token = self.pick(logits);
        self.seen.insert(token);
        token
    }

    fn pick(&mut self, logits: &[f32]) -> u32 {
        let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let first = || {
            let place = logits.iter().position(|&logit| logit >= best);
            place.and_then(|p| u32::try_from(p).ok()).unwrap_or(0)
        };
        let temperature = self.drawing.temperature;
        if temperature <= 0.0 {
            return first();
        }
        let least = best - NEGLIGIBLE * temperature;
        let weigh = |logit: f32| f64::from((logit - best) / temperature).exp();
        let mut candidates: Vec<Candidate> = (0..)
            .zip(logits)
            .filter(|&(_, &logit)| logit >= least)
            .map(|(token, &logit)| (token, logit, weigh(logit)))
            .collect();
        self.narrow(&mut candidates);
        let total: f64 = candidates.iter().map(|c| c.2).sum();
        let mut left = self.unit() * total;
        for (token, _, weight) in candidates {
            left -= weight;
            if left < 0.0 {
                return token;
            }
        }
        // Rounding left a rest, or no logit was a number.
        first()
    }

    /// Leaves the `top_k` likeliest, and of these the fewest whose share reaches `top_p`.
    fn narrow(&self, candidates: &mut Vec<Candidate>) {
        let Drawing { top_k, top_p, .. } = self.drawing;
        let has_k = top_k > 0 && top_k < candidates.len();
        if has_k {
            candidates.select_nth_unstable_by(top_k - 1, likelier);
            candidates.truncate(top_k);
        }
        if top_p < 1.0 {
            let wanted = f64::from(top_p) * candidates.iter().map(|c| c.2).sum::<f64>();
            candidates.sort_unstable_by(likelier);
            let mut sum = 0.0;
            let last = candidates.iter().position(|c| {
                sum += c.2;
                sum >= wanted
            });
            candidates.truncate(last.map_or(candidates.len(), |last| last + 1));
        }
        if has_k || top_p < 1.0 {
            candidates.sort_unstable_by_key(|c| c.0);
        }
    }

    /// Uniform in [0, 1) with the 53 bits of a double: `SplitMix64` (Steele, Lea and Flood 2014).
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let (bits, all) = (((z ^ (z >> 31)) >> 11) as f64, (1_u64 << 53) as f64);
        bits / all
    }
}

/// Likelier first, and one order among equals.
fn likelier(a: &Candidate, b: &Candidate) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(temperature: f32, top_p: f32, top_k: usize) -> Drawing {
        Drawing {
            temperature,
            top_p,
            top_k,
            seed: 1024,
            ..Drawing::GREEDY
        }
    }

    /// Compares the shares of each token in 20,000 draws; five standard deviations are below 0.018.
    fn check(logits: &[f32], drawing: Drawing, expected: &[f64]) {
        let mut sampler = Sampler::new(drawing, &[]);
        let mut counts = vec![0_u32; logits.len()];
        for _ in 0..20_000 {
            counts[sampler.draw(&mut logits.to_vec()) as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip(expected) {
            let share = f64::from(count) / 20_000.0;
            assert!((share - expected).abs() < 0.018, "{share}, not {expected}");
        }
    }

    /// Logarithms of 4, 2, 1 and 1.
    const LOGITS: [f32; 4] = [
        2.0 * std::f32::consts::LN_2,
        std::f32::consts::LN_2,
        0.0,
        0.0,
    ];

    #[test]
    fn shares_are_those_of_the_softmax_at_the_temperature() {
        check(&LOGITS, drawing(1.0, 1.0, 0), &[0.5, 0.25, 0.125, 0.125]);
        let halved = [16.0, 4.0, 1.0, 1.0].map(|weight| weight / 22.0);
        check(&LOGITS, drawing(0.5, 1.0, 0), &halved);
    }

    #[test]
    fn unlikely_tokens_are_cut_off_by_number_and_by_share() {
        let third = 1.0 / 3.0;
        check(
            &LOGITS,
            drawing(1.0, 1.0, 2),
            &[2.0 * third, third, 0.0, 0.0],
        );
        check(
            &LOGITS,
            drawing(1.0, 0.7, 0),
            &[2.0 * third, third, 0.0, 0.0],
        );
        check(&LOGITS, drawing(1.0, 0.01, 0), &[1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn what_is_no_number_or_forbidden_is_never_drawn() {
        let logits = [f32::NAN, f32::NEG_INFINITY, 1.0];
        check(&logits, drawing(3.0, 0.9, 0), &[0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_penalty_turns_from_what_was_seen() {
        let penalised = Drawing {
            repetition_penalty: 3.0,
            ..Drawing::GREEDY
        };
        let mut sampler = Sampler::new(penalised, &[0]);
        let mut draw = || sampler.draw(&mut [2.0, 1.5, 1.0]);
        // 0 was in the prompt; then 1 has been drawn as well, and 2 is above both of them.
        assert_eq!([draw(), draw()], [1, 2]);
    }

    #[test]
    fn a_seed_decides() {
        let text = |seed| {
            let mut sampler = Sampler::new(
                Drawing {
                    seed,
                    ..drawing(1.0, 1.0, 0)
                },
                &[],
            );
            (0..64)
                .map(|_| sampler.draw(&mut LOGITS.to_vec()))
                .collect::<Vec<_>>()
        };
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }
}
