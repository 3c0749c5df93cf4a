//! The nearest questions, by the cosine of their TF-IDF weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::features::{count, terms};

/// Questions with their values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Neighbours {
    /// How many are asked.
    k: usize,
    /// The value where none is alike.
    median: f64,
    /// Inverse document frequency of each bucket, ln((1 + n) / (1 + df)) + 1.
    idf: BTreeMap<u32, f64>,
    questions: Vec<Known>,
}

/// A known question: its weights, of unit length, and its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    value: f64,
    weights: Vec<(u32, f32)>,
}

impl Neighbours {
    /// # Panics
    /// If `questions` is empty.
    pub(super) fn fit(questions: &[(&str, f64)], k: usize) -> Self {
        let counted: Vec<BTreeMap<u32, f64>> = questions.iter().map(|(t, _)| terms(t)).collect();
        let n = count(questions.len());
        let mut documents: BTreeMap<u32, f64> = BTreeMap::new();
        for bucket in counted.iter().flat_map(BTreeMap::keys) {
            *documents.entry(*bucket).or_insert(0.0) += 1.0;
        }
        let idf: BTreeMap<u32, f64> = documents
            .into_iter()
            .map(|(bucket, df)| (bucket, ((1.0 + n) / (1.0 + df)).ln() + 1.0))
            .collect();
        let mut values: Vec<f64> = questions.iter().map(|(_, v)| *v).collect();
        values.sort_by(f64::total_cmp);
        let known = counted.iter().zip(questions).map(|(terms, (_, value))| {
            let weights = weigh(terms, &idf);
            Known {
                value: *value,
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "seven digits of a weight do, and the file is half as long"
                )]
                weights: weights.into_iter().map(|(b, w)| (b, w as f32)).collect(),
            }
        });
        Self {
            k: k.max(1),
            median: values[values.len() / 2],
            questions: known.collect(),
            idf,
        }
    }

    /// The mean value of the k nearest, weighted by their likeness.
    pub(super) fn predict(&self, text: &str) -> f64 {
        let asked: BTreeMap<u32, f64> = weigh(&terms(text), &self.idf).into_iter().collect();
        let mut near: Vec<(f64, f64)> = self
            .questions
            .iter()
            .map(|q| {
                let dot: f64 = q
                    .weights
                    .iter()
                    .filter_map(|(bucket, w)| Some(asked.get(bucket)? * f64::from(*w)))
                    .sum();
                (dot, q.value)
            })
            .filter(|(likeness, _)| *likeness > 0.0)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        near.truncate(self.k);
        let total: f64 = near.iter().map(|(likeness, _)| likeness).sum();
        if total > 0.0 {
            near.iter().map(|(likeness, v)| likeness * v).sum::<f64>() / total
        } else {
            self.median
        }
    }
}

/// TF-IDF of unit length; buckets never seen in training carry no weight.
fn weigh(terms: &BTreeMap<u32, f64>, idf: &BTreeMap<u32, f64>) -> Vec<(u32, f64)> {
    let weights: Vec<(u32, f64)> = terms
        .iter()
        .filter_map(|(bucket, tf)| Some((*bucket, tf.ln_1p() * idf.get(bucket)?)))
        .collect();
    let length = weights.iter().map(|(_, w)| w * w).sum::<f64>().sqrt();
    if length == 0.0 {
        return Vec::new();
    }
    weights.into_iter().map(|(b, w)| (b, w / length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(&str, f64); 4] = [
        ("Ann has 3 apples and eats 1. How many are left?", 10.0),
        ("Bob has 9 apples and eats 2. How many are left?", 20.0),
        ("A train travels at 60 miles an hour for 2 hours.", 90.0),
        ("A car travels at 30 miles an hour for 5 hours.", 100.0),
    ];

    #[test]
    fn a_question_gets_the_value_of_those_like_it() {
        let one = Neighbours::fit(&KNOWN, 1);
        assert!((one.predict(KNOWN[2].0) - 90.0).abs() < 1e-6);
        let two = Neighbours::fit(&KNOWN, 2);
        let eggs = two.predict("Eve has 7 apples and eats 4. How many are left?");
        assert!((10.0..=20.0).contains(&eggs), "{eggs}");
        let bus = two.predict("A bus travels at 50 miles an hour for 3 hours.");
        assert!((90.0..=100.0).contains(&bus), "{bus}");
    }

    #[test]
    fn a_question_like_none_gets_the_median() {
        let near = Neighbours::fit(&KNOWN, 3);
        assert!((near.predict("Ψ") - 90.0).abs() < 1e-12);
        assert!((near.predict("") - 90.0).abs() < 1e-12);
    }
}
