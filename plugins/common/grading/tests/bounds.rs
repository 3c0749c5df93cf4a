//! Hostile input: bounded time, bounded depth, no panic, any thread.

use std::time::{Duration, Instant};

use tale_grading::{AnswerKind, GradeRequest, Hints, Verdict, equivalent, grade};

/// The bound that is promised, with room for builds without optimisation and for busy machines.
const BOUND: Duration = if cfg!(debug_assertions) {
    Duration::from_millis(500)
} else {
    Duration::from_millis(10)
};

fn nested(open: &str, inner: &str, close: &str, times: usize) -> String {
    format!("{}{inner}{}", open.repeat(times), close.repeat(times))
}

#[allow(clippy::too_many_lines, reason = "a list")]
fn hostile() -> Vec<(&'static str, String)> {
    let laughs = (0..40).fold("x".to_owned(), |inner, _| {
        if inner.len() > 200_000 {
            inner
        } else {
            format!("({inner})\\cdot({inner})")
        }
    });
    vec![
        ("nested braces", nested("{", "1", "}", 10_000)),
        ("nested brackets", nested("(", "1", ")", 10_000)),
        ("nested square brackets", nested("[", "1", "]", 10_000)),
        ("nested boxes", nested("\\boxed{", "1", "}", 10_000)),
        ("unclosed boxes", "\\boxed{".repeat(20_000)),
        ("unclosed brackets", "[[".repeat(50_000)),
        ("closing brackets", "]]".repeat(50_000)),
        ("bracket pairs", "[[]]".repeat(30_000)),
        ("placeholders", "[[answer]] ".repeat(10_000)),
        ("nested roots", nested("\\sqrt{", "2", "}", 1_000)),
        ("nested fractions", nested("\\frac{1}{1+", "x", "}", 300)),
        ("nested exponents", nested("x^{", "2", "}", 1_000)),
        ("nested text", nested("\\text{1", "1", "}", 500)),
        ("nested functions", nested("\\sin(", "x", ")", 1_000)),
        ("bars", "|".repeat(4_000)),
        ("minus signs", format!("{}1", "-".repeat(4_000))),
        ("factorials", format!("3{}", "!".repeat(500))),
        ("powers of powers", "9^9^9^9^9".to_owned()),
        ("tower", format!("{}2", "2^".repeat(30))),
        ("large factorial", "(10^9)!".to_owned()),
        ("factorial of a factorial", "((100!)!)!".to_owned()),
        ("large binomial", "\\binom{10^9}{5 \\cdot 10^8}".to_owned()),
        ("huge exponent", "1e999999".to_owned()),
        (
            "exponent beyond i64",
            "1e99999999999999999999999".to_owned(),
        ),
        ("negative exponent", "1e-999999999999".to_owned()),
        ("many digits", "9".repeat(10_000)),
        ("many decimals", format!("0.{}", "123456789".repeat(1_000))),
        ("long period", format!("0.({})", "123456789".repeat(100))),
        (
            "fraction of long numbers",
            format!("\\frac{{{}}}{{{}}}", "7".repeat(390), "3".repeat(390)),
        ),
        (
            "sum of fractions",
            (1..300)
                .map(|n| format!("\\frac{{1}}{{{n}}}+"))
                .collect::<String>()
                + "1",
        ),
        (
            "sum of symbolic fractions",
            (1..60)
                .map(|n| format!("\\frac{{1}}{{x+{n}}}+"))
                .collect::<String>()
                + "1",
        ),
        ("power of a sum", "(a+b+c+d+x+y)^{60}".to_owned()),
        (
            "product of sums",
            (1..40).map(|n| format!("(x_{n}+1)")).collect(),
        ),
        (
            "root of a large number",
            format!("\\sqrt{{{}}}", "9".repeat(300)),
        ),
        (
            "logarithm of a large number",
            format!("\\ln {}", "9".repeat(300)),
        ),
        ("laughs", laughs),
        (
            "large set",
            format!(
                "\\{{{}1\\}}",
                (0..700).map(|n| format!("{n},")).collect::<String>()
            ),
        ),
        ("nested sets", nested("\\{1,", "2", "\\}", 30)),
        (
            "large matrix",
            format!(
                "\\begin{{pmatrix}}{}1\\end{{pmatrix}}",
                "1&2\\\\".repeat(300)
            ),
        ),
        (
            "union",
            (0..300)
                .map(|n| format!("({n},{})\\cup", n + 1))
                .collect::<String>()
                + "(0,1)",
        ),
        ("plus-minus", "1\\pm".repeat(300) + "1"),
        (
            "matrices in matrices",
            nested("\\begin{pmatrix}", "1", "\\end{pmatrix}", 30),
        ),
        ("commas", ",".repeat(5_000)),
        ("dollars", "$".repeat(100_000)),
        ("dollars and spaces", "$ ".repeat(50_000)),
        ("questions", "\nQ: 5".repeat(20_000)),
        ("turns", "<|im_end|>".repeat(20_000)),
        ("phrases", "the answer is ".repeat(15_000)),
        ("letters", "(A) ".repeat(30_000)),
        ("one long word", "a".repeat(200_000)),
        ("numbers", "1 ".repeat(100_000)),
        ("fractions", "1/".repeat(100_000)),
        ("backslashes", "\\".repeat(100_000)),
        ("new lines", "\n".repeat(200_000)),
        ("combining marks", "\u{305}".repeat(50_000)),
        ("a long Chinese text", "答案是选项".repeat(20_000)),
    ]
}

