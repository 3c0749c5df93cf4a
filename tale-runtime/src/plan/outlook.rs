//! What an evaluation is going to ask and cost: counted on its own prompts, less what is answered.
//!
//! Every question is rendered by every method, as the run would do it, or a drawn sample of the
//! questions where there are many. Whatever the journal of the run or the cache knows is free. An
//! estimator is really asked, with a model behind it that knows only recorded answers.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use tale_api::{
    Completion, Error, ErrorKind, EstimateRequest, Events, GenerateEvent, GenerateRequest, Llm,
    LlmInfo, Message, Question, Result, async_trait,
};

use super::{LlmPlan, Plan, PreviewError, marks, open};
use crate::{
    billing::Tariff,
    cache::{Access, AnswerCache},
    manifest::LlmSpec,
    pipeline::{
        BudgetSource, CallDefaults, DatasetSetup, Draw, EstimateOn, EstimatorSetup, Identity,
        MethodSetup, PipelineError, completion,
    },
    registry::Registry,
    store::{CallKey, CallRow, Outcome, Reader},
};

/// Questions of a data set whose prompts are counted; of more, so many are drawn and scaled up.
const MOST: u64 = 1000;

/// Characters of English text per token, about; models differ by some 20%.
const CHARACTERS_PER_TOKEN: u64 = 4;

/// Tokens that a provider puts around a message, about.
const FRAME: u64 = 4;

/// A stand-in for a budget that only an estimate will tell.
const UNKNOWN_BUDGET: u32 = 100;

/// What one model is going to be asked, and what that costs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outlook {
    /// The model.
    pub llm: String,
    /// Calls still to be made, estimates included.
    pub calls: u64,
    /// Calls that the journal or the cache has the answers of.
    pub answered: u64,
    /// Prompt tokens of the calls to be made.
    pub input_tokens: u64,
    /// Output tokens if every answer ran to `max_tokens`.
    pub output_tokens_at_most: u64,
    /// Output tokens if answers are as long as those known so far; absent where none are known.
    pub output_tokens_expected: Option<u64>,
    /// What that costs in US dollars, where the model has prices.
    pub cost_usd_at_most: Option<f64>,
    /// What is to be expected.
    pub cost_usd_expected: Option<f64>,
    /// Where the prices come from.
    pub prices: Option<String>,
    /// Whether the model counted the tokens itself; else four characters were taken for one.
    pub counted: bool,
    /// Whether questions were drawn and their numbers scaled up.
    pub sampled: bool,
}

/// Sums over the calls of one method on the questions looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    calls: u64,
    answered: u64,
    input: u64,
    most: u64,
    /// Answering calls, and estimates, still to be made.
    open: [u64; 2],
    /// Known lengths of both kinds: how many, and their tokens.
    known: [(u64, u64); 2],
}

const ANSWER: usize = 0;
const ESTIMATE: usize = 1;

impl Sums {
    fn learn(&mut self, kind: usize, tokens: Option<u64>) {
        if let Some(tokens) = tokens {
            self.known[kind].0 += 1;
            self.known[kind].1 += tokens;
        }
    }

    /// Output tokens to be expected; none where a kind that is open has no known length.
    fn expected(&self) -> Option<u64> {
        let mut sum = 0;
        for (open, (n, tokens)) in self.open.iter().zip(self.known) {
            if *open > 0 {
                sum += (open * tokens).checked_div(n)?;
            }
        }
        Some(sum)
    }
}

impl Plan {
    /// What each model is going to be asked by the evaluation whose run directory is `dir`.
    ///
    /// Models that are services are created, to count tokens; weights are not loaded for it.
    ///
    /// # Errors
    /// A data set that cannot be read, a template that cannot be rendered.
    pub async fn outlook(
        &self,
        registry: &Registry,
        dir: &Path,
    ) -> std::result::Result<Vec<Outlook>, PreviewError> {
        let set = Arc::new(self.prompts.clone());
        let methods: Vec<_> = self.methods.iter().map(|m| open::method(m, &set)).collect();
        let estimator = self.open_estimator(registry).await?;
        let journal = Reader::open(dir)
            .ok()
            .map(|reader| Arc::new(Mutex::new(reader)));
        let mut datasets = Vec::new();
        for plan in &self.datasets {
            datasets.push(self.open_dataset(registry, plan).await?);
        }
        let mut outlooks = Vec::new();
        for (plan, spec) in self.llms.iter().zip(&self.manifest.llm) {
            let asked = Arc::new(self.probe(registry, plan, spec, journal.clone()).await);
            let mut outlook = Outlook {
                llm: plan.label.clone(),
                counted: asked.counts,
                output_tokens_expected: Some(0),
                ..Outlook::default()
            };
            for dataset in &datasets {
                for method in &methods {
                    let look = Look {
                        plan: self,
                        llm: &plan.label,
                        dataset,
                        method,
                        estimator: estimator.as_ref(),
                        probe: &asked,
                    };
                    look.add_to(&mut outlook).await?;
                }
            }
            let tariff = plan.pricing.tariff(asked.info.as_ref());
            outlook.price(tariff.as_ref(), plan.tier.as_deref());
            outlooks.push(outlook);
        }
        Ok(outlooks)
    }

