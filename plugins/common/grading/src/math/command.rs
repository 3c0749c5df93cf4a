//! LaTeX commands: layout falls away, operators become characters, text is read as words.

use super::lex::{Lexer, MAX_CHARS, Tok, lex};
use super::{Reading, Unreadable, words};

impl Lexer<'_> {
    pub(super) fn command(&mut self) -> Result<(), Unreadable> {
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
    pub(super) fn is_doubled(&self) -> bool {
        let inside_matrix = self
            .tokens
            .iter()
            .any(|t| matches!(&t.tok, Tok::Cmd(name) if name.starts_with("begin:")));
        let next = self.text.get(self.at);
        !inside_matrix && next.is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '{' | '}'))
    }

    pub(super) fn command_after_doubling(&mut self) -> Result<(), Unreadable> {
        self.at -= 1;
        self.command()
    }

    /// `\\`, with an optional distance after it.
    pub(super) fn row_end(&mut self) {
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

    pub(super) fn named(&mut self, name: &str) -> Result<(), Unreadable> {
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
    pub(super) fn argument(&mut self) -> String {
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

    pub(super) fn text_argument(&mut self, content: &str, roman: bool) -> Result<(), Unreadable> {
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
}
