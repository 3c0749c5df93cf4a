//! `tale ask`: one question, answered under an estimated budget.
//!
//! It is an evaluation of one question in a folder that is thrown away, so that what it shows is
//! what a run does.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use clap::Args;
use serde_json::json;
use tale_api::AnswerKind;

use super::{Exit, Failure, Global, Outcome, interrupted, output};
use crate::{
    diagnostics::Diagnostic,
    manifest,
    pipeline::{CellProgress, Ending, Observer},
    plan::Plan,
    store::{Cell, CellId, Measure, Reader, SampleRow, Store},
};

#[derive(Args)]
pub(super) struct AskArgs {
    /// The question
    question: String,
    /// Take model, estimator and prompts from this manifest
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plugin", "model"])]
    manifest: Option<PathBuf>,
    /// The component that speaks with the model
    #[arg(long, default_value = "llama-cpp")]
    plugin: String,
    /// The model, a name of `tale model list` or a file
    #[arg(long, default_value = "qwen2.5-coder-0.5b-instruct")]
    model: String,
    /// Override a key as a manifest has it, for instance llm.temperature=0
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    sets: Vec<String>,
    /// Ask under this budget in tokens; no estimate is made
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "method")]
    budget: Option<u32>,
    /// How to ask: direct, vanilla-cot, tale-ep, fixed-<b> [default: tale-ep]
    #[arg(long)]
    method: Option<String>,
    /// Ask by vanilla CoT as well and say what was saved
    #[arg(long)]
    compare: bool,
    /// Neither take nor keep answers of other runs
    #[arg(long)]
    no_cache: bool,
    /// Kind of answer wanted
    #[arg(long, default_value = "number", value_parser = parse_kind)]
    kind: AnswerKind,
    /// The right answer, to have the model's judged
    #[arg(long)]
    gold: Option<String>,
}

fn parse_kind(text: &str) -> Result<AnswerKind, String> {
    text.parse()
        .map_err(|_| "known are number, choice, math, text".to_owned())
}

impl AskArgs {
    fn methods(&self) -> Vec<String> {
        let method = match (self.budget, &self.method) {
            (Some(budget), _) => format!("fixed-{budget}"),
            (None, Some(method)) => method.clone(),
            (None, None) => "tale-ep".to_owned(),
        };
        if self.compare && method != VANILLA {
            vec![VANILLA.to_owned(), method]
        } else {
            vec![method]
        }
    }

    /// The manifest of an evaluation of this one question.
    fn manifest(&self) -> Result<(PathBuf, String), Failure> {
        let (path, text) = match &self.manifest {
            Some(path) => (
                path.clone(),
                std::fs::read_to_string(path).map_err(|e| {
                    let problem = Diagnostic::error(format!("cannot read `{}`", path.display()));
                    Failure::usage(problem.cause(e.to_string()))
                })?,
            ),
            None => (PathBuf::from("ask.toml"), {
                let (plugin, model) = (quoted(&self.plugin), quoted(&self.model));
                format!(
                    "name = \"ask\"\n[llm]\nplugin = {plugin}\nmodel = {model}\n\
                     [dataset]\nplugin = \"inline\"\n"
                )
            }),
        };
        Ok((path, text))
    }

    fn plan(&self, global: &Global) -> Result<(Plan, crate::registry::Registry), Failure> {
        let (path, text) = self.manifest()?;
        let question = json!({
            "id": "question",
            "text": self.question,
            "kind": self.kind,
            "gold": self.gold,
        });
        let question = without_null(question);
        let mut sets = self.sets.clone();
        // JSON strings and arrays of strings are TOML, too.
        sets.push(format!("evaluate.methods={}", json!(self.methods())));
        sets.push("concurrency=1".to_owned());
        sets.push("task=evaluate".to_owned());
        if self.no_cache {
            sets.push("cache.mode=off".to_owned());
        }
        let (mut loaded, problems) = manifest::from_bytes(&path, text.as_bytes(), &sets);
        if let Some(loaded) = &mut loaded {
            loaded.manifest.dataset =
                manifest::OneOrMany::One(manifest::DatasetSpec::inline(question));
        }
        Plan::resolve((loaded, problems), |dirs| global.registry(dirs)).map_err(Failure::usage)
    }
}

const VANILLA: &str = "vanilla-cot";

pub(super) async fn ask(args: &AskArgs, global: &Global) -> Outcome {
    let (plan, registry) = args.plan(global)?;
    let folder = tempfile::tempdir()?;
    let store = Arc::new(Store::open(folder.path())?);
    let opened = plan
        .open(&registry, Arc::clone(&store))
        .await
        .map_err(super::run::not_opened)?;
    let observer = Arc::new(Speaker {
        quiet: global.quiet || global.json,
        ..Speaker::default()
    });
    let watched: Arc<dyn Observer> = Arc::clone(&observer) as _;
    let ended = opened.work.run(watched, interrupted()).await?;
    drop(opened);
    drop(store);
    if ended == Ending::Interrupted {
        return Ok(Exit::Interrupted);
    }
    report(folder.path(), global)
}

