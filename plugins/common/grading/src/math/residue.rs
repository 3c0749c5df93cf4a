//! Values modulo a prime: numbers too large for exact rationals, compared in linear time.
//!
//! Symbols, π and e stand for fixed residues. Equal rational functions have equal residues, so
//! different ones prove inequality; equal ones modulo two primes near 2^61 leave a chance of about
//! degree/2^61 per prime that the functions differ.

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive};

use super::node::{Func, Node};
use crate::budget::Budget;
use crate::decimal::{mul_mod, pow_mod};

/// Two primes just below 2^61 and 2^62.
pub(super) const PRIMES: [u64; 2] = [(1 << 61) - 1, (1 << 62) - 57];
/// Factorials beyond this one have no residue here.
const MAX_FACTORIAL: u64 = 10_000;
/// Bits of an exponent that is kept as a number.
const MAX_EXPONENT_BITS: u64 = 512;

/// The residue of a rational function, or `None` where it has none: roots, functions, `1/0`.
pub(super) fn residue(node: &Node, prime: u64, budget: &Budget) -> Option<u64> {
    if !budget.spend(10) {
        return None;
    }
    match node {
        Node::Num(value) => {
            let numerator = integer(value.numer(), prime);
            let denominator = integer(value.denom(), prime);
            Some(mul_mod(numerator, inverse(denominator, prime)?, prime))
        }
        Node::Huge(decimal) => Some(decimal.residue(prime)),
        Node::Pi => Some(named("\u{3c0}", prime)),
        Node::E => Some(named("\u{212f}", prime)),
        Node::Sym(name) => Some(named(name, prime)),
        Node::Add(parts) => {
            let mut sum = 0;
            for part in parts {
                sum = (sum + residue(part, prime, budget)?) % prime;
            }
            Some(sum)
        }
        Node::Mul(parts) => {
            let mut product = 1;
            for part in parts {
                product = mul_mod(product, residue(part, prime, budget)?, prime);
            }
            Some(product)
        }
        Node::Neg(a) => Some((prime - residue(a, prime, budget)?) % prime),
        Node::Div(a, b) => {
            let inverse = inverse(residue(b, prime, budget)?, prime)?;
            Some(mul_mod(residue(a, prime, budget)?, inverse, prime))
        }
        Node::Percent(a) => Some(mul_mod(
            residue(a, prime, budget)?,
            inverse(100, prime)?,
            prime,
        )),
        Node::Pow(base, exponent) => {
            let base = residue(base, prime, budget)?;
            let exponent = whole(exponent)?;
            if base == 0 {
                return if exponent.is_positive() {
                    Some(0)
                } else {
                    None
                };
            }
            // By Fermat the exponent counts modulo p − 1.
            let reduced = integer(&exponent, prime - 1);
            Some(pow_mod(base, reduced, prime))
        }
        Node::Factorial(a) => {
            let n = whole(a)?.to_u64().filter(|n| *n <= MAX_FACTORIAL)?;
            if !budget.spend(usize::try_from(n).ok()?) {
                return None;
            }
            Some((2..=n).fold(1, |product, k| mul_mod(product, k, prime)))
        }
        Node::Call(Func::Binom, arguments) => {
            let [n, k] = arguments.as_slice() else {
                return None;
            };
            let (n, k) = (whole(n)?.to_u64()?, whole(k)?.to_u64()?);
            let k = k.min(n.checked_sub(k)?);
            if k > MAX_FACTORIAL || n >= prime || !budget.spend(2 * usize::try_from(k).ok()?) {
                return None;
            }
            let above = (0..k).fold(1, |product, i| mul_mod(product, n - i, prime));
            let below = (1..=k).fold(1, |product, i| mul_mod(product, i, prime));
            Some(mul_mod(above, inverse(below, prime)?, prime))
        }
        _ => None,
    }
}

/// The integer that a constant exponent is, by small exact arithmetic only.
fn whole(node: &Node) -> Option<BigInt> {
    let value = match node {
        Node::Num(value) if value.is_integer() => value.to_integer(),
        Node::Neg(a) => -whole(a)?,
        Node::Add(parts) => parts.iter().map(whole).sum::<Option<BigInt>>()?,
        Node::Mul(parts) => parts.iter().map(whole).product::<Option<BigInt>>()?,
        Node::Pow(base, exponent) => {
            let (base, exponent) = (whole(base)?, whole(exponent)?.to_u32()?);
            if base.bits() * u64::from(exponent) > MAX_EXPONENT_BITS {
                return None;
            }
            base.pow(exponent)
        }
        _ => return None,
    };
    (value.bits() <= MAX_EXPONENT_BITS).then_some(value)
}

fn integer(value: &BigInt, modulus: u64) -> u64 {
    let modulus = BigInt::from(modulus);
    let rest = value % &modulus;
    let rest = if rest.is_negative() {
        rest + modulus
    } else {
        rest
    };
    rest.to_u64().unwrap_or(0)
}

fn inverse(value: u64, prime: u64) -> Option<u64> {
    (value != 0).then(|| pow_mod(value, prime - 2, prime))
}

/// A fixed residue for a name: FNV-1a, whose constants make it the same on every machine.
fn named(name: &str, prime: u64) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    2 + hash % (prime - 2)
}

#[cfg(test)]
mod tests {
    use super::super::{Reading, parse};
    use super::*;

    fn of(text: &str) -> Option<u64> {
        residue(
            &parse(text, Reading::DEFAULT).unwrap(),
            PRIMES[0],
            &Budget::new(Budget::COMPARISON),
        )
    }

    #[test]
    fn the_moduli_are_prime() {
        // Fermat's test to several bases: enough to catch a mistyped constant.
        for prime in PRIMES {
            for base in [2, 3, 5, 7, 11, 13] {
                assert_eq!(pow_mod(base, prime - 1, prime), 1, "{prime}");
            }
        }
    }

    #[test]
    fn large_numbers_have_residues() {
        assert_eq!(of("2004!"), of("2003! * 2004"));
        assert_ne!(of("1/2004!"), of("1/2006!"));
        assert_eq!(of("1e999999"), of("10^999999"));
        assert_eq!(of("(x+1)^{1000}(x+1)"), of("(x+1)^{1001}"));
        assert_eq!(of("9^{9^{9^9}}"), None);
        assert_eq!(of("\\sqrt{2}"), None);
    }
}
