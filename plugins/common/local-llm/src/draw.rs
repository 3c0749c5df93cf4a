//! How the next token is drawn from the logits.
//!
//! In the order of Transformers, which the paper's code used: repetition penalty, temperature,
//! top-k, top-p, draw. llama.cpp's own samplers take seeds of 32 bits, and each token of each slot
//! makes them list the whole vocabulary, 150,000 entries for Qwen. Here only candidates that can
//! matter are listed, and the result depends on logits and seed alone.

use std::collections::HashSet;

use tale_api::{Error, ErrorKind, Result, Sampling};

/// How a text's tokens are drawn; within bounds.
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

/// Where no temperature is asked for: llama.cpp's own default.
const USUAL_TEMPERATURE: f64 = 0.8;

impl Drawing {
    /// Always the most probable token.
    pub const GREEDY: Self = Self {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        repetition_penalty: 1.0,
        seed: 0,
    };

    /// A request's way of drawing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming what is out of bounds, NaN included.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "these are small numbers of low precision"
    )]
    pub fn of(sampling: &Sampling, seed: u64) -> Result<Self> {
        let temperature = sampling.temperature.unwrap_or(USUAL_TEMPERATURE);
        let top_p = sampling.top_p.unwrap_or(1.0);
        let penalty = sampling.repetition_penalty.unwrap_or(1.0);
        let bounds = [
            (
                "temperature",
                temperature,
                (0.0..=100.0).contains(&temperature),
                "0 to 100",
            ),
            (
                "top_p",
                top_p,
                top_p > 0.0 && top_p <= 1.0,
                "above 0, at most 1",
            ),
            (
                "repetition_penalty",
                penalty,
                penalty > 0.0 && penalty <= 100.0,
                "above 0, at most 100",
            ),
        ];
        if let Some((name, value, _, range)) = bounds.into_iter().find(|b| !b.2) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`{name}` is {value}, it must be {range}"),
            ));
        }
        Ok(Self {
            temperature: temperature as f32,
            top_p: top_p as f32,
            top_k: sampling.top_k.unwrap_or(0) as usize,
            repetition_penalty: penalty as f32,
            seed,
        })
    }

    fn penalises(&self) -> bool {
        (self.repetition_penalty - 1.0).abs() > f32::EPSILON
    }
}

/// Logits this far below the best, in units of the temperature, are left out: e⁻⁴⁰ is 4·10⁻¹⁸, so
/// that even a million of them have no share that the draw's 53 bits could tell from none.
const NEGLIGIBLE: f32 = 40.0;

/// What a text may not say: a grammar.
pub trait Constraint {
    /// Whether `token` may come next.
    fn allows(&mut self, token: u32) -> bool;

    /// Sets the logit of every token that may not come next to minus infinity.
    ///
    /// # Errors
    /// Nothing may come next.
    fn forbid(&mut self, logits: &mut [f32]) -> Result<()>;

    /// `token` was drawn.
    fn accept(&mut self, token: u32);
}

/// Draws the tokens of one text.
#[derive(Clone, Debug)]
pub struct Sampler {
    drawing: Drawing,
    random: SplitMix64,
    /// Tokens of prompt and completion, kept only for a penalty.
    seen: HashSet<u32>,
}

/// Buffers that the samplers of all texts share, one after the other.
#[derive(Debug, Default)]
pub struct Scratch {
    logits: Vec<f32>,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: u32,
    logit: f32,
    /// Relative to the best candidate's, which has 1.
    weight: f64,
}

impl Sampler {
    /// A sampler for a text that begins with `prompt`.
    pub fn new(drawing: Drawing, prompt: impl IntoIterator<Item = u32>) -> Self {
        let seen = if drawing.penalises() {
            prompt.into_iter().collect()
        } else {
            HashSet::new()
        };
        Self {
            random: SplitMix64(drawing.seed),
            drawing,
            seen,
        }
    }

    /// Draws the next token.
    pub fn draw(&mut self, logits: &[f32], scratch: &mut Scratch) -> u32 {
        let token = self.first_try(logits, scratch);
        self.see(token);
        token
    }

