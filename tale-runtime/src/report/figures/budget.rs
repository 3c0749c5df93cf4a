//! What was asked for and what was used.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::{
    super::{findings::Shape, stats::quantile},
    canvas::{self, Axis, INK, MUTED, anchored, axes, font},
};

/// The figure, and how many points of it lie beyond its axes.
pub(super) fn draw(shapes: &[Shape]) -> Option<(String, usize)> {
    let methods: Vec<(usize, &Shape)> = shapes
        .iter()
        .enumerate()
        .filter(|(_, s)| !s.budgets.is_empty())
        .collect();
    if methods.is_empty() {
        return None;
    }
    let all: Vec<(f64, f64)> = methods.iter().flat_map(|(_, s)| pairs(s)).collect();
    let x_end = limit(all.iter().map(|p| p.0).collect());
    let y_end = limit(all.iter().map(|p| p.1).collect());
    let inside = |&(x, y): &(f64, f64)| x <= x_end && y <= y_end;
    let outside = all.iter().filter(|p| !inside(p)).count();
    let x = Axis {
        from: 0.0,
        to: x_end,
        title: "budget asked for, tokens",
        format: Some(canvas::tokens),
    };
    let y = Axis {
        from: 0.0,
        to: y_end,
        title: "output tokens used",
        format: Some(canvas::tokens),
    };
    let label = "Output tokens used against the budget asked for";
    let svg = canvas::svg(label, None, |area| {
        let mut chart = axes(area, &x, &y)?;
        let end = x_end.min(y_end);
        let diagonal = PathElement::new(vec![(0.0, 0.0), (end, end)], MUTED.stroke_width(3));
        chart.draw_series([diagonal])?;
        let opacity = if all.len() > 150 { 0.35 } else { 0.7 };
        for (i, shape) in &methods {
            let colour = canvas::colour(&shape.method, *i);
            chart.draw_series(
                pairs(shape)
                    .filter(inside)
                    .map(|p| Circle::new(p, 8, colour.mix(opacity).filled())),
            )?;
        }
        // Beside the end of the line, on the side that has room.
        let (side, shift) = if end < 0.5 * x_end {
            (HPos::Left, 14)
        } else {
            (HPos::Right, -8)
        };
        let style = anchored(&font(12.0, MUTED), side, VPos::Center);
        let named = EmptyElement::at((end, end)) + Text::new("as asked", (shift, 40), style);
        chart.draw_series([named])?;
        // One method needs no key: the caption says what is drawn.
        if methods.len() > 1 {
            for (row, (i, shape)) in (0..).zip(&methods) {
                let at = 18 + 36 * row;
                let colour = canvas::colour(&shape.method, *i);
                let style = anchored(&font(12.5, INK), HPos::Left, VPos::Center);
                let key = EmptyElement::at((0.0, y_end))
                    + Circle::new((22, at), 9, colour.filled())
                    + Text::new(shape.method.clone(), (42, at), style);
                chart.draw_series([key])?;
            }
        }
        Ok(())
    });
    Some((svg, outside))
}

fn pairs(shape: &Shape) -> impl Iterator<Item = (f64, f64)> + '_ {
    shape
        .budgets
        .iter()
        .map(|&(b, t)| (f64::from(b), f64::from(t)))
}

/// The end of an axis: all values, unless a few far ones would press the rest into a corner. Far is
/// beyond Tukey's outer fence (Exploratory Data Analysis, 1977).
fn limit(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (quantile(&values, 0.25), quantile(&values, 0.75));
    let fence = high + 3.0 * (high - low);
    let usual = values
        .iter()
        .copied()
        .take_while(|&v| v <= fence)
        .last()
        .unwrap_or(high);
    let most = quantile(&values, 1.0);
    canvas::end(if most > 2.0 * usual { usual } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_budget_does_not_press_the_rest_into_a_corner() {
        let mut values: Vec<f64> = (1..=99).map(f64::from).collect();
        assert!(limit(values.clone()) >= 99.0);
        values.push(100_000.0);
        assert!(limit(values) < 150.0);
        assert!(limit(vec![0.0]) > 0.0);
    }
}
