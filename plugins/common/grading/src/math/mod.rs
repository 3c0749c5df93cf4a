//! Mathematical answers: reading them and deciding whether two of them are equal.
//!
//! `lex` (with `command`, `letters`, `literal`) → `parse` (with `product`, `primary`, `functions`) give a
//! [`node::Node`]. `compare` decides structure: `parts` for tuples, sets and matrices, `region` for sets of
//! reals, `relation` for equations, `quantity` for percent, degrees and units. `scalar` decides two
//! expressions in three steps: the canonical form of `poly`, `roots` and `form` (exact), `residue`
//! (modulo primes, where the exact form would grow too large) and `numeric` (floating point with an error
//! bound, at fixed points).

mod command;
pub(crate) mod compare;
mod form;
mod functions;
mod letters;
pub(crate) mod lex;
mod literal;
pub(crate) mod node;
mod normalise;
mod numeric;
mod parse;
mod parts;
mod poly;
mod primary;
mod product;
mod quantity;
mod region;
mod relation;
mod residue;
mod roots;
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