    /// A model that knows recorded answers only, and counts as the real one where that can be had.
    async fn probe(
        &self,
        registry: &Registry,
        plan: &LlmPlan,
        spec: &LlmSpec,
        journal: Option<Arc<Mutex<Reader>>>,
    ) -> Probe {
        let schema = &plan.component.located.component.options;
        let created = if marks::loads_weights(schema) {
            None
        } else {
            // Without a key, say, a service cannot be had; then characters are counted.
            self.open_llm(registry, plan).await.ok()
        };
        let (llm, info) = created.unzip();
        let identity = info
            .as_ref()
            .map(|info| Identity::new(&self.source_of(&plan.component, &spec.options), info));
        let cache = info
            .as_ref()
            .and_then(|info| self.cache_of(plan, info))
            .filter(|(path, _)| path.exists())
            .and_then(|(path, _)| AnswerCache::open(&path, Access::ReadOnly).ok());
        Probe {
            counts: info.as_ref().is_some_and(|i| i.capabilities.count_tokens),
            llm,
            info,
            identity,
            defaults: open::call_defaults(spec, self.manifest.seed),
            max_tokens: spec.max_tokens,
            journal,
            cache,
            sums: Mutex::default(),
        }
    }
}

impl Outlook {
    fn price(&mut self, tariff: Option<&Tariff>, tier: Option<&str>) {
        let Some(tariff) = tariff else { return };
        let (input, most) = (self.input_tokens, self.output_tokens_at_most);
        self.prices = Some(tariff.origin.to_string());
        self.cost_usd_at_most = Some(tariff.at_most_usd(input, most, tier));
        self.cost_usd_expected = self.output_tokens_expected.map(|output_tokens| {
            let usage = tale_api::Usage {
                input_tokens: input,
                output_tokens,
                ..tale_api::Usage::default()
            };
            tariff.rates(tier).unwrap_or(tariff.base).cost_usd(&usage)
        });
    }
}

/// One method on one data set.
struct Look<'a> {
    plan: &'a Plan,
    llm: &'a str,
    dataset: &'a DatasetSetup,
    method: &'a MethodSetup,
    estimator: Option<&'a EstimatorSetup>,
    probe: &'a Arc<Probe>,
}

impl Look<'_> {
    async fn add_to(&self, outlook: &mut Outlook) -> std::result::Result<(), PreviewError> {
        let total = self.dataset.selection.count(self.dataset.info.size);
        let mut drawn = self.dataset.clone();
        if total.is_some_and(|total| total > MOST) {
            let seed = drawn
                .selection
                .draw
                .map_or(self.plan.manifest.seed, |d| d.seed);
            drawn.selection.draw = Some(Draw { n: MOST, seed });
        }
        *self.probe.sums() = Sums::default();
        let finished = self.finished();
        let repeats = self.plan.manifest.evaluate.repeats.max(1);
        let mut questions = drawn.questions().await?;
        let mut looked = 0;
        while let Some((position, question)) = questions.next().await? {
            looked += 1;
            // Where the size is not known, all are counted, and the first ones looked at.
            if total.is_none() && looked > MOST {
                continue;
            }
            for repeat in 0..repeats {
                if finished.contains(&(position, repeat)) {
                    let estimates = matches!(self.method.budget, BudgetSource::Estimated { .. });
                    self.probe.sums().answered += 1 + u64::from(estimates);
                } else {
                    self.sample(&question, repeat).await?;
                }
            }
        }
        let seen = looked.min(MOST);
        let all = total.unwrap_or(looked);
        let scale = |n: u64| (n * all).checked_div(seen).unwrap_or(0);
        let sums = *self.probe.sums();
        outlook.calls += scale(sums.calls);
        outlook.answered += scale(sums.answered);
        outlook.input_tokens += scale(sums.input);
        outlook.output_tokens_at_most += scale(sums.most);
        let expected = sums.expected().map(scale);
        outlook.output_tokens_expected = outlook
            .output_tokens_expected
            .zip(expected)
            .map(|(a, b)| a + b);
        outlook.sampled |= all > seen;
        Ok(())
    }

    /// Samples that the journal has, whose lengths are learnt from.
    fn finished(&self) -> HashSet<(u64, u32)> {
        let mut finished = HashSet::new();
        let Some(journal) = &self.probe.journal else {
            return finished;
        };
        let journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = journal.cells().unwrap_or_default();
        let mine = cells.iter().find(|(_, cell)| {
            (
                cell.llm.as_str(),
                cell.dataset.as_str(),
                cell.method.as_str(),
            ) == (
                self.llm,
                self.dataset.label.as_str(),
                self.method.name.as_str(),
            )
        });
        let Some((id, _)) = mine else {
            return finished;
        };
        let mut sums = self.probe.sums();
        // A journal that cannot be read makes a forecast that is too high, and the run will tell.
        let _ = journal.for_each_measure(*id, |m| {
            if m.outcome != Outcome::Failed {
                finished.insert((m.position, m.repeat));
                sums.learn(ANSWER, m.output_tokens.map(u64::from));
                sums.learn(ESTIMATE, Some(m.estimate_output_tokens.into()));
            }
        });
        finished
    }

    async fn sample(
        &self,
        question: &Question,
        repeat: u32,
    ) -> std::result::Result<(), PreviewError> {
        let budget = match (self.method.budget, self.estimator) {
            (BudgetSource::Fixed(tokens), _) => Some(tokens),
            (BudgetSource::Estimated { .. }, Some(setup)) => {
                Some(self.estimate(setup, question, repeat).await?)
            }
            _ => None,
        };
        let messages = self.render(question, budget)?;
        let request = GenerateRequest {
            reasoning: self.method.reasoning,
            ..GenerateRequest::new(messages)
        };
        self.probe.look(request, repeat, ANSWER).await;
        Ok(())
    }

    async fn estimate(
        &self,
        setup: &EstimatorSetup,
        question: &Question,
        repeat: u32,
    ) -> std::result::Result<u32, PreviewError> {
        let text = match setup.on {
            EstimateOn::Question => question.text.clone(),
            EstimateOn::FullPrompt => {
                let prompt = self.render(question, None)?;
                prompt.last().map(|m| m.content.clone()).unwrap_or_default()
            }
        };
        let question = Question {
            gold: None,
            ..question.clone()
        };
        let asked = Arc::new(Asking {
            probe: Arc::clone(self.probe),
            repeat,
        });
        let estimate = setup
            .estimator
            .estimate(EstimateRequest { question, text }, asked)
            .await;
        let budget = estimate.ok().and_then(|estimate| estimate.budget);
        Ok(budget.unwrap_or(UNKNOWN_BUDGET).max(1))
    }

    fn render(
        &self,
        question: &Question,
        budget: Option<u32>,
    ) -> std::result::Result<Vec<Message>, PipelineError> {
        (self.method.render)(question, budget).map_err(|cause| PipelineError::Prompt {
            dataset: self.dataset.label.clone(),
            question: question.id.clone(),
            cause,
        })
    }
}

