//! Objects made of parts: tuples and intervals, sets and lists, matrices.

use super::compare::{Comparison, MAX_PARTS};
use super::node::{Bracket, Node};
use super::relation;
use super::scalar::Decision;
use crate::kind::Verdict;

impl Comparison<'_> {
    pub(super) fn matrices(&self, x: &[Vec<Node>], y: &[Vec<Node>], depth: usize) -> Decision {
        if x.len() != y.len() || x.iter().zip(y).any(|(a, b)| a.len() != b.len()) {
            return (Verdict::Wrong, "matrices of different shape");
        }
        let (x, y): (Vec<_>, Vec<_>) = (
            x.iter().flatten().cloned().collect(),
            y.iter().flatten().cloned().collect(),
        );
        self.ordered(&x, &y, depth)
    }

    /// A row or column against a tuple, or a matrix against a list of its rows.
    pub(super) fn matrix_and_group(&self, x: &[Vec<Node>], y: &[Node], depth: usize) -> Decision {
        if x.len() == 1 || x.iter().all(|row| row.len() == 1) {
            let flat: Vec<Node> = x.iter().flatten().cloned().collect();
            if flat.len() == y.len() {
                return self.ordered(&flat, y, depth);
            }
        }
        let rows: Option<Vec<Vec<Node>>> = y
            .iter()
            .map(|row| match row {
                Node::Group(_, parts, _) => Some(parts.clone()),
                _ => None,
            })
            .collect();
        match rows {
            Some(rows) => self.matrices(x, &rows, depth),
            None => (Verdict::Wrong, "a matrix against another shape"),
        }
    }

    pub(super) fn groups(
        &self,
        (o1, x, c1): (Bracket, &[Node], Bracket),
        (o2, y, c2): (Bracket, &[Node], Bracket),
        depth: usize,
    ) -> Decision {
        // Two parts in brackets may be an interval: then the ends belong to it or not.
        let belongs = |edge: Bracket| edge == Bracket::Square;
        let angle = [o1, c1, o2, c2].contains(&Bracket::Angle);
        if x.len() == 2 && y.len() == 2 && !angle {
            let infinite = |node: &Node| {
                *node == Node::Infinity
                    || matches!(node, Node::Neg(inner) if **inner == Node::Infinity)
            };
            let low = belongs(o1) == belongs(o2) || infinite(&x[0]);
            let high = belongs(c1) == belongs(c2) || infinite(&x[1]);
            if !(low && high) {
                return (Verdict::Wrong, "an end belongs to one interval only");
            }
        }
        self.ordered(x, y, depth)
    }

    pub(super) fn ordered(&self, x: &[Node], y: &[Node], depth: usize) -> Decision {
        if x.len() != y.len() {
            return (Verdict::Wrong, "different numbers of parts");
        }
        let mut all = Verdict::Correct;
        for (a, b) in x.iter().zip(y) {
            let (verdict, _) = self.nodes(a, b, depth);
            if verdict == Verdict::Wrong {
                return (Verdict::Wrong, "a part differs");
            }
            all = all.and(verdict);
        }
        (
            all,
            if all == Verdict::Correct {
                "all parts equal"
            } else {
                "a part could not be compared"
            },
        )
    }

    /// Each part of one has an equal in the other, and the other way round.
    pub(super) fn unordered(&self, x: &[Node], y: &[Node], depth: usize) -> Decision {
        if x.len().max(y.len()) > MAX_PARTS {
            return (Verdict::Undecided, "too many parts to compare");
        }
        let mut all = Verdict::Correct;
        for (these, those) in [(x, y), (y, x)] {
            for a in these {
                let mut best = Verdict::Wrong;
                for b in those {
                    match self.nodes(a, b, depth).0 {
                        Verdict::Correct => {
                            best = Verdict::Correct;
                            break;
                        }
                        Verdict::Undecided => best = Verdict::Undecided,
                        Verdict::Wrong => {}
                    }
                }
                if best == Verdict::Wrong {
                    return (Verdict::Wrong, "a value of one is none of the other");
                }
                all = all.and(best);
            }
        }
        (
            all,
            if all == Verdict::Correct {
                "the same values"
            } else {
                "a value could not be compared"
            },
        )
    }
}

/// The values of assignments, the other parts as they are.
pub(super) fn values_of(parts: &[Node]) -> Vec<Node> {
    parts
        .iter()
        .map(|part| {
            relation::assignment(part)
                .map_or(part, |(_, value)| value)
                .clone()
        })
        .collect()
}

/// The single values of a list, set or `±`; `None` if they are too many.
pub(super) fn expand(node: &Node) -> Option<Vec<Node>> {
    let mut values = Vec::new();
    let parts = match node {
        Node::List(parts) | Node::And(parts) | Node::Set(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    for part in parts {
        match part {
            Node::List(inner) | Node::And(inner) if !std::ptr::eq(part, node) => {
                values.extend(inner.iter().cloned());
            }
            _ if contains_plus_minus(part) => {
                values.push(signed(part, true));
                values.push(signed(part, false));
            }
            other => values.push(other.clone()),
        }
        if values.len() > MAX_PARTS {
            return None;
        }
    }
    Some(values)
}

/// The tree with every `±` as plus, or every one as minus.
fn signed(node: &Node, plus: bool) -> Node {
    let map = |parts: &[Node]| {
        parts
            .iter()
            .map(|part| signed(part, plus))
            .collect::<Vec<_>>()
    };
    let boxed = |part: &Node| Box::new(signed(part, plus));
    match node {
        Node::PlusMinus(a, b) => {
            let (a, b) = (signed(a, plus), signed(b, plus));
            if plus {
                Node::Add(vec![a, b])
            } else {
                a.sub(b)
            }
        }
        Node::Add(parts) => Node::Add(map(parts)),
        Node::Mul(parts) => Node::Mul(map(parts)),
        Node::Neg(a) => Node::Neg(boxed(a)),
        Node::Div(a, b) => Node::Div(boxed(a), boxed(b)),
        Node::Pow(a, b) => Node::Pow(boxed(a), boxed(b)),
        Node::Call(function, parts) => Node::Call(function.clone(), map(parts)),
        Node::Percent(a) => Node::Percent(boxed(a)),
        Node::Degree(a) => Node::Degree(boxed(a)),
        Node::Unit(a, unit) => Node::Unit(boxed(a), unit.clone()),
        Node::Relation(parts, ops) => Node::Relation(map(parts), ops.clone()),
        Node::Group(open, parts, close) => Node::Group(*open, map(parts), *close),
        other => other.clone(),
    }
}

pub(super) fn contains_plus_minus(node: &Node) -> bool {
    let mut found = false;
    node.walk(&mut |node| found |= matches!(node, Node::PlusMinus(..)));
    found
}
