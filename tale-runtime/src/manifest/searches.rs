//! The tables of `task = "search"` and `task = "sweep"`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::schema;

/// How budgets are searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchSpec {
    /// Which budgets are tried; `docs/search.md` compares the four. `paper`: halve until a budget is
    /// refused, keep the last accepted one. `as-printed`: the paper's Algorithm 1 word by word.
    /// `reference`: as the paper's code, no result where no budget is accepted. `refine`: as
    /// `paper`, then bisect between the accepted and the refused budget. Default: `paper`.
    #[serde(default)]
    pub strategy: SearchStrategy,
    /// Which questions are searched. `right`: those that vanilla CoT answers rightly, as in the paper.
    /// `any`: the others, too; what is found there is right where vanilla CoT was wrong. Default:
    /// `right`.
    #[serde(default, skip_serializing_if = "SearchStart::is_right")]
    pub start: SearchStart,
    /// The most budgets tried for a question. Default: no limit; halving ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_steps: Option<u32>,
    /// How far `strategy = "refine"` goes.
    #[serde(default)]
    pub refine: RefineSpec,
}

/// Which budgets a search tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SearchStrategy {
    /// Algorithm 1 as the paper means it.
    #[default]
    Paper,
    /// Algorithm 1 as it is printed.
    AsPrinted,
    /// As the paper's code.
    Reference,
    /// The paper's, then bisection.
    Refine,
}

/// Which vanilla answers a search starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SearchStart {
    /// Right ones.
    #[default]
    Right,
    /// All of them.
    Any,
}

impl SearchStart {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the form that serde asks for"
    )]
    fn is_right(&self) -> bool {
        *self == Self::Right
    }
}

/// When bisection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefineSpec {
    /// It ends where the next budget would be smaller by fewer tokens than this, or where the last
    /// accepted one saved fewer output tokens. Default: 8.
    #[serde(default = "default_min_gain")]
    #[schemars(range(min = 1))]
    pub min_gain: u32,
    /// The most calls for a question after halving has ended. Default: 4.
    #[serde(default = "default_max_extra_calls")]
    pub max_extra_calls: u32,
}

impl Default for RefineSpec {
    fn default() -> Self {
        Self {
            min_gain: default_min_gain(),
            max_extra_calls: default_max_extra_calls(),
        }
    }
}

/// Who decides whether a search may keep a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeasibilitySpec {
    /// The component that decides. `greedy`: right, and fewer output tokens than before (the paper's
    /// Algorithm 2). `correct`: right, whatever it costs. `majority`: right in most of several
    /// answers. Default: `greedy`.
    #[serde(default = "default_feasibility")]
    #[schemars(length(min = 1))]
    pub plugin: String,
    /// The plugin's own options; `tale plugin inspect` shows them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

impl Default for FeasibilitySpec {
    fn default() -> Self {
        Self {
            plugin: default_feasibility(),
            options: Map::new(),
        }
    }
}

/// Under which budgets a sweep asks every question; either `factors` or `budgets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepSpec {
    /// What `factors` multiply: the output tokens of the question's `vanilla` answer, or the budget
    /// that a search found for it (`searched`; the search is made first). Default: `vanilla`.
    #[serde(default)]
    pub relative_to: RelativeTo,
    /// Multiples, rounded down to whole tokens, at least 1. The paper's Table 8 has 2⁻⁵ to 2⁰ of
    /// vanilla, its Table 2 has 2⁻² to 2² of the searched budget. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::factors")]
    pub factors: Vec<f64>,
    /// Budgets in tokens, the same for every question. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::budgets")]
    pub budgets: Vec<u32>,
}

/// What the factors of a sweep multiply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RelativeTo {
    /// The output tokens of the vanilla answer.
    #[default]
    Vanilla,
    /// The budget that a search found.
    Searched,
}

fn default_min_gain() -> u32 {
    8
}

fn default_max_extra_calls() -> u32 {
    4
}

fn default_feasibility() -> String {
    "greedy".to_owned()
}