/// The fastest of a few runs: the bound is on the work, and the machine may be busy.
fn fastest(mut run: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed());
        if best < BOUND / 4 {
            break;
        }
    }
    best
}

#[test]
fn hostile_input_is_graded_within_the_bound() {
    let mut slow = Vec::new();
    let mut slowest = (Duration::ZERO, String::new());
    for (name, text) in hostile() {
        for kind in AnswerKind::ALL {
            for completion in [
                text.clone(),
                format!("\\boxed{{{text}}}"),
                format!("[[{text}]]"),
            ] {
                for gold in ["1", "x^2+1", "\\{1,2\\}", "B"] {
                    let request = GradeRequest {
                        kind,
                        completion: &completion,
                        gold,
                        choices: 5,
                        question: None,
                    };
                    let time = fastest(|| {
                        let _ = grade(&request);
                    });
                    if time > slowest.0 {
                        slowest = (time, format!("{name} as {kind} against {gold}"));
                    }
                    if time > BOUND {
                        slow.push(format!("{name} as {kind} against {gold}: {time:?}"));
                    }
                }
            }
        }
    }
    println!("slowest: {} in {:?}", slowest.1, slowest.0);
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

#[test]
fn hostile_pairs_are_compared_within_the_bound() {
    let mut slow = Vec::new();
    for (name, text) in hostile() {
        // Two sides of the same size, with a difference at the end.
        let other = format!("({text})+1");
        let time = fastest(|| {
            let (verdict, _) = equivalent(AnswerKind::Math, &text, &other, Hints::default());
            assert!(
                verdict != Verdict::Correct || name == "one long word",
                "{name}"
            );
        });
        if time > BOUND {
            slow.push(format!("{name}: {time:?}"));
        }
        assert_eq!(
            equivalent(AnswerKind::Math, &text, &text, Hints::default()).0,
            Verdict::Correct
        );
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

#[test]
fn a_completion_of_50_megabytes_is_read_at_its_end() {
    let completion = format!("{}\nAnswer: [[18]]", "lorem ipsum ".repeat(4_200_000));
    let request = GradeRequest {
        kind: AnswerKind::Number,
        completion: &completion,
        gold: "18",
        choices: 0,
        question: None,
    };
    let time = fastest(|| assert_eq!(grade(&request).verdict, Verdict::Correct));
    assert!(time < BOUND, "{time:?}");
}

#[test]
fn threads_agree() {
    let pairs = [
        ("2\\sqrt{3}", "\\sqrt{12}"),
        ("(0,1)", "[0,1]"),
        ("\\sin^2 x", "1-\\cos^2 x"),
    ];
    let alone: Vec<_> = pairs
        .map(|(a, b)| equivalent(AnswerKind::Math, a, b, Hints::default()))
        .to_vec();
    let together: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    pairs
                        .map(|(a, b)| equivalent(AnswerKind::Math, a, b, Hints::default()))
                        .to_vec()
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(together.iter().all(|run| *run == alone));
}
