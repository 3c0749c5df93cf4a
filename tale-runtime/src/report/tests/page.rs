//! `report.html`, `report.md` and the figures.

use std::{collections::BTreeSet, fs, path::Path};

use super::journal::{Journal, Sample};
use crate::{
    report::write,
    store::Outcome::{Correct, Failed, Ungraded, Wrong},
};

fn html(j: &Journal) -> String {
    write(j.dir.path()).unwrap();
    fs::read_to_string(j.dir.path().join("report.html")).unwrap()
}

fn figures(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir.join("figures"))
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Vanilla CoT and TALE-EP on `n` questions; TALE-EP costs more on the last.
fn pair(n: u64) -> Journal {
    let mut j = Journal::new();
    j.meta("name", "a pair");
    let (vanilla, tale) = (j.cell("vanilla-cot"), j.cell("tale-ep"));
    for i in 0..n {
        j.add(vanilla, i, Sample::new(Correct, 200 + i));
        let tokens = if i + 1 == n { 400 } else { 60 + i };
        j.add(tale, i, Sample::new(Wrong, tokens).under(50, 10));
    }
    j
}

#[test]
fn hostile_text_stays_text() {
    let attack = "</script><img src=x onerror=alert(1)><!-- \"' {{ 7 * 7 }} ${x}";
    let mut j = Journal::new();
    j.meta("name", &format!("name {attack}"));
    j.meta(
        "plan",
        &serde_json::json!({ "name": attack, "seed": 1 }).to_string(),
    );
    let cell = j.cell_of(
        &format!("llm {attack}"),
        "gsm8k",
        &format!("tale-ep {attack}"),
    );
    let vanilla = j.cell_of(&format!("llm {attack}"), "gsm8k", "vanilla-cot");
    let sample = || Sample {
        completion: attack.into(),
        ..Sample::new(Correct, 9).under(5, 2)
    };
    j.add(cell, 0, sample());
    j.add(vanilla, 0, sample());
    let page = html(&j);
    assert!(!page.contains("<img"), "an image was made of a text");
    assert!(!page.contains("<!--"), "a comment was made of a text");
    assert!(page.contains("&lt;&#x2f;script&gt;&lt;img src=x onerror=alert(1)&gt;"));
    assert!(page.contains("{{ 7 * 7 }}"), "a text was run as a template");
    // One script, ours, and it ends where we end it.
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script").count(), 1);
    let md = fs::read_to_string(j.dir.path().join("report.md")).unwrap();
    assert!(!md.contains("<img") && !md.contains("</script"), "{md}");
    for name in figures(j.dir.path()) {
        let svg = fs::read_to_string(j.dir.path().join("figures").join(name)).unwrap();
        assert!(!svg.contains("<img") && !svg.contains("</script"), "{svg}");
    }
}

#[test]
fn a_report_says_by_which_prices_costs_were_counted() {
    let said = |prices: serde_json::Value| {
        let j = pair(4);
        j.meta("prices", &prices.to_string());
        let page = html(&j);
        let md = fs::read_to_string(j.dir.path().join("report.md")).unwrap();
        let line = md.lines().find(|l| l.contains("Costs are by"));
        (page, line.unwrap_or_default().to_owned())
    };
    let (page, line) = said(serde_json::json!({ "a": "prices of May", "b": "prices of May" }));
    assert!(line.ends_with("Costs are by prices of May."), "{line}");
    assert!(page.contains("Costs by") && page.contains("prices of May"));
    let (_, line) =
        said(serde_json::json!({ "a": "prices of May", "b": "prices of the manifest" }));
    assert!(
        line.ends_with("Costs are by prices of May (a), prices of the manifest (b)."),
        "{line}"
    );
    let (page, line) = said(serde_json::json!({}));
    assert!(line.is_empty() && !page.contains("Costs by"), "{line}");
}

#[test]
fn a_method_without_an_answer_is_compared_with_nothing() {
    let mut j = Journal::new();
    let (vanilla, tale) = (j.cell("vanilla-cot"), j.cell("tale-ep"));
    j.add(vanilla, 0, Sample::new(Failed, 0));
    j.add(tale, 0, Sample::new(Failed, 0));
    let page = html(&j);
    assert!(!page.contains(">100%<"), "nothing is all of nothing");
    let md = fs::read_to_string(j.dir.path().join("report.md")).unwrap();
    assert!(!md.contains("100%"), "{md}");
}

#[test]
fn page_needs_no_network_and_no_other_file() {
    let page = html(&pair(4));
    for outside in [
        "src=",
        "href=",
        "url(",
        "@import",
        "fetch(",
        "XMLHttpRequest",
    ] {
        assert!(
            !page.contains(outside),
            "the page reaches out with `{outside}`"
        );
    }
    let links: BTreeSet<&str> = page
        .match_indices("http")
        .map(|(i, _)| page[i..].split('"').next().unwrap())
        .collect();
    // The name of a vocabulary and an attribute of HTML; neither is fetched.
    assert_eq!(
        links,
        BTreeSet::from(["http-equiv=", "http://www.w3.org/2000/svg"])
    );
}

