//! Tables of names: functions, symbols, separators and characters.

use super::node::Func;

/// The function of a LaTeX command or of a plain word.
pub(crate) fn function(name: &str) -> Option<Func> {
    Some(match name {
        "sin" => Func::Sin,
        "cos" => Func::Cos,
        "tan" | "tg" => Func::Tan,
        "cot" | "ctg" => Func::Cot,
        "sec" => Func::Sec,
        "csc" | "cosec" => Func::Csc,
        "arcsin" | "asin" => Func::Asin,
        "arccos" | "acos" => Func::Acos,
        "arctan" | "atan" | "arctg" => Func::Atan,
        "arccot" | "acot" => Func::Acot,
        "sinh" | "sh" => Func::Sinh,
        "cosh" | "ch" => Func::Cosh,
        "tanh" | "th" => Func::Tanh,
        "exp" => Func::Exp,
        "ln" => Func::Ln,
        "log" | "lg" => Func::Log,
        "abs" => Func::Abs,
        "floor" => Func::Floor,
        "ceil" | "ceiling" => Func::Ceil,
        "max" => Func::Max,
        "min" => Func::Min,
        "gcd" => Func::Gcd,
        "lcm" => Func::Lcm,
        "det" | "dim" | "ker" | "arg" | "deg" | "Re" | "Im" | "sgn" | "sign" | "tr" | "rank"
        | "Pr" | "hom" => Func::Named(name.to_owned()),
        _ => return None,
    })
}

/// Letters written as words; the same symbol whether with a backslash or without.
pub(crate) fn greek(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 34] = [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
        "lambda", "mu", "nu", "xi", "omicron", "rho", "sigma", "tau", "upsilon", "phi", "chi",
        "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Upsilon", "Phi",
        "Psi", "Omega", "ell",
    ];
    match name {
        "varepsilon" => Some("epsilon"),
        "vartheta" => Some("theta"),
        "varphi" => Some("phi"),
        "varrho" => Some("rho"),
        "varsigma" => Some("sigma"),
        _ => NAMES.into_iter().find(|greek| *greek == name),
    }
}

/// Commands of layout: they change how a formula looks, never what it means.
pub(crate) fn is_layout(name: &str) -> bool {
    matches!(
        name,
        "left"
            | "right"
            | "big"
            | "Big"
            | "bigg"
            | "Bigg"
            | "bigl"
            | "bigr"
            | "Bigl"
            | "Bigr"
            | "biggl"
            | "biggr"
            | "Biggl"
            | "Biggr"
            | "displaystyle"
            | "textstyle"
            | "scriptstyle"
            | "limits"
            | "nolimits"
            | "quad"
            | "qquad"
            | "thinspace"
            | "mathstrut"
            | "boxed"
            | "fbox"
            | "mathbf"
            | "boldsymbol"
            | "bm"
            | "mathit"
            | "vec"
            | "hat"
            | "widehat"
            | "overrightarrow"
            | "mathcal"
            | "mathscr"
            | "mathfrak"
            | "bold"
            | "bf"
            | "rm"
            | "it"
            | "nonumber"
            | "notag"
            | "middle"
            | "phantom"
            | "hspace"
            | "enspace"
            | "underline"
            | "mathop"
            | "mathord"
            | "bigskip"
            | "noindent"
            | "smallskip"
    )
}

/// Commands whose argument is text.
pub(crate) fn is_text(name: &str) -> bool {
    matches!(
        name,
        "text"
            | "textbf"
            | "textit"
            | "textrm"
            | "texttt"
            | "textsf"
            | "textnormal"
            | "mbox"
            | "hbox"
            | "emph"
            | "textup"
    )
}

/// Commands whose argument is a name: a function, a unit, an upright `e`.
pub(crate) fn is_roman(name: &str) -> bool {
    matches!(
        name,
        "mathrm" | "operatorname" | "operatorname*" | "mathsf" | "mathtt" | "mathbin"
    )
}

