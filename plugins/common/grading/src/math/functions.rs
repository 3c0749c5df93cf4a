//! Functions with their arguments, and matrices.

use super::lex::Tok;
use super::node::{Bracket, Func, Node};
use super::parse::{Parsed, Parser};
use super::{Unreadable, words};

impl Parser {
    /// A function with its power, its base and its argument.
    pub(super) fn call(&mut self, function: Func, name: &str) -> Parsed {
        let mut base = None;
        let mut power = None;
        for _ in 0..2 {
            if self.is_op('_') && base.is_none() {
                self.at += 1;
                base = Some(self.argument()?);
            } else if self.take_op('^') {
                power = Some(self.argument()?);
            }
        }
        let inverse = power == Some(Node::int(-1));
        let argument = self.call_argument()?;
        let mut arguments = match argument {
            Node::List(parts) | Node::Group(Bracket::Round, parts, Bracket::Round) => parts,
            one => vec![one],
        };
        let function = match (function, inverse) {
            (Func::Sin, true) => Func::Asin,
            (Func::Cos, true) => Func::Acos,
            (Func::Tan, true) => Func::Atan,
            (Func::Log, _) => {
                let default = if name == "lg" || self.decimal_log {
                    Node::int(10)
                } else {
                    Node::E
                };
                arguments.insert(0, base.take().unwrap_or(default));
                Func::Log
            }
            (other, _) => other,
        };
        let unary = !matches!(
            function,
            Func::Max | Func::Min | Func::Gcd | Func::Lcm | Func::Named(_) | Func::Log
        );
        if base.is_some()
            || (unary && arguments.len() != 1)
            || (function == Func::Log && arguments.len() != 2)
        {
            return Err(Unreadable::Syntax);
        }
        let inverted = inverse && matches!(function, Func::Asin | Func::Acos | Func::Atan);
        let call = Node::Call(function, arguments);
        Ok(match power {
            Some(power) if !inverted => call.pow(power),
            _ => call,
        })
    }

    /// `sin(2x)`, `sin 2x`, `\sin{x}`, `\ln|x|`: a bracket, or the factors up to the next function.
    pub(super) fn call_argument(&mut self) -> Parsed {
        match self.peek() {
            Some(Tok::Op('(' | '{' | '[' | '⦃')) => return self.deeper(Self::primary),
            Some(Tok::Op('-')) => {
                self.at += 1;
                return Ok(self.power()?.neg());
            }
            _ => {}
        }
        let mut factors = vec![self.power()?];
        while self.starts_factor() {
            match self.peek() {
                Some(Tok::Op(_)) => break,
                Some(Tok::Cmd(name)) if words::function(name).is_some() => break,
                _ => factors.push(self.power()?),
            }
        }
        Ok(if factors.len() == 1 {
            factors.remove(0)
        } else {
            Node::Mul(factors)
        })
    }

    pub(super) fn matrix(&mut self, environment: &str) -> Parsed {
        let is_matrix = matches!(
            environment,
            "matrix" | "pmatrix" | "bmatrix" | "Bmatrix" | "smallmatrix" | "array" | "vmatrix"
        );
        if !is_matrix {
            return Err(Unreadable::Syntax);
        }
        let end = Tok::Cmd(format!("end:{environment}"));
        let (mut rows, mut row) = (Vec::new(), Vec::new());
        loop {
            if self.peek() == Some(&end) {
                self.at += 1;
                break;
            }
            if self.take_op('⏎') {
                rows.push(std::mem::take(&mut row));
            } else if !self.take_op('&') {
                row.push(self.list()?);
                if !matches!(self.peek(), Some(Tok::Op('&' | '⏎'))) && self.peek() != Some(&end) {
                    return Err(Unreadable::Syntax);
                }
            }
        }
        if !row.is_empty() {
            rows.push(row);
        }
        let width = rows.first().map_or(0, Vec::len);
        if width == 0 || rows.iter().any(|row| row.len() != width) {
            return Err(Unreadable::Syntax);
        }
        let matrix = Node::Matrix(rows);
        Ok(if environment == "vmatrix" {
            Node::Call(Func::Named("det".to_owned()), vec![matrix])
        } else {
            matrix
        })
    }
}
