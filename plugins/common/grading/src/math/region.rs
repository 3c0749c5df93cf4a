//! Sets of real numbers made of intervals: `(0,1]`, `x > 5`, `ℝ ∖ {0}`, unions and intersections.

use super::node::{Bracket, Func, NamedSet, Node, RelOp};
use super::relation;
use super::scalar::{self, Decision};
use crate::budget::Budget;
use crate::kind::Verdict;

const MAX_PIECES: usize = 64;

/// An end of an interval.
#[derive(Debug, Clone)]
struct End {
    /// The end as written; an infinity stays one.
    node: Node,
    /// Its value, for ordering only; equality is decided on `node`.
    at: f64,
    closed: bool,
}

#[derive(Debug, Clone)]
struct Interval {
    low: End,
    high: End,
}

/// Disjoint intervals in ascending order.
#[derive(Debug, Clone)]
pub(super) struct Region(Vec<Interval>);

impl End {
    fn new(node: &Node, closed: bool, budget: &Budget) -> Option<Self> {
        let at = match node {
            Node::Infinity => f64::INFINITY,
            Node::Neg(inner) if **inner == Node::Infinity => f64::NEG_INFINITY,
            other => scalar::approximate(other, budget)?,
        };
        Some(Self {
            node: node.clone(),
            at,
            closed: closed && at.is_finite(),
        })
    }

    fn infinite(positive: bool) -> Self {
        let node = if positive {
            Node::Infinity
        } else {
            Node::Infinity.neg()
        };
        Self {
            node,
            at: if positive {
                f64::INFINITY
            } else {
                f64::NEG_INFINITY
            },
            closed: false,
        }
    }

    fn equals(&self, other: &Self, budget: &Budget) -> Decision {
        let (verdict, reason) = scalar::compare(&self.node, &other.node, budget);
        if verdict == Verdict::Correct && self.closed != other.closed {
            return (Verdict::Wrong, "an end belongs to one set only");
        }
        (verdict, reason)
    }
}

impl Region {
    fn reals() -> Self {
        Self(vec![Interval {
            low: End::infinite(false),
            high: End::infinite(true),
        }])
    }

    /// The region a tree describes, with the name of the variable if one is named.
    pub(super) fn read(node: &Node, budget: &Budget) -> Option<(Self, Option<String>)> {
        match node {
            Node::Group(open, parts, close) => {
                Some((Self::interval(*open, parts, *close, budget)?, None))
            }
            Node::NamedSet(NamedSet::Reals) => Some((Self::reals(), None)),
            Node::NamedSet(NamedSet::Empty) => Some((Self(Vec::new()), None)),
            Node::Set(parts) => Some((Self::points(parts, budget)?, None)),
            Node::Relation(parts, ops) => Self::relation(parts, ops, budget),
            Node::Union(parts) | Node::List(parts) => {
                let (mut all, mut name) = (Vec::new(), None);
                for part in parts {
                    let (region, named) = Self::read(part, budget)?;
                    name = merge_names(name, named)?;
                    all.extend(region.0);
                }
                Some((Self(all).united(budget)?, name))
            }
            Node::Intersection(parts) | Node::And(parts) => {
                let (mut all, mut name) = (Self::reals(), None);
                for part in parts {
                    let (region, named) = Self::read(part, budget)?;
                    name = merge_names(name, named)?;
                    all = all.intersected(&region)?;
                }
                Some((all, name))
            }
            Node::SetMinus(from, what) => {
                let (from, name) = Self::read(from, budget)?;
                let (what, other) = Self::read(what, budget)?;
                Some((
                    from.intersected(&what.complement()?)?,
                    merge_names(name, other)?,
                ))
            }
            _ => None,
        }
    }

    fn interval(open: Bracket, parts: &[Node], close: Bracket, budget: &Budget) -> Option<Self> {
        let [low, high] = parts else { return None };
        if open == Bracket::Angle || close == Bracket::Angle {
            return None;
        }
        let low = End::new(low, open == Bracket::Square, budget)?;
        let high = End::new(high, close == Bracket::Square, budget)?;
        (low.at <= high.at).then(|| Self(vec![Interval { low, high }]))
    }

    fn points(parts: &[Node], budget: &Budget) -> Option<Self> {
        let mut all = Vec::new();
        for part in parts {
            let end = End::new(part, true, budget).filter(|end| end.at.is_finite())?;
            all.push(Interval {
                low: end.clone(),
                high: end,
            });
        }
        Self(all).united(budget)
    }

    /// `x > a`, `a ≤ x < b`, `x ≠ a`, `x ∈ S`: one bare variable against constants.
    fn relation(parts: &[Node], ops: &[RelOp], budget: &Budget) -> Option<(Self, Option<String>)> {
        if let ([Node::Sym(name), set], [RelOp::In]) = (parts, ops) {
            let (region, _) = Self::read(set, budget)?;
            return Some((region, Some(name.clone())));
        }
        // {x ∈ ℝ | …} leaves `x ∈ ℝ` to the reader of the set; here only the condition arrives.
        let place = parts
            .iter()
            .position(|part| relation::name_of(part).is_some())?;
        let name = relation::name_of(&parts[place])?;
        let mut region = Self::reals();
        for (i, op) in ops.iter().enumerate() {
            let (bound, op) = if i == place {
                (&parts[i + 1], *op)
            } else if i + 1 == place {
                (&parts[i], op.mirrored())
            } else {
                return None;
            };
            region = region.intersected(&Self::half_line(op, bound, budget)?)?;
        }
        // |x| < 3 speaks of x: both halves of what it says of a number that is not negative.
        if let Node::Call(Func::Abs, inner) = &parts[place] {
            let positive = End {
                node: Node::int(0),
                at: 0.0,
                closed: true,
            };
            let positive = Self(vec![Interval {
                low: positive,
                high: End::infinite(true),
            }]);
            let half = region.intersected(&positive)?;
            let mut both = half.negated().0;
            both.extend(half.0);
            return Some((
                Self(both).united(budget)?,
                inner.first().and_then(relation::name_of),
            ));
        }
        Some((region, Some(name)))
    }

