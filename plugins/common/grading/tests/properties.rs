//! Properties of equality and extraction over generated answers.

use proptest::prelude::*;
use tale_grading::{AnswerKind, GradeRequest, Hints, Verdict, equivalent, extract, grade};

/// Pieces that answers and completions are made of; glued at random they reach odd corners.
const PIECES: &[&str] = &[
    "1",
    "2",
    "18",
    "0.5",
    "1,234",
    "1e9",
    "1e999999",
    "x",
    "y",
    "n",
    "e",
    "i",
    "\\pi",
    "π",
    "+",
    "-",
    "*",
    "/",
    "^",
    "_",
    "=",
    "<",
    ">",
    "≤",
    "\\le",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\\{",
    "\\}",
    "|",
    ",",
    ";",
    ":",
    ".",
    " ",
    "\\frac",
    "\\frac{1}{2}",
    "\\sqrt",
    "\\sqrt{2}",
    "\\sqrt[3]",
    "\\sin",
    "\\ln",
    "\\log_2",
    "!",
    "%",
    "\\%",
    "°",
    "^\\circ",
    "\\pm",
    "\\cup",
    "\\infty",
    "\\in",
    "\\mathbb{R}",
    "\\text{ cm}",
    "\\text{and}",
    " or ",
    "\\begin{pmatrix}",
    "&",
    "\\\\",
    "\\end{pmatrix}",
    "\\left",
    "\\right",
    "$",
    "\\boxed{",
    "[[",
    "]]",
    "####",
    "\nQ: ",
    "The answer is ",
    "答案是",
    "选项",
    "A",
    "B.",
    "(C)",
    "**",
    "\\overline{3}",
    "½",
    "√",
    "²",
    "₂",
    "10_2",
    "<|im_end|>",
    "\n",
    "é",
    "\u{305}",
    "９",
    "？",
    "\\binom",
    "…",
    "...",
    "∖",
    "\\",
    "9^9^9",
];

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..14).prop_map(|pieces| pieces.concat())
}

/// Well-formed expressions, so that equality goes beyond the text.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0u32..40).prop_map(|n| n.to_string()),
        (1u32..9, 1u32..9).prop_map(|(a, b)| format!("\\frac{{{a}}}{{{b}}}")),
        prop::sample::select(&["x", "y", "\\pi", "e", "\\sqrt{2}", "0.25", "i"][..])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}+{b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}-{b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) \\cdot ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("\\frac{{{a}}}{{{b}}}")),
            (inner.clone(), 0u32..4).prop_map(|(a, n)| format!("({a})^{{{n}}}")),
            inner.clone().prop_map(|a| format!("\\sqrt{{{a}}}")),
            inner.prop_map(|a| format!("\\sin({a})")),
        ]
    })
}

fn kind() -> impl Strategy<Value = AnswerKind> {
    prop::sample::select(&AnswerKind::ALL[..])
}

fn hints() -> impl Strategy<Value = Hints> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(percentage, base, ratio)| Hints {
        percentage,
        base,
        ratio,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_text_equals_itself(kind in kind(), text in soup(), hints in hints()) {
        prop_assert_eq!(equivalent(kind, &text, &text, hints).0, Verdict::Correct);
    }

    #[test]
    fn equality_is_symmetric(kind in kind(), a in soup(), b in soup(), hints in hints()) {
        let there = equivalent(kind, &a, &b, hints).0;
        prop_assert_eq!(there, equivalent(kind, &b, &a, hints).0);
    }

    #[test]
    fn equality_of_expressions_is_symmetric(a in expression(), b in expression()) {
        let there = equivalent(AnswerKind::Math, &a, &b, Hints::default()).0;
        prop_assert_eq!(there, equivalent(AnswerKind::Math, &b, &a, Hints::default()).0);
    }

    #[test]
    fn adding_one_never_leaves_a_value_as_it_was(a in expression()) {
        let more = format!("1 + {a}");
        prop_assert_ne!(equivalent(AnswerKind::Math, &a, &more, Hints::default()).0, Verdict::Correct);
    }

    #[test]
    fn rewriting_never_makes_a_value_another(a in expression(), b in expression()) {
        for (left, right) in [
            (format!("({a})+({b})"), format!("({b})+({a})")),
            (format!("({a})-({b})"), format!("-(({b})-({a}))")),
            (format!("({a})^2-({b})^2"), format!("(({a})-({b}))(({a})+({b}))")),
        ] {
            let (verdict, reason) = equivalent(AnswerKind::Math, &left, &right, Hints::default());
            prop_assert_ne!(verdict, Verdict::Wrong, "{} and {}: {}", left, right, reason);
        }
    }

    #[test]
    fn numbers_are_compared_by_value(n in -1_000_000i64..1_000_000, d in 1i64..1000, m in -1_000_000i64..1_000_000) {
        let number = |text: &str, other: &str| equivalent(AnswerKind::Number, text, other, Hints::default()).0;
        let equal = if n == m { Verdict::Correct } else { Verdict::Wrong };
        prop_assert_eq!(number(&n.to_string(), &format!("{m}.00")), equal);
        prop_assert_eq!(number(&format!("{n}/{d}"), &format!("{m}/{d}")), equal);
        prop_assert_eq!(number(&format!("{}/{}", n * 7, d * 7), &format!("\\frac{{{n}}}{{{d}}}")), Verdict::Correct);
    }

    #[test]
    fn grading_takes_any_text(kind in kind(), completion in soup(), gold in soup(), choices in 0usize..30) {
        let result = grade(&GradeRequest { kind, completion: &completion, gold: &gold, choices, question: Some(&completion) });
        prop_assert!(!result.reason.is_empty());
    }

    #[test]
    fn extraction_takes_any_unicode(kind in kind(), completion in "\\PC*", choices in 0usize..30) {
        let _ = extract(kind, &completion, choices);
        let _ = equivalent(kind, &completion, "1", Hints::default());
    }

    #[test]
    fn a_bracketed_number_is_found_whatever_stands_before(before in "[a-zA-Z ,.0-9\n]{0,80}", n in 0u32..100_000) {
        let completion = format!("{before}\nAnswer: [[{n}]]");
        let found = extract(AnswerKind::Number, &completion, 0).map(|found| found.answer.into_owned());
        prop_assert_eq!(found, Some(n.to_string()));
    }
}
