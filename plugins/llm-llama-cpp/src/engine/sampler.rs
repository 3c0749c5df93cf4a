//! How the next token is drawn from the logits.
//!
//! In the order of Transformers, which the paper's code used: repetition penalty, temperature,
//! top-k, top-p, draw. llama.cpp's own samplers take seeds of 32 bits, and each token of each slot
//! makes them list the whole vocabulary, 150,000 entries for Qwen. Here only candidates that can
//! matter are listed, and the result depends on logits and seed alone.

use std::collections::HashSet;

use llama_cpp_2::{
    model::LlamaModel,
    sampling::LlamaSampler,
    token::{LlamaToken, data::LlamaTokenData, data_array::LlamaTokenDataArray},
};
use tale_api::{Error, ErrorKind, Result};

/// How one request draws; checked before it comes here.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    /// 0 takes the most probable token.
    pub(crate) temperature: f32,
    /// In (0, 1]; 1 is off.
    pub(crate) top_p: f32,
    /// 0 is off.
    pub(crate) top_k: usize,
    /// 1 is off.
    pub(crate) repetition_penalty: f32,
    pub(crate) seed: u64,
}

/// Logits this far below the best, in units of the temperature, are left out: e⁻⁴⁰ is 4·10⁻¹⁸, so
/// that even a million of them have no share that the draw's 53 bits could tell from none.
const NEGLIGIBLE: f32 = 40.0;

/// The sampler of one sequence.
pub(super) struct Sampler {
    drawing: Drawing,
    random: SplitMix64,
    /// Tokens of prompt and completion, kept only for a penalty.
    seen: HashSet<i32>,
    grammar: Option<LlamaSampler>,
}

/// Buffers that the samplers of all slots share, one after the other.
#[derive(Default)]
pub(super) struct Scratch {
    logits: Vec<f32>,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: i32,
    logit: f32,
    /// Relative to the best candidate's, which has 1.
    weight: f64,
}

impl Sampler {
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: `grammar` is no GBNF with a rule `root`.
    pub(super) fn new(
        drawing: Drawing,
        prompt: &[LlamaToken],
        grammar: Option<&str>,
        model: &LlamaModel,
    ) -> Result<Self> {
        let grammar = grammar.map(|text| compile(model, text)).transpose()?;
        let penalised = (drawing.repetition_penalty - 1.0).abs() > f32::EPSILON;
        let seen = if penalised {
            prompt.iter().map(|t| t.0).collect()
        } else {
            HashSet::new()
        };
        let random = SplitMix64(drawing.seed);
        Ok(Self {
            drawing,
            random,
            seen,
            grammar,
        })
    }

    /// Draws the next token.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: the grammar allows no token at all here.
    pub(super) fn draw(
        &mut self,
        logits: &[f32],
        model: &LlamaModel,
        scratch: &mut Scratch,
    ) -> Result<LlamaToken> {
        let penalised = (self.drawing.repetition_penalty - 1.0).abs() > f32::EPSILON;
        let mut token = if penalised {
            scratch.logits.clear();
            scratch.logits.extend_from_slice(logits);
            self.penalise(&mut scratch.logits);
            pick(
                &scratch.logits,
                &self.drawing,
                &mut self.random,
                &mut scratch.candidates,
            )
        } else {
            pick(
                logits,
                &self.drawing,
                &mut self.random,
                &mut scratch.candidates,
            )
        };
        if let Some(grammar) = &mut self.grammar {
            // Most tokens are what the grammar allows anyway; asking for one is far cheaper than
            // asking for all.
            if !allows(grammar, token) {
                if !penalised {
                    scratch.logits.clear();
                    scratch.logits.extend_from_slice(logits);
                }
                forbid(grammar, &mut scratch.logits)?;
                token = pick(
                    &scratch.logits,
                    &self.drawing,
                    &mut self.random,
                    &mut scratch.candidates,
                );
            }
            if !model.vocab().is_eog(LlamaToken(token)) {
                grammar.accept(LlamaToken(token));
            }
        }
        if penalised {
            self.seen.insert(token);
        }
        Ok(LlamaToken(token))
    }

    fn penalise(&self, logits: &mut [f32]) {
        let penalty = self.drawing.repetition_penalty;
        for &token in &self.seen {
            if let Some(logit) = usize::try_from(token).ok().and_then(|t| logits.get_mut(t)) {
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
    }
}

fn compile(model: &LlamaModel, text: &str) -> Result<LlamaSampler> {
    let (compiled, errors) = crate::logs::capture(|| LlamaSampler::grammar(model, text, "root"));
    compiled.map_err(|e| {
        let mut error = Error::new(
            ErrorKind::InvalidInput,
            "the grammar is no GBNF with a rule `root`",
        )
        .hint("llama.cpp's `grammars/README.md` describes the notation")
        .caused_by(&e);
        error.causes.extend(errors);
        error
    })
}

/// Whether the grammar allows `token` next.
fn allows(grammar: &mut LlamaSampler, token: i32) -> bool {
    let mut one = LlamaTokenDataArray::new(
        vec![LlamaTokenData::new(LlamaToken(token), 0.0, 0.0)],
        false,
    );
    grammar.apply(&mut one);
    one.data.first().is_some_and(|t| t.logit().is_finite())
}

/// Takes every token that the grammar does not allow out of the running.
fn forbid(grammar: &mut LlamaSampler, logits: &mut [f32]) -> Result<()> {
    let all = (0..)
        .zip(logits.iter())
        .map(|(i, &logit)| LlamaTokenData::new(LlamaToken(i), logit, 0.0));
    let mut all = LlamaTokenDataArray::from_iter(all, false);
    grammar.apply(&mut all);
    let mut any = false;
    for (allowed, logit) in all.data.iter().zip(logits) {
        *logit = allowed.logit();
        any |= logit.is_finite();
    }
    if any {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "the grammar allows none of the model's tokens here",
    ))
}

/// One draw from `logits`, with no memory but `random`.
fn pick(
    logits: &[f32],
    drawing: &Drawing,
    random: &mut SplitMix64,
    candidates: &mut Vec<Candidate>,
) -> i32 {
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
    clippy::cast_possible_wrap,
    reason = "a vocabulary has less than 2^31 tokens"
)]
fn first_at_least(logits: &[f32], best: f32) -> i32 {
    logits.iter().position(|&l| l >= best).unwrap_or(0) as i32
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
            repetition_penalty: 1.0,
            seed: 1024,
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
    fn the_generator_is_the_published_one() {
        // First outputs for seed 1234567, as listed with the reference implementation.
        let mut random = SplitMix64(1_234_567);
        assert_eq!(
            [random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }
}
