//! What the checks found.

use std::fmt;

use serde::Serialize;

use crate::messages::ComponentKind;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The rule holds.
    Passed,
    /// It does not.
    Failed {
        /// What was found instead.
        reason: String,
    },
    /// It does not apply.
    Skipped {
        /// Why not.
        reason: String,
    },
}

/// One rule and how its check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The rule's name, for instance `LLM-07`; never used for another rule.
    pub id: &'static str,
    /// The rule as a sentence.
    pub rule: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What the checks of one component found. Its text form is a line per rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The plugin's name.
    pub plugin: String,
    /// The component's kind.
    pub kind: ComponentKind,
    /// The component's name.
    pub component: String,
    /// All rules for the kind, in order.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether no check failed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(|c| matches!(c.outcome, Outcome::Failed { .. }))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} `{}`", self.plugin, self.kind, self.component)?;
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for Check { id, rule, outcome } in &self.checks {
            match outcome {
                Outcome::Passed => {
                    passed += 1;
                    writeln!(f, "  ok    {id}  {rule}")?;
                }
                Outcome::Failed { reason } => {
                    failed += 1;
                    writeln!(f, "  FAIL  {id}  {rule}: {reason}")?;
                }
                Outcome::Skipped { reason } => {
                    skipped += 1;
                    writeln!(f, "  skip  {id}  {rule} ({reason})")?;
                }
            }
        }
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}
