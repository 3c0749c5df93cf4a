//! `report.html`: one file with everything in it, for any browser, with or without a network.
//!
//! The page's text, style and script are data files beside this one. All that comes from a run
//! passes the template's escaping; only our own style, script and figures do not.

mod samples;

use std::{io::Write, path::Path};

use minijinja::{AutoEscape, Environment, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;

use super::{
    ReportError,
    analysis::{
        Example,
        sheets::{self, Sheet},
    },
    figures::Figure,
    files,
    findings::{Findings, Group},
    post_train, savings,
    stats::real,
    summary::{MethodRow, Paired},
    table, words,
};
use crate::store::Reader;

const NAME: &str = "page.html";
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Everything that the template speaks of.
#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    name: &'a str,
    version: &'a str,
    facts: Vec<Fact>,
    savings: Vec<&'a str>,
    tiles: Vec<Tile>,
    notes: Vec<String>,
    sections: Vec<Section<'a>>,
    training: Vec<Sheet>,
    mixed: bool,
    has_price: bool,
    has_budget: bool,
    plan: Option<String>,
    shown: samples::Shown,
    total_samples: String,
}

/// A model on a data set, as the page shows it.
#[derive(Serialize)]
struct Section<'a> {
    llm: &'a str,
    dataset: &'a str,
    rows: Vec<Row>,
    paired: Vec<Comparison>,
    sheets: Vec<Sheet>,
    example: Option<&'a Example>,
    figures: Vec<Picture<'a>>,
    dearer: Option<samples::DearerList>,
}

#[derive(Serialize)]
struct Picture<'a> {
    title: &'a str,
    caption: &'a str,
    svg: &'a str,
}

/// A row of the table of results.
#[derive(Serialize)]
struct Row {
    method: String,
    n: String,
    accuracy: String,
    interval: String,
    tokens: String,
    all_tokens: String,
    of_vanilla: String,
    budget: String,
    expense: String,
    latency: String,
    errors: u64,
}

/// A row of the paired tests.
#[derive(Serialize)]
struct Comparison {
    method: String,
    n: String,
    delta: String,
    only_a: String,
    only_b: String,
    p: String,
    ratio: String,
    ratio_interval: String,
    all_ratio: String,
    all_interval: String,
}

/// A figure of the run's head line.
#[derive(Serialize)]
struct Tile {
    value: String,
    what: String,
}

#[derive(Serialize)]
struct Fact {
    name: &'static str,
    value: String,
}

/// Writes the page to `path`. `figures` are those of each group of `findings`.
pub(super) fn write(
    reader: &Reader,
    findings: &Findings,
    figures: &[Vec<Figure>],
    path: &Path,
) -> Result<(), ReportError> {
    let summary = &findings.summary;
    let sections: Vec<Section<'_>> = findings
        .groups
        .iter()
        .zip(figures)
        .map(|(group, figures)| section(reader, findings, group, figures))
        .collect::<Result<_, ReportError>>()?;
    let savings = savings(summary);
    let page = Page {
        style: STYLE,
        script: SCRIPT,
        name: &summary.name,
        version: &summary.version,
        facts: facts(findings),
        savings: savings.iter().flat_map(|s| s.lines()).collect(),
        tiles: tiles(findings),
        notes: table::notes(summary),
        sections,
        training: post_train::sheets(summary),
        mixed: summary.is_mixed(),
        has_price: summary.rows.iter().any(|r| r.expense_1e5_usd.is_some()),
        has_budget: summary.rows.iter().any(|r| r.budget.is_some()),
        plan: findings.plan.whole.as_ref().map(|p| format!("{p:#}")),
        shown: samples::read(reader, findings)?,
        total_samples: words::count(summary.totals.samples),
    };
    let environment = environment();
    let template = environment
        .get_template(NAME)
        .expect("the environment has been given it");
    files::replace(path, |out| {
        // Into the file as it is made: the page of a large run is some megabytes.
        template
            .render_captured_to(Serde(page), &mut *out)
            .map(drop)
            .map_err(|e| ReportError::Write {
                path: path.to_owned(),
                source: io_error(e),
            })?;
        out.write_all(b"\n").map_err(|source| ReportError::Write {
            path: path.to_owned(),
            source,
        })
    })
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax.expect("the usual delimiters are valid"));
    environment
        .add_template(NAME, PAGE)
        .expect("the page's template is well formed");
    environment
}

/// The template and its values are ours and tested; what is left to fail is the file.
fn io_error(e: minijinja::Error) -> std::io::Error {
    std::io::Error::other(e)
}