#[test]
fn style_sheet_knows_every_colour_of_the_figures() {
    let page = html(&pair(30));
    let style = &page[..page.find("</style>").unwrap()];
    for attribute in ["fill=\"#", "stroke=\"#"] {
        for (i, _) in page.match_indices(attribute) {
            let shown = &page[i..i + attribute.len() + 7];
            assert!(
                style.contains(&format!("[{shown}]")),
                "{shown} would not turn dark"
            );
        }
    }
}

#[test]
fn page_says_where_tale_cost_more() {
    let page = html(&pair(4));
    assert!(page.contains("Where TALE-EP cost more"));
    assert!(page.contains("1 of 4 questions took more output tokens"));
    // 400 and an estimate of 10 against 203.
    assert!(page.contains("+207"));
    let mut j = Journal::new();
    let (vanilla, tale) = (j.cell("vanilla-cot"), j.cell("tale-ep"));
    j.add(vanilla, 0, Sample::new(Correct, 100));
    j.add(tale, 0, Sample::new(Correct, 50));
    assert!(html(&j).contains("On none of 1 questions did TALE-EP cost more"));
}

#[test]
fn all_figures_are_drawn_from_one_sample_on() {
    let all = [
        "accuracy.svg",
        "budget.svg",
        "distribution.svg",
        "saved.svg",
    ];
    for n in [1, 2, 40] {
        let j = pair(n);
        write(j.dir.path()).unwrap();
        assert_eq!(
            figures(j.dir.path()),
            all.iter().map(|&f| f.to_owned()).collect(),
            "{n}"
        );
    }
}

#[test]
fn a_figure_without_anything_to_show_is_not_drawn() {
    let mut j = Journal::new();
    assert!(html(&j).contains("nothing to compare"));
    assert!(figures(j.dir.path()).is_empty());
    let direct = j.cell("direct");
    j.add(direct, 0, Sample::new(Ungraded, 5));
    html(&j);
    assert_eq!(
        figures(j.dir.path()),
        BTreeSet::from(["distribution.svg".to_owned()])
    );
}

#[test]
fn figures_are_numbers_even_where_all_is_zero() {
    let mut j = Journal::new();
    let (vanilla, tale) = (j.cell("vanilla-cot"), j.cell("tale-ep"));
    for i in 0..3 {
        j.add(vanilla, i, Sample::new(Wrong, 0));
        j.add(tale, i, Sample::new(Wrong, 0).under(0, 0));
    }
    write(j.dir.path()).unwrap();
    assert_eq!(figures(j.dir.path()).len(), 4);
    for name in figures(j.dir.path()) {
        let svg = fs::read_to_string(j.dir.path().join("figures").join(&name)).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
    }
}

#[test]
fn several_models_have_a_section_and_figures_each() {
    let mut j = Journal::new();
    for llm in ["qwen/2.5", "smol"] {
        let (v, t) = (
            j.cell_of(llm, "gsm8k", "vanilla-cot"),
            j.cell_of(llm, "gsm8k", "tale-ep"),
        );
        j.add(v, 0, Sample::new(Correct, 100));
        j.add(t, 0, Sample::new(Correct, 50).under(40, 5));
    }
    let page = html(&j);
    assert!(page.contains("qwen&#x2f;2.5 on gsm8k") && page.contains("smol on gsm8k"));
    assert_eq!(page.matches("<figure>").count(), 8);
    assert!(figures(j.dir.path()).contains("2-saved.svg"));
}

#[test]
fn many_samples_are_shown_evenly_and_that_is_said() {
    let mut j = Journal::new();
    let cell = j.cell("direct");
    for i in 0..2_100 {
        j.add(cell, i, Sample::new(Correct, 5));
    }
    let page = html(&j);
    assert!(page.contains("2,000 of 2,100 samples are in this page, evenly chosen"));
    assert_eq!(page.matches("<tbody data-method").count(), 2_000);
    assert!(page.contains(">q0<") && page.contains(">q2099<"));
}

#[test]
fn markdown_report_reads_as_it_should() {
    let j = pair(4);
    write(j.dir.path()).unwrap();
    let md = fs::read_to_string(j.dir.path().join("report.md")).unwrap();
    insta::with_settings!({filters => vec![(r"tale \d+\.\d+\.\d+", "tale [version]")]}, {
        insta::assert_snapshot!("report_md", md);
    });
}

#[test]
fn a_report_is_made_again_in_place() {
    let j = pair(4);
    let first = html(&j);
    assert_eq!(html(&j), first);
    let left: Vec<_> = fs::read_dir(j.dir.path())
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .filter(|f| f.contains(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
