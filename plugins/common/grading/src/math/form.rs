//! From a tree to its canonical form.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::node::{Func, Node};
use super::poly::{Atom, Canon, Canonical, Frac, MAX_BITS, MAX_KEY, MAX_TRIAL, Stop};

impl Canon<'_> {
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

    pub(super) fn factorial(&self, n: u32) -> Canonical<BigRational> {
        // 300! has 2,041 bits.
        if n > 300 {
            return Err(Stop::TooLarge);
        }
        self.spend(n as usize * 2)?;
        let value = (2..=n).fold(BigInt::one(), |product, k| product * k);
        Ok(BigRational::from_integer(value))
    }

    pub(super) fn call(&mut self, function: &Func, arguments: &[Node]) -> Canonical<Frac> {
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

    pub(super) fn binomial(&self, n: &BigRational, k: &BigRational) -> Canonical<Frac> {
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
    pub(super) fn logarithm(&mut self, x: &Frac) -> Canonical<Frac> {
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
