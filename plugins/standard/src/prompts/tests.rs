//! Every prompt, byte for byte, as the reference code sends it.

use tale_api::{AnswerKind, Question, Role};

use super::*;

mod comparison;

/// A question that would trip a template engine, and that holds the very words of the budget rule.
const TRICKY: &str =
    "Let's think step by step: is {{ 7*7 }} {question} {budget} {% if %} $1 %s 49?";

fn question(kind: AnswerKind, language: &str) -> Question {
    Question {
        kind,
        language: language.to_owned(),
        text: TRICKY.to_owned(),
        ..Question::default()
    }
}

/// The user's message, with the question written as `<q>` and options as `<o>`.
fn rendered(method: &str, kind: AnswerKind, language: &str, budget: Option<u32>) -> String {
    let set = PromptSet::standard();
    let messages = set
        .render(
            &set.method(method).unwrap(),
            &question(kind, language),
            budget,
        )
        .unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!(
        (messages[0].role, messages[0].content.as_str()),
        (Role::System, "You are a helpful assistant.")
    );
    assert_eq!(messages[1].role, Role::User);
    assert_eq!(messages[1].content.matches(TRICKY).count(), 1);
    messages[1].content.replace(TRICKY, "<q>")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, a line for each prompt")]
fn every_prompt_is_the_reference_code_s_byte_for_byte() {
    use AnswerKind::{Choice, Math, Number};
    let cases = [
        (
            "direct",
            Number,
            "en",
            None,
            "Please answer the following question and give the answer directly without any reasoning process. Please Give the response by strictly following this format: [[answer]], for example: Answer: [[50]].\nQ: <q>",
        ),
        (
            "vanilla-cot",
            Number,
            "en",
            None,
            "Q: <q>\nPlease Give the response by strictly following this format: [[answer]], for example: Answer: [[50]].Let's think step by step:\n",
        ),
        (
            "tale-ep",
            Number,
            "en",
            Some(77),
            "Q: <q>\nPlease Give the response by strictly following this format: [[answer]], for example: Answer: [[50]].Let's think step by step and use less than 77 tokens:\n",
        ),
        (
            "fixed-50",
            Number,
            "en",
            None,
            "Q: <q>\nPlease Give the response by strictly following this format: [[answer]], for example: Answer: [[50]].Let's think step by step and use less than 50 tokens:\n",
        ),
        (
            "direct",
            Choice,
            "en",
            None,
            "Please answer the following question directly and give the answer directly without any reasoning process. Please strictLy follow the format: [[choice]],for example: Choice: [[A]].\n<q>\n",
        ),
        (
            "vanilla-cot",
            Choice,
            "en",
            None,
            "<q>\nPlease Give the response by strictly following this format: [[choice]],for example: Choice: [[A]].\nLet's think step by step:\n",
        ),
        (
            "tale-ep",
            Choice,
            "en",
            Some(77),
            "<q>\nPlease Give the response by strictly following this format: [[choice]],for example: Choice: [[A]].\nLet's think step by step and use less than 77 tokens:\n",
        ),
        (
            "direct",
            Choice,
            "zh",
            None,
            "<q>\n请直接回答下面的问题并直接给出答案的选项序号。请严格按照如下格式回答：[[选项]]，例如：选项: [[A]]。\n",
        ),
        (
            "vanilla-cot",
            Choice,
            "zh",
            None,
            "<q>\n请严格按照如下格式回答：[[选项]]，例如：选项: [[A]]。\n让我们一步一步思考：\n",
        ),
        (
            "tale-ep",
            Choice,
            "zh",
            Some(77),
            "<q>\n请严格按照如下格式回答：[[选项]]，例如：选项: [[A]]。\n让我们一步一步思考并使用少于 77 tokens:\n",
        ),
        (
            "direct",
            Math,
            "en",
            None,
            "Please answer the following question and give the answer directly\nQ: <q>",
        ),
        (
            "vanilla-cot",
            Math,
            "en",
            None,
            "Q: <q>\nLet's think step by step:\n",
        ),
        (
            "tale-ep",
            Math,
            "en",
            Some(77),
            "Q: <q>\nLet's think step by step and use less than 77 tokens:\n",
        ),
        (
            "direct",
            Math,
            "zh",
            None,
            "请直接回答下面的问题并直接给出答案\nQ: <q>",
        ),
        (
            "vanilla-cot",
            Math,
            "zh",
            None,
            "Q: <q>\n让我们一步一步思考来回答这个问题：\n",
        ),
        (
            "tale-ep",
            Math,
            "zh",
            Some(77),
            "Q: <q>\n让我们一步一步思考并使用少于 77 tokens来回答这个问题:\n",
        ),
    ];
    for (method, kind, language, budget, expected) in cases {
        assert_eq!(
            rendered(method, kind, language, budget),
            expected,
            "{method} {kind} {language}"
        );
    }
}

#[test]
fn our_own_prompts_stay_as_they_are() {
    use AnswerKind::{Number, Text};
    let cases = [
        (
            "direct",
            Number,
            "zh",
            "请直接回答下面的问题，不要给出任何推理过程。请严格按照如下格式回答：[[答案]]，例如：答案: [[50]]。\nQ: <q>",
        ),
        (
            "vanilla-cot",
            Number,
            "zh",
            "Q: <q>\n请严格按照如下格式回答：[[答案]]，例如：答案: [[50]]。\n让我们一步一步思考：\n",
        ),
        (
            "fixed-9",
            Number,
            "zh",
            "Q: <q>\n请严格按照如下格式回答：[[答案]]，例如：答案: [[50]]。\n让我们一步一步思考并使用少于 9 tokens:\n",
        ),
        (
            "direct",
            Text,
            "en",
            "Please answer the following question and give the answer directly without any reasoning process. Please give the response by strictly following this format: [[answer]], for example: Answer: [[Paris]].\nQ: <q>",
        ),
        (
            "vanilla-cot",
            Text,
            "en",
            "Q: <q>\nPlease give the response by strictly following this format: [[answer]], for example: Answer: [[Paris]].\nLet's think step by step:\n",
        ),
        (
            "fixed-9",
            Text,
            "en",
            "Q: <q>\nPlease give the response by strictly following this format: [[answer]], for example: Answer: [[Paris]].\nLet's think step by step and use less than 9 tokens:\n",
        ),
        (
            "direct",
            Text,
            "zh",
            "请直接回答下面的问题，不要给出任何推理过程。请严格按照如下格式回答：[[答案]]，例如：答案: [[北京]]。\nQ: <q>",
        ),
        (
            "vanilla-cot",
            Text,
            "zh",
            "Q: <q>\n请严格按照如下格式回答：[[答案]]，例如：答案: [[北京]]。\n让我们一步一步思考：\n",
        ),
        (
            "fixed-9",
            Text,
            "zh",
            "Q: <q>\n请严格按照如下格式回答：[[答案]]，例如：答案: [[北京]]。\n让我们一步一步思考并使用少于 9 tokens:\n",
        ),
    ];
    for (method, kind, language, expected) in cases {
        assert_eq!(
            rendered(method, kind, language, None),
            expected,
            "{method} {kind} {language}"
        );
    }
}

#[test]
fn the_estimate_prompt_is_the_reference_code_s_byte_for_byte() {
    let messages = PromptSet::standard().estimate(TRICKY);
    assert_eq!(messages[0].content, "You are a helpful assistant.");
    assert_eq!(
        messages[1].content.replace(TRICKY, "<q>"),
        "Task: Analyze the given question and estimate the minimum number of tokens required to generate a complete and accurate response. Please Give the response by strictly following this format: [[budget]],for example: Budget: [[12]].\n\nBelow is the question:\n\nQuestion: \"<q>\"\n"
    );
}

#[test]
fn options_follow_the_question_a_line_each() {
    let mut q = question(AnswerKind::Choice, "en");
    q.options = ["32400", "", "{question}"].map(str::to_owned).to_vec();
    let messages = PromptSet::standard()
        .render(&Method::VanillaCot, &q, None)
        .unwrap();
    let options = "\nA. 32400\nB. \nC. {question}\n";
    assert!(
        messages[1]
            .content
            .starts_with(&format!("{TRICKY}{options}\nPlease Give")),
        "{}",
        messages[1].content
    );
}

#[test]
fn tale_ep_without_an_estimate_is_vanilla_cot() {
    let q = question(AnswerKind::Number, "en");
    let set = PromptSet::standard();
    assert_eq!(
        set.render(&Method::TaleEp, &q, None).unwrap(),
        set.render(&Method::VanillaCot, &q, None).unwrap()
    );
}

#[test]
fn a_budget_out_of_place_is_refused() {
    let q = question(AnswerKind::Number, "en");
    let refused = |method, budget| {
        PromptSet::standard()
            .render(&method, &q, budget)
            .unwrap_err()
    };
    assert!(matches!(
        refused(Method::Direct, Some(5)),
        PromptError::BudgetNotTaken { .. }
    ));
    assert!(matches!(
        refused(Method::VanillaCot, Some(5)),
        PromptError::BudgetNotTaken { .. }
    ));
    assert!(matches!(
        refused(Method::Fixed(6), Some(5)),
        PromptError::BudgetNotTaken { .. }
    ));
    assert!(matches!(
        refused(Method::TaleEp, Some(0)),
        PromptError::ZeroBudget
    ));
}

#[test]
fn languages_have_several_names_but_never_stand_in_for_each_other() {
    let vanilla = |language| {
        PromptSet::standard().render(
            &Method::VanillaCot,
            &question(AnswerKind::Choice, language),
            None,
        )
    };
    assert_eq!(vanilla("cn").unwrap(), vanilla("zh").unwrap());
    assert_eq!(vanilla("zh-CN").unwrap(), vanilla("zh").unwrap());
    assert_eq!(vanilla("EN_us").unwrap(), vanilla("en").unwrap());
    let error = vanilla("fr").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no template `vanilla-cot` for questions of kind `choice` in language `fr`"
    );
    assert!(error.hint().unwrap().contains("[choice.fr]"));
}

