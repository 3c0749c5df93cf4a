//! Options of a choice question: without letters, shuffled, rotated.

use sha2::{Digest, Sha256};
use tale_api::{Question, Result};

use super::broken;

/// More have no letter.
const MOST: usize = 26;

/// Refuses what cannot be asked as a choice.
pub(super) fn check(options: &[String]) -> Result<()> {
    match options.len() {
        0 | 1 => Err(broken(format!("{} option is no choice", options.len()))),
        n if n > MOST => Err(broken(format!("{n} options, and letters for {MOST}"))),
        _ => Ok(()),
    }
}

/// Options without the letters that some files write before them (`A) 21`, `(A) 21`, `A. 21`): the
/// prompt writes its own. Only if all have their own letter, so that an option "A. Lincoln" stays.
pub(super) fn without_letters(options: Vec<String>) -> Vec<String> {
    let bare = |(letter, option): (char, &String)| {
        let option = option.trim_start();
        let rest = match option.strip_prefix('(') {
            Some(inside) => inside.strip_prefix(letter)?.strip_prefix(')')?,
            None => option.strip_prefix(letter)?.strip_prefix([')', '.', ':'])?,
        };
        Some(rest.trim_start().to_owned())
    };
    match ('A'..='Z')
        .zip(&options)
        .map(bare)
        .collect::<Option<Vec<_>>>()
    {
        Some(bare) if bare.len() > 1 && bare.len() == options.len() => bare,
        _ => options,
    }
}

/// The position of the right option, which the file gives as letter, as text, or as a number
/// counted from `base`.
pub(super) fn position(gold: &str, options: &[String], base: Option<u32>) -> Result<usize> {
    let gold = gold.trim();
    let unknown = |as_what: &str| {
        broken(format!(
            "the gold answer `{gold}` is {as_what} of {} options",
            options.len()
        ))
    };
    if let Some(base) = base {
        let counted: Option<usize> = gold.parse::<u32>().ok().and_then(|n| {
            let at = n.checked_sub(base)? as usize;
            (at < options.len()).then_some(at)
        });
        return counted
            .ok_or_else(|| unknown("no number").hint(format!("`gold_counts_from` is {base}")));
    }
    let by_letter = ('A'..='Z')
        .take(options.len())
        .position(|letter| gold.eq_ignore_ascii_case(letter.encode_utf8(&mut [0; 4])));
    let found = by_letter.or_else(|| {
        let same = |(_, option): &(usize, &String)| option.trim() == gold;
        let mut same = options.iter().enumerate().filter(same);
        let first = same.next();
        first.filter(|_| same.next().is_none()).map(|(at, _)| at)
    });
    found.ok_or_else(|| {
        unknown("neither a letter nor the text of one")
            .hint("a number that counts options is read with `gold_counts_from = 0` (or 1)")
    })
}

/// `A` for 0.
pub(super) fn letter(position: usize) -> String {
    ('A'..='Z')
        .nth(position)
        .map_or_else(String::new, String::from)
}

/// Puts the options in an order that depends on seed and question alone, and the gold letter with
/// them. The same seed gives the same order on every machine, whatever is read before.
pub(super) fn shuffle(question: &mut Question, gold: Option<usize>, seed: u64) {
    let mut keyed: Vec<([u8; 32], usize)> = (0..question.options.len())
        .map(|at| {
            let mut hash = Sha256::new();
            hash.update(seed.to_le_bytes());
            hash.update(&question.text);
            hash.update([0]);
            hash.update(&question.options[at]);
            // Two options of the same text.
            hash.update((at as u64).to_le_bytes());
            (hash.finalize().into(), at)
        })
        .collect();
    keyed.sort_unstable();
    let order: Vec<usize> = keyed.into_iter().map(|(_, at)| at).collect();
    question.options = order
        .iter()
        .map(|at| question.options[*at].clone())
        .collect();
    if let Some(gold) = gold {
        question.gold = order.iter().position(|at| *at == gold).map(letter);
    }
}

/// The question with its options in each rotation: the first stands last in the second, and so on.
/// `OpenCompass` counts a model right only if it is under all of them.
pub(super) fn rotations(question: &Question, gold: Option<usize>, n: usize) -> Vec<Question> {
    (0..n)
        .map(|by| {
            let mut rotated = question.clone();
            let len = rotated.options.len().max(1);
            let by = by % len;
            rotated.options.rotate_left(by);
            rotated.gold = gold.map(|gold| letter((gold + len - by) % len));
            rotated.id = format!("{}/{}", question.id, by + 1);
            rotated
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(options: &[&str]) -> Vec<String> {
        options.iter().map(|o| (*o).to_owned()).collect()
    }

    fn question() -> Question {
        Question {
            id: "7".to_owned(),
            text: "Which?".to_owned(),
            options: texts(&["red", "green", "blue", "black"]),
            ..Question::default()
        }
    }

    fn right(q: &Question) -> &str {
        let letter = q.gold.as_ref().unwrap().as_bytes()[0];
        &q.options[usize::from(letter - b'A')]
    }

    #[test]
    fn a_shuffle_moves_the_gold_with_its_text_and_depends_on_the_seed_alone() {
        let shuffled = |seed| {
            let mut q = question();
            shuffle(&mut q, Some(0), seed);
            q
        };
        let mut places = std::collections::BTreeMap::new();
        for seed in 0..400 {
            let q = shuffled(seed);
            assert_eq!(right(&q), "red");
            assert_eq!(q, shuffled(seed));
            *places.entry(q.gold).or_insert(0) += 1;
        }
        assert_eq!(places.len(), 4, "{places:?}");
        // 100 each on average; 60 is over four standard deviations off.
        assert!(places.values().all(|n| *n > 60), "{places:?}");
    }

    #[test]
    fn rotations_ask_the_same_in_every_order() {
        let all = rotations(&question(), Some(1), 4);
        assert!(all.iter().all(|q| right(q) == "green"));
        let golds: Vec<_> = all.iter().filter_map(|q| q.gold.as_deref()).collect();
        assert_eq!(golds, ["B", "A", "D", "C"]);
        assert_eq!(all[1].options, texts(&["green", "blue", "black", "red"]));
        assert_eq!(all[3].id, "7/4");
    }

    #[test]
    fn the_gold_is_a_letter_a_text_or_a_number() {
        let options = texts(&["21", "22", "B"]);
        assert_eq!(position("b", &options, None).unwrap(), 1);
        assert_eq!(position(" 21 ", &options, None).unwrap(), 0);
        assert_eq!(position("2", &options, Some(0)).unwrap(), 2);
        assert_eq!(position("1", &options, Some(1)).unwrap(), 0);
        for (gold, base) in [
            ("D", None),
            ("2", None),
            ("3", Some(0)),
            ("0", Some(1)),
            ("A", Some(0)),
        ] {
            assert!(position(gold, &options, base).is_err(), "{gold} {base:?}");
        }
        assert!(
            position("x", &texts(&["x", "x"]), None).is_err(),
            "which of the two?"
        );
    }

    #[test]
    fn more_options_than_letters_are_refused() {
        assert!(check(&vec![String::new(); 27]).is_err());
        assert!(check(&texts(&["only"])).is_err());
        assert!(check(&vec![String::new(); 26]).is_ok());
    }
}
