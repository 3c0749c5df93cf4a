//! Canonical powers: whole ones of polynomials, roots of single terms, square factors taken out.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{CheckedMul, One, Signed, ToPrimitive, Zero};

use super::poly::{Atom, Canon, Canonical, Exponent, Frac, MAX_TRIAL, Monomial, Poly, Stop};

impl Canon<'_> {
    pub(super) fn power(&mut self, base: Frac, exponent: &Frac) -> Canonical<Frac> {
        let Some(value) = exponent.as_constant() else {
            let key = format!("pow({},{})", self.key(&base), self.key(exponent));
            return self.closed_atom(key);
        };
        let (Some(n), Some(d)) = (value.numer().to_i64(), value.denom().to_i64()) else {
            return Err(Stop::TooLarge);
        };
        if d == 1 {
            self.integer_power(base, n)
        } else {
            self.root_power(base, Exponent::new(n, d))
        }
    }

    pub(super) fn integer_power(&mut self, base: Frac, n: i64) -> Canonical<Frac> {
        if n < 0 {
            let inverse = Self::inverse(base)?;
            return self.integer_power(inverse, n.checked_neg().ok_or(Stop::TooLarge)?);
        }
        if n == 0 {
            return if base.num.is_zero() {
                Err(Stop::Undefined)
            } else {
                Ok(Frac::constant(BigRational::one()))
            };
        }
        Ok(Frac {
            num: self.poly_power(&base.num, n)?,
            den: self.poly_power(&base.den, n)?,
        })
    }

    pub(super) fn poly_power(&self, base: &Poly, n: i64) -> Canonical<Poly> {
        if base.is_zero() {
            return Ok(Poly::default());
        }
        if let Some((monomial, value)) = base.single() {
            let mut factor = self.int_power(value, n)?;
            let mut power = Monomial::new();
            for (id, exponent) in monomial {
                let exponent = exponent
                    .checked_mul(&Exponent::from_integer(n))
                    .ok_or(Stop::TooLarge)?;
                let (exponent, extra) = self.reduce(*id, exponent)?;
                if let Some(extra) = extra {
                    factor *= extra;
                }
                if !exponent.is_zero() {
                    power.push((*id, exponent));
                }
            }
            self.check(&factor)?;
            return Ok(Poly(BTreeMap::from([(power, factor)])));
        }
        if n > 64 {
            return Err(Stop::TooLarge);
        }
        let mut result = base.clone();
        for _ in 1..n {
            result = self.mul_poly(&result, base)?;
        }
        Ok(result)
    }

    /// A power with a fraction as exponent: exact for one term, closed for sums.
    pub(super) fn root_power(&mut self, base: Frac, exponent: Exponent) -> Canonical<Frac> {
        if base.num.is_zero() {
            return if exponent.is_positive() {
                Ok(base)
            } else {
                Err(Stop::Undefined)
            };
        }
        let exact = match (base.num.single(), base.den.single()) {
            (Some(num), Some(den)) => {
                let (num, den) = (
                    (num.0.clone(), num.1.clone()),
                    (den.0.clone(), den.1.clone()),
                );
                self.root_of_terms(&num, &den, exponent)?
            }
            _ => None,
        };
        match exact {
            Some(frac) => Ok(frac),
            None => self.closed_atom(format!("root({},{exponent})", self.key(&base))),
        }
    }

    pub(super) fn root_of_terms(
        &mut self,
        num: &(Monomial, BigRational),
        den: &(Monomial, BigRational),
        exponent: Exponent,
    ) -> Canonical<Option<Frac>> {
        let value = &num.1 / &den.1;
        let Some(mut result) = self.root_of_number(&value, exponent)? else {
            return Ok(None);
        };
        for (monomial, sign) in [(&num.0, 1), (&den.0, -1)] {
            for (id, inner) in monomial {
                let positive = match &self.atoms[*id] {
                    Atom::Base(_) | Atom::Pi | Atom::E | Atom::LnPrime(_) => true,
                    // √(x²) is |x|: an even power must stay under the root.
                    Atom::Sym(_) => !inner.is_integer() || inner.to_integer().is_odd(),
                    Atom::I | Atom::Closed(_) => false,
                };
                if !positive {
                    return Ok(None);
                }
                let power = inner
                    .checked_mul(&exponent)
                    .and_then(|p| p.checked_mul(&Exponent::from_integer(sign)))
                    .ok_or(Stop::TooLarge)?;
                let (power, extra) = self.reduce(*id, power)?;
                let mut factor = if power.is_zero() {
                    Frac::constant(BigRational::one())
                } else if power.is_negative() {
                    Self::inverse(self.power_of_atom(*id, -power))?
                } else {
                    self.power_of_atom(*id, power)
                };
                if let Some(extra) = extra {
                    factor = self.mul(&factor, &Frac::constant(extra))?;
                }
                result = self.mul(&result, &factor)?;
            }
        }
        Ok(Some(result))
    }

    /// `value^exponent` as a product of roots of primes; odd roots of negative numbers are real.
    pub(super) fn root_of_number(
        &mut self,
        value: &BigRational,
        exponent: Exponent,
    ) -> Canonical<Option<Frac>> {
        let mut result = Frac::constant(BigRational::one());
        if value.is_negative() {
            if exponent.denom().is_odd() {
                if exponent.numer().is_odd() {
                    result = Frac::constant(-BigRational::one());
                }
            } else if *exponent.denom() == 2 {
                let i = self.id(Atom::I);
                let (power, extra) = self.reduce(i, Exponent::from_integer(*exponent.numer()))?;
                result = self.power_of_atom(i, power);
                if let Some(extra) = extra {
                    result = self.mul(&result, &Frac::constant(extra))?;
                }
            } else {
                return Ok(None);
            }
        }
        for (number, sign) in [(value.numer(), 1), (value.denom(), -1)] {
            for (prime, times) in self.factor(&number.abs(), *exponent.denom())? {
                let power = Exponent::from_integer(times)
                    .checked_mul(&exponent)
                    .and_then(|p| p.checked_mul(&Exponent::from_integer(sign)))
                    .ok_or(Stop::TooLarge)?;
                let id = self.id(Atom::Base(prime));
                let (power, extra) = self.reduce(id, power)?;
                if !power.is_zero() {
                    let root = self.power_of_atom(id, power);
                    result = self.mul(&result, &root)?;
                }
                if let Some(extra) = extra {
                    result = self.mul(&result, &Frac::constant(extra))?;
                }
            }
        }
        Ok(Some(result))
    }

    /// Prime powers by trial division; a rest that may be composite makes the form uncertain.
    pub(super) fn factor(&mut self, number: &BigInt, degree: i64) -> Canonical<Vec<(BigInt, i64)>> {
        let mut factors = Vec::new();
        if let Some(mut rest) = number.to_u64() {
            self.spend(200)?;
            let mut divisor = 2;
            while divisor <= MAX_TRIAL && divisor * divisor <= rest {
                let mut times = 0;
                while rest % divisor == 0 {
                    rest /= divisor;
                    times += 1;
                }
                if times > 0 {
                    factors.push((BigInt::from(divisor), times));
                }
                divisor += if divisor == 2 { 1 } else { 2 };
            }
            if rest == 1 {
                return Ok(factors);
            }
            if divisor * divisor > rest {
                factors.push((BigInt::from(rest), 1));
                return Ok(factors);
            }
            return Ok(self.unfactored(BigInt::from(rest), degree, factors));
        }
        let bits = number.bits();
        self.spend(usize::try_from(bits).unwrap_or(usize::MAX))?;
        Ok(self.unfactored(number.clone(), degree, factors))
    }

    pub(super) fn unfactored(
        &mut self,
        rest: BigInt,
        degree: i64,
        mut factors: Vec<(BigInt, i64)>,
    ) -> Vec<(BigInt, i64)> {
        if let Some(degree) = u32::try_from(degree).ok().filter(|d| (2..=64).contains(d)) {
            let root = rest.nth_root(degree);
            if num_traits::pow(root.clone(), degree as usize) == rest {
                self.closed = true;
                factors.push((root, i64::from(degree)));
                return factors;
            }
        }
        self.closed = true;
        factors.push((rest, 1));
        factors
    }
}
