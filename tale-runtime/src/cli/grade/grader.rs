//! Who judges.

use clap::ValueEnum;
use tale_grading::{AnswerKind, GradeRequest, Verdict};

use super::Answer;

/// A rule by which answers are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Grader {
    /// TALE's own, by kind of answer.
    Tale,
    /// The paper's code without its last resort, math-verify: the last `[[…]]`, else the last
    /// number, equal as text or as a number.
    Reference,
    /// The whole text, or what stands in the last `[[…]]`, equal character by character.
    Exact,
    /// What the file itself says.
    Recorded,
}

/// What a grader found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub answer: Option<String>,
    /// `None` where the grader could not tell.
    pub correct: Option<bool>,
    pub reason: String,
}

impl Grader {
    /// Judges an answer; `None` where there is nothing to judge: a sample that failed, or a
    /// question without gold answer.
    pub(super) fn judge(self, answer: &Answer, kind: Option<AnswerKind>) -> Option<Judged> {
        let (text, gold) = (answer.text()?, answer.gold()?);
        Some(match self {
            Self::Tale => tale(answer, text, &gold, kind),
            Self::Reference => reference(text, &gold),
            Self::Exact => exact(text, &gold),
            Self::Recorded => Judged {
                answer: answer.answer.clone(),
                correct: answer.correct,
                reason: "recorded".to_owned(),
            },
        })
    }
}

fn tale(answer: &Answer, text: &str, gold: &str, kind: Option<AnswerKind>) -> Judged {
    let grade = tale_grading::grade(&GradeRequest {
        kind: answer.kind(kind),
        completion: text,
        gold,
        choices: answer.choices,
        question: answer.question.as_deref(),
    });
    Judged {
        answer: grade.answer,
        correct: match grade.verdict {
            Verdict::Correct => Some(true),
            Verdict::Wrong => Some(false),
            Verdict::Undecided => None,
        },
        reason: grade.reason,
    }
}

fn reference(text: &str, gold: &str) -> Judged {
    let Some(found) = bracketed(text).or_else(|| last_number(text)) else {
        return decided(None, false, "no answer found");
    };
    let (a, b) = (tidied(found), tidied(gold));
    let (equal, why) = if a == b {
        (true, "the same text")
    } else {
        match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(x), Ok(y)) if x.to_bits() == y.to_bits() => (true, "equal numbers"),
            (Ok(_), Ok(_)) => (false, "different numbers"),
            _ => (false, "different texts"),
        }
    };
    decided(Some(found), equal, why)
}

fn exact(text: &str, gold: &str) -> Judged {
    let found = bracketed(text).unwrap_or_else(|| text.trim());
    let equal = found == gold.trim();
    let why = if equal {
        "the same text"
    } else {
        "different texts"
    };
    decided(Some(found), equal, why)
}

fn decided(answer: Option<&str>, correct: bool, reason: &str) -> Judged {
    Judged {
        answer: answer.map(str::to_owned),
        correct: Some(correct),
        reason: reason.to_owned(),
    }
}

/// What stands in the last `[[…]]`.
fn bracketed(text: &str) -> Option<&str> {
    let start = text.rfind("[[")? + 2;
    let end = text[start..].find("]]")?;
    Some(text[start..start + end].trim())
}

/// The last run of digits, with sign, commas and point.
fn last_number(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, ',' | '.');
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = text[..end].rfind(|c| !is_part(c)).map_or(0, |at| {
        at + text[at..].chars().next().map_or(0, char::len_utf8)
    });
    let start = if text[..start].ends_with('-') {
        start - 1
    } else {
        start
    };
    Some(&text[start..end])
}

/// As the paper's code drops them: commas, `$`, a closing full stop.
fn tidied(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    text.chars().filter(|c| !matches!(c, ',' | '$')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_rule_reads_the_last_mark_or_number() {
        for (text, gold, right) in [
            ("[[1]] so [[1,234.]]", "1234", true),
            ("It costs $1,234.", "1234", true),
            ("2 + 3 = 5.0", "5", true),
            ("minus -7 degrees", "-7", true),
            ("[[x]]", "5", false),
            ("1/2", "0.5", false),
            ("nothing", "5", false),
            ("数是12。", "12", true),
        ] {
            assert_eq!(reference(text, gold).correct, Some(right), "{text}");
        }
    }

    #[test]
    fn exact_is_by_character() {
        assert_eq!(exact("so [[ 5 ]]", "5").correct, Some(true));
        assert_eq!(exact("5.0", "5").correct, Some(false));
    }
}
