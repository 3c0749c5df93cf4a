//! Canonical forms: quotients of polynomials over the rationals in symbols, roots, π, e and whatever
//! stays closed.
//!
//! A monomial maps atoms to rational exponents. Roots of primes carry exponents in `[0, 1)` and `i` an
//! exponent of 0 or 1, so the monomials without closed atoms are linearly independent over the
//! rationals (square-free roots are, by Besicovitch's theorem) and a difference is zero exactly if it has
//! no terms. A *closed* atom (`sin(x)`, a root of a sum) may hide a relation: it proves equality, never
//! inequality, and [`Canon::closed`] says that one was met.

use std::collections::{BTreeMap, HashMap};

use num_bigint::BigInt;
use num_rational::{BigRational, Ratio};
use num_traits::{CheckedAdd, One, Zero};

use crate::budget::Budget;

/// Terms of a polynomial.
const MAX_TERMS: usize = 400;
/// Bits of a coefficient's numerator or denominator.
pub(super) const MAX_BITS: u64 = 2048;
/// Bytes of a closed atom's key.
pub(super) const MAX_KEY: usize = 4000;
/// Trial division goes up to here when a root is taken out of an integer.
pub(super) const MAX_TRIAL: u64 = 2000;

/// Why there is no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Beyond the bounds of exact arithmetic, or of the work allowed.
    TooLarge,
    /// Division by zero and its like.
    Undefined,
    /// No scalar.
    NotScalar,
}

pub(super) type Exponent = Ratio<i64>;
pub(super) type Monomial = Vec<(usize, Exponent)>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Atom {
    /// A prime (or a number not factored) under a root.
    Base(BigInt),
    I,
    Pi,
    E,
    /// The natural logarithm of a prime.
    LnPrime(u64),
    Sym(String),
    Closed(String),
}

/// A polynomial; no coefficient is zero.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Poly(pub(super) BTreeMap<Monomial, BigRational>);

/// A quotient of polynomials, not reduced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frac {
    pub(crate) num: Poly,
    pub(crate) den: Poly,
}

impl Poly {
    pub(super) fn constant(value: BigRational) -> Self {
        let mut terms = BTreeMap::new();
        if !value.is_zero() {
            terms.insert(Monomial::new(), value);
        }
        Self(terms)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_constant(&self) -> Option<BigRational> {
        match self.0.len() {
            0 => Some(BigRational::zero()),
            1 => self.0.get(&Monomial::new()).cloned(),
            _ => None,
        }
    }

    pub(super) fn single(&self) -> Option<(&Monomial, &BigRational)> {
        if self.0.len() == 1 {
            self.0.iter().next()
        } else {
            None
        }
    }

    /// `c` with `other = c·self`, if there is one.
    pub(crate) fn multiple(&self, other: &Self) -> Option<BigRational> {
        if self.0.len() != other.0.len() {
            return None;
        }
        let (first, value) = self.0.iter().next()?;
        let factor = other.0.get(first)? / value;
        let same = self
            .0
            .iter()
            .all(|(m, v)| other.0.get(m).is_some_and(|o| *o == v * &factor));
        same.then_some(factor)
    }
}

impl Frac {
    pub(super) fn constant(value: BigRational) -> Self {
        Self {
            num: Poly::constant(value),
            den: Poly::constant(BigRational::one()),
        }
    }

    /// The value, if it has no atoms.
    pub(crate) fn as_constant(&self) -> Option<BigRational> {
        let den = self.den.as_constant().filter(|d| !d.is_zero())?;
        Some(self.num.as_constant()? / den)
    }
}

/// The atoms of one comparison.
pub(crate) struct Canon<'a> {
    pub(super) atoms: Vec<Atom>,
    index: HashMap<Atom, usize>,
    budget: &'a Budget,
    /// A closed atom or a number not factored was met: unequal forms prove nothing.
    pub(crate) closed: bool,
}

pub(super) type Canonical<T> = Result<T, Stop>;

impl<'a> Canon<'a> {
    pub(crate) fn new(budget: &'a Budget) -> Self {
        Self {
            atoms: Vec::new(),
            index: HashMap::new(),
            budget,
            closed: false,
        }
    }

    pub(super) fn spend(&self, units: usize) -> Canonical<()> {
        if self.budget.spend(units) {
            Ok(())
        } else {
            Err(Stop::TooLarge)
        }
    }