#[test]
fn a_file_that_extends_changes_only_what_it_names() {
    let set = PromptSet::from_toml(
        r#"
        name = "mine"
        extends = "standard"
        system = ""
        [number.en]
        terse = "Q: {question}\nDraft, {five words} a step.\n"
        "#,
    )
    .unwrap();
    let q = question(AnswerKind::Number, "en");
    let method = set.method("terse").unwrap();
    assert_eq!(method, Method::Template("terse".to_owned()));
    let messages = set.render(&method, &q, None).unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(
        messages[0].content,
        format!("Q: {TRICKY}\nDraft, {{five words}} a step.\n")
    );
    let of = |set: &PromptSet| set.render(&Method::Fixed(9), &q, None).unwrap().pop();
    assert_eq!(of(&set), of(&PromptSet::standard()));
    assert!(
        set.method("terze")
            .unwrap_err()
            .hint()
            .unwrap()
            .contains("`terse`")
    );
    assert!(PromptSet::standard().method("terse").is_err());
}

#[test]
fn the_digest_follows_the_templates_and_nothing_else() {
    let standard = PromptSet::standard().digest().to_owned();
    assert_eq!(standard.len(), 64);
    let other = |text: &str| PromptSet::from_toml(text).unwrap().digest().to_owned();
    assert_eq!(
        other("name = 'copy' # a comment\nextends = 'standard'"),
        standard
    );
    let lines = "name = 'x'\nextends = 'standard'\n[number.en]\nmine = '''\n{question}\n'''\n";
    assert_eq!(other(&lines.replace('\n', "\r\n")), other(lines));
    assert_ne!(
        other("name = 'x'\nextends = 'standard'\nsystem = 'You are terse.'"),
        standard
    );
    assert_ne!(
        other("name = 'x'\nextends = 'standard'\n[number.en]\nother = '{question}'"),
        standard
    );
}

