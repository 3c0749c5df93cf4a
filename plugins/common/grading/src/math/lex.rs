//! Text → tokens: LaTeX, plain notation and Unicode mathematics into one small alphabet.

use super::literal::{self, Comma, Literal};
use super::{Reading, Unreadable, words};

/// Characters of an answer that are read as mathematics; longer ones are compared as text only.
pub(crate) const MAX_CHARS: usize = 4096;
/// Digits of a plain number may exceed [`MAX_CHARS`] up to here.
pub(crate) const MAX_TOKENS: usize = 1500;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tok {
    Num(Literal),
    /// A symbol of one letter, a Greek letter, `e`, `i` or `π`.
    Ident(String),
    /// A word that is no product of symbols.
    Word(String),
    /// A command or function with arguments, without the backslash.
    Cmd(String),
    /// An operator or bracket; `⦃ ⦄` are set braces, `⏎` ends a matrix row.
    Op(char),
    /// A fraction in one character.
    Vulgar(i64, i64),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) tok: Tok,
    /// White space stands before it.
    pub(crate) spaced: bool,
}

pub(super) struct Lexer<'a> {
    pub(super) text: &'a [char],
    pub(super) at: usize,
    pub(super) tokens: Vec<Token>,
    pub(super) spaced: bool,
    /// Open brackets in which a comma separates.
    pub(super) depth: usize,
    pub(super) thousands: bool,
    /// Other commas are followed by a space, so that one without is a thousands mark.
    pub(super) spaced_commas: bool,
}

/// Splits `text` into tokens.
pub(crate) fn lex(text: &str, reading: Reading) -> Result<Vec<Token>, Unreadable> {
    // A plain number may be long; anything else is bounded before work is spent on it.
    if text.len() > 4 * MAX_CHARS && !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(Unreadable::TooLarge);
    }
    let chars: Vec<char> = text.chars().filter_map(words::canonical).collect();
    let spaced_commas = chars
        .windows(3)
        .any(|w| matches!(w, [before, ',', ' '] if *before != '\\'));
    let mut lexer = Lexer {
        text: &chars,
        at: 0,
        tokens: Vec::new(),
        spaced: false,
        depth: 0,
        thousands: reading.thousands,
        spaced_commas,
    };
    while lexer.at < chars.len() {
        lexer.step()?;
        if lexer.tokens.len() > MAX_TOKENS {
            return Err(Unreadable::TooLarge);
        }
    }
    Ok(lexer.tokens)
}