    fn negated(&self) -> Self {
        let mirror = |end: &End| End {
            node: end.node.clone().neg(),
            at: -end.at,
            closed: end.closed,
        };
        let pieces = self.0.iter().rev();
        Self(
            pieces
                .map(|p| Interval {
                    low: mirror(&p.high),
                    high: mirror(&p.low),
                })
                .collect(),
        )
    }

    fn half_line(op: RelOp, bound: &Node, budget: &Budget) -> Option<Self> {
        let end = |closed| End::new(bound, closed, budget);
        let piece = match op {
            RelOp::Less => Interval {
                low: End::infinite(false),
                high: end(false)?,
            },
            RelOp::LessEqual => Interval {
                low: End::infinite(false),
                high: end(true)?,
            },
            RelOp::Greater => Interval {
                low: end(false)?,
                high: End::infinite(true),
            },
            RelOp::GreaterEqual => Interval {
                low: end(true)?,
                high: End::infinite(true),
            },
            RelOp::NotEqual => {
                return Some(Self(vec![
                    Interval {
                        low: End::infinite(false),
                        high: end(false)?,
                    },
                    Interval {
                        low: end(false)?,
                        high: End::infinite(true),
                    },
                ]));
            }
            RelOp::Equal => Interval {
                low: end(true)?,
                high: end(true)?,
            },
            RelOp::In | RelOp::Congruent => return None,
        };
        Some(Self(vec![piece]))
    }

    /// Sorts, drops empty pieces and joins what overlaps or touches.
    fn united(self, budget: &Budget) -> Option<Self> {
        let mut pieces = self.0;
        if pieces.len() > MAX_PIECES || !budget.spend(pieces.len() * 4) {
            return None;
        }
        pieces.retain(|p| {
            p.low.at < p.high.at || (p.low.at == p.high.at && p.low.closed && p.high.closed)
        });
        pieces.sort_by(|a, b| {
            a.low
                .at
                .total_cmp(&b.low.at)
                .then(b.low.closed.cmp(&a.low.closed))
        });
        let mut joined: Vec<Interval> = Vec::new();
        for piece in pieces {
            match joined.last_mut() {
                Some(last)
                    if piece.low.at < last.high.at
                        || (piece.low.at == last.high.at
                            && (piece.low.closed || last.high.closed)) =>
                {
                    let further = piece.high.at > last.high.at
                        || (piece.high.at == last.high.at && piece.high.closed);
                    if further {
                        last.high = piece.high;
                    }
                }
                _ => joined.push(piece),
            }
        }
        Some(Self(joined))
    }

    fn intersected(&self, other: &Self) -> Option<Self> {
        if self.0.len() * other.0.len() > MAX_PIECES * 4 {
            return None;
        }
        let mut pieces = Vec::new();
        for a in &self.0 {
            for b in &other.0 {
                let low = later(&a.low, &b.low, true);
                let high = later(&a.high, &b.high, false);
                if low.at < high.at || (low.at == high.at && low.closed && high.closed) {
                    pieces.push(Interval { low, high });
                }
            }
        }
        (pieces.len() <= MAX_PIECES).then_some(Self(pieces))
    }

    fn complement(&self) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut low = End::infinite(false);
        for piece in &self.0 {
            let high = End {
                closed: !piece.low.closed && piece.low.at.is_finite(),
                ..piece.low.clone()
            };
            if low.at < high.at || (low.at == high.at && low.closed && high.closed) {
                pieces.push(Interval { low, high });
            }
            low = End {
                closed: !piece.high.closed && piece.high.at.is_finite(),
                ..piece.high.clone()
            };
        }
        if low.at < f64::INFINITY {
            pieces.push(Interval {
                low,
                high: End::infinite(true),
            });
        }
        Some(Self(pieces))
    }

    pub(super) fn compare(&self, other: &Self, budget: &Budget) -> Decision {
        if self.0.len() != other.0.len() {
            return (Verdict::Wrong, "different sets of reals");
        }
        let mut all = Verdict::Correct;
        for (a, b) in self.0.iter().zip(&other.0) {
            for (a, b) in [(&a.low, &b.low), (&a.high, &b.high)] {
                let (verdict, reason) = a.equals(b, budget);
                if verdict == Verdict::Wrong {
                    return (verdict, reason);
                }
                all = all.and(verdict);
            }
        }
        let reason = match all {
            Verdict::Correct => "the same set of reals",
            _ => "ends of intervals could not be compared",
        };
        (all, reason)
    }
}

/// The stricter of two ends: the larger for lower ends, the smaller for upper ones.
fn later(a: &End, b: &End, lower: bool) -> End {
    let a_wins = if a.at == b.at {
        !a.closed
    } else {
        (a.at > b.at) == lower
    };
    if a_wins { a.clone() } else { b.clone() }
}

/// One name for all parts; `None` if they speak of two variables.
fn merge_names(a: Option<String>, b: Option<String>) -> Option<Option<String>> {
    match (a, b) {
        (Some(a), Some(b)) if a != b => None,
        (a, b) => Some(a.or(b)),
    }
}
