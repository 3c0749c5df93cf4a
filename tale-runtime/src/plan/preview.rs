//! `--dry-run`: what a plan would ask, how often, and what that may cost. No model is created.

use std::{ops::RangeInclusive, sync::Arc};

use serde::Serialize;
use tale_api::{Message, Prices};
use tale_plugin_standard::Method;

use super::{OpenError, Outlook, Plan, open};
use crate::{
    manifest::{SearchSpec, SearchStrategy, Task},
    pipeline::{BudgetSource, DatasetSetup, MethodSetup, PipelineError},
    registry::Registry,
};

/// Questions whose prompts are rendered to forecast the mean length of a prompt.
const SAMPLED: usize = 200;

/// Characters of English text per token, about; models differ by some 20%.
const CHARACTERS_PER_TOKEN: f64 = 4.0;

/// A stand-in for the budget that only an estimate will tell.
const UNKNOWN_BUDGET: u32 = 100;

/// What a plan would do.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The prompts of the first question of each data set.
    pub prompts: Vec<PromptPreview>,
    /// What each model would be asked.
    pub forecast: Vec<Forecast>,
    /// What an evaluation has still to ask, counted on its own prompts; absent for other tasks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outlook: Vec<Outlook>,
}

/// A rendered prompt.
#[derive(Clone, Debug, Serialize)]
pub struct PromptPreview {
    /// The data set.
    pub dataset: String,
    /// The question's id.
    pub id: String,
    /// The method.
    pub method: String,
    /// The messages. Where the budget is to be estimated, 100 stands in its place.
    pub messages: Vec<Message>,
}

/// Calls, tokens and money for one model.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// The model.
    pub llm: String,
    /// Questions over all data sets; absent where a data set does not know its size.
    pub questions: Option<u64>,
    /// Calls, estimates included, if nothing is in the journal yet; the most there can be where that
    /// depends on the answers.
    pub calls: Option<u64>,
    /// The fewest calls there can be: of a search, those without a budget.
    pub calls_at_least: Option<u64>,
    /// Prompt tokens, at four characters a token, without the model's chat template.
    pub input_tokens_about: Option<u64>,
    /// Output tokens if every answer ran to `max_tokens`.
    pub output_tokens_at_most: Option<u64>,
    /// The price of both, where the manifest has prices.
    pub cost_usd_at_most: Option<f64>,
}

/// Why a preview could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreviewError {
    /// A data set could not be created.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its first questions could not be read or rendered.
    #[error(transparent)]
    Read(#[from] PipelineError),
}

impl Plan {
    /// Looks ahead: reads the first questions, renders their prompts, counts.
    ///
    /// # Errors
    /// A data set that cannot be read, a template that cannot be rendered.
    pub async fn preview(&self, registry: &Registry) -> Result<Preview, PreviewError> {
        let mut prompts = Vec::new();
        let mut total = Some(Count::default());
        for plan in &self.datasets {
            let dataset = self.open_dataset(registry, plan).await?;
            let (first, characters) = self.render_some(&dataset).await?;
            prompts.extend(first);
            let questions = dataset.selection.count(dataset.info.size);
            total = total
                .zip(questions)
                .map(|(total, n)| total.add(n, characters));
        }
        let forecast = self
            .llms
            .iter()
            .zip(&self.manifest.llm)
            .map(|(llm, spec)| {
                let prices: Option<Prices> = llm.pricing.tariff(None).map(|t| t.base.into());
                let calls = self.calls_a_question(spec.max_tokens);
                Forecast::of(&llm.label, total.as_ref(), &calls, spec.max_tokens, prices)
            })
            .collect();
        Ok(Preview {
            prompts,
            forecast,
            outlook: Vec::new(),
        })
    }

    /// How many calls a question takes, at least and at most.
    fn calls_a_question(&self, max_tokens: u32) -> RangeInclusive<u64> {
        let searched = self
            .manifest
            .search
            .map_or(0, |s| candidates(s, max_tokens));
        let points = self
            .manifest
            .sweep
            .as_ref()
            .map_or(0, |s| open::points(s).len()) as u64;
        match self.manifest.task {
            Task::Evaluate => {
                let estimates = self.methods.iter().filter(|m| m.needs_estimate()).count();
                let calls = (self.methods.len() + estimates) as u64;
                calls..=calls
            }
            Task::Search | Task::Train | Task::PostTrain => 1..=1 + searched,
            Task::Sweep if self.manifest.searches() => 1..=1 + searched + points,
            Task::Sweep => 1 + points..=1 + points,
        }
    }

