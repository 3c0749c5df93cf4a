//! Numbers as people read them.

/// `0.5833` as `58.3%`; a dash for nothing.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(dash, |x| format!("{:.1}%", x * 100.0))
}

/// An interval of shares: `38.8–75.5%`.
pub(super) fn percents(ci: Option<[f64; 2]>) -> String {
    ci.map_or_else(dash, |[low, high]| {
        format!("{:.1}–{:.1}%", low * 100.0, high * 100.0)
    })
}

/// A ratio in whole per cent, as one says it: `37%`. Small ones keep a digit: `2.1%`.
pub(super) fn ratio(x: Option<f64>) -> String {
    x.map_or_else(dash, |x| format!("{}%", per_cent(x)))
}

/// An interval of a ratio: `31–44%`.
pub(super) fn ratios(ci: Option<[f64; 2]>) -> String {
    ci.map_or_else(dash, |[low, high]| {
        let (from, to) = (per_cent(low), per_cent(high));
        // Of a million questions the interval is narrower than one per cent.
        if from == to && low < high {
            percents(ci)
        } else {
            format!("{from}–{to}%")
        }
    })
}

fn per_cent(x: f64) -> String {
    let x = x * 100.0;
    if x > 0.0 && x < 9.95 {
        format!("{x:.1}")
    } else {
        format!("{x:.0}")
    }
}

/// A mean with one decimal, none from 1,000 on.
pub(super) fn mean(x: Option<f64>) -> String {
    x.map_or_else(dash, |x| {
        if x < 999.95 {
            format!("{x:.1}")
        } else {
            whole(x)
        }
    })
}

/// A mean without decimals, with commas.
fn whole(x: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mean of counts: not negative, and far below 2⁶⁴"
    )]
    count(x.round() as u64)
}

/// Seconds, with as many digits as say something.
pub(super) fn seconds(x: Option<f64>) -> String {
    x.map_or_else(dash, |x| {
        if x < 0.0995 {
            format!("{x:.3}")
        } else if x < 9.95 {
            format!("{x:.2}")
        } else {
            format!("{x:.1}")
        }
    })
}

/// A difference of shares in percentage points, with its sign: `−4.2`.
pub(super) fn points(delta: Option<f64>) -> String {
    delta.map_or_else(dash, |d| {
        let text = format!("{:.1}", (d * 100.0).abs());
        match text.as_str() {
            "0.0" => text,
            _ if d < 0.0 => format!("−{text}"),
            _ => format!("+{text}"),
        }
    })
}

/// A p-value: `0.75`, `0.031`, `< 0.001`.
pub(super) fn p_value(p: Option<f64>) -> String {
    p.map_or_else(dash, |p| {
        if p < 0.001 {
            "< 0.001".to_owned()
        } else if p < 0.0995 {
            format!("{p:.3}")
        } else {
            format!("{p:.2}")
        }
    })
}

/// [`p_value`] as an equation: `p = 0.75`, `p < 0.001`.
pub(super) fn p_equals(p: f64) -> String {
    let text = p_value(Some(p));
    if text.starts_with('<') {
        format!("p {text}")
    } else {
        format!("p = {text}")
    }
}

/// A count with commas: `1,234,567`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// US dollars, small sums included.
pub(super) fn usd(x: Option<f64>) -> String {
    x.map_or_else(dash, |x| {
        if x < 0.995 {
            format!("${x:.4}")
        } else {
            format!("${x:.2}")
        }
    })
}

/// A method as the paper writes it, where it does.
pub(super) fn method(name: &str) -> String {
    match name {
        "direct" => "direct answering".to_owned(),
        "vanilla-cot" => "vanilla CoT".to_owned(),
        "tale-ep" => "TALE-EP".to_owned(),
        other => match other.strip_prefix("tale-pt-") {
            Some(trainer) => format!("TALE-PT-{}", trainer.to_uppercase()),
            None => other.to_owned(),
        },
    }
}

/// `text` for Markdown. Names come from a manifest and may hold anything; none of it is to become Markdown or HTML.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' => out.extend(['\\', c]),
            '\n' | '\r' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

/// What stands for nothing.
pub(super) fn dash() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(percent(Some(0.583_33)), "58.3%");
        assert_eq!(percents(Some([0.0, 1.0])), "0.0–100.0%");
        assert_eq!(ratio(Some(0.374)), "37%");
        assert_eq!(ratio(Some(0.0212)), "2.1%");
        assert_eq!(ratio(Some(0.0)), "0%");
        assert_eq!(ratios(Some([0.31, 0.444])), "31–44%");
        assert_eq!(ratios(Some([0.5588, 0.5604])), "55.9–56.0%");
        assert_eq!(plain("a|b <i>_x_"), "a\\|b &lt;i>\\_x\\_");
        assert_eq!(mean(Some(228.66)), "228.7");
        assert_eq!(mean(Some(12_345.6)), "12,346");
        assert_eq!(points(Some(-0.041_66)), "−4.2");
        assert_eq!(points(Some(-0.0001)), "0.0");
        assert_eq!(p_value(Some(0.031_25)), "0.031");
        assert_eq!(p_equals(1e-9), "p < 0.001");
        assert_eq!(p_equals(1.0), "p = 1.00");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(seconds(Some(0.004)), "0.004");
        assert_eq!(usd(Some(0.0123)), "$0.0123");
        assert_eq!(percent(None), "–");
    }
}
