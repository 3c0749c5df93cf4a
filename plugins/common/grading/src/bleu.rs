//! BLEU as sacrebleu computes it: 13a tokens, up to four words, exponential smoothing.
//!
//! Papineni et al. 2002; tokens as mteval-v13a of WMT; smoothing method 3 of Chen and Cherry 2014.

use std::collections::HashMap;

const MAX_ORDER: usize = 4;

/// The counts that a BLEU score is computed from; they add up over segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    matched: [usize; MAX_ORDER],
    total: [usize; MAX_ORDER],
    hypothesis_length: usize,
    reference_length: usize,
}

/// BLEU of a corpus, 0 to 100. Each segment is a hypothesis with one or more references.
///
/// Agrees with `sacrebleu.corpus_bleu` at its defaults.
///
/// ```
/// let score = tale_grading::bleu([("the cat sat on the mat", ["the cat sat on a mat"].as_slice())]);
/// assert!((score - 53.728497).abs() < 1e-4);
/// ```
#[must_use]
pub fn bleu<'a>(segments: impl IntoIterator<Item = (&'a str, &'a [&'a str])>) -> f64 {
    let mut sum = Counts::default();
    for (hypothesis, references) in segments {
        let counts = count(hypothesis, references);
        for n in 0..MAX_ORDER {
            sum.matched[n] += counts.matched[n];
            sum.total[n] += counts.total[n];
        }
        sum.hypothesis_length += counts.hypothesis_length;
        sum.reference_length += counts.reference_length;
    }
    score(&sum, MAX_ORDER)
}

/// BLEU of one sentence, 0 to 100, over the word orders that it is long enough for.
///
/// Agrees with `sacrebleu.sentence_bleu` at its defaults (effective order).
#[must_use]
pub fn sentence_bleu(hypothesis: &str, references: &[&str]) -> f64 {
    let counts = count(hypothesis, references);
    let orders = counts.total.iter().take_while(|total| **total > 0).count();
    score(&counts, orders)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of words are far below 2^52"
)]
fn score(counts: &Counts, orders: usize) -> f64 {
    if counts.matched.iter().all(|matched| *matched == 0) || orders == 0 {
        return 0.0;
    }
    let (length, wanted) = (
        counts.hypothesis_length as f64,
        counts.reference_length as f64,
    );
    let brevity = if length < wanted {
        (1.0 - wanted / length).exp()
    } else {
        1.0
    };
    let mut smoothing = 1.0;
    let mut logarithms = 0.0;
    for n in 0..orders {
        let total = counts.total[n] as f64;
        if counts.total[n] == 0 {
            // An order without words: the geometric mean is zero (sacrebleu's logarithm of zero).
            return 0.0;
        }
        let precision = if counts.matched[n] == 0 {
            smoothing *= 2.0;
            100.0 / (smoothing * total)
        } else {
            100.0 * counts.matched[n] as f64 / total
        };
        logarithms += precision.ln();
    }
    brevity * (logarithms / orders as f64).exp()
}

fn count(hypothesis: &str, references: &[&str]) -> Counts {
    let words = tokenize_13a(hypothesis);
    let found = ngrams(&words);
    let tokens: Vec<Vec<String>> = references.iter().map(|r| tokenize_13a(r)).collect();
    let mut wanted: HashMap<&[String], usize> = HashMap::new();
    for reference in &tokens {
        for (ngram, count) in ngrams(reference) {
            let best = wanted.entry(ngram).or_insert(0);
            *best = (*best).max(count);
        }
    }
    let mut counts = Counts {
        hypothesis_length: words.len(),
        ..Counts::default()
    };
    // The reference nearest in length; of two equally near ones the shorter.
    counts.reference_length = tokens
        .iter()
        .map(Vec::len)
        .min_by_key(|length| (length.abs_diff(words.len()), *length))
        .unwrap_or(0);
    for (ngram, count) in found {
        let n = ngram.len() - 1;
        counts.total[n] += count;
        counts.matched[n] += count.min(wanted.get(ngram).copied().unwrap_or(0));
    }
    counts
}

fn ngrams(words: &[String]) -> HashMap<&[String], usize> {
    let mut counts = HashMap::new();
    for n in 1..=MAX_ORDER {
        for ngram in words.windows(n) {
            *counts.entry(ngram).or_insert(0) += 1;
        }
    }
    counts
}

/// Splits a segment into the tokens of mteval-v13a.
///
/// Symbols stand alone; a point or comma too, unless between digits; a dash too after a digit.
#[must_use]
pub fn tokenize_13a(segment: &str) -> Vec<String> {
    let mut text = segment
        .trim_end()
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ");
    if text.contains('&') {
        text = text
            .replace("&quot;", "\"")
            .replace("&amp;", "&")
            .replace("&lt;", "<")
            .replace("&gt;", ">");
    }
    let text: Vec<char> = format!(" {text} ").chars().collect();
    let mut spaced = Vec::with_capacity(text.len() * 2);
    for c in text {
        if is_symbol(c) {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    // The three rules of the reference run one after another, each over non-overlapping pairs.
    let spaced = rewrite(
        &spaced,
        |a, b| !a.is_ascii_digit() && is_stop(b),
        |a, b| vec![a, ' ', b, ' '],
    );
    let spaced = rewrite(
        &spaced,
        |a, b| is_stop(a) && !b.is_ascii_digit(),
        |a, b| vec![' ', a, ' ', b],
    );
    let spaced = rewrite(
        &spaced,
        |a, b| a.is_ascii_digit() && b == '-',
        |a, b| vec![a, ' ', b, ' '],
    );
    let text: String = spaced.into_iter().collect();
    text.split_whitespace().map(str::to_owned).collect()
}

fn is_stop(c: char) -> bool {
    matches!(c, '.' | ',')
}

/// ASCII symbols but the apostrophe, comma, dash and point.
fn is_symbol(c: char) -> bool {
    matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

/// Replaces pairs from left to right; a replaced pair is not looked at again.
fn rewrite(
    text: &[char],
    matches: impl Fn(char, char) -> bool,
    replace: impl Fn(char, char) -> Vec<char>,
) -> Vec<char> {
    let mut result = Vec::with_capacity(text.len() * 2);
    let mut at = 0;
    while at < text.len() {
        match text.get(at + 1) {
            Some(next) if matches(text[at], *next) => {
                result.extend(replace(text[at], *next));
                at += 2;
            }
            _ => {
                result.push(text[at]);
                at += 1;
            }
        }
    }
    result
}