fn section<'a>(
    reader: &Reader,
    findings: &'a Findings,
    group: &'a Group,
    figures: &'a [Figure],
) -> Result<Section<'a>, ReportError> {
    let summary = &findings.summary;
    let ours = |llm: &str, dataset: &str| llm == group.llm && dataset == group.dataset;
    let rows = summary.rows.iter().filter(|r| ours(&r.llm, &r.dataset));
    let paired = summary.paired.iter().filter(|p| ours(&p.llm, &p.dataset));
    Ok(Section {
        llm: &group.llm,
        dataset: &group.dataset,
        rows: rows
            .map(|r| Row::of(r, summary.pair(&r.llm, &r.dataset, &r.method)))
            .collect(),
        paired: paired.map(Comparison::of).collect(),
        sheets: summary
            .analysis
            .iter()
            .filter(|a| ours(&a.llm, &a.dataset))
            .flat_map(sheets::of)
            .collect(),
        example: summary
            .analysis
            .iter()
            .filter(|a| ours(&a.llm, &a.dataset))
            .find_map(|a| a.search.as_ref()?.example.as_ref()),
        figures: figures
            .iter()
            .map(|f| Picture {
                title: f.title,
                caption: &f.caption,
                svg: &f.svg,
            })
            .collect(),
        dearer: samples::dearer(reader, group)?,
    })
}

impl Row {
    fn of(r: &MethodRow, pair: Option<&Paired>) -> Self {
        Self {
            method: r.method.clone(),
            n: words::count(r.n),
            accuracy: words::percent(r.accuracy),
            interval: words::percents(r.accuracy_ci95),
            tokens: words::mean(r.output_tokens),
            all_tokens: words::mean(r.all_output_tokens),
            of_vanilla: table::of_vanilla(r, pair),
            budget: words::mean(r.budget),
            expense: words::mean(r.expense_1e5_usd),
            latency: words::seconds(r.latency_s),
            errors: r.errors,
        }
    }
}

impl Comparison {
    fn of(p: &Paired) -> Self {
        Self {
            method: p.a.clone(),
            n: words::count(p.n),
            delta: words::points(p.accuracy_delta),
            only_a: words::count(p.only_a),
            only_b: words::count(p.only_b),
            p: words::p_value(p.p_value),
            ratio: words::ratio(p.output_tokens_ratio),
            ratio_interval: words::ratios(p.output_tokens_ratio_ci95),
            all_ratio: words::ratio(p.all_output_tokens_ratio),
            all_interval: words::ratios(p.all_output_tokens_ratio_ci95),
        }
    }
}

/// The three numbers one asks for first. Only where the run has one model and one data set: of
/// several none is the run's.
fn tiles(findings: &Findings) -> Vec<Tile> {
    let summary = &findings.summary;
    let [group] = &findings.groups[..] else {
        return Vec::new();
    };
    let Some(p) = summary.pair(&group.llm, &group.dataset, super::findings::SUBJECT) else {
        return Vec::new();
    };
    if p.n == 0 {
        return Vec::new();
    }
    let tile = |value: String, what: String| Tile { value, what };
    let interval = p
        .all_output_tokens_ratio_ci95
        .map_or_else(String::new, |ci| {
            format!(" (95% interval {})", words::ratios(Some(ci)))
        });
    let mut tiles = vec![tile(
        words::ratio(p.all_output_tokens_ratio),
        format!("of vanilla CoT's output tokens, estimates included{interval}"),
    )];
    if p.graded > 0 {
        tiles.push(tile(
            words::percent(p.accuracy_a),
            format!(
                "of the answers right, {} under vanilla CoT ({})",
                words::percent(p.accuracy_b),
                p.p_value.map_or_else(String::new, words::p_equals)
            ),
        ));
    }
    let (more, all) = (words::count(p.a_cost_more), words::count(p.n));
    tiles.push(if p.n < 1_000 {
        let what = "questions on which TALE-EP cost more than vanilla CoT";
        tile(format!("{more} of {all}"), what.to_owned())
    } else {
        let share = words::percent(Some(real(p.a_cost_more) / real(p.n)));
        tile(
            share,
            format!("of {all} questions cost more under TALE-EP than under vanilla CoT"),
        )
    });
    tiles
}

fn facts(findings: &Findings) -> Vec<Fact> {
    let (summary, plan) = (&findings.summary, &findings.plan);
    let distinct = |of: fn(&Group) -> &str| {
        let mut names: Vec<&str> = Vec::new();
        for name in findings.groups.iter().map(of) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    };
    let questions = summary
        .rows
        .iter()
        .map(|r| r.n + r.errors)
        .max()
        .unwrap_or(0);
    let mut facts = vec![
        Fact {
            name: "Model",
            value: distinct(|g| &g.llm),
        },
        Fact {
            name: "Data set",
            value: distinct(|g| &g.dataset),
        },
        Fact {
            name: "Questions",
            value: words::count(questions),
        },
        Fact {
            name: "Samples",
            value: words::count(summary.totals.samples),
        },
        Fact {
            name: "Calls",
            value: words::count(summary.totals.calls),
        },
    ];
    let mut also = |name, value: Option<String>| {
        facts.extend(value.map(|value| Fact { name, value }));
    };
    also("Seed", plan.seed.map(|s| s.to_string()));
    also("Cost", summary.totals.cost_usd.map(|c| words::usd(Some(c))));
    also("Costs by", plan.prices());
    also("Run by", plan.version.as_ref().map(|v| format!("tale {v}")));
    facts.retain(|f| !f.value.is_empty());
    facts
}
