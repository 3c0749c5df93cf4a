//! What all figures share: size, type, colours, axes.

use plotters::{
    coord::{Shift, ranged1d::ValueFormatter, types::RangedCoordf64},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::super::words;

/// Drawn at twice the size at which it is shown.
const SCALE: u32 = 2;
const WIDTH: u32 = 440;
const HEIGHT: u32 = 310;

/// Text, axes and grid. The values are what the page's style sheet looks for; change both.
pub(super) const INK: RGBColor = RGBColor(0x1B, 0x1F, 0x24);
pub(super) const MUTED: RGBColor = RGBColor(0x5B, 0x64, 0x70);
pub(super) const GRID: RGBColor = RGBColor(0xE2, 0xE6, 0xEA);

/// Okabe and Ito's palette (2008), told apart with any colour vision; its yellow is left out, since
/// it cannot be seen on white.
const VERMILLION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
const GREEN: RGBColor = RGBColor(0x00, 0x9E, 0x73);
const OTHERS: [RGBColor; 3] = [
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
];

pub(super) const SAVED: RGBColor = GREEN;
pub(super) const DEARER: RGBColor = VERMILLION;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Plane = Cartesian2d<RangedCoordf64, RangedCoordf64>;
pub(super) type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Plane>;
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// The colour of the method that is `index`-th among those shown: the paper's three keep theirs in
/// every figure.
pub(super) fn colour(method: &str, index: usize) -> RGBColor {
    match method {
        "tale-ep" => VERMILLION,
        "vanilla-cot" => BLUE,
        "direct" => GREEN,
        _ => OTHERS[index % OTHERS.len()],
    }
}

/// An SVG of `height` (as shown; the usual one if `None`), named `label` for those who cannot see
/// it.
pub(super) fn svg(
    label: &str,
    height: Option<u32>,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> String {
    let height = height.unwrap_or(HEIGHT);
    let (w, h) = (WIDTH * SCALE, height * SCALE);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (w, h)).into_drawing_area();
        draw(&area).expect("drawing into a string cannot fail");
        area.present().expect("drawing into a string cannot fail");
    }
    let drawn_size = format!("<svg width=\"{w}\" height=\"{h}\"");
    let shown_size =
        format!("<svg role=\"img\" aria-label=\"{label}\" width=\"{WIDTH}\" height=\"{height}\"");
    text.replacen(&drawn_size, &shown_size, 1)
}

/// Type of so many points as shown. The backend divides sizes by 1.24.
pub(super) fn font(points: f64, colour: RGBColor) -> TextStyle<'static> {
    let size = points * f64::from(SCALE) * 1.24;
    ("system-ui, sans-serif", size).into_font().color(&colour)
}

pub(super) fn anchored<'a>(style: &TextStyle<'a>, h: HPos, v: VPos) -> TextStyle<'a> {
    style.pos(Pos::new(h, v))
}

/// How an axis is to look.
pub(super) struct Axis {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) title: &'static str,
    /// `None` for an axis without numbers.
    pub(super) format: Option<fn(&f64) -> String>,
}

/// Axes and grid, ready to be drawn into.
pub(super) fn axes<'a, 'b>(
    area: &'b Area<'a>,
    x: &Axis,
    y: &Axis,
) -> Result<Chart<'a, 'b>, DrawingAreaErrorKind<std::io::Error>>
where
    RangedCoordf64: ValueFormatter<f64>,
{
    let has_numbers = y.format.is_some();
    let mut chart = ChartBuilder::on(area)
        .margin_top(28)
        .margin_right(36)
        .margin_bottom(8)
        .margin_left(8)
        .x_label_area_size(92)
        .y_label_area_size(if has_numbers { 118 } else { 24 })
        .build_cartesian_2d(x.from..x.to, y.from..y.to)?;
    let blank = |_: &f64| String::new();
    let (x_format, y_format) = (x.format.unwrap_or(blank), y.format.unwrap_or(blank));
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(2))
        .axis_style(MUTED.stroke_width(2))
        .label_style(font(12.0, MUTED))
        .axis_desc_style(font(12.5, INK))
        .x_labels(6)
        .y_labels(6)
        .x_desc(x.title)
        .x_label_formatter(&x_format)
        .y_label_formatter(&y_format);
    if has_numbers {
        mesh.y_desc(y.title);
    } else {
        mesh.disable_y_mesh().disable_y_axis();
    }
    mesh.draw()?;
    Ok(chart)
}

/// Whole tokens, or questions: `−1,200`. Nothing between them, where an axis is that short.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "what plotters asks of a formatter"
)]
pub(super) fn tokens(x: &f64) -> String {
    if (x - x.round()).abs() > 1e-6 {
        return String::new();
    }
    let size = words::mean(Some(x.abs().round()));
    let size = size.trim_end_matches(".0");
    if *x < 0.0 && size != "0" {
        format!("−{size}")
    } else {
        size.to_owned()
    }
}

/// The end of an axis that shows values up to `max` from 0: never of no length.
pub(super) fn end(max: f64) -> f64 {
    if max > 0.0 { max * 1.06 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_an_axis_are_whole() {
        assert_eq!(
            [0.0, 50.0, -0.2, -200.0].map(|x| tokens(&x)),
            ["0", "50", "", "−200"]
        );
        assert_eq!(
            [1000.0, -1_000_000.0].map(|x| tokens(&x)),
            ["1,000", "−1,000,000"]
        );
    }
}
