//! Mathematical answers: reading them and deciding whether two of them are equal.
//!
//! `lex` → `parse` give a [`node::Node`]; `compare` decides structure (sets, intervals, equations);
//! `scalar` decides two expressions in three steps: `poly` (canonical form, exact), `residue`
//! (modulo primes, where the exact form would grow too large) and `numeric` (floating point with an error
//! bound, at fixed points).

pub(crate) mod compare;
pub(crate) mod lex;
mod literal;
pub(crate) mod node;
mod normalise;
mod numeric;
mod parse;
mod poly;
mod primary;
mod region;
mod relation;
mod residue;
mod scalar;
mod units;
mod words;

pub(crate) use normalise::{fold_text, strip_answer};
pub(crate) use parse::parse;

/// Why a text has no reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The grammar has no place for it.
    Syntax,
    /// Longer, deeper or larger than the bounds.
    TooLarge,
}

/// Which of several conventions a text is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// `1,234` is one number (else a list of two).
    pub(crate) thousands: bool,
    /// `\log` without a base is decimal (else natural).
    pub(crate) decimal_log: bool,
}

impl Reading {
    pub(crate) const DEFAULT: Self = Self {
        thousands: true,
        decimal_log: false,
    };
}
