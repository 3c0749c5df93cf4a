//! From an estimate to the budget that is asked for.

use tale_api::Estimate;

/// What to do where an estimator gives no budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Answer by the vanilla chain of thought, without a budget (the default).
    VanillaCot,
    /// Answer under this budget.
    Budget(u32),
    /// Count the sample as failed.
    Fail,
}

/// How an estimate becomes a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetRule {
    /// Factor on the estimate (paper A.8).
    pub alpha: f64,
    /// The smallest budget asked for.
    pub min: u32,
    /// The largest budget asked for.
    pub max: Option<u32>,
    /// What to do where there is no estimate.
    pub fallback: Fallback,
}

/// The budget of one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// Tokens to ask for; none is the vanilla chain of thought.
    pub(super) tokens: Option<u32>,
    /// How it was come by if not in the usual way.
    pub(super) fallback: Option<String>,
}

impl BudgetRule {
    /// The budget for `estimate`; an error says why there is none and the sample has failed.
    pub(super) fn apply(&self, estimate: &Estimate) -> Result<Budget, String> {
        if let Some(estimated) = estimate.budget {
            let scaled = self.scale(estimated);
            let bounded = scaled.clamp(self.min, self.max.unwrap_or(u32::MAX).max(self.min));
            let note = (bounded != scaled).then(|| format!("{scaled} clamped to {bounded}"));
            let fallback = match (estimate.fallback.clone(), note) {
                (Some(a), Some(b)) => Some(format!("{a}; {b}")),
                (a, b) => a.or(b),
            };
            return Ok(Budget {
                tokens: Some(bounded),
                fallback,
            });
        }
        let why = estimate
            .fallback
            .as_deref()
            .unwrap_or("the estimator gave no budget");
        match self.fallback {
            Fallback::VanillaCot => Ok(Budget {
                tokens: None,
                fallback: Some(format!("{why}; vanilla CoT")),
            }),
            Fallback::Budget(tokens) => Ok(Budget {
                tokens: Some(tokens),
                fallback: Some(format!("{why}; budget {tokens}")),
            }),
            Fallback::Fail => Err(why.to_owned()),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and a budget beyond u32 is as good as none"
    )]
    fn scale(&self, estimated: u32) -> u32 {
        ((f64::from(estimated) * self.alpha).round() as u32).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: BudgetRule = BudgetRule {
        alpha: 1.0,
        min: 1,
        max: None,
        fallback: Fallback::VanillaCot,
    };

    fn estimate(budget: Option<u32>) -> Estimate {
        let fallback = budget
            .is_none()
            .then(|| "no number in the reply".to_owned());
        Estimate {
            budget,
            fallback,
            ..Estimate::default()
        }
    }

    #[test]
    fn an_estimate_is_the_budget() {
        let budget = RULE.apply(&estimate(Some(50))).unwrap();
        assert_eq!(
            budget,
            Budget {
                tokens: Some(50),
                fallback: None
            }
        );
    }

    #[test]
    fn alpha_scales_and_never_reaches_zero() {
        let half = BudgetRule { alpha: 0.5, ..RULE };
        assert_eq!(half.apply(&estimate(Some(51))).unwrap().tokens, Some(26));
        assert_eq!(half.apply(&estimate(Some(1))).unwrap().tokens, Some(1));
        let huge = BudgetRule {
            alpha: 1e300,
            ..RULE
        };
        assert_eq!(
            huge.apply(&estimate(Some(9))).unwrap().tokens,
            Some(u32::MAX)
        );
    }

    #[test]
    fn a_clamped_budget_says_so() {
        let rule = BudgetRule {
            min: 10,
            max: Some(100),
            ..RULE
        };
        let budget = rule.apply(&estimate(Some(5000))).unwrap();
        assert_eq!(budget.tokens, Some(100));
        assert_eq!(budget.fallback.as_deref(), Some("5000 clamped to 100"));
    }

    #[test]
    fn no_estimate_falls_back_as_told() {
        let vanilla = RULE.apply(&estimate(None)).unwrap();
        assert_eq!(vanilla.tokens, None);
        assert_eq!(
            vanilla.fallback.as_deref(),
            Some("no number in the reply; vanilla CoT")
        );
        let fixed = BudgetRule {
            fallback: Fallback::Budget(80),
            ..RULE
        };
        assert_eq!(fixed.apply(&estimate(None)).unwrap().tokens, Some(80));
        let fail = BudgetRule {
            fallback: Fallback::Fail,
            ..RULE
        };
        assert_eq!(
            fail.apply(&estimate(None)),
            Err("no number in the reply".to_owned())
        );
    }
}
