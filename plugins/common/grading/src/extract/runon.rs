//! Cuts off what a model writes after it has answered: the next question, another turn.

/// Starts of lines that open another question or turn.
const QUESTIONS: [&str; 24] = [
    "Q:",
    "Question:",
    "Question ",
    "Problem:",
    "问题：",
    "问题:",
    "题目：",
    "题目:",
    "问：",
    "Human:",
    "User:",
    "user:",
    "Instruction:",
    "### Instruction",
    "### Question",
    "### Problem",
    "## Question",
    "**Question",
    "**Q:",
    "[INST]",
    "Exercise:",
    "<|user|>",
    "Input:",
    "Problem ",
];

/// Tokens that end a turn wherever they stand.
const TURNS: [&str; 11] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end|>",
    "<|start_header_id|>",
    "</s>",
    "<eos>",
    "<end_of_turn>",
    "<start_of_turn>",
    "[/INST]",
];

/// Phrases of our prompts. A model may repeat its prompt before it answers, with numbers of the
/// question in front of the phrase, so these cut only after a marked answer.
const ECHOES: [&str; 5] = [
    "Please Give the response by strictly",
    "Please answer the following question",
    "请严格按照如下格式回答",
    "请直接回答下面的问题",
    "Task: Analyze the given question",
];

/// Markers looked at, from the start.
const MAX_MARKERS: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Marker {
    Question,
    Turn,
    Echo,
}

/// The part of `text` before the first marker that an answer precedes.
///
/// `marked` says whether a text holds an answer with a mark of its own, `ends_answered` whether it ends
/// like an answer without one.
pub(super) fn cut<'a>(
    text: &'a str,
    marked: &dyn Fn(&str) -> bool,
    ends_answered: &dyn Fn(&str) -> bool,
) -> &'a str {
    let mut answered_from = 0;
    for (at, marker) in markers(text) {
        let before = &text[..at];
        if before.trim().is_empty() {
            answered_from = at;
            continue;
        }
        // Only the part since the last marker can turn an unanswered prefix into an answered one;
        // looking at it alone keeps the search linear.
        let since = &text[answered_from.min(at)..at];
        let answered = marked(since)
            || match marker {
                Marker::Turn => !after_turn_is_first(before) && ends_answered(since),
                Marker::Question => ends_answered(since),
                Marker::Echo => false,
            };
        if answered {
            return before.trim_end();
        }
        answered_from = at;
    }
    text
}

/// A chat template's opening token in front of the first answer ends nothing.
fn after_turn_is_first(before: &str) -> bool {
    TURNS
        .iter()
        .any(|turn| before.trim_start().starts_with(turn))
        && before.len() < 64
}

/// Positions of markers in ascending order.
fn markers(text: &str) -> Vec<(usize, Marker)> {
    let mut found = Vec::new();
    for turn in TURNS {
        found.extend(
            text.match_indices(turn)
                .take(MAX_MARKERS)
                .map(|(at, _)| (at, Marker::Turn)),
        );
    }
    for echo in ECHOES {
        found.extend(
            text.match_indices(echo)
                .take(MAX_MARKERS)
                .map(|(at, _)| (at, Marker::Echo)),
        );
    }
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let bare = line.trim_start();
        if QUESTIONS.iter().any(|question| opens(bare, question)) {
            found.push((start + indent, Marker::Question));
        }
        start += line.len();
        if found.len() > 4 * MAX_MARKERS {
            break;
        }
    }
    found.sort_unstable_by_key(|(at, _)| *at);
    found.truncate(MAX_MARKERS);
    found
}

/// "Question 7:" opens a question, "Question marks are …" does not.
fn opens(line: &str, question: &str) -> bool {
    let Some(rest) = line.strip_prefix(question) else {
        return false;
    };
    !question.ends_with(' ')
        || rest
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .starts_with([':', '.', ')'])
            && rest.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let marked = |t: &str| t.contains("[[");
        let ends = |t: &str| {
            t.trim_end()
                .ends_with(|c: char| c.is_ascii_digit() || c == '.')
        };
        assert_eq!(cut(text, &marked, &ends), expected);
    }

    #[test]
    fn later_questions_are_cut() {
        check("[[18]]\n\nQ: Next? [[7]]", "[[18]]");
        check("It is 72.\nQuestion: And now? 5", "It is 72.");
        check("[[18]]<|im_end|>\n<|im_start|>user 5", "[[18]]");
        check("[[3]]\nQuestion 2: more", "[[3]]");
    }

    #[test]
    fn a_restated_question_is_kept() {
        for text in [
            "Question: Janet has 16 eggs.\nAnswer: [[18]]",
            "Let me do these:\nQ: 16 eggs?\n[[18]]",
            "16 eggs?\nPlease Give the response by strictly [[18]]",
        ] {
            check(text, text);
        }
    }
}
