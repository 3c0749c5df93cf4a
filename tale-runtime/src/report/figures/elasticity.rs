//! Output tokens against the budget asked for, a line per question and their mean: the paper's
//! Figure 2.

use std::collections::BTreeMap;

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::{
    super::{analysis::curves::Curve, stats::quantile},
    canvas::{self, Axis, DEARER, INK, MUTED, anchored, axes, font},
};

/// Questions drawn at most; more would be a blot.
const DRAWN: usize = 60;

/// A line of the figure, ordered by budget.
type Line = Vec<(f64, f64)>;

pub(super) fn draw(curves: &[Curve]) -> Option<String> {
    let lines: Vec<Line> = curves
        .iter()
        .map(|c| {
            let trials = c.trials().iter();
            trials
                .map(|t| (f64::from(t.budget).log2(), f64::from(t.tokens)))
                .collect()
        })
        .collect();
    let mean = mean_line(&lines);
    if mean.len() < 2 {
        return None;
    }
    let mut heights: Vec<f64> = lines.iter().flatten().map(|p| p.1).collect();
    heights.sort_by(f64::total_cmp);
    let top =
        canvas::end(quantile(&heights, 0.97).max(mean.iter().map(|p| p.1).fold(0.0, f64::max)));
    let budgets = || lines.iter().flatten().map(|p| p.0);
    let (from, to) = (
        budgets().fold(f64::INFINITY, f64::min),
        budgets().fold(0.0, f64::max),
    );
    let x = Axis {
        from: from - 0.15,
        to: to + 0.15,
        title: "budget asked for, tokens (each step doubles it)",
        format: Some(power),
    };
    let y = Axis {
        from: 0.0,
        to: top,
        title: "output tokens used",
        format: Some(canvas::tokens),
    };
    let label =
        "Output tokens used against the budget asked for, question by question and on average";
    Some(canvas::svg(label, None, |area| {
        let mut chart = axes(area, &x, &y)?;
        let step = lines.len().div_ceil(DRAWN).max(1);
        for line in lines.iter().step_by(step) {
            let cut = line
                .iter()
                .map(|&(b, t)| (b, t.min(top)))
                .collect::<Vec<_>>();
            chart.draw_series([PathElement::new(cut, MUTED.mix(0.25).stroke_width(2))])?;
        }
        // What an obedient model would use at most.
        let asked: Line = (0..=40)
            .map(|i| x.from + (x.to - x.from) * f64::from(i) / 40.0)
            .map(|b| (b, b.exp2()))
            .take_while(|p| p.1 <= top)
            .collect();
        chart.draw_series([PathElement::new(asked.clone(), INK.stroke_width(2))])?;
        if let Some(&end) = asked.last() {
            let style = anchored(&font(12.0, MUTED), HPos::Right, VPos::Bottom);
            let named = EmptyElement::at(end) + Text::new("as asked", (-10, -6), style);
            chart.draw_series([named])?;
        }
        chart.draw_series([PathElement::new(mean.clone(), DEARER.stroke_width(6))])?;
        chart.draw_series(mean.iter().map(|p| Circle::new(*p, 9, DEARER.filled())))?;
        let style = anchored(&font(12.5, DEARER), HPos::Left, VPos::Bottom);
        let named = EmptyElement::at(mean[0]) + Text::new("mean", (6, -14), style);
        chart.draw_series([named])?;
        Ok(())
    }))
}

/// The mean of the questions at each doubling of the budget, where at least a tenth of them, and
/// three, have a trial.
fn mean_line(lines: &[Line]) -> Line {
    let mut steps: BTreeMap<i64, Line> = BTreeMap::new();
    for point in lines.iter().flatten() {
        #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a u32")]
        let step = (point.0 * 2.0).round() as i64;
        steps.entry(step).or_default().push(*point);
    }
    let enough = (lines.len() / 10).max(3);
    steps
        .into_values()
        .filter(|points| points.len() >= enough)
        .map(|points| {
            #[expect(clippy::cast_precision_loss, reason = "a number of questions")]
            let n = points.len() as f64;
            let sum = points
                .iter()
                .fold((0.0, 0.0), |a, p| (a.0 + p.0, a.1 + p.1));
            (sum.0 / n, sum.1 / n)
        })
        .collect()
}

/// The budget of a place on the axis.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "what plotters asks of a formatter"
)]
fn power(x: &f64) -> String {
    canvas::tokens(&x.exp2().round())
}

#[cfg(test)]
mod tests {
    use super::{super::super::analysis::ideal::Trial, *};

    fn curve(tokens: [u32; 3]) -> Curve {
        let trials: Vec<Trial> = [10, 20, 40]
            .into_iter()
            .zip(tokens)
            .map(|(budget, tokens)| Trial {
                budget,
                tokens,
                right: true,
            })
            .collect();
        Curve::new(&trials)
    }

    #[test]
    fn the_mean_is_drawn_where_there_are_questions_enough() {
        let curves = vec![curve([30, 20, 40]); 4];
        let svg = draw(&curves).unwrap();
        assert!(svg.contains("mean") && svg.contains("as asked"), "{svg}");
        assert_eq!(draw(&curves[..2]), None);
        assert_eq!(draw(&[]), None);
    }
}
