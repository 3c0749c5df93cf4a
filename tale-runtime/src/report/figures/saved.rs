//! Tokens saved per question, most first; below zero it cost more.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::{
    super::{findings::Saved, words},
    canvas::{self, Axis, DEARER, INK, MUTED, SAVED, anchored, axes, font},
};

#[expect(
    clippy::cast_precision_loss,
    reason = "tokens of an answer are far below 2⁵³"
)]
pub(super) fn draw(saved: &Saved) -> Option<String> {
    let curve: Vec<f64> = saved.curve.iter().map(|&s| s as f64).collect();
    let (&first, &last) = (curve.first()?, curve.last()?);
    let n = saved.n as f64;
    let (top, bottom) = (first.max(0.0), last.min(0.0));
    // Room for the words above and below, and some height where all is zero.
    let room = ((top - bottom) * 0.14).max(1.0);
    let x = Axis {
        from: 0.0,
        to: n,
        title: "questions, most saved first",
        format: Some(canvas::tokens),
    };
    let y = Axis {
        from: bottom - if saved.dearer > 0 { room } else { 0.0 },
        to: top + room,
        title: "output tokens saved",
        format: Some(canvas::tokens),
    };
    let label = "Output tokens saved per question against vanilla CoT, sorted";
    Some(canvas::svg(label, None, |area| {
        let mut chart = axes(area, &x, &y)?;
        let width = n / curve.len() as f64;
        // Single bars where they can be seen, an area where they cannot.
        // There bars overlap, or the page would shine through between them.
        let gap = width * if curve.len() <= 80 { 0.12 } else { -0.4 };
        chart.draw_series(curve.iter().enumerate().map(|(i, &s)| {
            let from = i as f64 * width;
            let colour = if s < 0.0 { DEARER } else { SAVED };
            Rectangle::new(
                [
                    ((from + gap).max(0.0), s),
                    ((from + width - gap).min(n), 0.0),
                ],
                colour.filled(),
            )
        }))?;
        chart.draw_series([PathElement::new(
            vec![(0.0, 0.0), (n, 0.0)],
            MUTED.stroke_width(3),
        )])?;
        let less = saved.curve.iter().filter(|&&s| s > 0).count();
        let cheaper = if less == curve.len() {
            "every question cost less".to_owned()
        } else if saved.dearer == saved.n {
            "no question cost less".to_owned()
        } else {
            format!(
                "{} of {} questions did not cost more",
                words::count(saved.n - saved.dearer),
                words::count(saved.n)
            )
        };
        let style = anchored(&font(12.5, INK), HPos::Right, VPos::Top);
        chart.draw_series([EmptyElement::at((n, y.to)) + Text::new(cheaper, (-8, 6), style)])?;
        if saved.dearer > 0 {
            let text = format!(
                "TALE-EP cost more on {} of {}",
                words::count(saved.dearer),
                words::count(saved.n)
            );
            let style = anchored(&font(12.5, INK), HPos::Left, VPos::Bottom);
            chart.draw_series([
                EmptyElement::at((0.0, y.from)) + Text::new(text, (12, -8), style)
            ])?;
        }
        Ok(())
    }))
}
