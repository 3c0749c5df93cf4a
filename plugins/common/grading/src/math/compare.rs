//! Whether two mathematical answers are equal: structure first, then scalars.

use super::node::{NamedSet, Node};
use super::parts::{contains_plus_minus, expand, values_of};
use super::region::Region;
use super::scalar::{self, Decision};
use super::{Reading, Unreadable, fold_text, parse, relation, strip_answer};
use crate::budget::Budget;
use crate::hints::Hints;
use crate::kind::Verdict;
use crate::number;

/// Bytes of an answer that is folded for equality as text.
const MAX_FOLDED: usize = 16 * 1024;
/// Parts of a list or set that are compared one by one.
pub(super) const MAX_PARTS: usize = 48;

/// What a comparison carries along.
pub(super) struct Comparison<'a> {
    pub(super) hints: Hints,
    pub(super) budget: &'a Budget,
}

/// Decides whether two answers are the same mathematical object.
pub(crate) fn answers(a: &str, b: &str, hints: Hints) -> Decision {
    let (a, b) = (strip_answer(a), strip_answer(b));
    // Folding is linear, but what is that long is no answer: plain digits aside it is not folded.
    if a.len().max(b.len()) > MAX_FOLDED {
        return match (number::plain(a), number::plain(b)) {
            _ if a == b => (Verdict::Correct, "the same text"),
            (Some(x), Some(y)) if x == y => (Verdict::Correct, "equal numbers"),
            (Some(_), Some(_)) => (Verdict::Wrong, "different numbers"),
            _ => (Verdict::Undecided, "a side is too long to read"),
        };
    }
    let (folded_a, folded_b) = (fold_text(a), fold_text(b));
    if folded_a == folded_b {
        return (Verdict::Correct, "the same text");
    }
    if same_word(a, b) {
        return (Verdict::Correct, "the same word");
    }
    if folded_a.is_empty() || folded_b.is_empty() {
        return (Verdict::Wrong, "one side is empty");
    }
    let budget = Budget::new(Budget::COMPARISON);
    let decision = read_and_compare(a, b, Reading::DEFAULT, hints, &budget);
    if decision.0 == Verdict::Correct {
        return decision;
    }
    // A number with a decimal comma, which a list reader takes apart.
    if let (Some(x), Some(y)) = (number::plain(a), number::plain(b))
        && x == y
    {
        return (Verdict::Correct, "equal numbers");
    }
    // Another convention may make them equal: 1,234 as two numbers, a decimal logarithm.
    let grouped = |text: &str| text.contains(',') && text.bytes().any(|b| b.is_ascii_digit());
    if grouped(a) || grouped(b) {
        let reading = Reading {
            thousands: false,
            ..Reading::DEFAULT
        };
        if read_and_compare(a, b, reading, hints, &budget).0 == Verdict::Correct {
            return (Verdict::Correct, "equal with commas as separators");
        }
    }
    if a.contains("log") || b.contains("log") {
        let reading = Reading {
            decimal_log: true,
            ..Reading::DEFAULT
        };
        if read_and_compare(a, b, reading, hints, &budget).0 == Verdict::Correct {
            return (Verdict::Correct, "equal with decimal logarithms");
        }
    }
    decision
}

fn read_and_compare(a: &str, b: &str, reading: Reading, hints: Hints, budget: &Budget) -> Decision {
    match (parse(a, reading), parse(b, reading)) {
        (Ok(a), Ok(b)) => Comparison { hints, budget }.nodes(&a, &b, 0),
        (Err(Unreadable::TooLarge), _) | (_, Err(Unreadable::TooLarge)) => {
            (Verdict::Undecided, "a side is too long or too deep to read")
        }
        _ => unread(a, b),
    }
}

/// At least one side is no mathematics. Two texts in words differ if they differ.
fn unread(a: &str, b: &str) -> Decision {
    let words = |text: &str| {
        text.chars()
            .all(|c| c.is_alphabetic() || c.is_whitespace() || matches!(c, '.' | ',' | '\'' | '-'))
    };
    if words(a) && words(b) {
        if fold_words(a) == fold_words(b) {
            return (Verdict::Correct, "the same words");
        }
        return (Verdict::Wrong, "different words");
    }
    (
        Verdict::Undecided,
        "a side could not be read, and the texts differ",
    )
}

/// One word in different case; of the short ones only those that are no products of symbols.
fn same_word(a: &str, b: &str) -> bool {
    let word = |text: &str| text.chars().all(char::is_alphabetic);
    word(a)
        && word(b)
        && a.to_lowercase() == b.to_lowercase()
        && (a.chars().count() > 3 || ["yes", "no"].contains(&a.to_lowercase().as_str()))
}

