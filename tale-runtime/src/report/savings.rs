//! What a run says about TALE-EP, in one sentence that is true also when it saved nothing.

use super::{
    findings::SUBJECT,
    post_train,
    summary::{Paired, Summary},
    words,
};

/// Below so much a difference of accuracy is called significant.
const ALPHA: f64 = 0.05;

/// One sentence on what TALE-EP cost against vanilla CoT, or one a line where the run has several
/// models or data sets. `None` where the two have no question in common.
#[must_use]
pub fn savings(summary: &Summary) -> Option<String> {
    let pairs: Vec<&Paired> = summary
        .paired
        .iter()
        .filter(|p| p.a == SUBJECT || p.a.starts_with(post_train::TRAINED))
        .collect();
    let lines: Vec<String> = pairs
        .iter()
        .filter_map(|p| {
            let said = sentence(summary, p)?;
            Some(if summary.is_mixed() {
                format!("{} on {}: {said}", p.llm, p.dataset)
            } else {
                said
            })
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn sentence(summary: &Summary, p: &Paired) -> Option<String> {
    let cost = cost(p)?;
    let judgement = accuracy(p);
    let fallbacks = fallbacks(summary, p);
    Some(format!(
        "{} {cost}{judgement}{fallbacks}.",
        words::method(&p.a)
    ))
}

fn cost(p: &Paired) -> Option<String> {
    let ratio = p.output_tokens_ratio?;
    let (own, all) = (
        words::ratio(Some(ratio)),
        words::ratio(p.all_output_tokens_ratio),
    );
    let b = words::method(&p.b);
    let interval = match p.output_tokens_ratio_ci95 {
        None => " (too few questions for an interval)".to_owned(),
        Some(ci @ [low, high]) => {
            let is_unclear = low <= 1.0 && high >= 1.0 && own != "100%";
            let hedge = if is_unclear {
                ", which is no clear difference"
            } else {
                ""
            };
            format!(" (95% interval {}{hedge})", words::ratios(Some(ci)))
        }
    };
    let of_answers = if own == "100%" {
        format!("used as many output tokens as {b}{interval}")
    } else if ratio < 1.0 {
        format!("used {own} of {b}'s output tokens{interval}")
    } else {
        format!("cost more than {b}: {own} of its output tokens{interval}")
    };
    let with_estimates = match p.all_output_tokens_ratio {
        Some(total) if all != own => {
            if ratio < 1.0 && total > 1.0 {
                format!(", but {all} with its estimates counted (they cost more than they saved)")
            } else {
                format!(", {all} with its estimates counted")
            }
        }
        _ => String::new(),
    };
    Some(of_answers + &with_estimates)
}

fn accuracy(p: &Paired) -> String {
    let n = words::count(p.graded);
    let (Some(a), Some(b), Some(p_value)) = (p.accuracy_a, p.accuracy_b, p.p_value) else {
        return format!(
            "; the questions have no gold answers (n = {})",
            words::count(p.n)
        );
    };
    let (a, b) = (words::percent(Some(a)), words::percent(Some(b)));
    if a == b {
        return format!(", at the same accuracy of {a} (n = {n})");
    }
    let significance = if p_value < ALPHA {
        "significant"
    } else {
        "not significant"
    };
    let p_value = words::p_equals(p_value);
    format!(", at {a} against {b} accuracy (difference {significance}, {p_value}, n = {n})")
}

/// An estimate that was not read says nothing about TALE; a reader must know how many there were.
fn fallbacks(summary: &Summary, p: &Paired) -> String {
    let row = summary
        .rows
        .iter()
        .find(|r| r.method == p.a && r.llm == p.llm && r.dataset == p.dataset && r.fallbacks > 0);
    row.map_or_else(String::new, |r| {
        let (some, all) = (words::count(r.fallbacks), words::count(r.n));
        format!("; {some} of {all} budgets could not be read and came by the fallback")
    })
}
