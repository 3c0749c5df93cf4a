//! Primaries: numbers, symbols, brackets, fractions, roots, functions, matrices.

use super::lex::Tok;
use super::literal::{Literal, fraction};
use super::node::{Bracket, Func, NamedSet, Node};
use super::parse::{Parsed, Parser};
use super::{Unreadable, words};

impl Parser {
    pub(super) fn primary(&mut self) -> Parsed {
        let Some(tok) = self.peek().cloned() else {
            return Err(Unreadable::Syntax);
        };
        match tok {
            Tok::Num(literal) => self.number(literal),
            Tok::Vulgar(n, d) => {
                self.at += 1;
                Ok(Node::int(n).div(Node::int(d)))
            }
            Tok::Ident(name) => self.symbol(&name),
            Tok::Word(_) => self.words(),
            Tok::Cmd(name) => self.command(&name),
            Tok::Op(op) => self.bracketed(op),
        }
    }

    /// A number, alone or as the whole part of a mixed fraction or with a base.
    pub(super) fn number(&mut self, literal: Literal) -> Parsed {
        self.at += 1;
        let Some(digits) = literal.whole else {
            return Ok(literal.value);
        };
        if self.is_op('_') {
            if let Some((base, taken)) = self.base() {
                self.at += taken;
                return Ok(Node::Based(digits, base));
            }
            return Err(Unreadable::Syntax);
        }
        if let (Node::Num(whole), Some((part, taken))) = (&literal.value, self.proper_fraction()) {
            self.at += taken;
            return Ok(Node::Num(whole + part));
        }
        Ok(literal.value)
    }

    /// `_2`, `_{16}`, `_{two}` at the cursor: the base and the tokens it takes.
    pub(super) fn base(&self) -> Option<(u32, usize)> {
        let braced = self.peek_at(1) == Some(&Tok::Op('{'));
        let taken = if braced { 4 } else { 2 };
        if braced && self.peek_at(3) != Some(&Tok::Op('}')) {
            return None;
        }
        let base = match self.peek_at(if braced { 2 } else { 1 })? {
            Tok::Num(literal) => literal.whole.as_ref()?.parse().ok()?,
            Tok::Word(word) => match word.as_str() {
                "two" => 2,
                "three" => 3,
                "five" => 5,
                "eight" => 8,
                "ten" => 10,
                "sixteen" => 16,
                _ => return None,
            },
            _ => return None,
        };
        (2..=36).contains(&base).then_some((base, taken))
    }

    /// A fraction below one after a whole number: `1/2` after a space, `½`, `\frac{1}{2}`.
    pub(super) fn proper_fraction(&self) -> Option<(num_rational::BigRational, usize)> {
        let whole = |tok: Option<&Tok>| match tok {
            Some(Tok::Num(literal)) if literal.whole.is_some() => Some(literal.value.clone()),
            _ => None,
        };
        let (n, d, taken) = match self.peek()? {
            Tok::Vulgar(n, d) => (Node::int(*n), Node::int(*d), 1),
            Tok::Num(_) if self.tokens[self.at].spaced => {
                if self.peek_at(1) != Some(&Tok::Op('/')) {
                    return None;
                }
                (whole(self.peek())?, whole(self.peek_at(2))?, 3)
            }
            Tok::Cmd(name) if is_fraction(name) => {
                let braces = [(1, '{'), (3, '}'), (4, '{'), (6, '}')];
                if braces
                    .iter()
                    .all(|(i, c)| self.peek_at(*i) == Some(&Tok::Op(*c)))
                {
                    (whole(self.peek_at(2))?, whole(self.peek_at(5))?, 7)
                } else if let Some(Tok::Num(Literal {
                    whole: Some(digits),
                    ..
                })) = self.peek_at(1)
                {
                    let (n, d) = digits.split_at_checked(1).filter(|(_, d)| d.len() == 1)?;
                    (Node::int(n.parse().ok()?), Node::int(d.parse().ok()?), 2)
                } else {
                    return None;
                }
            }
            _ => return None,
        };
        let value = fraction(&n, &d)?;
        (value.numer() < value.denom()).then_some((value, taken))
    }

