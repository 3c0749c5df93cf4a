//! Text → tokens: LaTeX, plain notation and Unicode mathematics into one small alphabet.

use super::literal::{self, Comma, Literal};
use super::{Reading, Unreadable, units, words};

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

struct Lexer<'a> {
    text: &'a [char],
    at: usize,
    tokens: Vec<Token>,
    spaced: bool,
    /// Open brackets in which a comma separates.
    depth: usize,
    thousands: bool,
    /// Other commas are followed by a space, so that one without is a thousands mark.
    spaced_commas: bool,
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
    fn push(&mut self, tok: Tok) {
        let spaced = std::mem::take(&mut self.spaced);
        self.tokens.push(Token { tok, spaced });
    }

    fn rest(&self) -> &[char] {
        &self.text[self.at..]
    }

    fn step(&mut self) -> Result<(), Unreadable> {
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

    fn number(&mut self) -> Result<(), Unreadable> {
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
    fn two_characters(&mut self, first: char) -> bool {
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
    fn point(&mut self) {
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

    fn bracket(&mut self, c: char) {
        match c {
            '(' | '[' => self.depth += 1,
            ')' | ']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.push(Tok::Op(c));
    }

    /// Superscripts, subscripts, fractions, Greek and words of other scripts.
    fn other(&mut self, c: char) -> Result<(), Unreadable> {
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

    fn script(&mut self, op: char, digit: fn(char) -> Option<char>) -> Result<(), Unreadable> {
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

    fn command(&mut self) -> Result<(), Unreadable> {
        self.at += 1;
        let Some(&c) = self.text.get(self.at) else {
            return Ok(());
        };
        if !c.is_ascii_alphabetic() {
            self.at += 1;
            match c {
                '\\' if self.is_doubled() => return self.command_after_doubling(),
                '\\' => self.row_end(),
                '{' => {
                    self.depth += 1;
                    self.push(Tok::Op('⦃'));
                }
                '}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.push(Tok::Op('⦄'));
                }
                '%' => self.push(Tok::Op('%')),
                '|' => self.push(Tok::Op('|')),
                // Spaces, `\$`, `\(`, `\)`, `\[`, `\]`, `\&`, `\#`, `\_`: layout and delimiters.
                _ => self.spaced = true,
            }
            return Ok(());
        }
        let name: String = self
            .rest()
            .iter()
            .take_while(|c| c.is_ascii_alphabetic())
            .collect();
        self.at += name.len();
        self.named(&name)
    }

    /// Outside of matrices `\\frac` is `\frac` that went through one JSON encoder too many.
    fn is_doubled(&self) -> bool {
        let inside_matrix = self
            .tokens
            .iter()
            .any(|t| matches!(&t.tok, Tok::Cmd(name) if name.starts_with("begin:")));
        let next = self.text.get(self.at);
        !inside_matrix && next.is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '{' | '}'))
    }

    fn command_after_doubling(&mut self) -> Result<(), Unreadable> {
        self.at -= 1;
        self.command()
    }

    /// `\\`, with an optional distance after it.
    fn row_end(&mut self) {
        self.push(Tok::Op('⏎'));
        if self.text.get(self.at) == Some(&'[')
            && let Some(end) = self.rest().iter().take(12).position(|c| *c == ']')
            && self.rest()[1..end]
                .iter()
                .all(|c| c.is_ascii_alphanumeric() || *c == '.')
        {
            self.at += end + 1;
        }
    }

    fn named(&mut self, name: &str) -> Result<(), Unreadable> {
        // "\\quadx" is a space that ran into the next symbol.
        let glued = ["qquad", "quad"]
            .into_iter()
            .find_map(|space| name.strip_prefix(space));
        if let Some(rest) = glued.filter(|rest| !rest.is_empty()) {
            self.spaced = true;
            self.plain_word(rest);
            return Ok(());
        }
        if matches!(name, "angle" | "measuredangle" | "triangle") {
            // The measure of an angle, m∠A, is the value that A stands for.
            if self
                .tokens
                .last()
                .is_some_and(|t| t.tok == Tok::Ident("m".to_owned()))
            {
                self.tokens.pop();
            }
            return Ok(());
        }
        if words::is_layout(name) {
            // `\left.` and `\right.` draw nothing.
            if matches!(name, "left" | "right") && self.text.get(self.at) == Some(&'.') {
                self.at += 1;
            }
            return Ok(());
        }
        if words::is_text(name) || words::is_roman(name) {
            if self.text.get(self.at) == Some(&'*') {
                self.at += 1;
            }
            let content = self.argument();
            return self.text_argument(&content, words::is_roman(name));
        }
        if name == "mathbb" || name == "mathds" {
            let set = self.argument();
            self.push(Tok::Cmd(format!("mathbb:{}", set.trim())));
            return Ok(());
        }
        if name == "begin" || name == "end" {
            let environment = self.argument();
            self.push(Tok::Cmd(format!("{name}:{}", environment.trim())));
            if name == "begin"
                && environment.trim() == "array"
                && self.text.get(self.at) == Some(&'{')
            {
                self.argument();
            }
            return Ok(());
        }
        if let Some(op) = words::operator(name) {
            match op {
                '(' | '[' => self.depth += 1,
                '⦃' => self.depth += 1,
                _ => {}
            }
            self.push(Tok::Op(if op == '÷' { '/' } else { op }));
            return Ok(());
        }
        if matches!(
            name,
            "ldots" | "dots" | "cdots" | "dotsc" | "vdots" | "dotsb"
        ) {
            self.push(Tok::Op('…'));
            return Ok(());
        }
        if name == "pi" || name == "imath" || name == "jmath" {
            self.push(Tok::Ident(if name == "pi" { "pi" } else { "i" }.to_owned()));
            return Ok(());
        }
        if let Some(greek) = words::greek(name) {
            self.push(Tok::Ident(greek.to_owned()));
            return Ok(());
        }
        self.push(Tok::Cmd(name.to_owned()));
        Ok(())
    }

    /// The raw text of a braced argument; of one character without braces.
    fn argument(&mut self) -> String {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        if self.text.get(self.at) != Some(&'{') {
            let one = self
                .text
                .get(self.at)
                .map(char::to_string)
                .unwrap_or_default();
            self.at += one.chars().count();
            return one;
        }
        let start = self.at + 1;
        let mut depth = 0usize;
        while let Some(&c) = self.text.get(self.at) {
            self.at += 1;
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return self.text[start..self.at - 1].iter().collect();
            }
        }
        self.text[start.min(self.at)..].iter().collect()
    }

    fn text_argument(&mut self, content: &str, roman: bool) -> Result<(), Unreadable> {
        let trimmed = content.trim();
        let letters = trimmed
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, ' ' | '.' | '-'));
        if trimmed.is_empty() {
            self.spaced = true;
        } else if roman && (trimmed.len() == 1 || words::function(trimmed).is_some()) {
            self.plain_word(trimmed);
        } else if letters {
            for word in trimmed.split_whitespace() {
                self.word(word);
            }
        } else if trimmed.contains(['{', '\\']) && trimmed.len() > MAX_CHARS / 4 {
            return Err(Unreadable::TooLarge);
        } else {
            // Digits or formulas inside text, \text{13}: read like anything else. Nested text
            // shrinks at each level, so this ends; the length bound above keeps it linear enough.
            let inner = lex(trimmed, Reading::DEFAULT)?;
            self.tokens.extend(inner);
        }
        Ok(())
    }

    fn letters(&mut self) {
        let run: String = self
            .rest()
            .iter()
            .take_while(|c| c.is_ascii_alphabetic())
            .collect();
        let before = self.tokens.last().map(|t| &t.tok);
        let number_before = matches!(before, Some(Tok::Num(_)));
        let after_number =
            number_before || matches!(before, Some(Tok::Op(')' | '}') | Tok::Vulgar(..)));
        // "a.m." and "p.m." carry points.
        if after_number {
            if let Some(half) = self.half_day() {
                self.push(Tok::Word(half));
                return;
            }
            if let Some(taken) = self.unit(&run) {
                let unit: String = self.rest()[..taken].iter().collect();
                self.at += taken;
                self.push(Tok::Word(unit));
                return;
            }
        }
        // "1or" and "5and": the words are stuck to a number.
        let stuck = ["or", "and"]
            .into_iter()
            .find(|word| number_before && run.starts_with(word));
        if let Some(word) = stuck.filter(|word| run.len() > word.len()) {
            self.at += word.len();
            self.push(Tok::Op(if word == "or" { '∨' } else { '∧' }));
            return;
        }
        self.at += run.len();
        let next = self.text[self.at..].iter().find(|c| !c.is_whitespace());
        if matches!(run.as_str(), "x" | "X")
            && number_before
            && next.is_some_and(char::is_ascii_digit)
        {
            self.push(Tok::Op('*'));
            return;
        }
        self.plain_word(&run);
    }

    fn half_day(&mut self) -> Option<String> {
        let rest = self.rest();
        match rest {
            [a @ ('a' | 'p' | 'A' | 'P'), '.', ' ', 'm' | 'M', ..] => {
                let half = format!("{a}m").to_lowercase();
                self.at += 4;
                Some(half)
            }
            [a @ ('a' | 'p' | 'A' | 'P'), '.', 'm' | 'M', ..] => {
                let half = format!("{a}m").to_lowercase();
                self.at += 3;
                Some(half)
            }
            _ => None,
        }
    }

    /// Length of a unit expression (`m/s^2`, `cm^2`, `sq ft`) that ends this part of the answer.
    fn unit(&self, run: &str) -> Option<usize> {
        // "5m" is a product, "5 m" a length; "5cm" is a length either way.
        let clear = self.spaced || run.len() > 1;
        if !clear || !units::is_short_unit(run) || matches!(run, "and" | "or") {
            return None;
        }
        let rest = self.rest();
        let mut at = 0;
        let mut last_word = 0;
        while let Some(&c) = rest.get(at) {
            if c.is_ascii_alphabetic() {
                let word: String = rest[at..]
                    .iter()
                    .take_while(|c| c.is_ascii_alphabetic())
                    .collect();
                if !units::is_short_unit(&word) {
                    break;
                }
                at += word.len();
                last_word = at;
            } else if last_word > 0 && matches!(c, '^' | '0'..='9' | '{' | '}' | '-') {
                at += 1;
                last_word = at;
            } else if matches!(c, '/' | ' ' | '*') {
                at += 1;
            } else {
                break;
            }
        }
        let ends = rest[last_word..].iter().find(|c| !c.is_whitespace());
        ends.is_none_or(|c| matches!(c, ',' | ';' | '.' | ')' | '$' | '\\'))
            .then_some(last_word)
    }

    /// A run of letters: separator, function, constant, product of symbols or word.
    fn plain_word(&mut self, run: &str) {
        if run.chars().count() == 1 {
            self.push(Tok::Ident(run.to_owned()));
            return;
        }
        let lower = run.to_lowercase();
        match lower.as_str() {
            "and" => return self.push(Tok::Op('∧')),
            "or" => return self.push(Tok::Op('∨')),
            "infinity" | "inf" | "oo" | "infty" => return self.push(Tok::Op('∞')),
            "pi" => return self.push(Tok::Ident("pi".to_owned())),
            "sqrt" | "cbrt" => return self.push(Tok::Cmd(lower)),
            "times" => return self.push(Tok::Op('*')),
            "pm" => return self.push(Tok::Op('±')),
            "percent" | "percentage" | "pct" => return self.push(Tok::Op('%')),
            "degree" | "degrees" => return self.push(Tok::Op('°')),
            _ => {}
        }
        if words::function(run).is_some() {
            return self.push(Tok::Cmd(run.to_owned()));
        }
        if let Some(greek) = words::greek(run) {
            return self.push(Tok::Ident(greek.to_owned()));
        }
        for function in ["sin", "cos", "tan", "ln", "log", "sqrt"] {
            if let Some(argument) = run.strip_prefix(function).filter(|a| a.len() <= 2) {
                self.push(Tok::Cmd(function.to_owned()));
                return self.product(argument);
            }
        }
        // In capitals these are points of a figure: NO/BO.
        let capitals = run.bytes().all(|b| b.is_ascii_uppercase());
        if run.len() <= 3 && (capitals || !is_english(&lower)) {
            return self.product(run);
        }
        self.word(run);
    }

    fn product(&mut self, letters: &str) {
        for letter in letters.chars() {
            self.push(Tok::Ident(letter.to_string()));
        }
    }

    fn word(&mut self, word: &str) {
        let lower = word.trim_matches('.').to_lowercase();
        match lower.as_str() {
            "" => {}
            "and" | "和" | "且" | "与" => self.push(Tok::Op('∧')),
            "or" | "或" | "或者" => self.push(Tok::Op('∨')),
            "percent" | "pct" => self.push(Tok::Op('%')),
            "degree" | "degrees" | "度" => self.push(Tok::Op('°')),
            _ if units::is_filler(&lower) => self.spaced = true,
            _ => self.push(Tok::Word(word.to_owned())),
        }
    }
}

/// Words of two or three letters that are no products of symbols.
fn is_english(word: &str) -> bool {
    matches!(
        word,
        "is" | "no"
            | "yes"
            | "the"
            | "per"
            | "for"
            | "of"
            | "in"
            | "all"
            | "any"
            | "if"
            | "to"
            | "as"
            | "at"
            | "are"
            | "not"
            | "day"
            | "men"
            | "red"
            | "cat"
            | "dog"
            | "odd"
            | "sum"
            | "one"
            | "two"
            | "six"
            | "ten"
            | "tie"
            | "win"
            | "mod"
            | "but"
            | "so"
            | "it"
            | "we"
            | "can"
            | "way"
            | "was"
            | "had"
            | "has"
            | "she"
            | "her"
            | "him"
            | "his"
            | "mon"
            | "tue"
            | "wed"
            | "thu"
            | "fri"
            | "sat"
            | "sun"
            | "egg"
            | "pen"
            | "box"
            | "bag"
            | "cup"
            | "car"
            | "new"
            | "old"
            | "who"
            | "you"
            | "our"
            | "out"
            | "dne"
    ) || units::is_short_unit(word)
        && word.len() > 1
        && !matches!(word, "pa" | "in" | "au" | "ha" | "mb")
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
