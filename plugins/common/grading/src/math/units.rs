//! Units of measurement and counted things, as they stand after a number.

use num_rational::BigRational;

/// What a unit measures; units of one dimension convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Length,
    Mass,
    Time,
    Volume,
    Money,
    /// Morning or afternoon: not a unit, but it must not be dropped like one.
    HalfDay,
}

/// `(names, dimension, numerator, denominator)`: the size in the dimension's base unit.
const UNITS: &[(&[&str], Dimension, i64, i64)] = &[
    (
        &["mm", "millimeter", "millimetre"],
        Dimension::Length,
        1,
        1000,
    ),
    (
        &["cm", "centimeter", "centimetre"],
        Dimension::Length,
        1,
        100,
    ),
    (&["dm", "decimeter", "decimetre"], Dimension::Length, 1, 10),
    (&["m", "meter", "metre"], Dimension::Length, 1, 1),
    (
        &["km", "kilometer", "kilometre"],
        Dimension::Length,
        1000,
        1,
    ),
    (&["inch", "in", "inche"], Dimension::Length, 254, 10_000),
    (&["ft", "foot", "feet"], Dimension::Length, 3048, 10_000),
    (&["yd", "yard"], Dimension::Length, 9144, 10_000),
    (&["mi", "mile"], Dimension::Length, 1_609_344, 1000),
    (&["mg", "milligram"], Dimension::Mass, 1, 1_000_000),
    (&["g", "gram"], Dimension::Mass, 1, 1000),
    (&["kg", "kilogram"], Dimension::Mass, 1, 1),
    (&["ms", "millisecond"], Dimension::Time, 1, 1000),
    (&["s", "sec", "second"], Dimension::Time, 1, 1),
    (&["min", "minute"], Dimension::Time, 60, 1),
    (&["h", "hr", "hour"], Dimension::Time, 3600, 1),
    (&["day"], Dimension::Time, 86_400, 1),
    (&["week"], Dimension::Time, 604_800, 1),
    (
        &["ml", "milliliter", "millilitre"],
        Dimension::Volume,
        1,
        1000,
    ),
    (&["l", "liter", "litre"], Dimension::Volume, 1, 1),
    (&["cent"], Dimension::Money, 1, 100),
    (&["dollar", "usd"], Dimension::Money, 1, 1),
    (&["am"], Dimension::HalfDay, 1, 1),
    (&["pm"], Dimension::HalfDay, 2, 1),
];

/// Short names that are units only where they follow a number after a space.
const OTHER_SHORT: &[&str] = &[
    "mph", "kph", "kmh", "rpm", "lb", "lbs", "oz", "ha", "pt", "qt", "gal", "rs", "hz", "pa", "kw",
    "w", "j", "n", "v", "a", "k", "c", "f", "ev", "mol", "sq", "cu", "rad", "deg", "eur", "gbp",
    "cad", "aud", "inr", "yr", "yrs", "hrs", "mins", "secs", "fps", "kj", "mw", "db", "kb", "mb",
    "gb", "tb", "cc", "au", "ly", "pc", "pcs", "mile", "cal", "amu", "nm", "um", "μm",
];

/// Lower case, without plural ending and points: `Meters` → `meter`, `p.m.` → `pm`.
fn singular(name: &str) -> String {
    let name: String = name
        .chars()
        .filter(|c| !matches!(c, '.' | ' '))
        .flat_map(char::to_lowercase)
        .collect();
    if name.len() > 2 && name.ends_with('s') {
        name[..name.len() - 1].to_owned()
    } else {
        name
    }
}

/// Whether a run of letters after a number and a space is a unit rather than a product of symbols.
pub(crate) fn is_short_unit(name: &str) -> bool {
    let lower = name.to_lowercase();
    let known = singular(name);
    UNITS
        .iter()
        .any(|(names, ..)| names.contains(&known.as_str()))
        || OTHER_SHORT.contains(&lower.as_str())
}

/// How two units relate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Relation {
    /// The same, or of unknown relation: the numbers decide.
    Same,
    /// One of the first is this many of the second.
    Factor(BigRational),
    /// They measure different things.
    Foreign,
}

/// Relates two units by the table above; exponents and quotients are compared as text.
pub(crate) fn relate(a: &str, b: &str) -> Relation {
    let (a, b) = (singular(a), singular(b));
    let find = |name: &str| UNITS.iter().find(|(names, ..)| names.contains(&name));
    let (Some((_, da, na, qa)), Some((_, db, nb, qb))) = (find(&a), find(&b)) else {
        return Relation::Same;
    };
    if da != db || (*da == Dimension::HalfDay && a != b) {
        return Relation::Foreign;
    }
    let factor = BigRational::new((na * qb).into(), (qa * nb).into());
    if factor.is_integer() && factor.numer() == factor.denom() {
        Relation::Same
    } else {
        Relation::Factor(factor)
    }
}

/// Whether a word that stands between or before numbers means nothing for the value.
pub(crate) fn is_filler(word: &str) -> bool {
    matches!(
        word,
        "approximately"
            | "about"
            | "approx"
            | "roughly"
            | "exactly"
            | "around"
            | "only"
            | "total"
            | "usd"
            | "rs"
            | "eur"
            | "gbp"
            | "cad"
            | "aud"
            | "inr"
            | "rmb"
            | "cny"
            | "answer"
            | "final"
            | "约"
            | "大约"
            | "共"
            | "一共"
            | "人民币"
    )
}

/// Words that open a condition or a clause; what they follow is no plain value.
pub(crate) fn opens_clause(word: &str) -> bool {
    matches!(
        word,
        "if" | "where"
            | "when"
            | "for"
            | "with"
            | "unless"
            | "otherwise"
            | "such"
            | "modulo"
            | "mod"
            | "except"
            | "not"
            | "to"
            | "but"
            | "is"
            | "are"
            | "does"
            | "than"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_one_dimension_convert() {
        assert_eq!(
            relate("m", "cm"),
            Relation::Factor(BigRational::from_integer(100.into()))
        );
        assert_eq!(relate("Meters", "metre"), Relation::Same);
        assert_eq!(relate("p.m.", "am"), Relation::Foreign);
        assert_eq!(relate("apples", "clips"), Relation::Same);
    }
}