    /// A symbol with subscript and primes; `f(…)` for the usual names of functions.
    pub(super) fn symbol(&mut self, name: &str) -> Parsed {
        self.at += 1;
        let mut full = name.to_owned();
        if self.is_op('_') {
            self.at += 1;
            full.push('_');
            full.push_str(&self.subscript()?);
        }
        while self.take_op('\'') {
            full.push('\'');
        }
        if full.len() == name.len() {
            match name {
                "pi" => return Ok(Node::Pi),
                "e" => return Ok(Node::E),
                "i" => return Ok(Node::I),
                _ => {}
            }
        }
        let is_function = matches!(name, "f" | "g" | "h" | "F" | "G");
        let adjacent = self.tokens.get(self.at).is_some_and(|t| !t.spaced);
        if is_function && adjacent && self.is_op('(') {
            self.at += 1;
            let inner = self.list()?;
            self.expect(')')?;
            let arguments = match inner {
                Node::List(parts) => parts,
                one => vec![one],
            };
            return Ok(Node::Call(Func::Named(full), arguments));
        }
        Ok(Node::Sym(full))
    }

    /// The text of a subscript; spaces and braces do not count.
    pub(super) fn subscript(&mut self) -> Result<String, Unreadable> {
        let braced = self.take_op('{');
        let mut text = String::new();
        let mut depth = 0usize;
        loop {
            let Some(tok) = self.peek().cloned() else {
                return Err(Unreadable::Syntax);
            };
            self.at += 1;
            match tok {
                Tok::Op('}') if braced && depth == 0 => return Ok(text),
                Tok::Op('{') => depth += 1,
                Tok::Op('}') => depth = depth.saturating_sub(1),
                Tok::Op(c) => text.push(c),
                Tok::Ident(name) | Tok::Word(name) | Tok::Cmd(name) => text.push_str(&name),
                Tok::Num(literal) => text.push_str(&literal.whole.ok_or(Unreadable::Syntax)?),
                Tok::Vulgar(..) => return Err(Unreadable::Syntax),
            }
            if !braced {
                return Ok(text);
            }
        }
    }