    /// Draws the next token of those that `constraint` allows.
    ///
    /// # Errors
    /// Nothing may come next.
    pub fn draw_where(
        &mut self,
        constraint: &mut dyn Constraint,
        logits: &[f32],
        scratch: &mut Scratch,
    ) -> Result<u32> {
        let mut token = self.first_try(logits, scratch);
        // Most tokens are what is allowed anyway; asking for one is far cheaper than asking for all.
        if !constraint.allows(token) {
            if !self.drawing.penalises() {
                scratch.logits.clear();
                scratch.logits.extend_from_slice(logits);
            }
            constraint.forbid(&mut scratch.logits)?;
            token = pick(
                &scratch.logits,
                &self.drawing,
                &mut self.random,
                &mut scratch.candidates,
            );
        }
        constraint.accept(token);
        self.see(token);
        Ok(token)
    }

    /// A draw from all tokens. With a penalty, `scratch.logits` are the penalised ones after it.
    fn first_try(&mut self, logits: &[f32], scratch: &mut Scratch) -> u32 {
        let Scratch {
            logits: penalised,
            candidates,
        } = scratch;
        if !self.drawing.penalises() {
            return pick(logits, &self.drawing, &mut self.random, candidates);
        }
        penalised.clear();
        penalised.extend_from_slice(logits);
        let penalty = self.drawing.repetition_penalty;
        for &token in &self.seen {
            if let Some(logit) = penalised.get_mut(token as usize) {
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
        pick(penalised, &self.drawing, &mut self.random, candidates)
    }

    fn see(&mut self, token: u32) {
        if self.drawing.penalises() {
            self.seen.insert(token);
        }
    }
}

/// One draw from `logits`, with no memory but `random`.
fn pick(
    logits: &[f32],
    drawing: &Drawing,
    random: &mut SplitMix64,
    candidates: &mut Vec<Candidate>,
) -> u32 {
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if drawing.temperature <= 0.0 {
        return first_at_least(logits, best);
    }
    list(logits, best, drawing.temperature, candidates);
    if drawing.top_k > 0 && drawing.top_k < candidates.len() {
        candidates.select_nth_unstable_by(drawing.top_k - 1, likelier);
        candidates.truncate(drawing.top_k);
        candidates.sort_unstable_by_key(|c| c.token);
    }
    if drawing.top_p < 1.0 {
        nucleus(candidates, f64::from(drawing.top_p));
    }
    let total: f64 = candidates.iter().map(|c| c.weight).sum();
    let mut left = random.unit() * total;
    for candidate in candidates.iter() {
        left -= candidate.weight;
        if left < 0.0 {
            return candidate.token;
        }
    }
    // Rounding left a rest, or no logit was a number: the likeliest token.
    first_at_least(logits, best)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a vocabulary has less than 2^32 tokens"
)]
fn first_at_least(logits: &[f32], best: f32) -> u32 {
    logits.iter().position(|&l| l >= best).unwrap_or(0) as u32
}

/// Lists, in the order of the vocabulary, the tokens whose probability is not negligible.
fn list(logits: &[f32], best: f32, temperature: f32, candidates: &mut Vec<Candidate>) {
    candidates.clear();
    let least = best - NEGLIGIBLE * temperature;
    for (token, &logit) in (0..).zip(logits) {
        if logit >= least {
            let weight = f64::from((logit - best) / temperature).exp();
            candidates.push(Candidate {
                token,
                logit,
                weight,
            });
        }
    }
}

/// Keeps the smallest set of likeliest candidates whose share reaches `top_p`.
fn nucleus(candidates: &mut Vec<Candidate>, top_p: f64) {
    let total: f64 = candidates.iter().map(|c| c.weight).sum();
    // All candidates below this together have less than 1 - top_p, so none is in the set, and only
    // the others need sorting.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let least = (1.0 - top_p) * total / candidates.len() as f64;
    candidates.retain(|c| c.weight >= least);
    candidates.sort_unstable_by(likelier);
    let mut sum = 0.0;
    let inside = candidates.iter().position(|c| {
        sum += c.weight;
        sum >= top_p * total
    });
    candidates.truncate(inside.map_or(candidates.len(), |i| i + 1));
}

/// Likelier first; the same order on every run, also among equals.
fn likelier(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

/// Steele, Lea and Flood's `SplitMix64`: one addition and a mix, good enough for one draw a token.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1), with the 53 bits that a double can hold.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
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

    /// How often each token is drawn in 20,000 tries.
    fn shares(logits: &[f32], drawing: &Drawing) -> Vec<f64> {
        let mut random = SplitMix64(drawing.seed);
        let mut counts = vec![0_u32; logits.len()];
        for _ in 0..20_000 {
            let token = pick(logits, drawing, &mut random, &mut Vec::new());
            counts[usize::try_from(token).unwrap()] += 1;
        }
        counts
            .into_iter()
            .map(|c| f64::from(c) / 20_000.0)
            .collect()
    }

    fn check(logits: &[f32], drawing: &Drawing, expected: &[f64]) {
        // Five standard deviations of 20,000 tries are at most 0.018.
        for (got, expected) in shares(logits, drawing).iter().zip(expected) {
            assert!(
                (got - expected).abs() < 0.018,
                "{got} is not {expected} under {drawing:?}"
            );
        }
    }

    /// Logarithms of 4/8, 2/8, 1/8 and 1/8, but for a common term.
    const HALF_QUARTER: [f32; 4] = {
        let ln2 = std::f32::consts::LN_2;
        [2.0 * ln2, ln2, 0.0, 0.0]
    };

    #[test]
    fn tokens_are_drawn_with_their_probability() {
        check(
            &HALF_QUARTER,
            &drawing(1.0, 1.0, 0),
            &[0.5, 0.25, 0.125, 0.125],
        );
        // Halving the temperature squares the weights: 16, 4, 1 and 1 of 22.
        check(
            &HALF_QUARTER,
            &drawing(0.5, 1.0, 0),
            &[16.0 / 22.0, 4.0 / 22.0, 1.0 / 22.0, 1.0 / 22.0],
        );
    }

    #[test]
    fn top_k_and_top_p_leave_the_likeliest() {
        check(
            &HALF_QUARTER,
            &drawing(1.0, 1.0, 2),
            &[2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0],
        );
        check(
            &HALF_QUARTER,
            &drawing(1.0, 0.7, 0),
            &[2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0],
        );
        check(
            &HALF_QUARTER,
            &drawing(1.0, 0.8, 0),
            &[4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0, 0.0],
        );
        check(&HALF_QUARTER, &drawing(1.0, 0.01, 0), &[1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn temperature_zero_takes_the_best_and_the_first_of_equals() {
        check(&[0.0, 3.0, 3.0], &drawing(0.0, 1.0, 0), &[0.0, 1.0, 0.0]);
    }

    #[test]
    fn forbidden_and_absent_numbers_are_never_drawn() {
        check(
            &[f32::NEG_INFINITY, 1.0, f32::NAN],
            &drawing(2.0, 0.9, 0),
            &[0.0, 1.0, 0.0],
        );
    }

    #[test]
    fn a_penalty_turns_from_what_was_seen() {
        let penalised = Drawing {
            repetition_penalty: 3.0,
            ..Drawing::GREEDY
        };
        let mut sampler = Sampler::new(penalised, [0]);
        let mut draw = || sampler.draw(&[2.0, 1.5, 1.0], &mut Scratch::default());
        // 0 was in the prompt; then 1 has been drawn as well, and 2 is above both of them.
        assert_eq!([draw(), draw()], [1, 2]);
    }

    #[test]
    fn a_seed_decides() {
        let text = |seed| {
            let drawing = Drawing {
                seed,
                ..drawing(1.0, 1.0, 0)
            };
            let mut sampler = Sampler::new(drawing, []);
            let mut scratch = Scratch::default();
            (0..64)
                .map(|_| sampler.draw(&HALF_QUARTER, &mut scratch))
                .collect::<Vec<_>>()
        };
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        for (sampling, named) in [
            (
                Sampling {
                    temperature: Some(f64::NAN),
                    ..Sampling::default()
                },
                "`temperature` is NaN",
            ),
            (
                Sampling {
                    top_p: Some(0.0),
                    ..Sampling::default()
                },
                "`top_p` is 0",
            ),
            (
                Sampling {
                    repetition_penalty: Some(101.0),
                    ..Sampling::default()
                },
                "`repetition_penalty` is 101",
            ),
        ] {
            let error = Drawing::of(&sampling, 1).unwrap_err();
            assert!(error.message.contains(named), "{error:?}");
        }
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // First outputs for seed 1234567, as listed with the reference implementation.
        let mut random = SplitMix64(1_234_567);
        assert_eq!(
            [random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }
}