    pub(super) fn atom(&mut self, atom: Atom) -> Frac {
        let id = self.id(atom);
        self.power_of_atom(id, Exponent::one())
    }

    pub(super) fn id(&mut self, atom: Atom) -> usize {
        if let Some(id) = self.index.get(&atom) {
            return *id;
        }
        self.atoms.push(atom.clone());
        self.index.insert(atom, self.atoms.len() - 1);
        self.atoms.len() - 1
    }

    pub(super) fn power_of_atom(&mut self, id: usize, exponent: Exponent) -> Frac {
        let one = BigRational::one();
        let poly = Poly(BTreeMap::from([(vec![(id, exponent)], one)]));
        Frac {
            num: poly,
            den: Poly::constant(BigRational::one()),
        }
    }

    pub(super) fn closed_atom(&mut self, key: String) -> Canonical<Frac> {
        self.closed = true;
        self.spend(key.len() / 8)?;
        // Keys nest; beyond this length exactness is no longer worth its cost.
        if key.len() > MAX_KEY {
            return Err(Stop::TooLarge);
        }
        Ok(self.atom(Atom::Closed(key)))
    }

    /// `num/den` spelt so that equal forms have equal keys as far as that is cheap.
    pub(super) fn key(&self, frac: &Frac) -> String {
        let lead = frac
            .den
            .0
            .values()
            .next()
            .cloned()
            .unwrap_or_else(BigRational::one);
        let spell = |poly: &Poly| {
            let mut text = String::new();
            for (monomial, value) in &poly.0 {
                text.push_str(&format!("{}", value / &lead));
                for (id, exponent) in monomial {
                    text.push_str(&format!("@{id}^{exponent}"));
                }
                text.push('+');
            }
            text
        };
        format!("{}/{}", spell(&frac.num), spell(&frac.den))
    }

    pub(super) fn check(&self, value: &BigRational) -> Canonical<()> {
        if value.numer().bits().max(value.denom().bits()) > MAX_BITS {
            return Err(Stop::TooLarge);
        }
        Ok(())
    }

    pub(super) fn add_poly(&self, a: &Poly, b: &Poly) -> Canonical<Poly> {
        self.spend(a.0.len() + b.0.len())?;
        let mut sum = a.clone();
        for (monomial, value) in &b.0 {
            self.check(value)?;
            self.spend(gcd_cost(value, value))?;
            insert(&mut sum.0, monomial.clone(), value.clone());
        }
        Ok(sum)
    }

    pub(super) fn mul_poly(&self, a: &Poly, b: &Poly) -> Canonical<Poly> {
        let mut product = BTreeMap::new();
        for (ma, va) in &a.0 {
            for (mb, vb) in &b.0 {
                self.spend(12 + ma.len() + mb.len() + gcd_cost(va, vb))?;
                let (monomial, factor) = self.mul_monomial(ma, mb)?;
                let mut value = if vb.is_one() { va.clone() } else { va * vb };
                if let Some(factor) = factor {
                    value *= factor;
                }
                self.check(&value)?;
                insert(&mut product, monomial, value);
                if product.len() > MAX_TERMS {
                    return Err(Stop::TooLarge);
                }
            }
        }
        Ok(Poly(product))
    }

    pub(super) fn mul_monomial(
        &self,
        a: &Monomial,
        b: &Monomial,
    ) -> Canonical<(Monomial, Option<BigRational>)> {
        let mut product = Monomial::with_capacity(a.len() + b.len());
        let (mut i, mut j) = (0, 0);
        let mut factor: Option<BigRational> = None;
        while i < a.len() || j < b.len() {
            let take_a = j >= b.len() || (i < a.len() && a[i].0 < b[j].0);
            let take_b = i >= a.len() || (j < b.len() && b[j].0 < a[i].0);
            let (id, exponent) = if take_a {
                i += 1;
                a[i - 1]
            } else if take_b {
                j += 1;
                b[j - 1]
            } else {
                i += 1;
                j += 1;
                let sum = a[i - 1].1.checked_add(&b[j - 1].1).ok_or(Stop::TooLarge)?;
                (a[i - 1].0, sum)
            };
            let (exponent, extra) = self.reduce(id, exponent)?;
            if let Some(extra) = extra {
                factor = Some(factor.map_or(extra.clone(), |f| f * extra));
            }
            if !exponent.is_zero() {
                product.push((id, exponent));
            }
        }
        Ok((product, factor))
    }

