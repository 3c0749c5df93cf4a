//! The extractor takes any text, for every kind and number of options.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tale_grading::{AnswerKind, extract, gold};

fuzz_target!(|input: (u8, &str)| {
    let (choices, text) = input;
    for kind in AnswerKind::ALL {
        if let Some(found) = extract(kind, text, usize::from(choices)) {
            assert!(!found.answer.is_empty() || kind == AnswerKind::Text);
        }
        let _ = gold(kind, text);
    }
});
