//! The training pairs, as tokens.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde::{Deserialize, Serialize};
use tale_api::{Error, ErrorKind, Message, Result, TrainMethod};
use tale_chat_template::ChatTemplate;
use tale_weights::{Model, Vocabulary};

/// What becomes of a pair that is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TooLong {
    /// Left out, and counted.
    Drop,
    /// Its answers are cut, and it is counted.
    Cut,
}

/// Which pairs a training takes.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Preferences need both answers.
    pub method: TrainMethod,
    /// Tokens of prompt and answer at most. Absent: the model's context.
    pub max_length: Option<usize>,
    /// What becomes of longer ones.
    pub too_long: TooLong,
}

/// A line of the file; what else it holds is not read.
#[derive(Debug, Deserialize)]
struct Line {
    prompt: Vec<Message>,
    chosen: String,
    #[serde(default)]
    rejected: Option<String>,
}

/// A pair ready for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// As the chat template renders it, up to where the answer begins.
    pub prompt: Vec<u32>,
    /// With the token that ends an answer.
    pub chosen: Vec<u32>,
    /// The same; empty in supervised training.
    pub rejected: Vec<u32>,
}

impl Pair {
    /// Tokens that are computed for it: the prompt once.
    #[must_use]
    pub fn length(&self) -> usize {
        self.prompt.len() + self.chosen.len() + self.rejected.len()
    }

    /// Tokens that are learnt from.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.chosen.len() + self.rejected.len()
    }
}

/// What was read.
#[derive(Debug)]
pub struct Pairs {
    /// In the order of the file.
    pub pairs: Vec<Pair>,
    /// Lines left out or cut, by reason.
    pub skipped: BTreeMap<String, u64>,
}

/// Reads a file of pairs as the tokens of a base model.
///
/// # Errors
/// [`InvalidData`](ErrorKind::InvalidData): the base has no chat template, or as [`read`].
pub fn read_for(base: &Model, path: &Path, wanted: &Wanted) -> Result<Pairs> {
    let vocabulary = base.vocabulary()?;
    let template = template(base, &vocabulary)?;
    read(path, wanted, base.config().context, &vocabulary, &template)
}

/// The base's own chat template.
///
/// # Errors
/// [`InvalidData`](ErrorKind::InvalidData): it has none, or it cannot be parsed.
pub fn template(base: &Model, vocabulary: &Vocabulary) -> Result<ChatTemplate> {
    let template = vocabulary.chat_template.clone().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidData,
            format!("`{}` has no chat template", base.path().display()),
        )
        .hint("it may be a base model; take an instruct model")
    })?;
    ChatTemplate::new(
        template,
        vocabulary.bos.clone(),
        vocabulary.eos.clone(),
        None,
    )
}

/// Reads a file of pairs.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound); [`InvalidData`](ErrorKind::InvalidData): a broken line, with
/// `file` and `line`, or no usable pair.
fn read(
    path: &Path,
    wanted: &Wanted,
    context: usize,
    vocabulary: &Vocabulary,
    template: &ChatTemplate,
) -> Result<Pairs> {
    let file = File::open(path).map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::NotFound {
            ErrorKind::NotFound
        } else {
            ErrorKind::InvalidData
        };
        Error::new(kind, format!("cannot open the pairs `{}`", path.display())).caused_by(&e)
    })?;
    let limit = wanted.max_length.unwrap_or(context).min(context);
    let is_dpo = wanted.method == TrainMethod::Dpo;
    let mut found = Pairs {
        pairs: Vec::new(),
        skipped: BTreeMap::new(),
    };
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let at = |e: Error| {
            e.context("file", path.display().to_string())
                .context("line", (number + 1).to_string())
        };
        let broken = |cause: &(dyn std::error::Error + 'static)| {
            let what = format!(
                "line {} of `{}` is no training pair",
                number + 1,
                path.display()
            );
            at(Error::new(ErrorKind::InvalidData, what)
                .hint("a line is JSON with `prompt` (a list of messages), `chosen` and, for `dpo`, `rejected`")
                .caused_by(cause))
        };
        let line = line.map_err(|e| broken(&e))?;
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&line).map_err(|e| broken(&e))?;
        let mut skip = |reason: &str| *found.skipped.entry(reason.to_owned()).or_default() += 1;
        let rejected = line.rejected.filter(|_| is_dpo);
        if is_dpo && rejected.is_none() {
            skip("no rejected answer");
            continue;
        }
        if rejected.as_ref() == Some(&line.chosen) {
            skip("both answers are the same");
            continue;
        }
        let answer = |text: &str| -> Result<Vec<u32>> {
            let mut tokens = vocabulary.encode(text)?;
            tokens.push(vocabulary.ends[0]);
            Ok(tokens)
        };
        let mut pair = Pair {
            prompt: vocabulary.encode(&template.render(&line.prompt).map_err(at)?)?,
            chosen: answer(&line.chosen)?,
            rejected: rejected
                .as_deref()
                .map(answer)
                .transpose()?
                .unwrap_or_default(),
        };
        if pair.prompt.len() + pair.chosen.len().max(pair.rejected.len()) > limit {
            let room = limit.saturating_sub(pair.prompt.len());
            if wanted.too_long == TooLong::Drop || room == 0 {
                skip("longer than the limit");
                continue;
            }
            // A cut answer does not end: its last token is not the one that ends answers.
            pair.chosen.truncate(room);
            pair.rejected.truncate(room);
            *found
                .skipped
                .entry("cut to the limit (used all the same)".to_owned())
                .or_default() += 1;
        }
        found.pairs.push(pair);
    }
    if found.pairs.is_empty() {
        let reasons: Vec<String> = found
            .skipped
            .iter()
            .map(|(reason, n)| format!("{n} × {reason}"))
            .collect();
        let reasons = if reasons.is_empty() {
            "the file is empty".to_owned()
        } else {
            reasons.join(", ")
        };
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!("no usable pair in `{}`: {reasons}", path.display()),
        )
        .hint(
            "`max_length` sets the limit; a search that found no smaller budget exports no pair",
        ));
    }
    Ok(found)
}
