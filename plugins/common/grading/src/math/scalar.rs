//! Whether two scalars are equal: exactly, modulo primes, or at sample points.

use num_traits::Zero;

use super::node::Node;
use super::numeric::{Value, evaluate};
use super::poly::{Canon, Stop};
use super::residue::{PRIMES, residue};
use crate::budget::Budget;
use crate::kind::Verdict;

/// A verdict with its reason, a short line.
pub(crate) type Decision = (Verdict, &'static str);

/// Sample points for symbols, the `i`-th symbol taking the value `i` places further on. Mostly
/// positive, so that roots and logarithms exist; some negative, so that |x| differs from x; the last
/// ones whole, for factorials and (−1)^n.
const POINTS: [[f64; 7]; 9] = [
    [
        0.731_6, 1.937_4, 2.618_2, 0.413_7, 3.271_9, 1.214_3, 5.087_1,
    ],
    [
        1.618_7, 0.291_3, 4.337_2, 2.153_9, 0.873_1, 3.718_4, 1.093_7,
    ],
    [
        2.381_1, 3.907_7, 0.553_9, 1.481_3, 2.771_7, 0.197_3, 4.613_9,
    ],
    [
        -0.618_3, -1.327_1, 0.913_7, -2.147_9, 1.761_3, -0.331_7, 2.937_1,
    ],
    [
        -2.273_9, 1.139_3, -0.747_1, 0.637_9, -1.531_7, 2.413_1, -3.191_3,
    ],
    [
        0.113_9, 0.371_7, 0.079_3, 0.593_1, 0.219_7, 0.811_3, 0.457_1,
    ],
    [2.0, 3.0, 5.0, 4.0, 7.0, 6.0, 9.0],
    [3.0, 4.0, 2.0, 7.0, 5.0, 1.0, 8.0],
    [5.0, 2.0, 6.0, 3.0, 8.0, 4.0, 1.0],
];

/// Decides whether two scalars are equal as numbers or as functions of their symbols.
pub(crate) fn compare(a: &Node, b: &Node, budget: &Budget) -> Decision {
    if a == b {
        return (Verdict::Correct, "the same expression");
    }
    if let Some(decision) = infinite(a, b) {
        return decision;
    }
    if let Some(decision) = literals(a, b) {
        return decision;
    }
    let mut canon = Canon::new(budget);
    let stop = match exact(&mut canon, a, b) {
        Ok(Difference::Zero) => return (Verdict::Correct, "equal exactly"),
        Ok(Difference::Constant) => return (Verdict::Wrong, "not equal"),
        Ok(Difference::Open) if !canon.closed => return (Verdict::Wrong, "not equal"),
        Ok(Difference::Open) => None,
        Err(stop) => Some(stop),
    };
    match stop {
        Some(Stop::NotScalar) => {
            return (Verdict::Undecided, "no expression that can be evaluated");
        }
        Some(Stop::Undefined) => return (Verdict::Undecided, "a side is not defined"),
        Some(Stop::TooLarge) => {
            if let Some(decision) = modular(a, b, budget) {
                return decision;
            }
        }
        None => {}
    }
    sample(a, b, budget)
}

/// The difference of two canonical forms.
enum Difference {
    Zero,
    /// A number other than zero, whatever the closed atoms are: they cancelled.
    Constant,
    Open,
}

fn exact(canon: &mut Canon<'_>, a: &Node, b: &Node) -> Result<Difference, Stop> {
    let (a, b) = (canon.form(a)?, canon.form(b)?);
    let difference = canon.difference(&a, &b)?;
    Ok(match difference.as_constant() {
        Some(_) if difference.is_zero() => Difference::Zero,
        Some(_) => Difference::Constant,
        None => Difference::Open,
    })
}

/// ±∞ equals itself only.
fn infinite(a: &Node, b: &Node) -> Option<Decision> {
    let sign = |node: &Node| match node {
        Node::Infinity => Some(1),
        Node::Neg(inner) if **inner == Node::Infinity => Some(-1),
        _ => None,
    };
    match (sign(a), sign(b)) {
        (None, None) => None,
        (Some(a), Some(b)) if a == b => Some((Verdict::Correct, "both infinite")),
        _ => Some((Verdict::Wrong, "only one is this infinity")),
    }
}

/// Two literals: by digits, whatever their size.
fn literals(a: &Node, b: &Node) -> Option<Decision> {
    match (a, b) {
        (Node::Num(a), Node::Num(b)) if a == b => Some((Verdict::Correct, "equal numbers")),
        // One beyond the exact bound and one within it differ, since literals are normalised.
        (Node::Num(_) | Node::Huge(_), Node::Num(_) | Node::Huge(_)) => {
            Some((Verdict::Wrong, "different numbers"))
        }
        _ => None,
    }
}

fn modular(a: &Node, b: &Node, budget: &Budget) -> Option<Decision> {
    for prime in PRIMES {
        if residue(a, prime, budget)? != residue(b, prime, budget)? {
            return Some((Verdict::Wrong, "not equal (modulo a prime)"));
        }
    }
    Some((Verdict::Correct, "equal modulo two large primes"))
}

/// Compares at the fixed points.
fn sample(a: &Node, b: &Node, budget: &Budget) -> Decision {
    let mut names = a.symbols();
    names.extend(b.symbols());
    names.sort_unstable();
    names.dedup();
    let complex = contains_i(a) || contains_i(b);
    let rounds = if names.is_empty() { 1 } else { POINTS.len() };
    let (mut agreed, mut agreed_unequal_form) = (0, false);
    for point in POINTS.iter().take(rounds) {
        let symbol = |name: &str| {
            let index = names.binary_search(&name).unwrap_or(0);
            // More symbols than columns: shift the value, so that no two symbols share one.
            point[index % 7] + (index / 7) as f64 * 0.618
        };
        let (Some(x), Some(y)) = (evaluate(a, &symbol, budget), evaluate(b, &symbol, budget))
        else {
            continue;
        };
        // Read over the reals: points outside the domain of a side say nothing.
        let real = x.is_real() && y.is_real();
        if !complex && !real {
            continue;
        }
        match close(x, y) {
            Some(true) => agreed += 1,
            Some(false) => return (Verdict::Wrong, "different values at a sample point"),
            None => agreed_unequal_form = true,
        }
    }
    let needed = if names.is_empty() { 1 } else { 3 };
    if agreed < needed || agreed_unequal_form {
        return (Verdict::Undecided, "no decision at the sample points");
    }
    // A large value hides what is added to it.
    let size = evaluate(a, &|_| f64::NAN, budget).map_or(0.0, |value| value.re.abs());
    if names.is_empty() && size > 1e10 {
        return (Verdict::Undecided, "values too large for sampling agree");
    }
    if names.is_empty() && (long_decimal(a) || long_decimal(b)) {
        // sin(1) and its decimals agree as far as they go, and differ.
        return (
            Verdict::Undecided,
            "a rounded value agrees as far as it goes",
        );
    }
    (Verdict::Correct, "equal at the sample points")
}

/// Equal within the error bounds, clearly different, or neither.
fn close(a: Value, b: Value) -> Option<bool> {
    let distance = (a.re - b.re).hypot(a.im - b.im);
    let error = a.error + b.error;
    let size = a.re.hypot(a.im).max(b.re.hypot(b.im));
    // An error that hides six digits decides nothing.
    if error > size * 1e-6 && error > 1e-9 {
        return None;
    }
    if distance <= 8.0 * error {
        Some(true)
    } else if distance > 64.0 * error {
        Some(false)
    } else {
        None
    }
}

fn contains_i(node: &Node) -> bool {
    let mut found = false;
    node.walk(&mut |node| found |= *node == Node::I);
    found
}

/// A literal that looks like a rounded value: a denominator of ten digits or more.
fn long_decimal(node: &Node) -> bool {
    match node {
        Node::Num(value) => !value.is_zero() && value.denom().bits() > 30,
        Node::Neg(inner) => long_decimal(inner),
        Node::Huge(_) => true,
        _ => false,
    }
}

/// The value of a constant in floating point, for ordering the ends of intervals.
pub(crate) fn approximate(node: &Node, budget: &Budget) -> Option<f64> {
    if !node.symbols().is_empty() {
        return None;
    }
    evaluate(node, &|_| f64::NAN, budget)
        .filter(|v| v.is_real())
        .map(|v| v.re)
}

#[cfg(test)]
mod tests {
    use super::super::{Reading, parse};
    use super::*;

    fn check(a: &str, b: &str, expected: Verdict) {
        let read = |text: &str| parse(text, Reading::DEFAULT).unwrap();
        let budget = Budget::new(Budget::COMPARISON);
        let (verdict, reason) = compare(&read(a), &read(b), &budget);
        assert_eq!(verdict, expected, "{a} and {b}: {reason}");
    }

    #[test]
    fn equal_scalars() {
        for (a, b) in [
            ("2\\sqrt{3}", "\\sqrt{12}"),
            ("x^2+2x+1", "(x+1)^2"),
            ("\\frac{\\pi}{2}", "π/2"),
            ("\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt{2}}{2}"),
            ("\\sqrt{3+2\\sqrt{2}}", "1+\\sqrt{2}"),
            ("\\frac{x^2-1}{x-1}", "x+1"),
            ("\\sin^2 x + \\cos^2 x", "1"),
            ("e^{2x}", "(e^x)^2"),
            ("\\log_2 8", "3"),
            ("\\ln 8", "3\\ln 2"),
            ("\\sqrt{-4}", "2i"),
            ("(1+i)^2", "2i"),
            ("\\sqrt[3]{-8}", "-2"),
            ("2^{n+1}", "2 \\cdot 2^n"),
            ("\\cos(60°)", "1/2"),
            ("\\frac{1}{2004!}", "\\frac{1}{2003! \\cdot 2004}"),
            ("5!", "120"),
            ("\\binom{5}{2}", "10"),
            ("(-1)^{n}", "\\cos(n\\pi)"),
            ("\\sqrt{1/n}", "1/\\sqrt{n}"),
            ("|x|", "\\sqrt{x^2}"),
            ("10^{100}+1-10^{100}", "1"),
        ] {
            check(a, b, Verdict::Correct);
            check(b, a, Verdict::Correct);
        }
    }

    #[test]
    fn unequal_scalars() {
        for (a, b) in [
            ("x", "\\sqrt{x^2}"),
            ("1-\\frac{1}{e}", "1+\\frac{1}{e}"),
            ("\\frac{1}{2^{99}}", "\\frac{1}{2^{98}}"),
            ("\\frac{1}{2004!}", "\\frac{1}{2006!}"),
            ("\\pi", "3.14159265358979323846"),
            ("1/3", "0.333333"),
            ("x+1", "y+1"),
            ("\\sin(x)", "x"),
            ("4", "4\\sqrt{2}"),
            ("1e999999", "1e999998"),
            (
                "\\frac{2^{2005}+1}{3 \\cdot 2^{2006}}",
                "\\frac{1}{3 \\cdot 2^{2006}}",
            ),
        ] {
            check(a, b, Verdict::Wrong);
            check(b, a, Verdict::Wrong);
        }
    }

    #[test]
    fn what_is_beyond_reach_is_undecided() {
        check("9^{9^{9^9}}", "9^{9^{9^8}}", Verdict::Undecided);
        check("\\frac{1}{0}", "5", Verdict::Undecided);
        check("\\sin(1)", "0.8414709848078965", Verdict::Undecided);
    }
}
