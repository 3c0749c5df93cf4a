//! Equations and inequalities that do not reduce to a value or to a set of reals.

use num_traits::Signed;

use super::node::{Func, Node, RelOp};
use super::poly::{Canon, Poly, Stop};
use super::scalar::{self, Decision};
use crate::budget::Budget;
use crate::kind::Verdict;

/// `x = 5`, `f(x) = …`, `Area = 12`: the name and the value of the last part.
///
/// In `x = 1/2 = 0.5` the last part counts, and so it does in `3 + 4 = 7`, which has no name.
pub(super) fn assignment(node: &Node) -> Option<(Option<String>, &Node)> {
    let Node::Relation(parts, ops) = node else {
        return None;
    };
    if ops.iter().any(|op| *op != RelOp::Equal) {
        return None;
    }
    let last = parts.last()?;
    if let Some(name) = name_of(&parts[0]) {
        // `x = y` names nothing unless the other side is a value of its own.
        return Some((Some(name), last));
    }
    // "5 = x"
    if parts.len() == 2
        && let Some(name) = name_of(last).filter(|_| parts[0].symbols().is_empty())
    {
        return Some((Some(name), &parts[0]));
    }
    let constant = parts
        .iter()
        .all(|part| part.is_scalar() && part.symbols().is_empty());
    constant.then_some((None, last))
}

pub(super) fn name_of(node: &Node) -> Option<String> {
    match node {
        Node::Sym(name) => Some(name.clone()),
        Node::Text(words) => Some(words.to_lowercase()),
        Node::Call(Func::Named(name), arguments)
            if arguments
                .iter()
                .all(|a| matches!(a, Node::Sym(_) | Node::Num(_))) =>
        {
            Some(format!("{name}()"))
        }
        // Sides and angles of figures (AB, |AB|, AB/CD, A : B) and points (x, y) are names too; a
        // number among them makes an equation to be solved (2x = 4).
        Node::Mul(parts) if parts.iter().all(is_capital) => joined(parts, ""),
        Node::Call(Func::Abs, parts) => joined(parts, "").map(|name| format!("|{name}|")),
        Node::Div(a, b) => Some(format!("{}/{}", capitals(a)?, capitals(b)?)),
        Node::Ratio(parts) => joined(parts, ":"),
        Node::Group(_, parts, _) => joined(parts, ","),
        _ => None,
    }
}

fn joined(parts: &[Node], mark: &str) -> Option<String> {
    let names: Option<Vec<String>> = parts.iter().map(name_of).collect();
    names.map(|names| names.join(mark))
}

fn is_capital(node: &Node) -> bool {
    matches!(node, Node::Sym(name) if name.starts_with(|c: char| c.is_ascii_uppercase()))
}

fn capitals(node: &Node) -> Option<String> {
    let all = match node {
        Node::Mul(parts) => parts.iter().all(is_capital),
        other => is_capital(other),
    };
    if all { name_of(node) } else { None }
}

/// Whether two names may stand for the same thing: `y` and `f(x)` do, `x` and `k` do not.
pub(super) fn names_agree(a: &str, b: &str) -> bool {
    // A figure's side has its own name: |AB| is no f(x).
    let function = |name: &str| {
        name == "y" || name.ends_with("()") || name.chars().filter(|c| c.is_lowercase()).count() > 3
    };
    a == b || (function(a) && function(b))
}

/// Two relations of one operator each, or chains compared part by part.
pub(super) fn compare(a: (&[Node], &[RelOp]), b: (&[Node], &[RelOp]), budget: &Budget) -> Decision {
    match (a, b) {
        (([l1, r1], [op1]), ([l2, r2], [op2])) => {
            let mirrored = *op1 != *op2;
            if mirrored && op1.mirrored() != *op2 {
                return (Verdict::Wrong, "different relations");
            }
            single(
                *op1,
                (l1, r1),
                if mirrored { (r2, l2) } else { (l2, r2) },
                budget,
            )
        }
        ((parts1, ops1), (parts2, ops2)) => {
            let forward = ops1 == ops2 && parts1.len() == parts2.len();
            let backward: Vec<RelOp> = ops2.iter().rev().map(|op| op.mirrored()).collect();
            let parts2: Vec<&Node> = if forward {
                parts2.iter().collect()
            } else if ops1 == backward {
                parts2.iter().rev().collect()
            } else {
                return (Verdict::Wrong, "different relations");
            };
            let mut all = Verdict::Correct;
            for (x, y) in parts1.iter().zip(parts2) {
                all = all.and(scalar::compare(x, y, budget).0);
            }
            (all, "chains of relations compared part by part")
        }
    }
}

fn single(
    op: RelOp,
    (l1, r1): (&Node, &Node),
    (l2, r2): (&Node, &Node),
    budget: &Budget,
) -> Decision {
    if op == RelOp::In || op == RelOp::Congruent {
        let same = scalar::compare(l1, l2, budget)
            .0
            .and(scalar::compare(r1, r2, budget).0);
        return (same, "relation compared side by side");
    }
    let (d1, d2) = (l1.clone().sub(r1.clone()), l2.clone().sub(r2.clone()));
    let mut canon = Canon::new(budget);
    let numerators = numerator(&mut canon, &d1).and_then(|n| Ok((n, numerator(&mut canon, &d2)?)));
    if let Ok((n1, n2)) = numerators {
        if let Some(factor) = n1.multiple(&n2) {
            // Multiplying by a negative number turns an inequality round. The numerators were
            // freed of denominators in symbols only where the operator is symmetric.
            if !op.is_inequality() || factor.is_positive() {
                return (Verdict::Correct, "the same relation up to a factor");
            }
            return (Verdict::Wrong, "the inequality is turned round");
        }
        if n1.is_zero() && n2.is_zero() {
            return (Verdict::Correct, "both hold always");
        }
        if canon.closed {
            (Verdict::Undecided, "equations that could not be reduced")
        } else {
            (Verdict::Wrong, "no multiples of one another")
        }
    } else {
        let same = scalar::compare(l1, l2, budget)
            .0
            .and(scalar::compare(r1, r2, budget).0);
        if same == Verdict::Correct {
            (same, "both sides equal")
        } else {
            (Verdict::Undecided, "equations that could not be reduced")
        }
    }
}

fn numerator(canon: &mut Canon<'_>, node: &Node) -> Result<Poly, Stop> {
    canon.form(node).map(|frac| frac.num)
}