/// Lower case, letters and digits only.
fn fold_words(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// The number a word stands for, and the words for "no solution".
fn meaning(words: &str) -> Option<Node> {
    const NUMBERS: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
        "eleven", "twelve",
    ];
    let folded = fold_words(words);
    if let Some(value) = NUMBERS.iter().position(|name| *name == folded) {
        return Some(Node::int(i64::try_from(value).ok()?));
    }
    matches!(
        folded.as_str(),
        "nosolution" | "nosolutions" | "norealsolution" | "norealsolutions" | "emptyset" | "无解"
    )
    .then_some(Node::NamedSet(NamedSet::Empty))
}

impl Comparison<'_> {
    pub(super) fn nodes(&self, a: &Node, b: &Node, depth: usize) -> Decision {
        if depth > 24 || !self.budget.spend(8) {
            return (Verdict::Undecided, "beyond the bounds of a comparison");
        }
        if a == b {
            return (Verdict::Correct, "the same expression");
        }
        let depth = depth + 1;
        match (a, b) {
            (Node::Unit(x, u), Node::Unit(y, v)) => return self.units((x, u), (y, v), depth),
            (Node::Unit(x, _), y) | (y, Node::Unit(x, _)) => return self.nodes(x, y, depth),
            (Node::Percent(x), Node::Percent(y)) => return self.nodes(x, y, depth),
            (Node::Degree(x), Node::Degree(y)) => return self.nodes(x, y, depth),
            _ => {}
        }
        if let Some(decision) = self.texts(a, b, depth) {
            return decision;
        }
        if let Some(decision) = self.assignments(a, b, depth) {
            return decision;
        }
        match (a, b) {
            (Node::Percent(x), y) | (y, Node::Percent(x)) => return self.percent(x, y, depth),
            (Node::Degree(x), y) | (y, Node::Degree(x)) => return self.degree(x, y, depth),
            (Node::Based(..), _) | (_, Node::Based(..)) => return self.based(a, b),
            _ => {}
        }
        if let Some(decision) = self.regions(a, b) {
            return decision;
        }
        match (a, b) {
            (Node::Ratio(x), Node::Ratio(y)) => self.ratios(x, y),
            (Node::Ratio(x), y) | (y, Node::Ratio(x))
                if y.is_scalar() && x.len() == 2 && x[1] != Node::int(0) =>
            {
                scalar::compare(&x[0].clone().div(x[1].clone()), y, self.budget)
            }
            (Node::Matrix(x), Node::Matrix(y)) => self.matrices(x, y, depth),
            (Node::Matrix(x), Node::Group(_, y, _)) | (Node::Group(_, y, _), Node::Matrix(x)) => {
                self.matrix_and_group(x, y, depth)
            }
            (Node::Group(o1, x, c1), Node::Group(o2, y, c2)) => {
                self.groups((*o1, x, *c1), (*o2, y, *c2), depth)
            }
            (Node::Relation(p1, o1), Node::Relation(p2, o2)) => {
                relation::compare((p1, o1), (p2, o2), self.budget)
            }
            (Node::Union(x), Node::Union(y)) | (Node::Intersection(x), Node::Intersection(y)) => {
                self.unordered(x, y, depth)
            }
            (Node::SetMinus(x1, x2), Node::SetMinus(y1, y2)) => {
                let (first, reason) = self.nodes(x1, y1, depth);
                (first.and(self.nodes(x2, y2, depth).0), reason)
            }
            _ => self.collections(a, b, depth),
        }
    }

    /// Lists, sets and single values; a list in words has no order, a tuple has one.
    pub(super) fn collections(&self, a: &Node, b: &Node, depth: usize) -> Decision {
        let listed = |node: &Node| {
            matches!(node, Node::List(_) | Node::And(_) | Node::Set(_)) || contains_plus_minus(node)
        };
        match (a, b) {
            (Node::Group(_, x, _), other) | (other, Node::Group(_, x, _)) => match other {
                Node::List(y) | Node::And(y) => self.ordered(x, &values_of(y), depth),
                _ => (Verdict::Wrong, "a tuple against another kind of object"),
            },
            _ if listed(a) || listed(b) => match (expand(a), expand(b)) {
                (Some(x), Some(y)) => self.unordered(&x, &y, depth),
                _ => (Verdict::Undecided, "too many values to compare"),
            },
            _ if a.is_scalar() && b.is_scalar() => scalar::compare(a, b, self.budget),
            _ if has_words(a) || has_words(b) => (
                Verdict::Undecided,
                "words and numbers that could not be compared",
            ),
            _ if a.is_scalar() || b.is_scalar() => (Verdict::Wrong, "different kinds of object"),
            _ if std::mem::discriminant(a) == std::mem::discriminant(b) => {
                (Verdict::Undecided, "objects that cannot be compared")
            }
            _ => (Verdict::Wrong, "different kinds of object"),
        }
    }

    pub(super) fn texts(&self, a: &Node, b: &Node, depth: usize) -> Option<Decision> {
        match (a, b) {
            (Node::Text(x), Node::Text(y)) => Some(if fold_words(x) == fold_words(y) {
                (Verdict::Correct, "the same words")
            } else {
                (Verdict::Wrong, "different words")
            }),
            (Node::Text(x), other) | (other, Node::Text(x)) => {
                if let Some(value) = meaning(x) {
                    return Some(self.nodes(&value, other, depth));
                }
                Some(match other {
                    Node::Sym(name) if fold_words(name) == fold_words(x) => {
                        (Verdict::Correct, "the same letter")
                    }
                    _ => (Verdict::Wrong, "words against an expression"),
                })
            }
            _ => None,
        }
    }

    /// `x = 5` is 5; two assignments must name the same thing.
    pub(super) fn assignments(&self, a: &Node, b: &Node, depth: usize) -> Option<Decision> {
        match (relation::assignment(a), relation::assignment(b)) {
            (Some((n1, x)), Some((n2, y))) => {
                let named_alike = match (&n1, &n2) {
                    (Some(n1), Some(n2)) => relation::names_agree(n1, n2),
                    _ => true,
                };
                if named_alike {
                    let decision = self.nodes(x, y, depth);
                    // `y = x` and `x = y` are one equation though the values differ.
                    let symbols = !x.symbols().is_empty() || !y.symbols().is_empty();
                    if decision.0 == Verdict::Correct || !symbols {
                        return Some(decision);
                    }
                } else if x.symbols().is_empty() && y.symbols().is_empty() {
                    return Some((Verdict::Wrong, "values of different variables"));
                }
                let (Node::Relation(p1, o1), Node::Relation(p2, o2)) = (a, b) else {
                    return None;
                };
                Some(relation::compare((p1, o1), (p2, o2), self.budget))
            }
            (Some((_, x)), None) if !matches!(b, Node::Relation(..)) => {
                self.value_and_object(a, x, b, depth)
            }
            (None, Some((_, y))) if !matches!(a, Node::Relation(..)) => {
                self.value_and_object(b, y, a, depth)
            }
            _ => None,
        }
    }

    pub(super) fn value_and_object(
        &self,
        whole: &Node,
        value: &Node,
        other: &Node,
        depth: usize,
    ) -> Option<Decision> {
        match other {
            // A region or a list of relations sees the assignment itself: x = 1 or x = 2.
            Node::And(_) | Node::Union(_) => None,
            Node::List(parts) if parts.iter().any(|p| matches!(p, Node::Relation(..))) => {
                let _ = whole;
                None
            }
            _ => Some(self.nodes(value, other, depth)),
        }
    }

    pub(super) fn regions(&self, a: &Node, b: &Node) -> Option<Decision> {
        let open = |node: &Node| {
            matches!(
                node,
                Node::Union(_) | Node::Intersection(_) | Node::SetMinus(..) | Node::NamedSet(_)
            ) || has_inequality(node)
        };
        // Tuples and sets alone are compared as such; regions only where one side is nothing else.
        if !open(a) && !open(b) {
            return None;
        }
        let (ra, name_a) = Region::read(a, self.budget)?;
        let (rb, name_b) = Region::read(b, self.budget)?;
        if let (Some(a), Some(b)) = (name_a, name_b)
            && !relation::names_agree(&a, &b)
        {
            return Some((Verdict::Wrong, "conditions on different variables"));
        }
        Some(ra.compare(&rb, self.budget))
    }
}

fn has_inequality(node: &Node) -> bool {
    match node {
        Node::Relation(_, ops) => ops.iter().any(|op| *op != super::node::RelOp::Equal),
        Node::List(parts) | Node::And(parts) => parts.iter().any(has_inequality),
        _ => false,
    }
}

fn has_words(node: &Node) -> bool {
    let mut found = false;
    node.walk(&mut |node| found |= matches!(node, Node::Text(_)));
    found
}
