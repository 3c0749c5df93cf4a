//! Equality is symmetric for any two texts, of every kind and under every hint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tale_grading::{AnswerKind, Hints, equivalent};

fuzz_target!(|input: (u8, &str, &str)| {
    let (bits, a, b) = input;
    let hints = Hints { percentage: bits & 1 > 0, base: bits & 2 > 0, ratio: bits & 4 > 0 };
    for kind in AnswerKind::ALL {
        assert_eq!(equivalent(kind, a, b, hints).0, equivalent(kind, b, a, hints).0, "{kind}");
    }
});
