//! Tokens → tree, from the loosest binding (lists) to the tightest but the primaries.
//!
//! Recursive descent with a depth limit, so that ten thousand nested braces are an error and no stack
//! overflow.

use super::lex::{Tok, Token, lex};
use super::node::{Node, RelOp};
use super::{Reading, Unreadable, units};

/// Nesting of brackets, exponents and arguments.
const MAX_DEPTH: usize = 40;

/// Reads an answer.
pub(crate) fn parse(text: &str, reading: Reading) -> Result<Node, Unreadable> {
    let tokens = lex(text, reading)?;
    if tokens.is_empty() {
        return Err(Unreadable::Syntax);
    }
    let reversed = tokens.first().is_some_and(|t| t.tok == Tok::Op(']'))
        || tokens.last().is_some_and(|t| t.tok == Tok::Op('['));
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        bars: 0,
        reversed,
        decimal_log: reading.decimal_log,
    };
    let node = parser.list()?;
    if parser.at < parser.tokens.len() {
        Err(Unreadable::Syntax)
    } else {
        Ok(node)
    }
}

pub(super) struct Parser {
    pub(super) tokens: Vec<Token>,
    pub(super) at: usize,
    depth: usize,
    /// Open constructs in which `|` closes or divides rather than opens.
    pub(super) bars: usize,
    /// Intervals are written `]a, b[`.
    pub(super) reversed: bool,
    pub(super) decimal_log: bool,
}

pub(super) type Parsed = Result<Node, Unreadable>;

impl Parser {
    pub(super) fn peek(&self) -> Option<&Tok> {
        self.tokens.get(self.at).map(|t| &t.tok)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&Tok> {
        self.tokens.get(self.at + ahead).map(|t| &t.tok)
    }

    pub(super) fn is_op(&self, op: char) -> bool {
        self.peek() == Some(&Tok::Op(op))
    }

    pub(super) fn take_op(&mut self, op: char) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, op: char) -> Result<(), Unreadable> {
        if self.take_op(op) {
            Ok(())
        } else {
            Err(Unreadable::Syntax)
        }
    }

