//! `report.md`: the numbers for a repository, an issue or a chat.

use super::{
    analysis::{Example, sheets},
    figures::Figure,
    findings::Findings,
    post_train, savings,
    summary::Summary,
    table, words,
};

/// The paper's Figure 1: a question with its two answers, as quotations.
fn example_text(e: &Example) -> String {
    let quoted = |text: &str| {
        let lines = text
            .trim()
            .lines()
            .map(|l| format!("> {}", words::plain(l)));
        lines.collect::<Vec<_>>().join("\n")
    };
    format!(
        "The question whose saving is the median, `{}`:\n\n{}\n\nVanilla CoT, {} tokens:\n\n{}\n\nUnder a \
         budget of {} tokens, {} tokens:\n\n{}",
        e.id.replace('`', "'"),
        quoted(&e.question),
        e.vanilla_tokens,
        quoted(&e.vanilla),
        e.budget,
        e.kept_tokens,
        quoted(&e.kept)
    )
}

/// What must be said of the numbers.
fn notes(summary: &Summary) -> Vec<String> {
    let notes = table::notes(summary);
    if notes.is_empty() {
        return Vec::new();
    }
    let lines = notes.iter().map(|n| format!("- {}", words::plain(n)));
    vec![
        "## To be read with it".to_owned(),
        lines.collect::<Vec<_>>().join("\n"),
    ]
}

/// The report as GitHub's Markdown. The figures stand beside it under `figures/`.
pub(super) fn text(findings: &Findings, figures: &[Vec<Figure>]) -> String {
    let summary = &findings.summary;
    let mut parts = vec![format!("# {}", words::plain(&summary.name))];
    parts.push(match savings(summary) {
        Some(said) => said
            .lines()
            .map(words::plain)
            .collect::<Vec<_>>()
            .join("\n\n"),
        None => "The run has no questions that both TALE-EP and vanilla CoT answered.".to_owned(),
    });
    let one = findings.groups.len() == 1;
    if let (true, Some(group)) = (one, findings.groups.first()) {
        parts.push(format!(
            "Model: {}. Data set: {}.",
            words::plain(&group.llm),
            words::plain(&group.dataset)
        ));
    }
    if !summary.rows.is_empty() {
        parts.push("## Results".to_owned());
        parts.push(
            table::markdown(std::slice::from_ref(summary))
                .trim_end()
                .to_owned(),
        );
        parts.push(legend(findings));
    }
    if let Some(paired) = table::paired_markdown(summary) {
        parts.push("## Against vanilla CoT, question by question".to_owned());
        parts.push(paired.trim_end().to_owned());
    }
    for sheet in post_train::sheets(summary) {
        parts.push(sheet.markdown("##").trim_end().to_owned());
    }
    if !summary.searches.is_empty() {
        parts.push("## Budget search".to_owned());
        let sentences = summary.searches.iter().map(|s| words::plain(&s.sentence()));
        parts.push(sentences.collect::<Vec<_>>().join("\n\n"));
    }
    for analysis in &summary.analysis {
        let of = if one {
            String::new()
        } else {
            format!(
                ": {} on {}",
                words::plain(&analysis.llm),
                words::plain(&analysis.dataset)
            )
        };
        for mut sheet in sheets::of(analysis) {
            sheet.title.push_str(&of);
            parts.push(sheet.markdown("##").trim_end().to_owned());
        }
        if let Some(example) = analysis.search.as_ref().and_then(|s| s.example.as_ref()) {
            parts.push(format!("## One question without and with its budget{of}"));
            parts.push(example_text(example));
        }
    }
    parts.extend(notes(summary));
    for (group, figures) in findings.groups.iter().zip(figures) {
        for figure in figures {
            let of = if one {
                String::new()
            } else {
                format!(
                    ": {} on {}",
                    words::plain(&group.llm),
                    words::plain(&group.dataset)
                )
            };
            parts.push(format!("## {}{of}", figure.title));
            parts.push(format!("![{}](figures/{}.svg)", figure.title, figure.file));
            parts.push(figure.caption.clone());
        }
    }
    let totals = &summary.totals;
    let cost = match totals.cost_usd {
        Some(_) => format!(", {}", words::usd(totals.cost_usd)),
        None => String::new(),
    };
    parts.push(format!(
        "{} samples, {} calls{cost}. Made by tale {}; every sample stands in `samples.jsonl`.",
        words::count(totals.samples),
        words::count(totals.calls),
        summary.version
    ));
    parts.join("\n\n") + "\n"
}

/// What the table of results counts.
fn legend(findings: &Findings) -> String {
    let means = "Means per answered sample; Wilson's interval of the accuracy; tokens with the \
                 estimate's against vanilla CoT's on the same questions.";
    match findings.plan.prices() {
        Some(prices) => format!("{means} Costs are by {}.", words::plain(&prices)),
        None => means.to_owned(),
    }
}
