//! Floating point with an error bound, at fixed points.

use num_traits::ToPrimitive;

use super::node::{Func, Node};
use crate::budget::Budget;

/// Relative error of one operation, with room for the functions of the C library.
const EPSILON: f64 = 4.0 * f64::EPSILON;

/// A complex value and a bound on the distance from the exact one, to first order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Value {
    pub(super) re: f64,
    pub(super) im: f64,
    pub(super) error: f64,
}

impl Value {
    fn real(re: f64) -> Self {
        Self {
            re,
            im: 0.0,
            error: re.abs() * f64::EPSILON,
        }
    }

    fn magnitude(self) -> f64 {
        self.re.hypot(self.im)
    }

    /// Real within its error.
    pub(super) fn is_real(self) -> bool {
        self.im.abs() <= 4.0 * self.error
    }

    fn finite(self) -> Option<Self> {
        (self.re.is_finite() && self.im.is_finite() && self.error.is_finite()).then_some(self)
    }

    fn new(re: f64, im: f64, error: f64) -> Option<Self> {
        Self {
            re,
            im,
            error: error + re.hypot(im) * EPSILON,
        }
        .finite()
    }

    fn add(self, other: Self) -> Option<Self> {
        Self::new(
            self.re + other.re,
            self.im + other.im,
            self.error + other.error,
        )
    }

    fn mul(self, other: Self) -> Option<Self> {
        let error = self.magnitude() * other.error
            + other.magnitude() * self.error
            + self.error * other.error
            // Cancellation between the products of a complex product.
            + self.magnitude() * other.magnitude() * EPSILON;
        Self::new(
            self.re * other.re - self.im * other.im,
            self.re * other.im + self.im * other.re,
            error,
        )
    }

    fn inverse(self) -> Option<Self> {
        let norm = self.magnitude();
        // Zero within its error has no inverse worth the name.
        if norm <= 4.0 * self.error || norm == 0.0 {
            return None;
        }
        let square = norm * norm;
        Self::new(self.re / square, -self.im / square, self.error / square)
    }

    fn exp(self) -> Option<Self> {
        let size = self.re.exp();
        Self::new(
            size * self.im.cos(),
            size * self.im.sin(),
            size * self.error,
        )
    }

    fn ln(self) -> Option<Self> {
        let norm = self.magnitude();
        if norm <= 4.0 * self.error || norm == 0.0 {
            return None;
        }
        let im = if self.is_real() && self.re > 0.0 {
            0.0
        } else {
            self.im.atan2(self.re)
        };
        Self::new(norm.ln(), im, self.error / norm + EPSILON)
    }

    fn pow(self, exponent: Self) -> Option<Self> {
        let whole = exponent.re.round();
        if exponent.is_real()
            && (exponent.re - whole).abs() <= 2.0 * exponent.error
            && whole.abs() <= 64.0
        {
            let mut result = Self {
                re: 1.0,
                im: 0.0,
                error: 0.0,
            };
            for _ in 0..whole.abs() as u32 {
                result = result.mul(self)?;
            }
            return if whole < 0.0 {
                result.inverse()
            } else {
                Some(result)
            };
        }
        if self.magnitude() <= 4.0 * self.error {
            return None;
        }
        self.ln()?.mul(exponent)?.exp()
    }
}

/// A function of a real argument whose error is estimated from its slope over the argument's error.
fn real_function(x: Value, f: impl Fn(f64) -> f64) -> Option<Value> {
    if !x.is_real() {
        return None;
    }
    let value = f(x.re);
    // Where the function is flat the slope is zero and the second order counts.
    let step = x.error.max(x.re.abs() * f64::EPSILON);
    let slope = (f(x.re + step) - value)
        .abs()
        .max((f(x.re - step) - value).abs());
    Value::new(value, 0.0, slope * 2.0)
}

/// The value of a scalar where each symbol has the value that `symbol` gives.
pub(super) fn evaluate(
    node: &Node,
    symbol: &dyn Fn(&str) -> f64,
    budget: &Budget,
) -> Option<Value> {
    if !budget.spend(2) {
        return None;
    }
    let eval = |node: &Node| evaluate(node, symbol, budget);
    match node {
        Node::Num(value) => {
            let value = value.to_f64().filter(|v| v.is_finite())?;
            Value::real(value).finite()
        }
        Node::Huge(decimal) => Value::real(decimal.to_f64()).finite(),
        Node::Pi => Some(Value::real(std::f64::consts::PI)),
        Node::E => Some(Value::real(std::f64::consts::E)),
        Node::I => Some(Value {
            re: 0.0,
            im: 1.0,
            error: 0.0,
        }),
        Node::Sym(name) => Some(Value {
            re: symbol(name),
            im: 0.0,
            error: 0.0,
        }),
        Node::Based(digits, base) => {
            let value = u64::from_str_radix(digits, *base).ok()?;
            value.to_f64().map(Value::real)
        }
        Node::Add(parts) => {
            let zero = Value {
                re: 0.0,
                im: 0.0,
                error: 0.0,
            };
            parts
                .iter()
                .try_fold(zero, |sum, part| sum.add(eval(part)?))
        }
        Node::Mul(parts) => {
            let one = Value {
                re: 1.0,
                im: 0.0,
                error: 0.0,
            };
            parts
                .iter()
                .try_fold(one, |product, part| product.mul(eval(part)?))
        }
        Node::Neg(a) => eval(a).map(|a| Value {
            re: -a.re,
            im: -a.im,
            error: a.error,
        }),
        Node::Div(a, b) => eval(a)?.mul(eval(b)?.inverse()?),
        Node::Percent(a) => eval(a)?.mul(Value::real(0.01)),
        Node::Degree(a) => eval(a)?.mul(Value::real(std::f64::consts::PI / 180.0)),
        Node::Pow(base, exponent) => match (base.as_ref(), exponent.as_ref()) {
            (Node::E, exponent) => eval(exponent)?.exp(),
            (base, Node::Num(value)) if !value.is_integer() => root(eval(base)?, value),
            (base, exponent) => eval(base)?.pow(eval(exponent)?),
        },
        Node::Factorial(a) => {
            let a = eval(a)?;
            let n = a.re.round();
            let whole =
                a.is_real() && (a.re - n).abs() <= 2.0 * a.error && (0.0..=170.0).contains(&n);
            let product = || (2..=n as u32).fold(1.0, |acc, k| acc * f64::from(k));
            whole
                .then(product)
                .and_then(|p| Value::new(p, 0.0, p * EPSILON * n))
        }
        Node::Call(function, arguments) => {
            let mut values = Vec::with_capacity(arguments.len());
            for argument in arguments {
                values.push(eval(argument)?);
            }
            call(function, &values)
        }
        _ => None,
    }
}

