//! The marks that answers of every kind share: `[[…]]`, `\boxed{…}`, `####`, phrases.

use std::borrow::Cow;

/// Bytes of a bracketed answer; more than that is prose that happens to be in brackets.
const MAX_ANSWER: usize = 32 * 1024;
/// Bytes at the end of a completion in which phrases are looked for.
const PHRASE_TAIL: usize = 16 * 1024;
/// Marks of one sort that are looked at, from the end.
const MAX_MARKS: usize = 24;

/// The content of the last `[[…]]`.
///
/// Placeholders of the prompt's format line (`[[answer]]`) are no answers, nor is its example: what
/// directly follows "for example: Answer:".
pub(super) fn brackets(text: &str) -> Option<&str> {
    let mut end = text.len();
    for _ in 0..MAX_MARKS {
        let open = text[..end].rfind("[[")?;
        // The outermost pair of a longer run, so that [[[0,1]]] holds an interval.
        let run = text[..open]
            .bytes()
            .rev()
            .take_while(|b| *b == b'[')
            .count();
        let start = open - run;
        end = start;
        let inside = &text[start + 2..];
        let Some(content) = closed(inside) else {
            continue;
        };
        let name = content.trim().to_lowercase();
        let placeholder = matches!(
            name.as_str(),
            "" | "answer"
                | "choice"
                | "选项"
                | "答案"
                | "budget"
                | "..."
                | "…"
                | "your answer"
                | "number"
                | "final answer"
                | "x"
                | "?"
                | "result"
                | "选项序号"
        );
        if placeholder || is_example(&text[..start]) {
            continue;
        }
        // [[1,2],[3,4]] is a matrix, brackets included.
        if content.contains("],") && content.contains('[') {
            return Some(&text[start..start + 2 + content.len() + 2]);
        }
        return Some(content.trim());
    }
    None
}

/// What follows the last "final answer", if no box stands behind it: a box in the middle of the
/// reasoning is not the conclusion.
pub(super) fn final_answer(text: &str) -> Option<&str> {
    let box_at = ["\\boxed", "\\fbox"]
        .iter()
        .filter_map(|c| text.rfind(c))
        .max()?;
    let after = &text[box_at..];
    let phrases = [
        "final answer is",
        "final answer:",
        "final answer**:",
        "final answer:**",
    ];
    after_phrase(after, &phrases)
}

/// The text up to the last `]]` of the first run of closing brackets that holds two.
fn closed(inside: &str) -> Option<&str> {
    let first = inside.find("]]")?;
    let run = inside[first..].bytes().take_while(|b| *b == b']').count();
    let at = first + run - 2;
    (at <= MAX_ANSWER).then(|| &inside[..at])
}

fn is_example(before: &str) -> bool {
    let before = before.trim_end();
    let Some(before) = before.strip_suffix([':', '：']) else {
        return false;
    };
    [
        "for example: Answer",
        "for example: Choice",
        "for example:Answer",
        "for example: Budget",
        "例如：选项",
        "例如: 选项",
        "例如：答案",
    ]
    .iter()
    .any(|example| before.ends_with(example))
}

/// The content of the last `\boxed{…}`; neighbours joined by commas or "and" make one list.
pub(crate) fn boxed(text: &str) -> Option<Cow<'_, str>> {
    let (last, mut start) = last_boxed(text, text.len())?;
    let mut all: Vec<&str> = vec![last];
    while all.len() < 16 {
        let Some((content, at)) = last_boxed(text, start) else {
            break;
        };
        let between = text[..start]
            .get(at + boxed_length(&text[at..])..)
            .unwrap_or("");
        if !is_connector(between) || content == *all.last().unwrap_or(&"") {
            break;
        }
        all.push(content);
        start = at;
    }
    if all.len() == 1 {
        // "\\boxed{28}\\%": the mark belongs to the answer.
        let after =
            text[start + boxed_length(&text[start..])..].trim_start_matches(['}', '$', ' ']);
        let percent = ["\\%", "%", "percent", "pct"]
            .iter()
            .any(|mark| after.starts_with(mark));
        if percent && last.ends_with(|c: char| c.is_ascii_digit()) {
            return Some(Cow::Owned(format!("{last}%")));
        }
        return Some(Cow::Borrowed(last));
    }
    all.reverse();
    Some(Cow::Owned(all.join(", ")))
}

/// Only a comma, "and" or "or" with formula delimiters around it.
pub(super) fn is_connector(between: &str) -> bool {
    if between.len() > 64 {
        return false;
    }
    let bare: String = between
        .replace("\\qquad", "")
        .replace("\\quad", "")
        .replace("\\text", "")
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '$' | '\\' | '(' | ')' | '{' | '}'))
        .collect();
    // "x = \\boxed{1} or x = \\boxed{2}": the name of the second value stands between, too.
    let named = bare.strip_suffix('=').map(|head| {
        let head = head.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
        let name = head.len().saturating_sub(1);
        if head.is_char_boundary(name) {
            &head[..name]
        } else {
            head
        }
    });
    matches!(
        named.unwrap_or(&bare),
        "" | "," | "and" | "or" | "和" | "或" | ",and" | ",or" | "、" | ";"
    )
}

fn last_boxed(text: &str, before: usize) -> Option<(&str, usize)> {
    let mut end = before;
    for _ in 0..MAX_MARKS {
        let at = ["\\boxed", "\\fbox"]
            .iter()
            .filter_map(|c| text[..end].rfind(c))
            .max()?;
        end = at;
        if let Some(content) = boxed_content(&text[at..]) {
            return Some((content.trim(), at));
        }
    }
    None
}

