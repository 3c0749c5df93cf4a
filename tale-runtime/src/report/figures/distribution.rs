//! How the output tokens of each method are distributed: a row each.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::{
    super::{findings::Shape, stats::quantile},
    canvas::{self, Axis, INK, anchored, axes, font},
};

/// Dots in a row at most; more would be a smear.
const DOTS: usize = 160;

pub(super) fn draw(shapes: &[Shape]) -> Option<String> {
    let rows: Vec<(&Shape, Vec<f64>)> = shapes
        .iter()
        .filter(|s| !s.tokens.is_empty())
        .map(|s| (s, s.tokens.iter().map(|&t| f64::from(t)).collect()))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let most = rows.iter().map(|(_, t)| t[t.len() - 1]).fold(0.0, f64::max);
    let x = Axis {
        from: 0.0,
        to: canvas::end(most),
        title: "output tokens of the answer",
        format: Some(canvas::tokens),
    };
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let y = Axis {
        from: 0.0,
        to: f64::from(count),
        title: "",
        format: None,
    };
    let label = "Distribution of output tokens, one row per method";
    // Three rows fill the usual figure.
    let height = 67 + 81 * count.clamp(1, 40);
    Some(canvas::svg(label, Some(height), |area| {
        let mut chart = axes(area, &x, &y)?;
        for (i, (shape, tokens)) in rows.iter().enumerate() {
            let colour = canvas::colour(&shape.method, i);
            let top = y.to - f64::from(u32::try_from(i).unwrap_or(u32::MAX));
            let middle = top - 0.58;
            let q = |q| quantile(tokens, q);
            chart.draw_series(dots(tokens).map(|(t, shift)| {
                Circle::new((t, middle + shift), 5, colour.mix(0.35).filled())
            }))?;
            let span = vec![(q(0.05), middle), (q(0.95), middle)];
            chart.draw_series([PathElement::new(span, colour.stroke_width(4))])?;
            let (low, high) = (q(0.25), q(0.75));
            let corners = [(low, middle - 0.13), (high, middle + 0.13)];
            chart.draw_series([Rectangle::new(corners, colour.mix(0.3).filled())])?;
            let outline = [
                (low, middle - 0.13),
                (low, middle + 0.13),
                (high, middle + 0.13),
                (high, middle - 0.13),
                (low, middle - 0.13),
            ];
            chart.draw_series([PathElement::new(outline.to_vec(), colour.stroke_width(3))])?;
            let median = q(0.5);
            let bar = vec![(median, middle - 0.2), (median, middle + 0.2)];
            chart.draw_series([PathElement::new(bar, colour.stroke_width(8))])?;
            let name = format!("{}: median {median:.0}", shape.method);
            let style = anchored(&font(12.5, INK), HPos::Left, VPos::Center);
            let text = EmptyElement::at((0.0, top - 0.16)) + Text::new(name, (6, 0), style);
            chart.draw_series([text])?;
        }
        Ok(())
    }))
}

/// Tokens and a height within the row. The heights follow the golden ratio, which spreads any
/// number of dots evenly and is the same for everybody.
fn dots(tokens: &[f64]) -> impl Iterator<Item = (f64, f64)> + '_ {
    let count = tokens.len().min(DOTS);
    (0..count).map(move |i| {
        let at = if count > 1 {
            i * (tokens.len() - 1) / (count - 1)
        } else {
            0
        };
        let turn = (f64::from(u32::try_from(i).unwrap_or(0)) * 0.618_034).fract();
        (tokens[at], (turn - 0.5) * 0.44)
    })
}
