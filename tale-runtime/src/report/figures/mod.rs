//! The figures, as SVG: one file each, and the same text inside the page.
//!
//! Drawn with plotters at twice the size at which they are shown, since its SVG coordinates are
//! whole numbers. Colours are those of [`canvas`], so that a style sheet can turn them for a dark
//! page by their attribute values.

mod accuracy;
mod budget;
mod canvas;
mod distribution;
mod elasticity;
mod saved;
mod searched;

use super::{findings::Group, summary::MethodRow};

/// A finished figure.
pub(super) struct Figure {
    /// File name without ending; unique within a run.
    pub(super) file: String,
    pub(super) title: &'static str,
    /// How to read it, in a sentence or two.
    pub(super) caption: String,
    pub(super) svg: String,
}

/// All figures of `group` that there is something to show in. `prefix` begins their file names.
pub(super) fn of(group: &Group, rows: &[&MethodRow], prefix: &str) -> Vec<Figure> {
    let figure = |name: &str, title, caption: String, svg: Option<String>| {
        svg.map(|svg| Figure {
            file: format!("{prefix}{name}"),
            title,
            caption,
            svg,
        })
    };
    [
        figure(
            "accuracy",
            "Accuracy against tokens",
            "Mean output tokens a question, the estimate's included. Whiskers are 95% Wilson \
             intervals. Better is up and to the left; the line joins the methods that no other \
             beats."
                .to_owned(),
            accuracy::draw(rows),
        ),
        figure(
            "distribution",
            "Tokens of each method",
            "Output tokens of the answering call. A dot is a question, or one of many; the box \
             holds the middle half, the line the middle 90%, the bar is the median."
                .to_owned(),
            distribution::draw(&group.shapes),
        ),
        figure(
            "saved",
            "Tokens saved, question by question",
            "Vanilla CoT's output tokens less TALE-EP's, the estimate's included, most first. \
             Below zero TALE-EP cost more."
                .to_owned(),
            group.saved.as_ref().and_then(saved::draw),
        ),
        budget::draw(&group.shapes).and_then(|(svg, outside)| {
            let beyond = if outside > 0 {
                format!(" {outside} of the answers drawn lie outside.")
            } else {
                String::new()
            };
            let caption = format!(
                "Output tokens of the answer against the budget asked for. Above the line the \
                 model used more than asked.{beyond}"
            );
            figure("budget", "Budget asked, tokens used", caption, Some(svg))
        }),
        figure(
            "elasticity",
            "Tokens as the budget falls",
            "The paper's Figure 2. A thin line is a question, the thick one their mean at each half \
             doubling of the budget. Where a line rises to the left, a smaller budget costs more."
                .to_owned(),
            elasticity::draw(&group.curves),
        ),
        figure(
            "searched",
            "What the searched budget saves",
            "The paper's Figure 3: output tokens of each question whose vanilla answer was right, and \
             of the answer that its search kept."
                .to_owned(),
            searched::draw(&group.searched),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
