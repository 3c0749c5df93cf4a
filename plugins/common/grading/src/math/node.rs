//! The tree a mathematical answer is read into.

use num_rational::BigRational;

use crate::decimal::Decimal;

/// An expression or an answer built of expressions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// An exact number.
    Num(BigRational),
    /// A decimal too large for exact arithmetic; compared by digits or modulo primes.
    Huge(Decimal),
    Pi,
    E,
    /// The imaginary unit.
    I,
    Infinity,
    Sym(String),
    Add(Vec<Node>),
    Mul(Vec<Node>),
    Neg(Box<Node>),
    Div(Box<Node>, Box<Node>),
    Pow(Box<Node>, Box<Node>),
    Call(Func, Vec<Node>),
    Factorial(Box<Node>),
    Percent(Box<Node>),
    Degree(Box<Node>),
    /// `a ± b`, both values; `∓` is read alike, since it only swaps them.
    PlusMinus(Box<Node>, Box<Node>),
    /// Words.
    Text(String),
    /// Two or more parts in brackets: tuple, list, point or interval.
    Group(Bracket, Vec<Node>, Bracket),
    Set(Vec<Node>),
    /// Parts without brackets, joined by commas or "or".
    List(Vec<Node>),
    /// Parts joined by "and".
    And(Vec<Node>),
    Union(Vec<Node>),
    Intersection(Vec<Node>),
    SetMinus(Box<Node>, Box<Node>),
    Matrix(Vec<Vec<Node>>),
    /// `a ⋄ b ⋄ c …`, one operator fewer than parts.
    Relation(Vec<Node>, Vec<RelOp>),
    Ratio(Vec<Node>),
    /// A numeral with its base as subscript; digits as written.
    Based(String, u32),
    NamedSet(NamedSet),
    /// A value with the unit written after it.
    Unit(Box<Node>, String),
}

/// Edge of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bracket {
    Round,
    Square,
    /// `]a, b[`: the edge belongs to the other side, as in French intervals.
    Reversed,
    Angle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedSet {
    Empty,
    Naturals,
    Integers,
    Rationals,
    Reals,
    Complexes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RelOp {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Congruent,
}

impl RelOp {
    /// The operator with its sides exchanged; itself where it is symmetric.
    pub(crate) const fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::Greater => Self::Less,
            Self::LessEqual => Self::GreaterEqual,
            Self::GreaterEqual => Self::LessEqual,
            other => other,
        }
    }

    pub(crate) const fn is_inequality(self) -> bool {
        matches!(
            self,
            Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual
        )
    }
}

/// A function with a meaning, or a name applied to arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Func {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Asin,
    Acos,
    Atan,
    Acot,
    Sinh,
    Cosh,
    Tanh,
    Exp,
    Ln,
    /// Logarithm of the second argument to the base of the first.
    Log,
    Abs,
    Floor,
    Ceil,
    Max,
    Min,
    Gcd,
    Lcm,
    Binom,
    /// Root of the second argument, of the degree of the first; real for odd degrees.
    Root,
    /// A function or operator without a known meaning: `f(x)`, `\det`, …
    Named(String),
}

impl Node {
    pub(crate) fn int(value: i64) -> Self {
        Self::Num(BigRational::from_integer(value.into()))
    }

    pub(crate) fn neg(self) -> Self {
        match self {
            Self::Num(value) => Self::Num(-value),
            Self::Huge(value) => Self::Huge(value.negated()),
            Self::Neg(inner) => *inner,
            other => Self::Neg(Box::new(other)),
        }
    }

    pub(crate) fn sub(self, other: Self) -> Self {
        Self::Add(vec![self, other.neg()])
    }

    pub(crate) fn div(self, other: Self) -> Self {
        Self::Div(Box::new(self), Box::new(other))
    }

    pub(crate) fn pow(self, exponent: Self) -> Self {
        Self::Pow(Box::new(self), Box::new(exponent))
    }

    /// Calls `visit` on this node and everything below it.
    pub(crate) fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// The parts of this node, in order.
    pub(crate) fn children(&self) -> Vec<&Node> {
        match self {
            Self::Num(_)
            | Self::Huge(_)
            | Self::Pi
            | Self::E
            | Self::I
            | Self::Infinity
            | Self::Sym(_)
            | Self::Text(_)
            | Self::Based(..)
            | Self::NamedSet(_) => Vec::new(),
            Self::Neg(a)
            | Self::Factorial(a)
            | Self::Percent(a)
            | Self::Degree(a)
            | Self::Unit(a, _) => vec![a],
            Self::Div(a, b) | Self::Pow(a, b) | Self::PlusMinus(a, b) | Self::SetMinus(a, b) => {
                vec![a, b]
            }
            Self::Add(parts)
            | Self::Mul(parts)
            | Self::Call(_, parts)
            | Self::Group(_, parts, _)
            | Self::Set(parts)
            | Self::List(parts)
            | Self::And(parts)
            | Self::Union(parts)
            | Self::Intersection(parts)
            | Self::Relation(parts, _)
            | Self::Ratio(parts) => parts.iter().collect(),
            Self::Matrix(rows) => rows.iter().flatten().collect(),
        }
    }

    /// Whether the tree is one value: no set, list, relation or words in it.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Self::Text(_)
            | Self::Group(..)
            | Self::Set(_)
            | Self::List(_)
            | Self::And(_)
            | Self::Union(_)
            | Self::Intersection(_)
            | Self::SetMinus(..)
            | Self::Matrix(_)
            | Self::Relation(..)
            | Self::Ratio(_)
            | Self::NamedSet(_)
            | Self::PlusMinus(..) => false,
            other => other.children().into_iter().all(Self::is_scalar),
        }
    }

    /// The names of the free symbols, sorted, each once.
    pub(crate) fn symbols(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.walk(&mut |node| {
            if let Self::Sym(name) = node {
                names.push(name.as_str());
            }
        });
        names.sort_unstable();
        names.dedup();
        names
    }
}
