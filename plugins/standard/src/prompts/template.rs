//! A template: text with a hole for the question and at most one for a number, filled literally.
//!
//! A template engine was rejected on purpose. A question is full of `{`, `%` and `$`, and the one
//! thing a prompt must never do is to interpret it; two named holes are all that any method needs.

use super::{LimitUnit, PromptError};

const QUESTION: &str = "{question}";
const BUDGET: &str = "{budget}";
const NUMBER: &str = "{n}";

/// Text with exactly one hole for the question and at most one for a number: a budget in tokens, or
/// a number of whatever the template counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Question,
    Budget,
    Number,
}

impl Template {
    /// Reads `source`; `name` is for errors.
    pub(super) fn parse(name: &str, source: &str) -> Result<Self, PromptError> {
        let placeholder = |placeholder, found| PromptError::Placeholder {
            template: name.to_owned(),
            placeholder,
            found,
        };
        let questions = source.matches(QUESTION).count();
        if questions != 1 {
            return Err(placeholder(QUESTION, questions));
        }
        let budgets = source.matches(BUDGET).count();
        if budgets > 1 {
            return Err(placeholder(BUDGET, budgets));
        }
        let numbers = source.matches(NUMBER).count();
        if numbers + budgets > 1 {
            return Err(placeholder(NUMBER, numbers));
        }
        let mut parts = Vec::new();
        let mut rest = source;
        while !rest.is_empty() {
            let next = [
                (QUESTION, Part::Question),
                (BUDGET, Part::Budget),
                (NUMBER, Part::Number),
            ]
            .into_iter()
            .filter_map(|(hole, part)| rest.find(hole).map(|at| (at, hole.len(), part)))
            .min_by_key(|(at, ..)| *at);
            let Some((at, len, part)) = next else {
                parts.push(Part::Text(rest.to_owned()));
                break;
            };
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_owned()));
            }
            parts.push(part);
            rest = &rest[at + len..];
        }
        Ok(Self { parts })
    }

    /// The template of a prompt with a budget: the words of the rule give way before anything is
    /// filled in, so a question that holds the same words keeps them.
    pub(super) fn with_budget(
        set: &str,
        source: &str,
        replace: &str,
        by: &str,
    ) -> Result<Self, PromptError> {
        let found = if replace.is_empty() {
            0
        } else {
            source.matches(replace).count()
        };
        if found != 1 {
            return Err(PromptError::BudgetRule {
                set: set.to_owned(),
                found,
            });
        }
        let template = Self::parse(&format!("{set}.budget"), &source.replacen(replace, by, 1))?;
        if !template.takes_budget() {
            let template = format!("{set}.budget.by");
            return Err(PromptError::Placeholder {
                template,
                placeholder: BUDGET,
                found: 0,
            });
        }
        Ok(template)
    }

    /// Whether there is a hole for the budget.
    pub(super) fn takes_budget(&self) -> bool {
        self.parts.contains(&Part::Budget)
    }

    /// What the hole for a number counts; none if there is no such hole.
    pub(super) fn limit(&self) -> Option<LimitUnit> {
        self.parts.iter().find_map(|part| match part {
            Part::Budget => Some(LimitUnit::Tokens),
            Part::Number => Some(LimitUnit::Other),
            Part::Text(_) | Part::Question => None,
        })
    }

    /// Fills the holes; what is filled in is not looked at again. A hole for a number stays empty
    /// without one: callers check [`Self::limit`] first.
    pub(super) fn fill(&self, question: &str, number: Option<u32>) -> String {
        let mut out = String::with_capacity(question.len() + 256);
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Question => out.push_str(question),
                Part::Budget | Part::Number => {
                    out.push_str(&number.map(|n| n.to_string()).unwrap_or_default());
                }
            }
        }
        out
    }

    /// The inverse of [`Self::fill`]: what was filled in, if `prompt` came from this template.
    pub(super) fn read<'p>(&self, prompt: &'p str) -> Option<(&'p str, Option<u32>)> {
        let at = self.parts.iter().position(|p| *p == Part::Question)?;
        let digit = |c: char| c.is_ascii_digit();
        // What stands before the question is eaten from the front, what stands after it from the back.
        let (mut rest, mut budget) = (prompt, None);
        for part in &self.parts[..at] {
            rest = if let Part::Text(text) = part {
                rest.strip_prefix(text.as_str())?
            } else {
                let tail = rest.trim_start_matches(digit);
                budget = Some(rest[..rest.len() - tail.len()].parse().ok()?);
                tail
            };
        }
        for part in self.parts[at + 1..].iter().rev() {
            rest = if let Part::Text(text) = part {
                rest.strip_suffix(text.as_str())?
            } else {
                let head = rest.trim_end_matches(digit);
                budget = Some(rest[head.len()..].parse().ok()?);
                head
            };
        }
        Some((rest, budget))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Template {
        Template::parse("t", source).unwrap()
    }

    #[test]
    fn nothing_but_the_two_holes_is_interpreted() {
        let t = template(r"\frac{a}{b} {} {{x}} %s {question}!");
        assert_eq!(
            t.fill("1{budget}2{question}3 {{ 7*7 }}", None),
            r"\frac{a}{b} {} {{x}} %s 1{budget}2{question}3 {{ 7*7 }}!"
        );
    }

    #[test]
    fn the_question_must_have_one_place() {
        for (source, found) in [("Q: {q}", 0), ("{question} {question}", 2)] {
            let error = Template::parse("number.en.x", source).unwrap_err();
            assert!(
                matches!(error, PromptError::Placeholder { found: f, .. } if f == found),
                "{error}"
            );
        }
    }

    #[test]
    fn the_budget_rule_spares_the_same_words_in_a_question() {
        let t = Template::with_budget(
            "s",
            "Q: {question}\nthink:\n",
            "think:",
            "think under {budget}:",
        )
        .unwrap();
        assert_eq!(
            t.fill("think: {budget}?", Some(7)),
            "Q: think: {budget}?\nthink under 7:\n"
        );
    }

    #[test]
    fn a_rule_that_would_change_nothing_is_an_error() {
        for (source, replace, found) in [
            ("{question} denke:", "think:", 0),
            ("{question} a a", "a", 2),
            ("{question}", "", 0),
        ] {
            let error = Template::with_budget("s", source, replace, "{budget}").unwrap_err();
            assert!(
                matches!(error, PromptError::BudgetRule { found: f, .. } if f == found),
                "{error}"
            );
        }
        assert!(Template::with_budget("s", "{question} think:", "think:", "think less:").is_err());
    }

    #[test]
    fn reading_undoes_filling() {
        let after = template("Q: {question}\nless than {budget} tokens:\n");
        let before = template("under {budget} tokens: {question}");
        let without = template("{question}");
        for question in ["2+2?", "", "50\nless than 9 tokens:\n", "use 12", "é 让"] {
            for t in [&after, &before] {
                assert_eq!(
                    t.read(&t.fill(question, Some(42))),
                    Some((question, Some(42))),
                    "{question}"
                );
            }
            assert_eq!(without.read(question), Some((question, None)));
        }
        assert_eq!(after.read("Q: x\nless than tokens:\n"), None);
        assert_eq!(after.read("x"), None);
    }
}