    pub(super) fn words(&mut self) -> Parsed {
        let mut text = String::new();
        while let Some(Tok::Word(word)) = self.peek() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
            self.at += 1;
        }
        Ok(Node::Text(text))
    }

    pub(super) fn bracketed(&mut self, op: char) -> Parsed {
        self.at += 1;
        let outer_bars = self.bars;
        let result = match op {
            '(' | '[' => {
                self.bars = 0;
                self.group(if op == '(' {
                    Bracket::Round
                } else {
                    Bracket::Square
                })
            }
            ']' if self.reversed => self.group(Bracket::Reversed),
            '⟨' => self.group(Bracket::Angle),
            '⦃' => self.set('⦄'),
            '{' => self.set('}'),
            '|' => {
                self.bars += 1;
                let inner = self.deeper(Self::additive);
                inner.and_then(|inner| {
                    self.expect('|')?;
                    Ok(Node::Call(Func::Abs, vec![inner]))
                })
            }
            '⌊' | '⌈' => {
                let (function, close) = if op == '⌊' {
                    (Func::Floor, '⌋')
                } else {
                    (Func::Ceil, '⌉')
                };
                let inner = self.deeper(Self::additive);
                inner.and_then(|inner| {
                    self.expect(close)?;
                    Ok(Node::Call(function, vec![inner]))
                })
            }
            '∞' => Ok(Node::Infinity),
            '∅' => Ok(Node::NamedSet(NamedSet::Empty)),
            _ => Err(Unreadable::Syntax),
        };
        self.bars = outer_bars;
        result
    }

    /// The inside of round, square or angle brackets: one value, or the parts of a tuple or interval.
    pub(super) fn group(&mut self, open: Bracket) -> Parsed {
        let inner = self.list()?;
        let close = match self.peek() {
            Some(Tok::Op(')')) => Bracket::Round,
            Some(Tok::Op(']')) => Bracket::Square,
            Some(Tok::Op('[')) if self.reversed => Bracket::Reversed,
            Some(Tok::Op('⟩')) => Bracket::Angle,
            _ => return Err(Unreadable::Syntax),
        };
        self.at += 1;
        match inner {
            Node::List(parts) => Ok(Node::Group(open, parts, close)),
            one if open == close => Ok(one),
            _ => Err(Unreadable::Syntax),
        }
    }

    /// Braces: a set with its elements or its condition; plain braces around one value only group.
    pub(super) fn set(&mut self, close: char) -> Parsed {
        if self.take_op(close) {
            return Ok(Node::NamedSet(NamedSet::Empty));
        }
        self.bars += 1;
        let inner = self.list()?;
        if self.take_op('|') || self.take_op(':') {
            let condition = self.list()?;
            self.expect(close)?;
            return Ok(condition);
        }
        self.expect(close)?;
        Ok(match inner {
            // TeX does not print plain braces: $\{1,2\}$ is a set, ${1,2}$ shows a list.
            Node::List(parts) | Node::And(parts) if close == '⦄' => Node::Set(parts),
            one if close == '⦄' => Node::Set(vec![one]),
            one => one,
        })
    }

    pub(super) fn command(&mut self, name: &str) -> Parsed {
        self.at += 1;
        if is_fraction(name) {
            let numerator = self.argument()?;
            return Ok(numerator.div(self.argument()?));
        }
        if let Some(set) = name.strip_prefix("mathbb:") {
            return Ok(match set {
                "R" => Node::NamedSet(NamedSet::Reals),
                "Z" => Node::NamedSet(NamedSet::Integers),
                "N" => Node::NamedSet(NamedSet::Naturals),
                "Q" => Node::NamedSet(NamedSet::Rationals),
                "C" => Node::NamedSet(NamedSet::Complexes),
                other => Node::Sym(format!("mathbb {other}")),
            });
        }
        if let Some(environment) = name.strip_prefix("begin:") {
            return self.matrix(environment);
        }
        match name {
            "binom" | "dbinom" | "tbinom" => {
                let above = self.argument()?;
                Ok(Node::Call(Func::Binom, vec![above, self.argument()?]))
            }
            "sqrt" => {
                let degree = if self.take_op('[') {
                    let degree = self.list()?;
                    self.expect(']')?;
                    degree
                } else {
                    Node::int(2)
                };
                let radicand = if self.is_op('(') {
                    self.primary()?
                } else {
                    self.argument()?
                };
                Ok(Node::Call(Func::Root, vec![degree, radicand]))
            }
            "cbrt" => Ok(Node::Call(Func::Root, vec![Node::int(3), self.argument()?])),
            "overline" | "widetilde" | "tilde" | "dot" | "bar" | "overset" | "underbrace" => Ok(
                Node::Call(Func::Named(name.to_owned()), vec![self.argument()?]),
            ),
            _ => match words::function(name) {
                Some(function) => self.call(function, name),
                None => Err(Unreadable::Syntax),
            },
        }
    }

    /// An argument in TeX's manner: braces, or one symbol, or one digit.
    pub(super) fn argument(&mut self) -> Parsed {
        if self.take_op('{') {
            let inner = self.list()?;
            self.expect('}')?;
            return Ok(inner);
        }
        if let Some(Tok::Num(Literal {
            whole: Some(digits),
            ..
        })) = self.peek()
        {
            let fraction_argument = self.at > 0
                && match &self.tokens[self.at - 1].tok {
                    Tok::Cmd(name) => is_fraction(name),
                    _ => false,
                };
            // \frac12 is one half: split the literal, leaving the second digit as the next token.
            if fraction_argument && digits.len() > 1 {
                let (first, rest) = digits.split_at(1);
                let (first, rest) = (Literal::whole(first), Literal::whole(rest));
                let (Some(first), Some(rest)) = (first, rest) else {
                    return Err(Unreadable::Syntax);
                };
                self.tokens[self.at].tok = Tok::Num(rest);
                return Ok(first.value);
            }
        }
        self.deeper(Self::primary)
    }
}

fn is_fraction(name: &str) -> bool {
    matches!(
        name,
        "frac" | "dfrac" | "tfrac" | "cfrac" | "nicefrac" | "sfrac"
    )
}
