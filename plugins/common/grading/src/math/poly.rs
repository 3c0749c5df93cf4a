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
use num_integer::Integer;
use num_rational::{BigRational, Ratio};
use num_traits::{CheckedAdd, CheckedMul, One, Signed, ToPrimitive, Zero};

use super::node::{Func, Node};
use crate::budget::Budget;

/// Terms of a polynomial.
const MAX_TERMS: usize = 400;
/// Bits of a coefficient's numerator or denominator.
const MAX_BITS: u64 = 2048;
/// Bytes of a closed atom's key.
const MAX_KEY: usize = 4000;
/// Trial division goes up to here when a root is taken out of an integer.
const MAX_TRIAL: u64 = 2000;

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

type Exponent = Ratio<i64>;
type Monomial = Vec<(usize, Exponent)>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Atom {
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
pub(crate) struct Poly(BTreeMap<Monomial, BigRational>);

/// A quotient of polynomials, not reduced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frac {
    pub(crate) num: Poly,
    pub(crate) den: Poly,
}

impl Poly {
    fn constant(value: BigRational) -> Self {
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

    fn single(&self) -> Option<(&Monomial, &BigRational)> {
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
    fn constant(value: BigRational) -> Self {
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
    atoms: Vec<Atom>,
    index: HashMap<Atom, usize>,
    budget: &'a Budget,
    /// A closed atom or a number not factored was met: unequal forms prove nothing.
    pub(crate) closed: bool,
}

type Canonical<T> = Result<T, Stop>;

impl<'a> Canon<'a> {
    pub(crate) fn new(budget: &'a Budget) -> Self {
        Self {
            atoms: Vec::new(),
            index: HashMap::new(),
            budget,
            closed: false,
        }
    }

    fn spend(&self, units: usize) -> Canonical<()> {
        if self.budget.spend(units) {
            Ok(())
        } else {
            Err(Stop::TooLarge)
        }
    }

    fn atom(&mut self, atom: Atom) -> Frac {
        let id = self.id(atom);
        self.power_of_atom(id, Exponent::one())
    }

    fn id(&mut self, atom: Atom) -> usize {
        if let Some(id) = self.index.get(&atom) {
            return *id;
        }
        self.atoms.push(atom.clone());
        self.index.insert(atom, self.atoms.len() - 1);
        self.atoms.len() - 1
    }

    fn power_of_atom(&mut self, id: usize, exponent: Exponent) -> Frac {
        let one = BigRational::one();
        let poly = Poly(BTreeMap::from([(vec![(id, exponent)], one)]));
        Frac {
            num: poly,
            den: Poly::constant(BigRational::one()),
        }
    }

    fn closed_atom(&mut self, key: String) -> Canonical<Frac> {
        self.closed = true;
        self.spend(key.len() / 8)?;
        // Keys nest; beyond this length exactness is no longer worth its cost.
        if key.len() > MAX_KEY {
            return Err(Stop::TooLarge);
        }
        Ok(self.atom(Atom::Closed(key)))
    }

    /// `num/den` spelt so that equal forms have equal keys as far as that is cheap.
    fn key(&self, frac: &Frac) -> String {
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

    fn check(&self, value: &BigRational) -> Canonical<()> {
        if value.numer().bits().max(value.denom().bits()) > MAX_BITS {
            return Err(Stop::TooLarge);
        }
        Ok(())
    }

    fn add_poly(&self, a: &Poly, b: &Poly) -> Canonical<Poly> {
        self.spend(a.0.len() + b.0.len())?;
        let mut sum = a.clone();
        for (monomial, value) in &b.0 {
            self.check(value)?;
            self.spend(gcd_cost(value, value))?;
            insert(&mut sum.0, monomial.clone(), value.clone());
        }
        Ok(sum)
    }

    fn mul_poly(&self, a: &Poly, b: &Poly) -> Canonical<Poly> {
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

    fn mul_monomial(
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
    fn reduce(&self, id: usize, exponent: Exponent) -> Canonical<(Exponent, Option<BigRational>)> {
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

    fn int_power(&self, base: &BigRational, exponent: i64) -> Canonical<BigRational> {
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

    fn mul(&self, a: &Frac, b: &Frac) -> Canonical<Frac> {
        Ok(Frac {
            num: self.mul_poly(&a.num, &b.num)?,
            den: self.mul_poly(&a.den, &b.den)?,
        })
    }

    fn inverse(a: Frac) -> Canonical<Frac> {
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

    /// The canonical form of a scalar.
    pub(crate) fn form(&mut self, node: &Node) -> Canonical<Frac> {
        self.spend(2)?;
        match node {
            Node::Num(value) => {
                self.check(value)?;
                Ok(Frac::constant(value.clone()))
            }
            Node::Huge(_) => Err(Stop::TooLarge),
            Node::Pi => Ok(self.atom(Atom::Pi)),
            Node::E => Ok(self.atom(Atom::E)),
            Node::I => Ok(self.atom(Atom::I)),
            Node::Sym(name) => Ok(self.atom(Atom::Sym(name.clone()))),
            Node::Based(digits, base) => {
                let value = BigInt::parse_bytes(digits.as_bytes(), *base).ok_or(Stop::Undefined)?;
                Ok(Frac::constant(BigRational::from_integer(value)))
            }
            Node::Add(parts) => {
                let mut sum = Frac::constant(BigRational::zero());
                for part in parts {
                    let part = self.form(part)?;
                    sum = self.add(&sum, &part)?;
                }
                Ok(sum)
            }
            Node::Mul(parts) => {
                let mut product = Frac::constant(BigRational::one());
                for part in parts {
                    let part = self.form(part)?;
                    product = self.mul(&product, &part)?;
                }
                Ok(product)
            }
            Node::Neg(a) => {
                let a = self.form(a)?;
                self.mul(&a, &Frac::constant(-BigRational::one()))
            }
            Node::Div(a, b) => {
                let (a, b) = (self.form(a)?, self.form(b)?);
                self.mul(&a, &Self::inverse(b)?)
            }
            Node::Pow(base, exponent) => {
                let exponent = self.form(exponent)?;
                let base = self.form(base)?;
                self.power(base, &exponent)
            }
            Node::Call(function, arguments) => self.call(function, arguments),
            Node::Factorial(a) => {
                let a = self.form(a)?;
                match a
                    .as_constant()
                    .map(|v| v.to_integer().to_u32().filter(|_| v.is_integer()))
                {
                    Some(Some(n)) => Ok(Frac::constant(self.factorial(n)?)),
                    _ => self.closed_atom(format!("fact({})", self.key(&a))),
                }
            }
            Node::Percent(a) => {
                let a = self.form(a)?;
                self.mul(&a, &Frac::constant(BigRational::new(1.into(), 100.into())))
            }
            Node::Degree(a) => {
                let (a, pi) = (self.form(a)?, self.atom(Atom::Pi));
                let product = self.mul(&a, &pi)?;
                self.mul(
                    &product,
                    &Frac::constant(BigRational::new(1.into(), 180.into())),
                )
            }
            _ => Err(Stop::NotScalar),
        }
    }

    fn factorial(&self, n: u32) -> Canonical<BigRational> {
        // 300! has 2,041 bits.
        if n > 300 {
            return Err(Stop::TooLarge);
        }
        self.spend(n as usize * 2)?;
        let value = (2..=n).fold(BigInt::one(), |product, k| product * k);
        Ok(BigRational::from_integer(value))
    }

    fn power(&mut self, base: Frac, exponent: &Frac) -> Canonical<Frac> {
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

    fn integer_power(&mut self, base: Frac, n: i64) -> Canonical<Frac> {
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

    fn poly_power(&self, base: &Poly, n: i64) -> Canonical<Poly> {
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
    fn root_power(&mut self, base: Frac, exponent: Exponent) -> Canonical<Frac> {
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

    fn root_of_terms(
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
    fn root_of_number(
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
    fn factor(&mut self, number: &BigInt, degree: i64) -> Canonical<Vec<(BigInt, i64)>> {
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

    fn unfactored(
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

    fn call(&mut self, function: &Func, arguments: &[Node]) -> Canonical<Frac> {
        let mut forms = Vec::with_capacity(arguments.len());
        for argument in arguments {
            forms.push(self.form(argument)?);
        }
        let constants: Option<Vec<BigRational>> = forms.iter().map(Frac::as_constant).collect();
        match (function, forms.as_slice()) {
            (Func::Root, [degree, radicand]) => {
                let exponent = Self::inverse(degree.clone())?;
                return self.power(radicand.clone(), &exponent);
            }
            (Func::Exp, [x]) => {
                let e = self.atom(Atom::E);
                return self.power(e, x);
            }
            (Func::Ln, [x]) => return self.logarithm(x),
            (Func::Log, [base, x]) => {
                let (x, base) = (self.logarithm(x)?, self.logarithm(base)?);
                return self.mul(&x, &Self::inverse(base)?);
            }
            _ => {}
        }
        if let Some(value) = constants.and_then(|values| constant_call(function, &values)) {
            self.check(&value)?;
            return Ok(Frac::constant(value));
        }
        if let (Func::Binom, [n, k]) = (function, forms.as_slice())
            && let (Some(n), Some(k)) = (n.as_constant(), k.as_constant())
        {
            return self.binomial(&n, &k);
        }
        let keys: Vec<String> = forms.iter().map(|form| self.key(form)).collect();
        let key = format!("{function:?}({})", keys.join(","));
        // f(x) of an unknown f is a symbol of its own; polynomial arguments have one key each.
        let polynomial = forms.iter().all(|form| form.den.as_constant().is_some());
        if matches!(function, Func::Named(_)) && polynomial && key.len() <= MAX_KEY {
            return Ok(self.atom(Atom::Sym(key)));
        }
        self.closed_atom(key)
    }

    fn binomial(&self, n: &BigRational, k: &BigRational) -> Canonical<Frac> {
        let bound = |v: &BigRational| v.to_integer().to_u32().filter(|_| v.is_integer());
        let (Some(n), Some(k)) = (bound(n), bound(k)) else {
            return Err(Stop::Undefined);
        };
        if k > n {
            return Ok(Frac::constant(BigRational::zero()));
        }
        let k = k.min(n - k);
        if u64::from(k) * u64::from(32 - n.leading_zeros()) > MAX_BITS {
            return Err(Stop::TooLarge);
        }
        self.spend(k as usize * 8)?;
        let value = (0..k).fold(BigInt::one(), |acc, i| acc * (n - i) / (i + 1));
        Ok(Frac::constant(BigRational::from_integer(value)))
    }

    /// ln: of rationals by their primes, of powers of e exactly, closed else.
    fn logarithm(&mut self, x: &Frac) -> Canonical<Frac> {
        if let Some(value) = x.as_constant() {
            if !value.is_positive() {
                return self.closed_atom(format!("ln({value})"));
            }
            let mut sum = Frac::constant(BigRational::zero());
            for (number, sign) in [(value.numer(), 1), (value.denom(), -1)] {
                for (prime, times) in self.factor(number, 0)? {
                    let atom = match prime.to_u64().filter(|p| *p < MAX_TRIAL * MAX_TRIAL) {
                        Some(prime) => self.atom(Atom::LnPrime(prime)),
                        None => self.closed_atom(format!("ln({prime})"))?,
                    };
                    let times = Frac::constant(BigRational::from_integer((times * sign).into()));
                    let term = self.mul(&atom, &times)?;
                    sum = self.add(&sum, &term)?;
                }
            }
            return Ok(sum);
        }
        let e = self.id(Atom::E);
        let unit_den = x.den.as_constant().is_some_and(|d| d.is_one());
        if let (Some((monomial, value)), true) = (x.num.single(), unit_den)
            && value.is_one()
            && monomial.len() == 1
            && monomial[0].0 == e
        {
            let (n, d) = (*monomial[0].1.numer(), *monomial[0].1.denom());
            return Ok(Frac::constant(BigRational::new(n.into(), d.into())));
        }
        self.closed_atom(format!("ln({})", self.key(x)))
    }
}

/// Units for the greatest common divisor in a sum or product; it is quadratic in the bits.
fn gcd_cost(a: &BigRational, b: &BigRational) -> usize {
    let bits = a.numer().bits() + a.denom().bits() + b.numer().bits() + b.denom().bits();
    let words = usize::try_from(bits / 64).unwrap_or(usize::MAX);
    words.saturating_mul(words)
}

/// Functions with rational values at rational arguments.
fn constant_call(function: &Func, values: &[BigRational]) -> Option<BigRational> {
    let integers = || -> Option<Vec<BigInt>> {
        values
            .iter()
            .map(|v| v.is_integer().then(|| v.to_integer()))
            .collect()
    };
    match (function, values) {
        (Func::Abs, [x]) => Some(x.abs()),
        (Func::Floor, [x]) => Some(x.floor()),
        (Func::Ceil, [x]) => Some(x.ceil()),
        (Func::Max, [_, ..]) => values.iter().max().cloned(),
        (Func::Min, [_, ..]) => values.iter().min().cloned(),
        (Func::Gcd, [_, ..]) => Some(BigRational::from_integer(
            integers()?.iter().fold(BigInt::zero(), |a, b| a.gcd(b)),
        )),
        (Func::Lcm, [_, ..]) => Some(BigRational::from_integer(
            integers()?.iter().fold(BigInt::one(), |a, b| a.lcm(b)),
        )),
        _ => None,
    }
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
