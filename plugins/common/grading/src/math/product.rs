//! Products, powers and postfix marks.

use super::Unreadable;
use super::lex::Tok;
use super::node::Node;
use super::parse::{Parsed, Parser};

impl Parser {
    /// Products and quotients from left to right, juxtaposition included: `a/bc` is `(a/b)·c`.
    pub(super) fn term(&mut self) -> Parsed {
        let mut above = vec![self.power()?];
        let mut below = Vec::new();
        loop {
            if self.take_op('*') {
                above.push(self.signed_power()?);
            } else if self.take_op('/') {
                below.push(self.signed_power()?);
            } else if self.starts_factor() {
                above.push(self.power()?);
            } else {
                break;
            }
        }
        let numerator = if above.len() == 1 {
            above.remove(0)
        } else {
            Node::Mul(above)
        };
        Ok(match below.len() {
            0 => numerator,
            1 => numerator.div(below.remove(0)),
            _ => numerator.div(Node::Mul(below)),
        })
    }

    /// Whether a factor may follow without an operator.
    pub(super) fn starts_factor(&self) -> bool {
        let after_number = self.at > 0 && matches!(self.tokens[self.at - 1].tok, Tok::Num(_));
        match self.peek() {
            Some(Tok::Num(_) | Tok::Vulgar(..)) => !after_number,
            Some(Tok::Ident(_)) => true,
            Some(Tok::Cmd(name)) => !name.starts_with("end:") && name != "not",
            Some(Tok::Op('(' | '⌊' | '⌈' | '{')) => true,
            Some(Tok::Op('[')) => !self.reversed,
            Some(Tok::Op('|')) => self.bars == 0,
            _ => false,
        }
    }

    pub(super) fn signed_power(&mut self) -> Parsed {
        let mut negative = false;
        while let Some(Tok::Op(sign @ ('+' | '-'))) = self.peek() {
            negative ^= *sign == '-';
            self.at += 1;
        }
        let power = self.power()?;
        Ok(if negative { power.neg() } else { power })
    }

    /// A primary with its exponent and postfix marks; exponents associate to the right.
    pub(super) fn power(&mut self) -> Parsed {
        self.deeper(Self::power_here)
    }

    pub(super) fn power_here(&mut self) -> Parsed {
        let mut base = self.primary()?;
        for _ in 0..6 {
            if self.degree_mark() {
                base = Node::Degree(Box::new(base));
                if let Some(Tok::Ident(scale)) = self.peek()
                    && matches!(scale.as_str(), "C" | "F" | "K")
                {
                    self.at += 1;
                }
            } else if self.take_op('^') {
                let exponent = self.exponent()?;
                base = base.pow(exponent);
            } else if self.take_op('!') {
                base = Node::Factorial(Box::new(base));
            } else if self.take_op('%') {
                base = Node::Percent(Box::new(base));
            } else {
                return Ok(base);
            }
        }
        Err(Unreadable::Syntax)
    }

    /// `°`, `^°` or `^{°}`.
    pub(super) fn degree_mark(&mut self) -> bool {
        let degree = Tok::Op('°');
        if self.take_op('°') {
            return true;
        }
        if self.is_op('^') && self.peek_at(1) == Some(&degree) {
            self.at += 2;
            return true;
        }
        let braced = self.is_op('^')
            && self.peek_at(1) == Some(&Tok::Op('{'))
            && self.peek_at(2) == Some(&degree)
            && self.peek_at(3) == Some(&Tok::Op('}'));
        self.at += if braced { 4 } else { 0 };
        braced
    }

    pub(super) fn exponent(&mut self) -> Parsed {
        if self.take_op('{') {
            let inner = self.list()?;
            self.expect('}')?;
            return Ok(inner);
        }
        self.signed_power_tight()
    }

    /// `^-1`, `^x^2`: a sign, one primary and exponents of its own.
    pub(super) fn signed_power_tight(&mut self) -> Parsed {
        let negative = self.take_op('-');
        let base = self.deeper(|p| {
            let base = p.primary()?;
            if p.take_op('^') {
                Ok(base.pow(p.exponent()?))
            } else {
                Ok(base)
            }
        })?;
        Ok(if negative { base.neg() } else { base })
    }
}
