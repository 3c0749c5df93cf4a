//! Evaluation during training: what the model answers now to questions that it is not trained on.
//!
//! Loss says how likely the targets are; what counts is whether answers are right and how long they
//! are. Answers are greedy, with the adapter as it is at that step, and nothing of the training
//! depends on them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

use serde::Deserialize;
use tale_api::{Error, ErrorKind, Message, Result};
use tale_grading::{AnswerKind, GradeRequest, Verdict, grade};
use tale_llama::{Drawing, Llama, Lora, Request, generate, is_out_of_memory};
use tale_training::template;
use tale_weights::{Model, Vocabulary};

use crate::options::Settings;

/// Answers computed together, where memory suffices.
const BATCH: usize = 16;

/// A line of the file; what else it holds is not read.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(alias = "messages", alias = "question")]
    prompt: Prompt,
    #[serde(alias = "answer")]
    gold: String,
    #[serde(default = "number")]
    kind: AnswerKind,
    /// Options of a choice.
    #[serde(default)]
    choices: usize,
}

fn number() -> AnswerKind {
    AnswerKind::Number
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Prompt {
    /// What a user says.
    Text(String),
    Messages(Vec<Message>),
}

#[derive(Debug)]
struct Gold {
    text: String,
    kind: AnswerKind,
    choices: usize,
}

/// Questions ready for the model.
#[derive(Debug)]
pub(crate) struct Questions {
    prompts: Vec<Vec<u32>>,
    gold: Vec<Gold>,
    vocabulary: Vocabulary,
    max_tokens: usize,
    batch: usize,
}

/// The answers of one time, as `eval_…` metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    /// The share that is right; a question that cannot be graded counts as wrong.
    pub(crate) accuracy: f64,
    /// Tokens of an answer on average, without the one that ends it.
    pub(crate) output_tokens: f64,
    /// The share of answers that the model ended itself.
    pub(crate) ended: f64,
}

impl Score {
    /// By name, with what tells this score from others before it.
    pub(crate) fn metrics(&self, prefix: &str) -> BTreeMap<String, f64> {
        let values = [
            ("accuracy", self.accuracy),
            ("output_tokens", self.output_tokens),
            ("ended", self.ended),
        ];
        let named = values.into_iter();
        named
            .map(|(name, value)| (format!("{prefix}_{name}"), value))
            .collect()
    }
}

impl Questions {
    /// Reads the file that the settings name; absent if they name none.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`InvalidData`](ErrorKind::InvalidData): a broken line, with
    /// `file` and `line`, no question at all, or one that leaves no room for an answer.
    pub(crate) fn read(settings: &Settings, base: &Model) -> Result<Option<Self>> {
        let Some(path) = &settings.eval_questions else {
            return Ok(None);
        };
        let vocabulary = base.vocabulary()?;
        let (template, context) = (template(base, &vocabulary)?, base.config().context);
        let mut questions = Self {
            prompts: Vec::new(),
            gold: Vec::new(),
            vocabulary,
            max_tokens: settings.eval_max_tokens,
            batch: BATCH,
        };
        let file = File::open(path).map_err(|e| {
            let kind = if e.kind() == std::io::ErrorKind::NotFound {
                ErrorKind::NotFound
            } else {
                ErrorKind::InvalidData
            };
            let what = format!("cannot open the questions `{}`", path.display());
            Error::new(kind, what)
                .hint("the option `eval_questions` names them")
                .caused_by(&e)
        })?;
        for (number, line) in (1..).zip(BufReader::new(file).lines()) {
            let at = |e: Error| located(e, path, number);
            let line = line.map_err(|e| at(broken(&e)))?;
            if line.trim().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(&line).map_err(|e| at(broken(&e)))?;
            let messages = match line.prompt {
                Prompt::Text(text) => vec![Message::user(text)],
                Prompt::Messages(messages) => messages,
            };
            let prompt = questions
                .vocabulary
                .encode(&template.render(&messages).map_err(at)?)?;
            let longest = prompt.len() + settings.eval_max_tokens;
            if prompt.is_empty() || longest > context {
                let what = format!(
                    "prompt and answer have up to {longest} tokens, the model's context {context}"
                );
                let error = Error::new(ErrorKind::InvalidData, what);
                return Err(at(
                    error.hint("lower `eval_max_tokens`, or leave the question out")
                ));
            }
            questions.prompts.push(prompt);
            questions.gold.push(Gold {
                text: line.gold,
                kind: line.kind,
                choices: line.choices,
            });
        }
        if questions.prompts.is_empty() {
            let what = format!("no question in `{}`", path.display());
            return Err(Error::new(ErrorKind::InvalidData, what));
        }
        Ok(Some(questions))
    }

    /// Asks all questions. Where a card's memory does not suffice, fewer at a time.
    ///
    /// # Errors
    /// [`Cancelled`](ErrorKind::Cancelled) once `is_cancelled` says so;
    /// [`ResourceExhausted`](ErrorKind::ResourceExhausted): a single answer does not fit.
    pub(crate) fn ask(
        &mut self,
        model: &Llama,
        lora: &Lora,
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Score> {
        let answers = loop {
            let request = Request {
                prompts: &self.prompts,
                ends: &self.vocabulary.ends,
                max_tokens: self.max_tokens,
                batch: self.batch,
                drawing: Drawing::GREEDY,
            };
            let work = || generate(model, Some(lora), &request, || !is_cancelled());
            match catch_unwind(AssertUnwindSafe(work)) {
                Ok(answers) => break answers,
                Err(panic) if !is_out_of_memory(panic.as_ref()) => resume_unwind(panic),
                Err(_) if self.batch == 1 => {
                    let what = "out of memory at a single answer of the evaluation";
                    return Err(Error::new(ErrorKind::ResourceExhausted, what)
                        .hint("lower `eval_max_tokens`, or leave `eval_questions` out"));
                }
                Err(_) => {
                    self.batch /= 2;
                    tracing::warn!(
                        together = self.batch,
                        "out of memory: fewer answers at a time"
                    );
                }
            }
        };
        if is_cancelled() {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "the training was given up",
            ));
        }
        let mut right = 0_u32;
        for (answer, gold) in answers.iter().zip(&self.gold) {
            let completion = self.vocabulary.decode(&answer.tokens)?;
            let graded = grade(&GradeRequest {
                kind: gold.kind,
                completion: &completion,
                gold: &gold.text,
                choices: gold.choices,
                question: None,
            });
            right += u32::from(graded.verdict == Verdict::Correct);
        }
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let share = |count: usize| count as f64 / answers.len() as f64;
        Ok(Score {
            accuracy: share(right as usize),
            output_tokens: share(answers.iter().map(|answer| answer.tokens.len()).sum()),
            ended: share(answers.iter().filter(|answer| answer.is_ended).count()),
        })
    }
}

fn located(error: Error, path: &Path, line: usize) -> Error {
    error
        .context("file", path.display().to_string())
        .context("line", line.to_string())
}

fn broken(cause: &(dyn std::error::Error + 'static)) -> Error {
    Error::new(ErrorKind::InvalidData, "a line of `eval_questions` is no question")
        .hint("a line is JSON with `prompt` (a text or a list of messages), `gold` and, if it is no number, `kind`")
        .caused_by(cause)
}