    /// The ways of asking whose prompts are shown.
    fn shown_methods(&self) -> Vec<MethodSetup> {
        let set = Arc::new(self.prompts.clone());
        if self.manifest.task == Task::Evaluate {
            return self.methods.iter().map(|m| open::method(m, &set)).collect();
        }
        let under_budget = MethodSetup {
            name: "under a budget".to_owned(),
            budget: BudgetSource::Fixed(UNKNOWN_BUDGET),
            ..open::method(&Method::TaleEp, &set)
        };
        vec![open::method(&Method::VanillaCot, &set), under_budget]
    }

    /// The prompts of the first question, and the mean characters of a prompt.
    async fn render_some(
        &self,
        dataset: &DatasetSetup,
    ) -> Result<(Vec<PromptPreview>, f64), PreviewError> {
        let methods = self.shown_methods();
        let mut first = Vec::new();
        let mut characters = Vec::new();
        let mut read = 0_usize;
        let mut questions = dataset.questions().await?;
        while read < SAMPLED
            && let Some((_, question)) = questions.next().await?
        {
            for method in &methods {
                let budget = match method.budget {
                    BudgetSource::None => None,
                    BudgetSource::Fixed(tokens) => Some(tokens),
                    BudgetSource::Estimated { .. } => Some(UNKNOWN_BUDGET),
                };
                let messages = (method.render)(&question, budget).map_err(|cause| {
                    let (dataset, question) = (dataset.label.clone(), question.id.clone());
                    PipelineError::Prompt {
                        dataset,
                        question,
                        cause,
                    }
                })?;
                let length = length(&messages);
                characters.push(length);
                // The estimate's own prompt is about as long as the question's.
                if read == 0 {
                    let (dataset, id) = (dataset.label.clone(), question.id.clone());
                    let method = method.name.clone();
                    first.push(PromptPreview {
                        dataset,
                        id,
                        method,
                        messages,
                    });
                }
            }
            read += 1;
        }
        Ok((first, mean(&characters)))
    }
}

/// The most budgets that a search tries for a question whose vanilla answer has `max_tokens`.
fn candidates(spec: SearchSpec, max_tokens: u32) -> u64 {
    let halvings = u64::from(max_tokens.checked_ilog2().unwrap_or(0));
    let most = match spec.strategy {
        // The budget that Algorithm 1 as printed tries twice is asked once.
        SearchStrategy::Paper | SearchStrategy::Reference | SearchStrategy::AsPrinted => halvings,
        SearchStrategy::Refine => halvings + u64::from(spec.refine.max_extra_calls),
    };
    spec.max_steps.map_or(most, |steps| most.min(steps.into()))
}

/// Questions and their prompts over data sets.
#[derive(Clone, Debug, Default)]
struct Count {
    questions: u64,
    /// Of one prompt a question.
    characters: f64,
}

impl Count {
    #[expect(clippy::cast_precision_loss, reason = "a forecast")]
    fn add(mut self, questions: u64, characters: f64) -> Self {
        self.questions += questions;
        self.characters += questions as f64 * characters;
        self
    }
}

impl Forecast {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a count of tokens, never negative"
    )]
    fn of(
        llm: &str,
        total: Option<&Count>,
        calls: &RangeInclusive<u64>,
        max_tokens: u32,
        prices: Option<Prices>,
    ) -> Self {
        let most = *calls.end();
        let input = total.map(|t| {
            let characters = t.characters * most as f64;
            (characters / CHARACTERS_PER_TOKEN).round() as u64
        });
        let output = total.map(|t| t.questions * most * u64::from(max_tokens));
        let cost = prices
            .zip(input.zip(output))
            .map(|(prices, (input_tokens, output_tokens))| {
                prices.cost_usd(&tale_api::Usage {
                    input_tokens,
                    output_tokens,
                    ..tale_api::Usage::default()
                })
            });
        Self {
            llm: llm.to_owned(),
            questions: total.map(|t| t.questions),
            calls: total.map(|t| t.questions * most),
            calls_at_least: total.map(|t| t.questions * calls.start()),
            input_tokens_about: input,
            output_tokens_at_most: output,
            cost_usd_at_most: cost,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "lengths of prompts")]
fn length(messages: &[Message]) -> f64 {
    messages
        .iter()
        .map(|m| m.content.chars().count())
        .sum::<usize>() as f64
}

#[expect(clippy::cast_precision_loss, reason = "a handful of prompts")]
fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        0.0
    } else {
        values.iter().sum::<f64>() / values.len() as f64
    }
}
