//! Answers in a file, a line each.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;
use tale_grading::AnswerKind;

use crate::{
    cli::Failure,
    diagnostics::{Diagnostic, Place},
};

/// Bytes of one line at most; more is no answer.
const LINE_LIMIT: u64 = 64 << 20;

/// A line of a file of answers, or of a run's `samples.jsonl`.
#[derive(Debug, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the fields are named as in the file"
)]
pub(super) struct Answer {
    pub id: Value,
    /// What the answer should be, as text; absent in a sample of a question without one.
    #[serde(default)]
    pub gold: Option<Value>,
    #[serde(default)]
    pub completion: Option<String>,
    #[serde(default)]
    pub prediction: Option<String>,
    #[serde(default)]
    pub kind: Option<AnswerKind>,
    #[serde(default)]
    pub question: Option<String>,
    #[serde(default)]
    pub choices: usize,
    #[serde(default)]
    pub answer: Option<String>,
    #[serde(default)]
    pub correct: Option<bool>,
    #[serde(default)]
    pub error: Option<Value>,
    #[serde(default)]
    llm: Option<String>,
    #[serde(default)]
    dataset: Option<String>,
    #[serde(default)]
    method: Option<String>,
}

impl Answer {
    /// The model's text; none where a sample failed.
    pub(super) fn text(&self) -> Option<&str> {
        self.completion.as_deref().or(self.prediction.as_deref())
    }

    /// The gold answer as text.
    pub(super) fn gold(&self) -> Option<String> {
        match self.gold.as_ref()? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The kind: the line's own, the one asked for, or what the gold answer looks like.
    pub(super) fn kind(&self, asked: Option<AnswerKind>) -> AnswerKind {
        self.kind.or(asked).unwrap_or_else(|| match self.gold() {
            Some(gold) if gold.len() == 1 && gold.as_bytes()[0].is_ascii_uppercase() => {
                AnswerKind::Choice
            }
            _ => AnswerKind::Number,
        })
    }

    /// What two files call the same answer.
    pub(super) fn key(&self) -> (String, [Option<String>; 3]) {
        let of_run = [&self.llm, &self.dataset, &self.method].map(Clone::clone);
        (self.id.to_string(), of_run)
    }
}

/// The answers of a file, one line in memory at a time.
pub(super) struct Answers {
    name: String,
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    number: usize,
}

impl Answers {
    /// Opens a file, stdin (`-`), or the samples of a run directory.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let path = if path.is_dir() {
            path.join("samples.jsonl")
        } else {
            path.to_owned()
        };
        let name = path.display().to_string();
        let reader: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            let file = File::open(&path).map_err(|e| {
                let problem = Diagnostic::error(format!("cannot read `{name}`"));
                Failure::usage(problem.cause(e.to_string()))
            })?;
            Box::new(BufReader::new(file))
        };
        Ok(Self {
            name,
            reader,
            line: Vec::new(),
            number: 0,
        })
    }

    fn read(&mut self) -> Result<Option<Answer>, Failure> {
        loop {
            self.line.clear();
            self.number += 1;
            let mut bounded = self.reader.by_ref().take(LINE_LIMIT);
            if bounded.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            // A file from Windows begins with a byte order mark.
            let text = &self.line;
            let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
            if text.trim_ascii().is_empty() {
                continue;
            }
            let answer: Answer =
                serde_json::from_slice(text).map_err(|e| self.bad(&e.to_string()))?;
            if answer.text().is_none() && answer.error.is_none() {
                return Err(self.bad("neither `completion` nor `prediction`"));
            }
            let is_sample = answer.llm.is_some();
            if answer.gold().is_none() && (!is_sample || answer.gold.is_some()) {
                return Err(self.bad("`gold` must be a text or a number"));
            }
            return Ok(Some(answer));
        }
    }

    fn bad(&self, why: &str) -> Failure {
        let place = Place::line(&self.name, self.number);
        let problem = Diagnostic::at(place, "this line is no answer").cause(why);
        Failure {
            code: 1,
            diagnostics: problem.into(),
        }
    }
}

impl Iterator for Answers {
    type Item = Result<Answer, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