fn boxed_content(text: &str) -> Option<&str> {
    let after = text
        .strip_prefix("\\boxed")
        .or_else(|| text.strip_prefix("\\fbox"))?;
    let inner = after.trim_start();
    if let Some(inner) = inner.strip_prefix('{') {
        let length = matching_brace(inner)?;
        return Some(&inner[..length]).filter(|c| !c.trim().is_empty());
    }
    // "\boxed 5": up to the next space or dollar.
    let end = inner
        .find(|c: char| c.is_whitespace() || c == '$')
        .unwrap_or(inner.len());
    (end > 0 && after.len() > inner.len() && end <= 32).then(|| &inner[..end])
}

fn boxed_length(text: &str) -> usize {
    match boxed_content(text) {
        // The content is a slice of `text`, so its end is known by its address.
        Some(content) => {
            let start = content.as_ptr() as usize - text.as_ptr() as usize;
            let end = start + content.len();
            end + usize::from(text[end..].starts_with('}'))
        }
        None => 0,
    }
}

/// Bytes up to the brace that closes an open one; escaped braces do not count.
pub(super) fn matching_brace(inner: &str) -> Option<usize> {
    let (mut depth, mut escaped) = (1usize, false);
    for (at, byte) in inner.bytes().enumerate().take(MAX_ANSWER) {
        match byte {
            b'\\' => {
                escaped = !escaped;
                continue;
            }
            b'{' if !escaped => depth += 1,
            b'}' if !escaped => depth -= 1,
            _ => {}
        }
        escaped = false;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The line after the last `####`.
pub(super) fn hashes(text: &str) -> Option<&str> {
    let mut end = text.len();
    for _ in 0..MAX_MARKS {
        let at = text[..end].rfind("####")?;
        let after = text[at + 4..].trim_start_matches('#');
        let line = first_line(after);
        // "#### Final Answer" is a heading: its answer stands below.
        let answer = if line.trim().is_empty() {
            ""
        } else {
            line.trim()
        };
        if !answer.is_empty() && !is_numbered_heading(answer) {
            return Some(answer);
        }
        end = at;
    }
    None
}

/// "#### 5. The total" is the heading of a fifth step, not the answer 5.
fn is_numbered_heading(line: &str) -> bool {
    let words = line.trim_start_matches(|c: char| c.is_ascii_digit());
    words.len() < line.len()
        && words
            .strip_prefix(['.', ')'])
            .and_then(|rest| rest.strip_prefix(' '))
            .is_some_and(|rest| rest.trim_start().starts_with(char::is_alphabetic))
}

/// The first line with something on it.
pub(super) fn first_line(text: &str) -> &str {
    text.trim_start().split('\n').next().unwrap_or("")
}

/// Where the phrases end that stand in the last [`PHRASE_TAIL`] bytes, ascending. Case does not count
/// in ASCII; of phrases that overlap all are given.
pub(super) fn phrase_ends(text: &str, phrases: &[&str]) -> Vec<usize> {
    let mut start = text.len().saturating_sub(PHRASE_TAIL);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let lower = text[start..].to_ascii_lowercase();
    let mut ends: Vec<usize> = phrases
        .iter()
        .flat_map(|phrase| {
            lower
                .match_indices(phrase)
                .map(|(at, found)| start + at + found.len())
        })
        .collect();
    ends.sort_unstable();
    ends
}

/// What follows the last of `phrases`, up to the end of the line that the answer stands on.
pub(super) fn after_phrase<'a>(text: &'a str, phrases: &[&str]) -> Option<&'a str> {
    let end = phrase_ends(text, phrases).pop()?;
    let rest =
        text[end..].trim_start_matches([':', '：', ' ', '*', '\n', '\r', '=', '\t', '~', '≈']);
    let line = first_line(rest).trim();
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_brackets_count() {
        assert_eq!(brackets("[[1]] then [[2]]"), Some("2"));
        assert_eq!(brackets("format: [[answer]]"), None);
        assert_eq!(
            brackets("[[7]] in the format [[answer]], for example: Answer: [[50]]."),
            Some("7")
        );
        assert_eq!(brackets("[[[0,1]]]"), Some("[0,1]"));
        assert_eq!(brackets("[[(0,1]]]"), Some("(0,1]"));
        assert_eq!(brackets("so [[1,2],[3,4]]."), Some("[[1,2],[3,4]]"));
        assert_eq!(brackets("[[18"), None);
    }

    #[test]
    fn boxes_nest_and_join() {
        assert_eq!(
            boxed(r"\boxed{\frac{1}{2}}").as_deref(),
            Some(r"\frac{1}{2}")
        );
        assert_eq!(
            boxed(r"$\boxed{1}$ and $\boxed{2}$").as_deref(),
            Some("1, 2")
        );
        assert_eq!(boxed(r"\boxed{1}. No: \boxed{2}").as_deref(), Some("2"));
        assert_eq!(boxed(r"\boxed{3} and \boxed{4").as_deref(), Some("3"));
        assert_eq!(boxed(r"\boxed{\{1,2\}}").as_deref(), Some(r"\{1,2\}"));
    }

    #[test]
    fn phrases_and_hashes() {
        assert_eq!(hashes("a\n#### 1,234\n"), Some("1,234"));
        assert_eq!(hashes("#### 7\n#### 5. The total is"), Some("7"));
        assert_eq!(hashes("#### 5."), Some("5."));
        assert_eq!(
            after_phrase("So The Answer is: **18** eggs.\nBye", &["the answer is"]),
            Some("18** eggs.")
        );
        assert_eq!(after_phrase("答案是：B", &["答案是"]), Some("B"));
    }
}
