//! What the searched budget saves, question by question: the paper's Figure 3.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::{
    super::stats::quantile,
    canvas::{self, Axis, INK, SAVED, anchored, axes, font},
};

/// Draws `pairs` of output tokens without and with the searched budget.
pub(super) fn draw(pairs: &[(u32, u32)]) -> Option<String> {
    if pairs.is_empty() {
        return None;
    }
    let mut sorted: Vec<(f64, f64)> = pairs
        .iter()
        .map(|&(v, k)| (f64::from(v), f64::from(k)))
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let vanilla: Vec<f64> = sorted.iter().map(|p| p.0).collect();
    let x = Axis {
        from: 0.0,
        to: canvas::end(f64::from(u32::try_from(sorted.len()).unwrap_or(u32::MAX))),
        title: "questions, shortest vanilla answer first",
        format: Some(canvas::tokens),
    };
    let y = Axis {
        from: 0.0,
        to: canvas::end(quantile(&vanilla, 1.0)),
        title: "output tokens",
        format: Some(canvas::tokens),
    };
    let label = "Output tokens of each question with vanilla CoT and with its searched budget";
    Some(canvas::svg(label, None, |area| {
        let mut chart = axes(area, &x, &y)?;
        let opacity = if sorted.len() > 150 { 0.4 } else { 0.8 };
        let blue = canvas::colour("vanilla-cot", 0);
        for (i, (v, k)) in (0_u32..).zip(&sorted) {
            let at = f64::from(i) + 0.5;
            chart.draw_series([
                Circle::new((at, *v), 6, blue.mix(opacity).filled()),
                Circle::new((at, *k), 6, SAVED.mix(opacity).filled()),
            ])?;
        }
        for (row, (name, colour)) in
            (0..).zip([("vanilla CoT", blue), ("under the searched budget", SAVED)])
        {
            let at = 18 + 36 * row;
            let style = anchored(&font(12.5, INK), HPos::Left, VPos::Center);
            let key = EmptyElement::at((0.0, y.to))
                + Circle::new((22, at), 9, colour.filled())
                + Text::new(name.to_owned(), (42, at), style);
            chart.draw_series([key])?;
        }
        Ok(())
    }))
}