    /// Runs `inner` one level deeper.
    pub(super) fn deeper(&mut self, inner: fn(&mut Self) -> Parsed) -> Parsed {
        if self.depth >= MAX_DEPTH {
            return Err(Unreadable::TooLarge);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Parts joined by commas, semicolons, "and", "or".
    pub(super) fn list(&mut self) -> Parsed {
        self.deeper(Self::list_here)
    }

    pub(super) fn list_here(&mut self) -> Parsed {
        let mut parts = vec![self.relation()?];
        let (mut and, mut or, mut commas) = (false, false, false);
        // Where the semicolon separates and the comma too, the semicolon is the outer one.
        let mut outer: Vec<Vec<Node>> = Vec::new();
        while let Some(Tok::Op(',' | ';' | '∧' | '∨')) = self.peek() {
            let mut semicolon = false;
            while let Some(Tok::Op(op @ (',' | ';' | '∧' | '∨'))) = self.peek() {
                and |= *op == '∧';
                or |= *op == '∨';
                commas |= *op == ',';
                semicolon |= *op == ';';
                self.at += 1;
            }
            if semicolon {
                outer.push(std::mem::take(&mut parts));
            }
            // A comma may also end the answer, or stand before a closing bracket.
            if matches!(
                self.peek(),
                None | Some(Tok::Op(')' | ']' | '}' | '⦄' | '⟩'))
            ) {
                break;
            }
            parts.push(self.relation()?);
        }
        if !outer.is_empty() {
            outer.push(parts);
            parts = if commas {
                outer
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .map(tuple)
                    .collect()
            } else {
                outer.into_iter().flatten().collect()
            };
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ if and && !or => Node::And(parts),
            _ => Node::List(parts),
        })
    }

    /// `a = b`, `a < x ≤ b`, `x ∈ A`, `a : b`.
    pub(super) fn relation(&mut self) -> Parsed {
        let first = match self.definition_head() {
            Some(head) => head,
            None => self.set_operation()?,
        };
        let first = self.ratio(first)?;
        let (mut parts, mut ops) = (vec![first], Vec::new());
        while self.is_op('≈') || self.relation_op_ahead() {
            if self.take_op('≈') {
                // "x ≈ 1.4" gives a value; in "x = √2 ≈ 1.4" the rounded one adds nothing.
                let rounded = self.set_operation()?;
                if ops.is_empty() {
                    ops.push(RelOp::Equal);
                    parts.push(rounded);
                }
                continue;
            }
            let Some(op) = self.relation_op() else { break };
            ops.push(op);
            let part = self.set_operation()?;
            parts.push(self.ratio(part)?);
        }
        Ok(if ops.is_empty() {
            parts.remove(0)
        } else {
            Node::Relation(parts, ops)
        })
    }

    /// `a : b : c` after its first part.
    pub(super) fn ratio(&mut self, first: Node) -> Parsed {
        if !self.is_op(':') || self.bars > 0 {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take_op(':') {
            parts.push(self.additive()?);
        }
        Ok(Node::Ratio(parts))
    }

    pub(super) fn relation_op_ahead(&mut self) -> bool {
        let before = self.at;
        let found = self.relation_op().is_some();
        self.at = before;
        found
    }

    pub(super) fn relation_op(&mut self) -> Option<RelOp> {
        let Some(Tok::Op(op)) = self.peek() else {
            // \not= and \not\in
            if self.peek() == Some(&Tok::Cmd("not".to_owned()))
                && self.peek_at(1) == Some(&Tok::Op('='))
            {
                self.at += 2;
                return Some(RelOp::NotEqual);
            }
            return None;
        };
        let op = match op {
            '=' => RelOp::Equal,
            '≠' => RelOp::NotEqual,
            '<' => RelOp::Less,
            '≤' => RelOp::LessEqual,
            '>' => RelOp::Greater,
            '≥' => RelOp::GreaterEqual,
            '∈' => RelOp::In,
            '≡' => RelOp::Congruent,
            _ => return None,
        };
        self.at += 1;
        Some(op)
    }

    /// `f(x, y) =` at the start of an equation defines a function, whatever its letter.
    pub(super) fn definition_head(&mut self) -> Option<Node> {
        let Some(Tok::Ident(name)) = self.peek() else {
            return None;
        };
        let name = name.clone();
        if self.peek_at(1) != Some(&Tok::Op('(')) {
            return None;
        }
        let mut ahead = 2;
        let mut arguments = Vec::new();
        loop {
            match self.peek_at(ahead)? {
                Tok::Ident(argument) => arguments.push(Node::Sym(argument.clone())),
                Tok::Num(literal) => arguments.push(literal.value.clone()),
                _ => return None,
            }
            match self.peek_at(ahead + 1)? {
                Tok::Op(',') => ahead += 2,
                Tok::Op(')') => break,
                _ => return None,
            }
        }
        if self.peek_at(ahead + 2) != Some(&Tok::Op('=')) {
            return None;
        }
        self.at += ahead + 2;
        Some(Node::Call(super::node::Func::Named(name), arguments))
    }

    /// `A ∪ B`, `A ∩ B`, `A ∖ B`, from left to right.
    pub(super) fn set_operation(&mut self) -> Parsed {
        let mut left = self.additive()?;
        loop {
            if self.take_op('∪') {
                let right = self.additive()?;
                left = match left {
                    Node::Union(mut parts) => {
                        parts.push(right);
                        Node::Union(parts)
                    }
                    other => Node::Union(vec![other, right]),
                };
            } else if self.take_op('∩') {
                let right = self.additive()?;
                left = match left {
                    Node::Intersection(mut parts) => {
                        parts.push(right);
                        Node::Intersection(parts)
                    }
                    other => Node::Intersection(vec![other, right]),
                };
            } else if self.take_op('∖') {
                // One difference is enough for "all reals but …"; a chain would nest without bound.
                if matches!(left, Node::SetMinus(..)) {
                    return Err(Unreadable::Syntax);
                }
                left = Node::SetMinus(Box::new(left), Box::new(self.additive()?));
            } else {
                return Ok(left);
            }
        }
    }

    /// Sums, with the unit that may follow.
    pub(super) fn additive(&mut self) -> Parsed {
        let mut terms = Vec::new();
        let mut sum = match self.peek() {
            Some(Tok::Op('±' | '∓')) => {
                self.at += 1;
                Node::PlusMinus(Box::new(Node::int(0)), Box::new(self.term()?))
            }
            _ => self.signed_term()?,
        };
        loop {
            if let Some(Tok::Op('±' | '∓')) = self.peek() {
                self.at += 1;
                if matches!(sum, Node::PlusMinus(..)) {
                    return Err(Unreadable::Syntax);
                }
                let left = join(sum, &mut terms);
                sum = Node::PlusMinus(Box::new(left), Box::new(self.term()?));
            } else if matches!(self.peek(), Some(Tok::Op('+' | '-'))) {
                terms.push(self.signed_term()?);
            } else {
                break;
            }
        }
        let sum = join(sum, &mut terms);
        Ok(match self.unit() {
            Some(unit) => Node::Unit(Box::new(sum), unit),
            None => sum,
        })
    }

    pub(super) fn signed_term(&mut self) -> Parsed {
        let mut negative = false;
        while let Some(Tok::Op(sign @ ('+' | '-'))) = self.peek() {
            negative ^= *sign == '-';
            self.at += 1;
        }
        let term = self.term()?;
        Ok(if negative { term.neg() } else { term })
    }

    /// Words after a value, with their exponents: `cm^2`, `dollars per hour`.
    pub(super) fn unit(&mut self) -> Option<String> {
        let mut unit = String::new();
        while let Some(Tok::Word(word)) = self.peek() {
            if units::opens_clause(&word.to_lowercase()) {
                break;
            }
            if !unit.is_empty() {
                unit.push(' ');
            }
            unit.push_str(word);
            self.at += 1;
            if self.is_op('^') {
                if let Some(Tok::Num(power)) = self.peek_at(1) {
                    unit.push('^');
                    unit.push_str(power.whole.as_deref().unwrap_or(""));
                    self.at += 2;
                } else if let (Some(Tok::Op('{')), Some(Tok::Num(power)), Some(Tok::Op('}'))) =
                    (self.peek_at(1), self.peek_at(2), self.peek_at(3))
                {
                    unit.push('^');
                    unit.push_str(power.whole.as_deref().unwrap_or(""));
                    self.at += 4;
                }
            }
            if matches!(self.peek(), Some(Tok::Op('/' | '*')))
                && matches!(self.peek_at(1), Some(Tok::Word(_)))
            {
                unit.push('/');
                self.at += 1;
            }
        }
        (!unit.is_empty()).then_some(unit)
    }
}

fn tuple(mut parts: Vec<Node>) -> Node {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    Node::Group(
        super::node::Bracket::Round,
        parts,
        super::node::Bracket::Round,
    )
}

fn join(first: Node, rest: &mut Vec<Node>) -> Node {
    if rest.is_empty() {
        return first;
    }
    let mut all = vec![first];
    all.append(rest);
    Node::Add(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_nesting_is_refused() {
        for (open, close) in [
            ("{", "}"),
            ("(", ")"),
            ("\\sqrt{", "}"),
            ("x^{", "}"),
            ("|", "|"),
        ] {
            let text = format!("{}1{}", open.repeat(400), close.repeat(400));
            assert!(parse(&text, Reading::DEFAULT).is_err(), "{open}");
        }
    }

    #[test]
    fn structure() {
        let read = |text: &str| parse(text, Reading::DEFAULT);
        assert!(matches!(read("x=1 or x=2"), Ok(Node::List(parts)) if parts.len() == 2));
        assert!(matches!(read("(0,1]"), Ok(Node::Group(..))));
        assert!(matches!(read("]0,1[ \\cup ]2,3["), Ok(Node::Union(_))));
        assert!(matches!(read("5 cm"), Ok(Node::Unit(..))));
        assert!(matches!(read("f(x)=x^2"), Ok(Node::Relation(..))));
        assert!(matches!(read("1 : 2"), Ok(Node::Ratio(_))));
        assert_eq!(
            read("1\\frac{1}{2}"),
            read("3/2").map(|_| Node::Num(num_rational::BigRational::new(3.into(), 2.into())))
        );
        assert!(read("x +").is_err() && read("2 3").is_err());
    }
}
