//! Decimal numbers as digits and an exponent: exact at any size, never materialised.

use std::fmt;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

/// Decimal digits that an exact rational may have, in numerator and denominator each.
/// Beyond it numbers are compared as digit strings or modulo primes, which stays linear.
pub(crate) const MAX_EXACT_DIGITS: i64 = 400;

/// `±0.digits… × 10^exponent` with no superfluous zeros, so that equal numbers have equal fields.
///
/// Zero has no digits. Comparing two of them is linear in their digits whatever the exponent:
/// `1e999999` costs no more than `1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// ASCII digits, neither led nor followed by a zero.
    digits: String,
    /// Power of ten of the last digit.
    exponent: i64,
}

impl Decimal {
    /// Reads `digits[.digits]` with a power of ten, all ASCII. `None` if there is no digit, or the
    /// exponent leaves `i64`.
    pub(crate) fn new(negative: bool, whole: &str, fraction: &str, exponent: i64) -> Option<Self> {
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut digits = String::with_capacity(whole.len() + fraction.len());
        digits.push_str(whole);
        digits.push_str(fraction);
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mut exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let kept = digits.trim_end_matches('0').len();
        exponent = exponent.checked_add(i64::try_from(digits.len() - kept).ok()?)?;
        digits.truncate(kept);
        let leading = digits.len() - digits.trim_start_matches('0').len();
        digits.drain(..leading);
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        Some(Self {
            negative,
            digits,
            exponent,
        })
    }

    /// The same number with the other sign.
    pub(crate) fn negated(mut self) -> Self {
        self.negative = !self.negative && !self.digits.is_empty();
        self
    }

    /// The exact rational, or `None` if it has more than [`MAX_EXACT_DIGITS`].
    pub(crate) fn to_rational(&self) -> Option<BigRational> {
        if self.digits.is_empty() {
            return Some(BigRational::zero());
        }
        let length = i64::try_from(self.digits.len()).ok()?;
        if length.max(length.saturating_add(self.exponent)) > MAX_EXACT_DIGITS
            || self.exponent < -MAX_EXACT_DIGITS
        {
            return None;
        }
        let magnitude = BigInt::parse_bytes(self.digits.as_bytes(), 10)?;
        let magnitude = if self.negative { -magnitude } else { magnitude };
        let power = BigInt::from(10u8).pow(u32::try_from(self.exponent.unsigned_abs()).ok()?);
        Some(if self.exponent >= 0 {
            BigRational::from_integer(magnitude * power)
        } else {
            BigRational::new(magnitude, power)
        })
    }

    /// The residue modulo a prime below 2^62 that is neither 2 nor 5.
    pub(crate) fn residue(&self, prime: u64) -> u64 {
        let mut value = 0u64;
        for byte in self.digits.bytes() {
            value = mul_mod(value, 10, prime);
            value = (value + u64::from(byte - b'0')) % prime;
        }
        // By Fermat the exponent counts modulo p − 1, which also makes a negative one an inverse.
        let order = i128::from(prime - 1);
        let exponent = i128::from(self.exponent).rem_euclid(order);
        value = mul_mod(
            value,
            pow_mod(10, u64::try_from(exponent).unwrap_or(0), prime),
            prime,
        );
        if self.negative && value != 0 {
            prime - value
        } else {
            value
        }
    }

    /// The nearest `f64`; infinite or zero beyond its range.
    pub(crate) fn to_f64(&self) -> f64 {
        // 40 digits are more than a double holds; the rest only shifts the exponent.
        let head = &self.digits[..self.digits.len().min(40)];
        let shift = i64::try_from(self.digits.len() - head.len()).unwrap_or(i64::MAX);
        let exponent = self.exponent.saturating_add(shift);
        let text = format!("{}{head}e{exponent}", if self.negative { "-" } else { "" });
        if head.is_empty() {
            0.0
        } else {
            text.parse().unwrap_or(f64::NAN)
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let digits = if self.digits.is_empty() {
            "0"
        } else {
            &self.digits
        };
        write!(f, "{sign}{digits}e{}", self.exponent)
    }
}

/// `a·b mod m` without overflow for `m < 2^63`.
pub(crate) fn mul_mod(a: u64, b: u64, m: u64) -> u64 {
    let product = u128::from(a) * u128::from(b) % u128::from(m);
    u64::try_from(product).unwrap_or(0)
}

/// `base^exponent mod m` for `m < 2^63`.
pub(crate) fn pow_mod(base: u64, mut exponent: u64, m: u64) -> u64 {
    let (mut result, mut square) = (1 % m, base % m);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = mul_mod(result, square, m);
        }
        square = mul_mod(square, square, m);
        exponent >>= 1;
    }
    result
}

/// The value of `whole.fraction` followed by `period` for ever, or `None` if it is too long.
pub(crate) fn repeating(whole: &str, fraction: &str, period: &str) -> Option<BigRational> {
    if period.is_empty() || !period.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let head = Decimal::new(false, whole, fraction, 0)?.to_rational()?;
    let length = fraction.len() + period.len();
    if i64::try_from(length).ok()? > MAX_EXACT_DIGITS {
        return None;
    }
    let nines = BigInt::from(10u8).pow(u32::try_from(period.len()).ok()?) - BigInt::one();
    let shift = BigInt::from(10u8).pow(u32::try_from(fraction.len()).ok()?);
    let numerator = BigInt::parse_bytes(period.as_bytes(), 10)?;
    Some(head + BigRational::new(numerator, nines * shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(whole: &str, fraction: &str, exponent: i64) -> Decimal {
        Decimal::new(false, whole, fraction, exponent).unwrap()
    }

    #[test]
    fn superfluous_zeros_do_not_count() {
        assert_eq!(decimal("0018", "00", 0), decimal("18", "", 0));
        assert_eq!(decimal("0", "5", 0), decimal("5", "", -1));
        assert_eq!(decimal("0", "0", 9), decimal("0", "", 0).negated());
    }

    #[test]
    fn huge_exponents_stay_symbolic() {
        assert_eq!(decimal("10", "", 999_998), decimal("1", "", 999_999));
        assert_eq!(decimal("1", "", 999_999).to_rational(), None);
        assert!(decimal("1", "", 999_999).to_f64().is_infinite());
    }

    #[test]
    fn residues_agree_with_rationals() {
        let prime = (1 << 61) - 1;
        let half = decimal("0", "5", 0).residue(prime);
        assert_eq!(mul_mod(half, 2, prime), 1);
        assert_eq!(decimal("3", "", 2).negated().residue(prime), prime - 300);
    }

    #[test]
    fn repeating_decimals_are_fractions() {
        assert_eq!(
            repeating("0", "", "3"),
            Some(BigRational::new(1.into(), 3.into()))
        );
        assert_eq!(
            repeating("0", "1", "6"),
            Some(BigRational::new(1.into(), 6.into()))
        );
    }
}
