//! Every kind of fault, in the words a person reads.

use super::*;

/// Snapshots what is told of a manifest, as plain text.
fn told(name: &str, text: &str, sets: &[&str]) {
    let (_, problems) = read_text(text, sets);
    assert!(
        problems.has_errors(),
        "nothing was found wrong with\n{text}"
    );
    insta::with_settings!({ description => format!("{text}\n{}", sets.join("\n")) }, {
        insta::assert_snapshot!(name, problems.to_string());
    });
}

/// [`SMALL`] with `line` in its table `[llm]`.
fn in_llm(line: &str) -> String {
    SMALL.replace(
        "plugin = \"replay\"",
        &format!("plugin = \"replay\"\n{line}"),
    )
}

#[test]
fn what_is_no_toml_is_shown_at_its_place() {
    told("toml_unquoted", &in_llm("model = qwen2.5"), &[]);
    told("toml_unclosed", "name = \"x\n[llm]", &[]);
    told("toml_no_equals", "this is a letter, not a manifest\n", &[]);
    told("toml_duplicate_key", &in_llm("plugin = \"a\""), &[]);
    told("toml_duplicate_table", &format!("{SMALL}\n[llm]\n"), &[]);
    told("toml_json", "{\"name\": \"x\"}", &[]);
    told("toml_empty", "", &[]);
}

#[test]
fn bytes_that_are_no_text_are_shown_at_their_place() {
    let (loaded, problems) = from_bytes(
        Path::new("x.toml"),
        b"name = \"a\"\nseed = \"\xff\xfe\"",
        &[],
    );
    assert!(loaded.is_none());
    insta::assert_snapshot!("toml_not_utf8", problems.to_string());
}

#[test]
fn unknown_keys_name_the_nearest_or_their_home() {
    told("key_misspelt", &in_llm("temprature = 0.1"), &[]);
    told("key_with_dashes", &in_llm("max-tokens = 5"), &[]);
    told("key_of_another_table", &in_llm("alpha = 2"), &[]);
    told("key_of_the_top", &in_llm("seed = 2"), &[]);
    told(
        "key_of_two_tables",
        &format!("{SMALL}\n[evaluate]\nplugin = \"x\""),
        &[],
    );
    told("key_of_nowhere", &in_llm("slots = 8"), &[]);
    told(
        "key_of_nowhere_in_array",
        &FULL.replace("limit = 50", "split = \"test\""),
        &[],
    );
    told(
        "key_misspelt_beside_the_right_one",
        &in_llm("model = \"a\"\nmodle = \"b\""),
        &[],
    );
    told(
        "table_misspelt",
        &SMALL.replace("[dataset]", "[datset]"),
        &[],
    );
    told(
        "table_unknown",
        &format!("{SMALL}\n[logging]\nlevel = 3"),
        &[],
    );
    told(
        "table_nested_wrongly",
        &SMALL.replace("[dataset]", "[llm.dataset]"),
        &[],
    );
    told(
        "key_in_inline_table",
        &format!("{SMALL}sample = {{ n = 5, sed = 3 }}"),
        &[],
    );
}

#[test]
fn missing_keys_are_shown_at_their_table() {
    told(
        "missing_plugin",
        &SMALL.replace("plugin = \"replay\"", "model = \"x\""),
        &[],
    );
    told("missing_tables", "seed = 5", &[]);
    told(
        "missing_in_second_table",
        &format!("{FULL}\n[[llm]]\nmodel = \"x\""),
        &[],
    );
    told(
        "missing_in_implicit_table",
        "name = \"x\"\n[llm.options]\n[dataset]\nplugin=\"x\"",
        &[],
    );
    told(
        "missing_because_misspelt",
        &SMALL.replace("plugin = \"replay\"", "plugni = \"x\""),
        &[],
    );
}

#[test]
fn wrong_types_say_both_types_and_how_to_write_it() {
    told(
        "type_number_in_quotes",
        &format!("concurrency = \"16\"\n{SMALL}"),
        &[],
    );
    told("type_text_without_quotes", &in_llm("model = 7"), &[]);
    told(
        "type_boolean_in_quotes",
        &format!("{SMALL}\n[plugins.x]\nallow_writable_dir = \"true\""),
        &[],
    );
    told("type_fraction", &in_llm("max_tokens = 10.5"), &[]);
    told("type_array", &in_llm("stop = \"Q:\""), &[]);
    told("type_element", &in_llm("stop = [\"a\", 3]"), &[]);
    told(
        "type_table_is_text",
        "name = \"x\"\nllm = \"llama-cpp\"\ndataset = [\"gsm8k\", \"b\"]",
        &[],
    );
    told(
        "type_table_in_place_of_text",
        &in_llm("model = { name = \"x\" }"),
        &[],
    );
    told("type_date", &format!("seed = 2024-12-01\n{SMALL}"), &[]);
    told("type_infinity", &in_llm("temperature = inf"), &[]);
    told(
        "type_choice",
        &format!("{SMALL}\n[estimator]\nfallback = 3"),
        &[],
    );
}

#[test]
fn values_out_of_bounds_say_the_bound() {
    told("bound_zero", &format!("concurrency = 0\n{SMALL}"), &[]);
    told("bound_negative", &format!("seed = -1\n{SMALL}"), &[]);
    told("bound_type", &in_llm("max_tokens = 5000000000"), &[]);
    told(
        "bound_open",
        &in_llm("top_p = 0\nrepetition_penalty = 0.0"),
        &[],
    );
    told(
        "bound_alpha",
        &format!("{SMALL}\n[estimator]\nalpha = -0.5"),
        &[],
    );
    told(
        "bound_empty",
        "name = \"\"\nllm = []\ndataset = { plugin = \"\" }",
        &[],
    );
}

