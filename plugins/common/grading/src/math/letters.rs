//! Runs of letters: units, functions, constants, products of symbols, words.

use super::lex::{Lexer, Tok};
use super::{units, words};

impl Lexer<'_> {
    pub(super) fn letters(&mut self) {
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

    pub(super) fn half_day(&mut self) -> Option<String> {
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
    pub(super) fn unit(&self, run: &str) -> Option<usize> {
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
    pub(super) fn plain_word(&mut self, run: &str) {
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

    pub(super) fn product(&mut self, letters: &str) {
        for letter in letters.chars() {
            self.push(Tok::Ident(letter.to_string()));
        }
    }

    pub(super) fn word(&mut self, word: &str) {
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