/// A model that knows recorded answers only, and counts what it would be asked.
struct Probe {
    llm: Option<Arc<dyn Llm>>,
    info: Option<LlmInfo>,
    counts: bool,
    identity: Option<Identity>,
    defaults: CallDefaults,
    max_tokens: u32,
    journal: Option<Arc<Mutex<Reader>>>,
    cache: Option<AnswerCache>,
    sums: Mutex<Sums>,
}

impl Probe {
    fn sums(&self) -> std::sync::MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recorded answer; else the call is counted.
    async fn look(&self, request: GenerateRequest, repeat: u32, kind: usize) -> Option<CallRow> {
        let request = self.defaults.fill(request, repeat);
        let known = match &self.identity {
            Some(identity) => self.known(identity.key(&request, repeat)).await,
            None => None,
        };
        if let Some(row) = known {
            let mut sums = self.sums();
            sums.answered += 1;
            sums.learn(kind, row.output_tokens);
            return Some(row);
        }
        let input = self.count(&request.messages).await;
        let mut sums = self.sums();
        sums.calls += 1;
        sums.open[kind] += 1;
        sums.input += input;
        sums.most += u64::from(request.max_tokens.unwrap_or(self.max_tokens));
        None
    }

    async fn known(&self, key: CallKey) -> Option<CallRow> {
        if let Some(journal) = &self.journal {
            let journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            if let Ok(Some((_, row))) = journal.find_call(key) {
                return Some(row);
            }
        }
        self.cache.as_ref()?.find(key).await
    }

    async fn count(&self, messages: &[Message]) -> u64 {
        let mut sum = FRAME;
        for message in messages {
            let counted = match &self.llm {
                Some(llm) if self.counts => llm.count_tokens(&message.content).await.ok(),
                _ => None,
            };
            let about = || (message.content.chars().count() as u64).div_ceil(CHARACTERS_PER_TOKEN);
            sum += FRAME + counted.unwrap_or_else(about);
        }
        sum
    }
}

/// The probe as an estimator sees it.
struct Asking {
    probe: Arc<Probe>,
    repeat: u32,
}

#[async_trait]
impl Llm for Asking {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(self.probe.info.clone().unwrap_or_default())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        _: Events<GenerateEvent>,
    ) -> Result<Completion> {
        let known = self.probe.look(request, self.repeat, ESTIMATE).await;
        known
            .map(completion)
            .ok_or_else(|| Error::new(ErrorKind::Unavailable, "nothing is asked for a forecast"))
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        match &self.probe.llm {
            Some(llm) => llm.count_tokens(text).await,
            None => Err(Error::new(
                ErrorKind::Unsupported,
                "nothing is loaded for a forecast",
            )),
        }
    }
}
