//! Two judgements of the same questions: where they differ, and whether that is more than chance.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;
use tale_grading::AnswerKind;

use super::{Answer, Judged};
use crate::{
    cli::{Failure, usage},
    report::mcnemar_exact,
};

/// Pairs answers by what both files call them.
pub(super) struct Comparison {
    others: HashMap<(String, [Option<String>; 3]), Judged>,
    totals: Totals,
    keeps: bool,
}

/// How the two sides agree.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Totals {
    /// Answers that both judged.
    pub pairs: u64,
    /// Answers of the first side without a counterpart.
    pub only_in_a: u64,
    /// Answers of the other side without one.
    pub only_in_b: u64,
    /// By kind of answer.
    pub by_kind: BTreeMap<&'static str, Counts>,
    /// Over all kinds.
    pub all: Counts,
    /// Exact two-sided McNemar test of "a right" against "b right".
    pub p_value: f64,
    /// The pairs of different verdicts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disagreements: Vec<Difference>,
}

/// Verdicts of pairs. Undecided is not right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub both_right: u64,
    pub only_a_right: u64,
    pub only_b_right: u64,
    pub neither_right: u64,
    /// Pairs of which at least one side is undecided; counted above, too.
    pub undecided: u64,
}

/// A pair of different verdicts.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Difference {
    id: Value,
    gold: Option<Value>,
    a: Side,
    b: Side,
}

#[derive(Clone, Debug, Serialize)]
struct Side {
    answer: Option<String>,
    correct: Option<bool>,
    reason: String,
}

impl From<Judged> for Side {
    fn from(judged: Judged) -> Self {
        let Judged {
            answer,
            correct,
            reason,
        } = judged;
        Self {
            answer,
            correct,
            reason,
        }
    }
}

impl Comparison {
    /// `keeps` whether differences are wanted in the totals.
    pub(super) fn new(keeps: bool) -> Self {
        Self {
            others: HashMap::new(),
            totals: Totals::default(),
            keeps,
        }
    }

    /// Takes a verdict of the other side.
    pub(super) fn other(&mut self, answer: &Answer, judged: Judged) -> Result<(), Failure> {
        let id = answer.id.to_string();
        if self.others.insert(answer.key(), judged).is_some() {
            return Err(usage(
                format!("two answers of the other file have the id {id}"),
                "answers are paired by id, so each may come once",
            ));
        }
        Ok(())
    }

    /// Takes a verdict of the first side, and tells if its counterpart is another.
    pub(super) fn pair(
        &mut self,
        answer: &Answer,
        kind: Option<AnswerKind>,
        judged: Judged,
    ) -> Option<Difference> {
        let (id, of_run) = answer.key();
        // A file of a run may be held against one that knows no runs.
        let other = self
            .others
            .remove(&(id.clone(), of_run))
            .or_else(|| self.others.remove(&(id, [None, None, None])));
        let Some(other) = other else {
            self.totals.only_in_a += 1;
            return None;
        };
        self.totals.pairs += 1;
        let name = match answer.kind(kind) {
            AnswerKind::Number => "number",
            AnswerKind::Choice => "choice",
            AnswerKind::Math => "math",
            AnswerKind::Text => "text",
        };
        let verdicts = (judged.correct, other.correct);
        self.totals.all.add(verdicts);
        self.totals.by_kind.entry(name).or_default().add(verdicts);
        if judged.correct == other.correct {
            return None;
        }
        let difference = Difference {
            id: answer.id.clone(),
            gold: answer.gold.clone(),
            a: judged.into(),
            b: other.into(),
        };
        if self.keeps {
            self.totals.disagreements.push(difference.clone());
        }
        Some(difference)
    }

    pub(super) fn totals(self) -> Totals {
        let mut totals = self.totals;
        totals.only_in_b = self.others.len() as u64;
        totals.p_value = mcnemar_exact(totals.all.only_a_right, totals.all.only_b_right);
        totals
    }
}

impl Counts {
    fn add(&mut self, (a, b): (Option<bool>, Option<bool>)) {
        let cell = match (a == Some(true), b == Some(true)) {
            (true, true) => &mut self.both_right,
            (true, false) => &mut self.only_a_right,
            (false, true) => &mut self.only_b_right,
            (false, false) => &mut self.neither_right,
        };
        *cell += 1;
        self.undecided += u64::from(a.is_none() || b.is_none());
    }

    fn line(self, name: &str) -> String {
        let Self {
            both_right,
            only_a_right,
            only_b_right,
            neither_right,
            undecided,
        } = self;
        format!(
            "{name}: {both_right} both right, {only_a_right} only a, {only_b_right} only b, \
             {neither_right} neither; {undecided} undecided"
        )
    }
}

impl Totals {
    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.by_kind.iter().map(|(k, c)| c.line(k)).collect();
        if lines.len() > 1 {
            lines.push(self.all.line("all"));
        }
        lines.push(format!(
            "{} pairs; McNemar p = {:.4}",
            self.pairs, self.p_value
        ));
        if self.only_in_a + self.only_in_b > 0 {
            lines.push(format!(
                "without a counterpart: {} of a, {} of b",
                self.only_in_a, self.only_in_b
            ));
        }
        lines
    }
}
