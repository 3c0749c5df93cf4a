//! Values with a mark: percent, degrees, bases, units, ratios.

use super::compare::Comparison;
use super::node::Node;
use super::scalar::{self, Decision};
use super::units;
use crate::kind::Verdict;

impl Comparison<'_> {
    pub(super) fn percent(&self, x: &Node, y: &Node, depth: usize) -> Decision {
        let hundredth = Node::Percent(Box::new(x.clone()));
        if !y.is_scalar() || !x.is_scalar() {
            return self.collections(&hundredth, y, depth);
        }
        let decision = scalar::compare(&hundredth, y, self.budget);
        if decision.0 == Verdict::Correct {
            return decision;
        }
        let bare = scalar::compare(x, y, self.budget);
        match (bare.0, self.hints.percentage) {
            (Verdict::Correct, true) => (Verdict::Correct, "equal as the percentage asked for"),
            (Verdict::Correct, false) => (
                Verdict::Wrong,
                "a percentage against a number, and none was asked for",
            ),
            _ => decision,
        }
    }

    /// The mark is dropped, or counted in radians.
    pub(super) fn degree(&self, x: &Node, y: &Node, depth: usize) -> Decision {
        let bare = self.nodes(x, y, depth);
        if bare.0 == Verdict::Correct || !y.is_scalar() {
            return bare;
        }
        let radians = scalar::compare(&Node::Degree(Box::new(x.clone())), y, self.budget);
        if radians.0 == Verdict::Correct {
            (Verdict::Correct, "equal in radians")
        } else {
            bare
        }
    }

    /// A numeral with its base; without the mark it has the base asked for, else ten.
    pub(super) fn based(&self, a: &Node, b: &Node) -> Decision {
        if let (Node::Based(x, p), Node::Based(y, q)) = (a, b)
            && p == q
            && x.trim_start_matches('0') == y.trim_start_matches('0')
        {
            return (Verdict::Correct, "the same numeral");
        }
        if self.hints.base
            && let (Node::Based(x, base), Node::Num(y)) | (Node::Num(y), Node::Based(x, base)) =
                (a, b)
        {
            let same = *base == 10 || x.trim_start_matches('0') == y.to_string();
            return if same {
                (Verdict::Correct, "the same numeral in the base asked for")
            } else {
                (Verdict::Wrong, "different numerals in the base asked for")
            };
        }
        if a.is_scalar() && b.is_scalar() {
            scalar::compare(a, b, self.budget)
        } else {
            (Verdict::Wrong, "different kinds of object")
        }
    }

    pub(super) fn units(
        &self,
        (x, u): (&Node, &str),
        (y, v): (&Node, &str),
        depth: usize,
    ) -> Decision {
        match units::relate(u, v) {
            units::Relation::Same => self.nodes(x, y, depth),
            units::Relation::Factor(factor) => {
                let scaled = Node::Mul(vec![Node::Num(factor), x.clone()]);
                if x.is_scalar() && y.is_scalar() {
                    scalar::compare(&scaled, y, self.budget)
                } else {
                    (Verdict::Undecided, "objects in different units")
                }
            }
            units::Relation::Foreign => (Verdict::Wrong, "different units"),
        }
    }

    pub(super) fn ratios(&self, x: &[Node], y: &[Node]) -> Decision {
        if x.len() != y.len() {
            return (Verdict::Wrong, "ratios of different length");
        }
        let same = |a: &Node, b: &Node| scalar::compare(a, b, self.budget).0;
        let parts = x
            .iter()
            .zip(y)
            .fold(Verdict::Correct, |all, (a, b)| all.and(same(a, b)));
        if parts == Verdict::Correct {
            return (parts, "the same parts");
        }
        let zero = |parts: &[Node]| parts.iter().skip(1).any(|part| *part == Node::int(0));
        if zero(x) || zero(y) {
            return (Verdict::Wrong, "different times or ratios");
        }
        let cross = x
            .iter()
            .zip(y)
            .skip(1)
            .fold(Verdict::Correct, |all, (a, b)| {
                let left = Node::Mul(vec![a.clone(), y[0].clone()]);
                let right = Node::Mul(vec![b.clone(), x[0].clone()]);
                all.and(same(&left, &right))
            });
        match cross {
            // 3:15 and 1:5 are one ratio, and two times of day.
            Verdict::Correct if x.len() == 2 && !self.hints.ratio && (is_time(x) || is_time(y)) => {
                (
                    Verdict::Undecided,
                    "equal as ratios, different as times of day",
                )
            }
            Verdict::Correct => (Verdict::Correct, "the same ratio"),
            other => (other, "different ratios"),
        }
    }
}

/// Two digits below 60 after the colon, as on a clock.
fn is_time(parts: &[Node]) -> bool {
    use num_traits::ToPrimitive;
    let value = |node: &Node| match node {
        Node::Num(value) if value.is_integer() => value.to_i64(),
        _ => None,
    };
    matches!(
        (value(&parts[0]), value(&parts[1])),
        (Some(0..=24), Some(0 | 10..=59))
    )
}