/// `x^(n/d)`; real for odd `d`, else the principal value.
fn root(x: Value, exponent: &num_rational::BigRational) -> Option<Value> {
    let power = Value::real(exponent.to_f64()?);
    let odd = exponent.denom().bit(0);
    if odd && x.is_real() && x.re < 0.0 {
        let positive = Value {
            re: -x.re,
            im: 0.0,
            error: x.error,
        }
        .pow(power)?;
        let sign = if exponent.numer().bit(0) { -1.0 } else { 1.0 };
        return Some(Value {
            re: sign * positive.re,
            ..positive
        });
    }
    x.pow(power)
}

fn call(function: &Func, values: &[Value]) -> Option<Value> {
    match (function, values) {
        (Func::Sin, [x]) => real_function(*x, f64::sin),
        (Func::Cos, [x]) => real_function(*x, f64::cos),
        (Func::Tan, [x]) => call(&Func::Sin, &[*x])?.mul(call(&Func::Cos, &[*x])?.inverse()?),
        (Func::Cot, [x]) => call(&Func::Cos, &[*x])?.mul(call(&Func::Sin, &[*x])?.inverse()?),
        (Func::Sec, [x]) => call(&Func::Cos, &[*x])?.inverse(),
        (Func::Csc, [x]) => call(&Func::Sin, &[*x])?.inverse(),
        (Func::Asin, [x]) => real_function(*x, f64::asin),
        (Func::Acos, [x]) => real_function(*x, f64::acos),
        (Func::Atan, [x]) => real_function(*x, f64::atan),
        (Func::Acot, [x]) => real_function(*x, |x| std::f64::consts::FRAC_PI_2 - x.atan()),
        (Func::Sinh, [x]) => real_function(*x, f64::sinh),
        (Func::Cosh, [x]) => real_function(*x, f64::cosh),
        (Func::Tanh, [x]) => real_function(*x, f64::tanh),
        (Func::Exp, [x]) => x.exp(),
        (Func::Ln, [x]) => x.ln(),
        (Func::Log, [base, x]) => x.ln()?.mul(base.ln()?.inverse()?),
        (Func::Abs, [x]) => Value::new(x.magnitude(), 0.0, x.error),
        // A value at the edge of a step is on neither side of it.
        (Func::Floor | Func::Ceil, [x]) if x.is_real() => {
            let step = if *function == Func::Floor {
                f64::floor
            } else {
                f64::ceil
            };
            let (low, high) = (step(x.re - x.error), step(x.re + x.error));
            (low == high).then(|| Value::new(low, 0.0, 0.0)).flatten()
        }
        (Func::Max | Func::Min, [first, rest @ ..]) => {
            let keep_larger = *function == Func::Max;
            rest.iter().try_fold(*first, |best, next| {
                let larger = next.re > best.re;
                (best.is_real() && next.is_real()).then_some(if larger == keep_larger {
                    *next
                } else {
                    best
                })
            })
        }
        (Func::Root, [degree, x]) => {
            let whole = degree.re.round();
            if degree.is_real()
                && (degree.re - whole).abs() < 1e-12
                && (1.0..=64.0).contains(&whole)
            {
                let exponent = num_rational::BigRational::new(1.into(), (whole as i64).into());
                return root(*x, &exponent);
            }
            x.pow(degree.inverse()?)
        }
        (Func::Binom, [n, k]) => {
            let (n, k) = (*n, k.re.round());
            if !n.is_real() || !(0.0..=60.0).contains(&k) || (k - values[1].re).abs() > 1e-12 {
                return None;
            }
            let mut product = Value {
                re: 1.0,
                im: 0.0,
                error: 0.0,
            };
            for i in 0..k as u32 {
                let step = n.add(Value::real(-f64::from(i)))?;
                product = product
                    .mul(step)?
                    .mul(Value::real(f64::from(i + 1)).inverse()?)?;
            }
            Some(product)
        }
        _ => None,
    }
}
