//! What somebody may have meant.

/// The candidate that `found` most likely was meant to be, if any is near enough.
///
/// Case, `-` and `_` do not count. Near enough is a third of the length in edits (one at least), a
/// swap of neighbours being one edit.
pub(crate) fn nearest<'a>(
    found: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace('-', "_");
    let found = plain(found);
    if found.chars().count() > 100 {
        return None;
    }
    let limit = (found.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&found, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_key_forgives_case_dashes_and_swaps_but_not_everything() {
        let keys = ["temperature", "top_p", "top_k", "n", "max_tokens"];
        let check = |found, expected| assert_eq!(nearest(found, keys), expected, "{found}");
        check("temprature", Some("temperature"));
        check("Temperature", Some("temperature"));
        check("max-tokens", Some("max_tokens"));
        check("maxtokens", Some("max_tokens"));
        check("tpo_p", Some("top_p"));
        check("x", None);
        check("", None);
        check("learning_rate", None);
        check(&"a".repeat(10_000), None);
    }
}