    /// Brings an exponent of a root's base into `[0, 1)` and of `i` into {0, 1}; the rest is a factor.
    pub(super) fn reduce(
        &self,
        id: usize,
        exponent: Exponent,
    ) -> Canonical<(Exponent, Option<BigRational>)> {
        match &self.atoms[id] {
            Atom::Base(base) => {
                let whole = exponent.floor().to_integer();
                if whole == 0 {
                    return Ok((exponent, None));
                }
                let factor = self.int_power(&BigRational::from_integer(base.clone()), whole)?;
                Ok((exponent - Exponent::from_integer(whole), Some(factor)))
            }
            Atom::I if exponent.is_integer() => {
                let power = exponent.to_integer().rem_euclid(4);
                let sign = BigRational::from_integer(if power >= 2 { -1 } else { 1 }.into());
                Ok((
                    Exponent::from_integer(power % 2),
                    (power >= 2).then_some(sign),
                ))
            }
            _ => Ok((exponent, None)),
        }
    }

    pub(super) fn int_power(&self, base: &BigRational, exponent: i64) -> Canonical<BigRational> {
        let bits = base.numer().bits().max(base.denom().bits());
        let size = exponent.unsigned_abs();
        if base.is_zero() && exponent <= 0 {
            return Err(Stop::Undefined);
        }
        if bits > 1 && bits.saturating_mul(size) > MAX_BITS {
            return Err(Stop::TooLarge);
        }
        // ±1 and 0 may have any exponent; only its parity matters.
        let exponent = if bits <= 1 {
            exponent % 2 + 2 * exponent.signum()
        } else {
            exponent
        };
        self.spend(
            usize::try_from(bits.saturating_mul(size) / 16)
                .unwrap_or(0)
                .min(4000),
        )?;
        let exponent = i32::try_from(exponent).map_err(|_| Stop::TooLarge)?;
        Ok(num_traits::Pow::pow(base, exponent))
    }

    pub(crate) fn add(&self, a: &Frac, b: &Frac) -> Canonical<Frac> {
        if a.den == b.den {
            return Ok(Frac {
                num: self.add_poly(&a.num, &b.num)?,
                den: a.den.clone(),
            });
        }
        let left = self.mul_poly(&a.num, &b.den)?;
        let right = self.mul_poly(&b.num, &a.den)?;
        Ok(Frac {
            num: self.add_poly(&left, &right)?,
            den: self.mul_poly(&a.den, &b.den)?,
        })
    }

    pub(super) fn mul(&self, a: &Frac, b: &Frac) -> Canonical<Frac> {
        Ok(Frac {
            num: self.mul_poly(&a.num, &b.num)?,
            den: self.mul_poly(&a.den, &b.den)?,
        })
    }

    pub(super) fn inverse(a: Frac) -> Canonical<Frac> {
        if a.num.is_zero() {
            Err(Stop::Undefined)
        } else {
            Ok(Frac {
                num: a.den,
                den: a.num,
            })
        }
    }

    /// `a − b` over a common denominator; zero exactly if equal, as far as no atom is closed.
    pub(crate) fn difference(&self, a: &Frac, b: &Frac) -> Canonical<Poly> {
        let minus_one = Frac::constant(-BigRational::one());
        Ok(self.add(a, &self.mul(b, &minus_one)?)?.num)
    }
}

/// Units for the greatest common divisor in a sum or product; it is quadratic in the bits.
fn gcd_cost(a: &BigRational, b: &BigRational) -> usize {
    let bits = a.numer().bits() + a.denom().bits() + b.numer().bits() + b.denom().bits();
    let words = usize::try_from(bits / 64).unwrap_or(usize::MAX);
    words.saturating_mul(words)
}

fn insert(terms: &mut BTreeMap<Monomial, BigRational>, monomial: Monomial, value: BigRational) {
    use std::collections::btree_map::Entry;
    match terms.entry(monomial) {
        Entry::Vacant(entry) => {
            if !value.is_zero() {
                entry.insert(value);
            }
        }
        Entry::Occupied(mut entry) => {
            *entry.get_mut() += value;
            if entry.get().is_zero() {
                entry.remove();
            }
        }
    }
}
