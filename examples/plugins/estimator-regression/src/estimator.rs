//! The estimator, from its options to a budget.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    sync::Arc,
};

use serde::Deserialize;
use tale_api::{
    CreateEnv, Error, ErrorKind, Estimate, EstimateRequest, Estimator, Llm, Result, async_trait,
    serde_json,
};

use crate::{
    features::{COUNT, NAMES, features},
    fit::fit,
    options::{Options, Source},
};

/// Fewer questions than this say nothing about four coefficients.
const FEWEST: usize = 8;

/// A budget in proportion to what the question looks like.
pub struct Regression {
    coefficients: [f64; COUNT],
    slack: f64,
    least: f64,
    most: f64,
}

impl Regression {
    /// Reads the coefficients, or fits them.
    pub async fn create(options: Options, env: CreateEnv) -> Result<Self> {
        let coefficients = match options.source()? {
            Source::Given(file) => given(&env.base_dir.join(file))?,
            Source::Fitted(file) => fitted(&env.base_dir.join(file))?,
        };
        tracing::info!(?coefficients, "the regression is ready");
        Ok(Self {
            coefficients,
            slack: options.slack,
            least: f64::from(options.least),
            most: f64::from(options.most),
        })
    }
}

#[async_trait]
impl Estimator for Regression {
    async fn estimate(&self, request: EstimateRequest, _llm: Arc<dyn Llm>) -> Result<Estimate> {
        let seen = features(&request.text);
        let tokens: f64 = seen.iter().zip(self.coefficients).map(|(x, c)| x * c).sum();
        let wanted = (tokens * self.slack).ceil();
        let budget = wanted.clamp(self.least, self.most);
        let fallback = (budget < wanted || wanted < self.least)
            .then(|| format!("{wanted} tokens, kept within the limits"));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between `least` and `most`, which are u32"
        )]
        let budget = Some(budget as u32);
        Ok(Estimate {
            budget,
            fallback,
            ..Estimate::default()
        })
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).map_err(|e| {
        Error::new(ErrorKind::NotFound, "the file cannot be opened")
            .context("file", path.display().to_string())
            .caused_by(&e)
    })?;
    Ok(BufReader::new(file))
}

fn broken(path: &Path, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, what).context("file", path.display().to_string())
}

/// The coefficients in a file, by name.
fn given(path: &Path) -> Result<[f64; COUNT]> {
    let by_name: serde_json::Map<String, serde_json::Value> = serde_json::from_reader(open(path)?)
        .map_err(|e| broken(path, "this is no JSON object").caused_by(&e))?;
    let mut coefficients = [0.0; COUNT];
    for (name, value) in &by_name {
        let Some(at) = NAMES.iter().position(|known| known == name) else {
            return Err(broken(path, format!("unknown coefficient `{name}`"))
                .hint(format!("known are {}", NAMES.join(", "))));
        };
        let number = value.as_f64().filter(|number| number.is_finite());
        coefficients[at] =
            number.ok_or_else(|| broken(path, format!("`{name}` is {value}, no number")))?;
    }
    Ok(coefficients)
}

/// A line of `search.jsonl`, as far as it is wanted here.
#[derive(Deserialize)]
struct Searched {
    question: String,
    budget: Option<u32>,
}

/// Fits the coefficients to the questions for which a budget was found.
fn fitted(path: &Path) -> Result<[f64; COUNT]> {
    let mut samples = Vec::new();
    for (index, line) in open(path)?.lines().enumerate() {
        let number = (index + 1).to_string();
        let line = line.map_err(|e| {
            broken(path, "no text")
                .context("line", &*number)
                .caused_by(&e)
        })?;
        let searched: Searched = serde_json::from_str(&line).map_err(|e| {
            broken(path, "a line that is no searched question")
                .context("line", &*number)
                .caused_by(&e)
        })?;
        if let Some(budget) = searched.budget {
            samples.push((features(&searched.question), f64::from(budget)));
        }
    }
    if samples.len() < FEWEST {
        let found = samples.len();
        return Err(broken(
            path,
            format!("{found} questions with a budget, of {FEWEST} needed"),
        )
        .hint("search more questions, or give `coefficients`"));
    }
    Ok(fit(&samples))
}