/// The one-character operator of a LaTeX command.
pub(crate) fn operator(name: &str) -> Option<char> {
    Some(match name {
        "cdot" | "times" | "ast" | "star" | "bullet" => '*',
        "div" => '÷',
        "pm" => '±',
        "mp" => '∓',
        "le" | "leq" | "leqslant" | "leqq" => '≤',
        "ge" | "geq" | "geqslant" | "geqq" => '≥',
        "lt" => '<',
        "gt" => '>',
        "ne" | "neq" => '≠',
        "approx" | "simeq" | "cong" | "doteq" => '≈',
        "coloneqq" | "triangleq" => '=',
        "equiv" => '≡',
        "in" => '∈',
        "cup" | "bigcup" => '∪',
        "cap" | "bigcap" => '∩',
        "setminus" | "backslash" | "smallsetminus" => '∖',
        "infty" | "infin" => '∞',
        "circ" | "degree" | "deg" => '°',
        "lvert" | "rvert" | "vert" | "mid" => '|',
        "lbrace" => '⦃',
        "rbrace" => '⦄',
        "lbrack" => '[',
        "rbrack" => ']',
        "lparen" => '(',
        "rparen" => ')',
        "langle" => '⟨',
        "rangle" => '⟩',
        "lfloor" => '⌊',
        "rfloor" => '⌋',
        "lceil" => '⌈',
        "rceil" => '⌉',
        "emptyset" | "varnothing" => '∅',
        "land" | "wedge" => '∧',
        "lor" | "vee" => '∨',
        "colon" => ':',
        "prime" => '\'',
        "percent" => '%',
        "cr" | "newline" | "tabularnewline" => '⏎',
        _ => return None,
    })
}

/// The canonical character of a look-alike; `None` if it is dropped, the same one if it has none.
pub(crate) fn canonical(c: char) -> Option<char> {
    Some(match c {
        // Minus sign, dashes, fullwidth and small forms.
        '\u{2212}' | '\u{2010}'..='\u{2014}' | '\u{FE63}' | '\u{FF0D}' => '-',
        '×' | '·' | '∙' | '⋅' | '∗' | '•' | '⨯' | '✕' | '✖' => '*',
        '∕' | '⁄' => '/',
        '⩽' | '≦' => '≤',
        '⩾' | '≧' => '≥',
        '≃' | '≅' => '≈',
        'º' | '˚' | '℃' => '°',
        '∣' => '|',
        '、' | '，' | '؛' => ',',
        '；' => ';',
        '。' => '.',
        '【' => '[',
        '】' => ']',
        '〈' | '《' => '⟨',
        '〉' | '》' => '⟩',
        '∶' => ':',
        'ø' | 'Ø' => '∅',
        '’' | '′' => '\'',
        'ℝ' => 'ℝ',
        // The fullwidth block mirrors ASCII.
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFF01 + 0x21).unwrap_or(c),
        '\u{3000}' | '\u{00A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' => ' ',
        // Zero-width and direction marks, and the invisible times.
        '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' => return None,
        other => other,
    })
}

/// The digit or sign of a superscript character.
pub(crate) fn superscript(c: char) -> Option<char> {
    let position = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ".chars().position(|s| s == c)?;
    "0123456789+-n".chars().nth(position)
}

/// The digit of a subscript character.
pub(crate) fn subscript(c: char) -> Option<char> {
    let position = "₀₁₂₃₄₅₆₇₈₉".chars().position(|s| s == c)?;
    "0123456789".chars().nth(position)
}

/// Numerator and denominator of a fraction in one character.
pub(crate) fn vulgar_fraction(c: char) -> Option<(i64, i64)> {
    Some(match c {
        '½' => (1, 2),
        '⅓' => (1, 3),
        '⅔' => (2, 3),
        '¼' => (1, 4),
        '¾' => (3, 4),
        '⅕' => (1, 5),
        '⅖' => (2, 5),
        '⅗' => (3, 5),
        '⅘' => (4, 5),
        '⅙' => (1, 6),
        '⅚' => (5, 6),
        '⅛' => (1, 8),
        '⅜' => (3, 8),
        '⅝' => (5, 8),
        '⅞' => (7, 8),
        _ => return None,
    })
}

/// The name of a Greek letter as a character.
pub(crate) fn greek_letter(c: char) -> Option<&'static str> {
    const LOWER: [&str; 25] = [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
        "lambda", "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "sigma", "tau", "upsilon",
        "phi", "chi", "psi", "omega",
    ];
    let index = match c {
        'α'..='ω' => u32::from(c) - u32::from('α'),
        'Α'..='Ω' => {
            let name = LOWER.get((u32::from(c) - u32::from('Α')) as usize)?;
            return [
                "Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega",
            ]
            .into_iter()
            .find(|upper| upper.eq_ignore_ascii_case(name));
        }
        'ϕ' => return Some("phi"),
        'µ' => return Some("mu"),
        _ => return None,
    };
    LOWER.get(index as usize).copied()
}