#[test]
fn values_of_no_known_form_name_the_nearest() {
    told(
        "value_misspelt",
        &format!("task = \"evaluat\"\n{SMALL}"),
        &[],
    );
    told("value_unknown", &format!("{SMALL}on_error = \"halt\""), &[]);
    told(
        "value_of_choice",
        &format!("{SMALL}\n[estimator]\nfallback = \"vanila-cot\""),
        &[],
    );
    told(
        "value_in_choice",
        &format!("{SMALL}\n[estimator]\nfallback = {{ budjet = 5 }}"),
        &[],
    );
    told("value_name", &SMALL.replace("small", "../small"), &[]);
    told(
        "value_method",
        &format!("{SMALL}\n[evaluate]\nmethods = [\"tale_ep\", \"cot\", \"fixed-0\"]"),
        &[],
    );
    told(
        "value_twice",
        &format!("{SMALL}\n[evaluate]\nmethods = [\"direct\", \"direct\"]"),
        &[],
    );
    told(
        "value_digest",
        &format!("{SMALL}\n[plugins.x]\nsha256 = \"abc\""),
        &[],
    );
}

#[test]
fn what_the_schema_cannot_say_is_checked_too() {
    let two = "[[llm]]\nplugin = \"replay\"\n\n[[llm]]\nplugin = \"llama-cpp\"\nname = \"replay\"";
    told(
        "rule_labels",
        &SMALL.replace("[llm]\nplugin = \"replay\"", two),
        &[],
    );
    told(
        "rule_budgets",
        &format!("{SMALL}\n[estimator]\nmin_budget = 9\nmax_budget = 8"),
        &[],
    );
}

#[test]
fn faults_of_set_are_shown_in_the_argument() {
    told("set_misspelt", SMALL, &["llm.temprature=0.5"]);
    told("set_wrong_type", SMALL, &["concurrency=many"]);
    told("set_wrong_value", SMALL, &["llm.top_p=1.5"]);
    told("set_without_value", SMALL, &["llm.temperature"]);
    told("set_without_key", SMALL, &["=5", "llm..x=5", "a b=3"]);
    told("set_into_text", SMALL, &["llm.plugin.x=5"]);
    told(
        "set_into_array_of_tables",
        FULL,
        &["llm.temperature=5", "llm.7.temperature=5"],
    );
    told("set_broken_value", SMALL, &["evaluate.methods=[\"direct\""]);
    told("set_infinite", SMALL, &["llm.temperature=nan"]);
}

#[test]
fn everything_wrong_is_told_at_once_in_the_order_of_the_file() {
    let text = "name = \"gsm 8k\"\nconcurency = 4\n\n[llm]\nplugin = \"llama-cpp\"\ntemprature = \"hot\"\n\
                max_tokens = -1\n\n[dataset]\npath = 3\n\n[evaluate]\nmethods = [\"tale\"]\n\n\
                [estimater]\nalpha = 0\n";
    told("many", text, &["seed=x", "llm.stop=5"]);
}

#[test]
fn what_can_be_understood_is_given_in_spite_of_faults() {
    let text = "name = \"a\"\nconcurency = 4\n[llm]\nplugin = \"llama-cpp\"\nmodle = \"m\"\n\
                max_tokens = -1\nslots = 3\n[datset]\nplugin = \"gsm8k\"\npath = \"x\"\n";
    let (loaded, problems) = read_text(text, &[]);
    assert_eq!(problems.0.len(), 5, "{problems}");
    let Loaded { manifest, source } = loaded.unwrap();
    let llm = &manifest.llm.as_slice()[0];
    assert_eq!((llm.model.as_deref(), llm.max_tokens), (Some("m"), 1024));
    assert_eq!(manifest.concurrency, 4);
    assert_eq!(
        source.at(&["llm", "0", "model"]).one_line(),
        "runs/gsm8k.toml:5:9"
    );
    assert_eq!(
        source.at(&["dataset", "0", "path"]).one_line(),
        "runs/gsm8k.toml:10:8"
    );
    // Which model it is cannot be guessed, so nothing is guessed from the rest.
    assert!(read_text(&in_llm("model = 7"), &[]).0.is_none());
    assert!(load(Path::new("/nonexistent/x.toml"), &[]).is_err());
}

#[test]
fn secrets_are_hidden_wherever_a_line_is_shown() {
    let check = |text: &str, sets: &[&str]| {
        let (_, problems) = read_text(text, sets);
        assert!(
            problems.has_errors(),
            "nothing was found wrong with\n{text}"
        );
        let told = format!(
            "{problems}{}{problems:?}{}",
            problems.to_json(),
            problems.render(crate::diagnostics::Color::Always)
        );
        assert!(!told.contains("hunter2"), "{told}");
    };
    check(&in_llm("api_key = \"hunter2\""), &[]);
    check(&in_llm("option = { api_key = \"hunter2\" }"), &[]);
    check(&in_llm("options = { api_key = \"hunter2\", x = }"), &[]);
    check(&in_llm("api_key = hunter2"), &[]);
    check(&in_llm("options.\"api_key\" = \"hunter2"), &[]);
    check(SMALL, &["llm.api_key=hunter2"]);
    check(SMALL, &["llm.plugin.api_key=hunter2"]);
    check(SMALL, &["llm.options.api_key=[hunter2"]);
    check(SMALL, &["llm.optoins={ api_key = \"hunter2\" }"]);
}
