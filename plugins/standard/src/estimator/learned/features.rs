//! What a question looks like to an estimator that asks no model.

use std::collections::BTreeMap;

/// Names of the numbers that [`numbers`] gives, in its order.
pub(super) const NAMES: [&str; 12] = [
    "ln characters",
    "ln words",
    "sentences",
    "numbers",
    "distinct numbers",
    "digits",
    "ln largest number",
    "decimals and fractions",
    "per, each, every",
    "per cent, half, twice",
    "more, less, than, left",
    "total, all, altogether",
];

/// A question in a few numbers: length, numbers in it, and words that announce a step.
pub(super) fn numbers(text: &str) -> [f64; NAMES.len()] {
    let words: Vec<String> = words(text).collect();
    let values = values(text);
    let mut distinct = values.clone();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let count = |of: &[&str]| count(words.iter().filter(|w| of.contains(&w.as_str())).count());
    let largest = values.iter().copied().fold(0.0, f64::max);
    [
        self::count(text.chars().count()).ln_1p(),
        self::count(words.len()).ln_1p(),
        self::count(text.matches(['.', '?', '!', '。', '？', '！']).count()),
        self::count(values.len()),
        self::count(distinct.len()),
        self::count(text.chars().filter(char::is_ascii_digit).count()),
        largest.ln_1p(),
        self::count(values.iter().filter(|v| v.fract() != 0.0).count())
            + self::count(text.matches('/').count()),
        count(&["per", "each", "every"]),
        count(&[
            "percent", "half", "twice", "double", "triple", "third", "quarter",
        ]) + self::count(text.matches('%').count()),
        count(&[
            "more",
            "less",
            "fewer",
            "than",
            "left",
            "remaining",
            "remain",
        ]),
        count(&["total", "all", "altogether", "together", "combined"]),
    ]
}

/// Buckets that words and letters are hashed into.
const BUCKETS: u32 = 1 << 16;

/// A question as counts of hashed words, pairs of words and groups of four letters. Every number
/// counts as the same word: two questions that differ in their numbers only are alike.
pub(super) fn terms(text: &str) -> BTreeMap<u32, f64> {
    let mut terms = BTreeMap::new();
    let mut add = |kind: &str, term: &str| {
        *terms.entry(bucket(kind, term)).or_insert(0.0) += 1.0;
    };
    let words: Vec<String> = words(text).collect();
    for word in &words {
        add("w", word);
    }
    for pair in words.windows(2) {
        add("p", &pair.join(" "));
    }
    let letters: Vec<char> = words.join(" ").chars().collect();
    for group in letters.windows(4) {
        add("c", &group.iter().collect::<String>());
    }
    terms
}

/// Words in lower case, numbers as `0`. Letters of scripts without spaces stand alone.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .flat_map(|word| {
            if word.chars().all(|c| c.is_ascii_digit()) {
                return vec!["0".to_owned()];
            }
            if word.is_ascii() {
                return vec![word.to_ascii_lowercase()];
            }
            word.chars().map(|c| c.to_lowercase().to_string()).collect()
        })
}

/// The numbers in a text, commas between thousands dropped.
fn values(text: &str) -> Vec<f64> {
    let plain = text.replace(',', "");
    plain
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter_map(|part| part.trim_matches('.').parse().ok())
        .collect()
}

/// FNV-1a, 32 bits: stable for ever, as a model file must be.
fn bucket(kind: &str, term: &str) -> u32 {
    let hash = kind
        .bytes()
        .chain([0])
        .chain(term.bytes())
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    hash % BUCKETS
}

#[expect(
    clippy::cast_precision_loss,
    reason = "lengths of a question are exact as f64"
)]
pub(super) fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str, name: &str) -> f64 {
        numbers(text)[NAMES.iter().position(|n| *n == name).unwrap()]
    }

    #[test]
    fn a_question_is_counted_by_hand() {
        let text = "Ann buys 3 packs of 12 eggs, each for $1,200.50. How many eggs per pack, 12?";
        assert!((number(text, "numbers") - 4.0).abs() < 1e-12);
        assert!((number(text, "distinct numbers") - 3.0).abs() < 1e-12);
        assert!((number(text, "ln largest number") - 1200.5_f64.ln_1p()).abs() < 1e-12);
        assert!((number(text, "per, each, every") - 2.0).abs() < 1e-12);
        assert!((number(text, "decimals and fractions") - 1.0).abs() < 1e-12);
        assert!(numbers("").iter().all(|x| x.abs() < 1e-12));
    }

    #[test]
    fn other_numbers_are_the_same_terms() {
        assert_eq!(terms("Ann has 12 eggs."), terms("ann has 7 eggs?"));
        assert_ne!(terms("Ann has 12 eggs."), terms("Bob has 12 eggs."));
        assert!(!terms("小明有 3 个苹果").is_empty());
    }

    /// A model file holds buckets, so this must stay as it is.
    #[test]
    fn buckets_never_change() {
        assert_eq!(bucket("w", "eggs"), 32544);
    }
}