#[test]
fn a_faulty_file_is_refused_when_it_is_read() {
    let refused = |text: &str| PromptSet::from_toml(text).unwrap_err();
    let base = "name = 'x'\nextends = 'standard'\n";
    assert!(matches!(
        refused("name = 'x'"),
        PromptError::MissingKey {
            key: "estimate",
            ..
        }
    ));
    assert!(matches!(
        refused("name = 'x'\nextends = 'paper'"),
        PromptError::UnknownBase { .. }
    ));
    assert!(matches!(
        refused(&format!("{base}[number.en]\ntale-ep = '{{question}}'")),
        PromptError::ReservedName { .. }
    ));
    assert!(matches!(
        refused(&format!("{base}[number.en]\ndirect = 'Q: {{q}}'")),
        PromptError::Placeholder { found: 0, .. }
    ));
    // The trap of the reference code's Chinese cloze prompt: the rule no longer fits the template.
    assert!(matches!(
        refused(&format!(
            "{base}[math.zh]\nvanilla-cot = 'Q: {{question}} 让我们想想'"
        )),
        PromptError::BudgetRule { found: 0, .. }
    ));
    let unknown = refused(&format!("{base}estimat = 'x'"));
    assert!(unknown.to_string().contains("line 3"), "{unknown}");
    let wrong_type = refused(&format!("{base}[number.en]\ndirect = 5"));
    assert!(wrong_type.to_string().contains("string"), "{wrong_type}");
}

#[test]
fn a_prompt_can_be_read_back() {
    let set = PromptSet::standard();
    let q = question(AnswerKind::Number, "en");
    for (method, budget) in [(Method::VanillaCot, None), (Method::Fixed(60), Some(60))] {
        let prompt = set
            .render(&method, &q, None)
            .unwrap()
            .pop()
            .unwrap()
            .content;
        let parts = PromptParts {
            question: TRICKY,
            budget,
        };
        assert!(set.read(&prompt).any(|read| read == parts), "{method}");
    }
    let direct = set
        .render(&Method::Direct, &q, None)
        .unwrap()
        .pop()
        .unwrap()
        .content;
    assert_eq!(set.read(&direct).count(), 0);
}
