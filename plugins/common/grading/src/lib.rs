//! Grading: finds the final answer in a model's completion and decides whether it equals the gold one.
//!
//! Every figure of an experiment rests on this decision, so it is made exactly where that is possible
//! (rational numbers, polynomials, roots), by sampling with an error bound where it is not, and not at all
//! where neither can tell: [`Verdict::Undecided`] is a verdict of its own.
//!
//! | step | here |
//! | --- | --- |
//! | the answer in the completion | [`extract`] |
//! | the answer in the data set | [`gold`] |
//! | equality | [`equivalent`] |
//! | all of it | [`grade`] |
//! | free text | [`exact_match`], [`bleu`], [`sentence_bleu`] |
//!
//! All functions are pure and may be called from any number of threads. Depth, size and work are
//! bounded for every input: a decision takes less than 10 ms, and no number is ever written out
//! that the input does not write out.

#![deny(missing_docs)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::many_single_char_names,
    reason = "bounds are checked where a float becomes an integer, and formulas name their terms as \
              textbooks do"
)]
#![allow(
    clippy::match_same_arms,
    clippy::option_option,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "one line a rule reads better than rules joined because they end alike"
)]

#[cfg(feature = "api")]
pub mod api;
mod bleu;
mod budget;
mod decimal;
mod extract;
mod gold;
mod grade;
mod hints;
mod kind;
mod math;
mod number;
mod text;

pub use bleu::{bleu, sentence_bleu, tokenize_13a};
pub use extract::{Extraction, MAX_COMPLETION_BYTES, Source, extract};
pub use gold::gold;
pub use grade::{Grade, GradeRequest, equivalent, grade};
pub use hints::Hints;
pub use kind::{AnswerKind, UnknownKind, Verdict};
pub use text::exact_match;