fn report(folder: &Path, global: &Global) -> Outcome {
    let reader = Reader::open(folder)?;
    let mut samples: Vec<(Cell, SampleRow)> = Vec::new();
    for (id, cell) in reader.cells()? {
        if let Some(sample) = reader.sample_at(id, 0)? {
            samples.push((cell, sample));
        }
    }
    let failed = samples.iter().any(|(_, sample)| sample.error.is_some());
    if global.json {
        let rows: Vec<_> = samples
            .iter()
            .map(|(cell, sample)| row(cell, sample))
            .collect();
        output::json(&rows);
    } else {
        for (cell, sample) in &samples {
            output::note(&sentence(cell, sample));
        }
        if let [(_, vanilla), (cell, budgeted)] = samples.as_slice()
            && let (Some(before), Some(after)) = (tokens(vanilla), tokens(budgeted))
            && before > 0
        {
            output::note(&format!(
                "{} used {after} output tokens, its estimate included; {VANILLA} {before} ({}%)",
                cell.method,
                after * 100 / before
            ));
        }
    }
    Ok(if failed { Exit::SomeFailed } else { Exit::Done })
}

/// Output tokens of a sample, the estimate's included.
fn tokens(sample: &SampleRow) -> Option<u64> {
    let estimate: u64 = sample
        .estimate
        .iter()
        .filter_map(|call| call.output_tokens)
        .sum();
    Some(sample.call.as_ref()?.output_tokens? + estimate)
}

fn sentence(cell: &Cell, sample: &SampleRow) -> String {
    if let Some((kind, text)) = &sample.error {
        return format!("{}: {kind}: {text}", cell.method);
    }
    let mut parts = Vec::new();
    if let Some(answer) = &sample.answer {
        parts.push(format!("answer {answer} ({})", sample.outcome.as_str()));
    }
    if let Some(budget) = sample.budget {
        parts.push(format!("budget {budget}"));
    }
    if let Some(fallback) = &sample.fallback {
        parts.push(fallback.clone());
    }
    if let Some(call) = &sample.call {
        if let Some(tokens) = call.output_tokens {
            parts.push(format!("{tokens} output tokens"));
        }
        parts.push(format!("{:.1} s", call.latency_s));
        if call.finish_reason == "length" {
            parts.push("cut at max_tokens".to_owned());
        }
    }
    format!("{}: {}", cell.method, parts.join(" · "))
}

fn row(cell: &Cell, sample: &SampleRow) -> serde_json::Value {
    let answer = sample.call.as_ref();
    json!({
        "llm": cell.llm,
        "method": cell.method,
        "completion": answer.map(|c| &c.completion),
        "answer": sample.answer,
        "outcome": sample.outcome.as_str(),
        "budget": sample.budget,
        "fallback": sample.fallback,
        "input_tokens": answer.and_then(|c| c.input_tokens),
        "output_tokens": answer.and_then(|c| c.output_tokens),
        "all_output_tokens": tokens(sample),
        "latency_s": answer.map(|c| c.latency_s),
        "finish_reason": answer.map(|c| &c.finish_reason),
        "error": sample.error.as_ref().map(|(_, text)| text),
    })
}

/// Prints an answer as it comes.
#[derive(Default)]
struct Speaker {
    quiet: bool,
    cells: Mutex<Vec<CellProgress>>,
    speaking: Mutex<Option<CellId>>,
}

impl Observer for Speaker {
    fn begin(&self, cells: &[CellProgress]) {
        *self.cells.lock().unwrap_or_else(PoisonError::into_inner) = cells.to_vec();
    }

    fn sample(&self, _: CellId, _: &Measure, _: bool) {
        if !self.quiet {
            output::line("");
        }
    }

    fn delta(&self, cell: CellId, text: &str) {
        if self.quiet {
            return;
        }
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let mut speaking = self.speaking.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.len() > 1
            && *speaking != Some(cell)
            && let Some(column) = cells.iter().find(|c| c.id == cell)
        {
            output::note(&format!("── {}", column.cell.method));
        }
        *speaking = Some(cell);
        output::part(text);
    }

    fn note(&self, text: &str) {
        output::note(text);
    }

    fn end(&self) {}
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn without_null(mut value: serde_json::Value) -> serde_json::Value {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, v| !v.is_null());
    }
    value
}
