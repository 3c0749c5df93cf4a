//! Accuracy against mean output tokens, a point per method.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::{
    super::{analysis::scores, summary::MethodRow},
    canvas::{self, Axis, INK, MUTED, anchored, axes, font},
};

struct Dot<'a> {
    method: &'a str,
    tokens: f64,
    accuracy: f64,
    interval: [f64; 2],
    colour: RGBColor,
}

pub(super) fn draw(rows: &[&MethodRow]) -> Option<String> {
    let dots: Vec<Dot<'_>> = rows
        .iter()
        .enumerate()
        .filter_map(|(i, r)| {
            Some(Dot {
                method: &r.method,
                tokens: r.all_output_tokens?,
                accuracy: r.accuracy? * 100.0,
                interval: r.accuracy_ci95?.map(|x| x * 100.0),
                colour: canvas::colour(&r.method, i),
            })
        })
        .collect();
    if dots.is_empty() {
        return None;
    }
    let x = Axis {
        from: 0.0,
        to: canvas::end(dots.iter().map(|d| d.tokens).fold(0.0, f64::max)),
        title: "output tokens a question (mean)",
        format: Some(canvas::tokens),
    };
    let y = Axis {
        from: 0.0,
        to: 100.0,
        title: "accuracy, %",
        format: Some(canvas::tokens),
    };
    let label = "Accuracy against mean output tokens, one point per method";
    Some(canvas::svg(label, None, |area| {
        let mut chart = axes(area, &x, &y)?;
        let mut front: Vec<(f64, f64)> = dots
            .iter()
            .zip(on_front(&dots))
            .filter_map(|(d, on)| on.then_some((d.tokens, d.accuracy)))
            .collect();
        front.sort_by(|a, b| a.0.total_cmp(&b.0));
        if front.len() > 1 && dots.len() > 2 {
            chart.draw_series([PathElement::new(front, MUTED.stroke_width(3))])?;
        }
        for d in &dots {
            let [low, high] = d.interval;
            let line = d.colour.stroke_width(4);
            let cap = x.to * 0.008;
            chart.draw_series([
                PathElement::new(vec![(d.tokens, low), (d.tokens, high)], line),
                PathElement::new(vec![(d.tokens - cap, low), (d.tokens + cap, low)], line),
                PathElement::new(vec![(d.tokens - cap, high), (d.tokens + cap, high)], line),
            ])?;
            let point = Circle::new((d.tokens, d.accuracy), 11, d.colour.filled());
            chart.draw_series([point])?;
        }
        for (d, at) in dots.iter().zip(label_heights(&dots)) {
            // Towards the middle, where there is room.
            let is_left = d.tokens < x.to * 0.6;
            let (side, shift) = if is_left {
                (HPos::Left, 20)
            } else {
                (HPos::Right, -20)
            };
            let style = anchored(&font(12.5, INK), side, VPos::Center);
            let name = d.method.to_owned();
            let text = EmptyElement::at((d.tokens, at)) + Text::new(name, (shift, 0), style);
            chart.draw_series([text])?;
        }
        Ok(())
    }))
}

/// Which dots no other beats.
fn on_front(dots: &[Dot<'_>]) -> Vec<bool> {
    let points: Vec<(f64, f64)> = dots.iter().map(|d| (d.tokens, d.accuracy)).collect();
    scores::front(&points)
}

/// Where the names stand, in per cent: at their points, moved up where they would overlap.
fn label_heights(dots: &[Dot<'_>]) -> Vec<f64> {
    /// Height of a line of text on the axis.
    const LINE: f64 = 7.0;
    let mut order: Vec<usize> = (0..dots.len()).collect();
    order.sort_by(|&a, &b| dots[a].accuracy.total_cmp(&dots[b].accuracy));
    let mut heights = vec![0.0; dots.len()];
    let mut below = f64::NEG_INFINITY;
    for i in order {
        below = dots[i].accuracy.max(below + LINE).clamp(2.0, 98.0);
        heights[i] = below;
    }
    heights
}