impl Lexer<'_> {
    pub(super) fn push(&mut self, tok: Tok) {
        let spaced = std::mem::take(&mut self.spaced);
        self.tokens.push(Token { tok, spaced });
    }

    pub(super) fn rest(&self) -> &[char] {
        &self.text[self.at..]
    }

    pub(super) fn step(&mut self) -> Result<(), Unreadable> {
        let c = self.text[self.at];
        if c.is_ascii_digit() || (c == '.' && self.rest().get(1).is_some_and(char::is_ascii_digit))
        {
            return self.number();
        }
        if c == '\\' {
            return self.command();
        }
        if c.is_ascii_alphabetic() {
            self.letters();
            return Ok(());
        }
        self.at += 1;
        match c {
            c if c.is_whitespace() => self.spaced = true,
            // Currency and delimiters of formulas; `~` is TeX's hard space.
            '$' | '€' | '£' | '¥' | '￥' | '₹' | '~' | '`' | '"' | '“' | '”' => {
                self.spaced = true;
            }
            '*' if self.text.get(self.at) == Some(&'*') => {
                self.at += 1;
                self.push(Tok::Op('^'));
            }
            '<' | '>' | '!' | '=' | ':' if self.two_characters(c) => {}
            '.' => self.point(),
            'π' => self.push(Tok::Ident("pi".to_owned())),
            'ℝ' | 'ℤ' | 'ℕ' | 'ℚ' | 'ℂ' => {
                let name = match c {
                    'ℝ' => "R",
                    'ℤ' => "Z",
                    'ℕ' => "N",
                    'ℚ' => "Q",
                    _ => "C",
                };
                self.push(Tok::Cmd(format!("mathbb:{name}")));
            }
            '√' => self.push(Tok::Cmd("sqrt".to_owned())),
            '÷' => self.push(Tok::Op('/')),
            '(' | '[' | '{' | ')' | ']' | '}' => self.bracket(c),
            c if is_operator(c) => self.push(Tok::Op(c)),
            c => return self.other(c),
        }
        Ok(())
    }

    pub(super) fn number(&mut self) -> Result<(), Unreadable> {
        let comma = if self.thousands && (self.depth == 0 || self.spaced_commas) {
            Comma::Thousands
        } else {
            Comma::Separator
        };
        let (literal, taken) = literal::read(self.rest(), comma).ok_or(Unreadable::TooLarge)?;
        self.at += taken;
        self.push(Tok::Num(literal));
        Ok(())
    }

    /// `<=`, `>=`, `!=`, `==`, `:=`, `=>`-less: takes the second character if it makes an operator.
    pub(super) fn two_characters(&mut self, first: char) -> bool {
        let op = match (first, self.text.get(self.at)) {
            ('<', Some('=')) => '≤',
            ('>', Some('=')) => '≥',
            ('!' | '<', Some('=' | '>')) => '≠',
            ('=' | ':', Some('=')) => '=',
            _ => return false,
        };
        self.at += 1;
        self.push(Tok::Op(op));
        true
    }

    /// A full stop ends a sentence; an ellipsis is kept, so that "1, 2, …" stays unread.
    pub(super) fn point(&mut self) {
        if self.text.get(self.at) == Some(&'.') {
            self.push(Tok::Op('…'));
            while self.text.get(self.at) == Some(&'.') {
                self.at += 1;
            }
        } else if self
            .rest()
            .iter()
            .any(|c| !c.is_whitespace() && !matches!(c, '$' | '.' | '*'))
        {
            self.push(Tok::Op('.'));
        }
    }

    pub(super) fn bracket(&mut self, c: char) {
        match c {
            '(' | '[' => self.depth += 1,
            ')' | ']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.push(Tok::Op(c));
    }

    /// Superscripts, subscripts, fractions, Greek and words of other scripts.
    pub(super) fn other(&mut self, c: char) -> Result<(), Unreadable> {
        if let Some((n, d)) = words::vulgar_fraction(c) {
            self.push(Tok::Vulgar(n, d));
        } else if words::superscript(c).is_some() {
            self.at -= 1;
            self.script('^', words::superscript)?;
        } else if words::subscript(c).is_some() {
            self.at -= 1;
            self.script('_', words::subscript)?;
        } else if let Some(name) = words::greek_letter(c) {
            self.push(Tok::Ident(name.to_owned()));
        } else if c.is_alphabetic() {
            let start = self.at - 1;
            while self
                .text
                .get(self.at)
                .is_some_and(|c| c.is_alphabetic() && !c.is_ascii())
            {
                self.at += 1;
            }
            let word: String = self.text[start..self.at].iter().collect();
            self.word(&word);
        } else {
            return Err(Unreadable::Syntax);
        }
        Ok(())
    }

    pub(super) fn script(
        &mut self,
        op: char,
        digit: fn(char) -> Option<char>,
    ) -> Result<(), Unreadable> {
        self.push(Tok::Op(op));
        self.push(Tok::Op('{'));
        let start = self.at;
        while self.text.get(self.at).copied().and_then(digit).is_some() {
            self.at += 1;
        }
        let inner: Vec<char> = self.text[start..self.at]
            .iter()
            .filter_map(|c| digit(*c))
            .collect();
        let inner: String = inner.into_iter().collect();
        self.tokens.extend(lex(&inner, Reading::DEFAULT)?);
        self.push(Tok::Op('}'));
        Ok(())
    }
}

fn is_operator(c: char) -> bool {
    matches!(
        c,
        '+' | '-'
            | '*'
            | '/'
            | '^'
            | '_'
            | '|'
            | ','
            | ';'
            | ':'
            | '!'
            | '%'
            | '°'
            | '='
            | '<'
            | '>'
            | '≤'
            | '≥'
            | '≠'
            | '±'
            | '∓'
            | '∪'
            | '∩'
            | '∖'
            | '∈'
            | '&'
            | '∞'
            | '\''
            | '⟨'
            | '⟩'
            | '≈'
            | '⌊'
            | '⌋'
            | '⌈'
            | '⌉'
            | '∅'
            | '∧'
            | '∨'
            | '≡'
            | '…'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spell(text: &str) -> String {
        let tokens = lex(text, Reading::DEFAULT).unwrap();
        let spell = |token: &Token| match &token.tok {
            Tok::Num(literal) => match &literal.value {
                super::super::node::Node::Num(value) => value.to_string(),
                _ => "huge".to_owned(),
            },
            Tok::Ident(name) => name.clone(),
            Tok::Word(word) => format!("“{word}”"),
            Tok::Cmd(name) => format!("\\{name}"),
            Tok::Op(c) => c.to_string(),
            Tok::Vulgar(n, d) => format!("{n}/{d}"),
        };
        tokens.iter().map(spell).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn notations_meet() {
        assert_eq!(
            spell(r"\left( 3, \frac{\pi}{2} \right)"),
            r"( 3 , \frac { pi } { 2 } )"
        );
        assert_eq!(spell("x² + 2x−1"), "x ^ { 2 } + 2 x - 1");
        assert_eq!(spell(r"\{1,234\}"), "⦃ 1 , 234 ⦄");
        assert_eq!(spell("(10,000, 20,000)"), "( 10000 , 20000 )");
        assert_eq!(spell(r"5 \text{ cm}^2"), "5 “cm” ^ 2");
        assert_eq!(spell("5 m/s^2"), "5 “m/s^2”");
        assert_eq!(spell("3 x 10^5"), "3 * 10 ^ 5");
        assert_eq!(spell(r"\text{13}"), "13");
        assert_eq!(spell("x=1 or x=2"), "x = 1 ∨ x = 2");
        assert_eq!(spell("18 dollars"), "18 “dollars”");
        assert_eq!(spell("$18.00."), "18");
    }
}
