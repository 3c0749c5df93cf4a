//! Published sets in their own layouts.

use super::*;

#[tokio::test]
async fn mathbench_is_read_by_level_and_language() {
    let folder = Folder::with("");
    let choice = |gold: &str| {
        format!(
            r#"{{"question": "q", "options": ["red", "green", "blue", "black"], "answer": "{gold}"}}"#
        )
    };
    folder.write(
        "mb/middle/single_choice_en.jsonl",
        choice("B") + "\n" + &choice("D"),
    );
    folder.write("mb/middle/single_choice_cn.jsonl", choice("A"));
    folder.write(
        "mb/primary/cloze_cn.jsonl",
        r#"{"question": "q", "answer": "4.5"}"#,
    );
    let open = |options: &str| {
        let options = format!(r#"{{"path": "mb", {options}}}"#);
        MathBench::create(serde_json::from_str(&options).unwrap(), folder.env())
    };
    let dataset = open(r#""levels": ["middle"]"#).await.unwrap();
    let questions = read_all(&dataset, 9).await.unwrap();
    let ids: Vec<&str> = questions.iter().map(|q| q.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "middle/single_choice_en:1",
            "middle/single_choice_en:2",
            "middle/single_choice_cn:1"
        ]
    );
    assert_eq!(questions[2].language, "zh");
    assert_eq!(questions[0].kind, AnswerKind::Choice);

    let cloze = open(r#""levels": ["primary"], "languages": ["zh"]"#)
        .await
        .unwrap();
    let cloze = read_all(&cloze, 9).await.unwrap();
    assert_eq!(
        (cloze[0].kind, cloze[0].gold.as_deref()),
        (AnswerKind::Math, Some("4.5"))
    );

    let circular = open(r#""levels": ["primary", "middle"], "circular": true"#)
        .await
        .unwrap();
    let info = circular.info().await.unwrap();
    assert_eq!((info.size, info.group), (Some(12), Some(4)));
    let whole = read_all(&circular, 100).await.unwrap();
    for limit in [1, 2, 3, 5, 11] {
        assert_eq!(read_all(&circular, limit).await.unwrap(), whole, "{limit}");
    }
    let golds: Vec<&str> = whole[..4]
        .iter()
        .filter_map(|q| q.gold.as_deref())
        .collect();
    assert_eq!(golds, ["B", "A", "D", "C"]);

    let missing = open(r#""levels": ["college"]"#).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert!(missing.hint.unwrap().contains("mathbench_v1"));
    let nothing = open(r#""levels": ["arithmetic"], "languages": ["zh"]"#)
        .await
        .unwrap_err();
    assert_eq!(nothing.kind, ErrorKind::InvalidOptions);
}

const GPQA: &str = "Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\n\
    rec1,\"Which, of these?\",right,\"wrong\nin two lines\",right,42\n\
    rec2,And of these?,A,B,C,D\n";

#[tokio::test]
async fn gpqa_s_options_are_drawn_by_seed_and_the_gold_goes_with_them() {
    let folder = Folder::with("");
    folder.write("gpqa.csv", GPQA);
    let read = |seed: u64| {
        let options = format!(r#"{{"path": "gpqa.csv", "seed": {seed}}}"#);
        let options: GpqaOptions = serde_json::from_str(&options).unwrap();
        let env = folder.env();
        async move {
            read_all(&Gpqa::create(options, env).await.unwrap(), 9)
                .await
                .unwrap()
        }
    };
    let first = read(1).await;
    assert_eq!(first, read(1).await, "the same at every reading");
    let mut letters = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let second = &read(seed).await[1];
        let gold = second.gold.clone().unwrap();
        let place = usize::from(gold.as_bytes()[0] - b'A');
        assert_eq!(
            second.options[place], "A",
            "an option that reads like a letter"
        );
        letters.insert(gold);
    }
    assert_eq!(letters.len(), 4);
    assert_eq!(first[0].id, "rec1");
    assert!(first[0].options.contains(&"wrong\nin two lines".to_owned()));
}

#[tokio::test]
async fn mbpp_shows_task_and_tests_and_keeps_the_code() {
    let folder = Folder::with(
        r#"{"text": "Write f.", "code": "def f():\r\n  pass", "task_id": 11, "test_setup_code": "", "test_list": ["assert f(1)", "assert f(\"2\")"], "challenge_test_list": []}
{"source_file": "x", "prompt": "Write g.", "code": "def g(): pass", "task_id": 12, "test_imports": [], "test_list": ["assert g()"]}"#,
    );
    let options = serde_json::from_str(r#"{"path": "data.jsonl"}"#).unwrap();
    let dataset = Mbpp::create(options, folder.env()).await.unwrap();
    let questions = read_all(&dataset, 9).await.unwrap();
    assert_eq!(
        questions[0].text,
        "Write f.\nYour code should pass these tests:\nassert f(1)\nassert f(\"2\")"
    );
    assert_eq!(
        (questions[0].id.as_str(), questions[0].kind),
        ("11", AnswerKind::Text)
    );
    assert!(questions[1].text.starts_with("Write g."));
    assert_eq!(questions[1].gold.as_deref(), Some("def g(): pass"));
}

#[tokio::test]
async fn code_is_asked_without_its_docstring() {
    let folder = Folder::with(
        r#"{"repo": "r", "language": "python", "code": "def f():\n  \"\"\"Adds.\"\"\"\n  return 1", "code_tokens": ["def", "f", "(", ")", ":", "return", "1"], "docstring": "Adds.", "docstring_tokens": ["Adds", "."]}"#,
    );
    let options = serde_json::from_str(r#"{"path": "data.jsonl"}"#).unwrap();
    let dataset = CodeSummary::create(options, folder.env()).await.unwrap();
    let question = &read_all(&dataset, 9).await.unwrap()[0];
    assert!(!question.text.contains("Adds"), "{}", question.text);
    assert!(question.text.ends_with("def f ( ) : return 1"));
    assert_eq!(question.gold.as_deref(), Some("Adds ."));
}

#[tokio::test]
async fn a_dialogue_is_asked_up_to_its_listener_s_last_reply() {
    let folder = Folder::with("");
    folder.write(
        "test.csv",
        "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n\
         c1,1,sad,p,1,My dog \"Rex\" died_comma_ today.,5|5|5,\n\
         c1,2,sad,p,0,I am so sorry.,5|5|5,,more\n\
         c1,3,sad,p,1,Thanks.,5|5|5,\n\
         c2,1,joyful,p,2,I won!,5|5|5,\n\
         c2,2,joyful,p,3,Great_comma_ how much?,5|5|5,\n",
    );
    let options = serde_json::from_str(r#"{"path": "test.csv"}"#).unwrap();
    let dataset = EmpatheticDialogues::create(options, folder.env())
        .await
        .unwrap();
    for limit in [1, 9] {
        let questions = read_all(&dataset, limit).await.unwrap();
        assert_eq!(questions.len(), 2);
        assert_eq!(
            questions[0].text,
            "Reply to the speaker with empathy, in one or two sentences.\n\
             Speaker: My dog \"Rex\" died, today.\nListener:"
        );
        assert_eq!(questions[0].gold.as_deref(), Some("I am so sorry."));
        assert_eq!(questions[1].gold.as_deref(), Some("Great, how much?"));
        assert_eq!(questions[1].id, "c2");
    }
    assert_eq!(dataset.info().await.unwrap().size, Some(2));
}

#[tokio::test]
async fn a_choice_can_be_counted_shuffled_and_spread_over_columns() {
    let folder = Folder::with(r#"{"q": "q", "a": "x", "b": "y", "c": "z", "label": 2}"#);
    let read = async |options: &str| {
        let dataset = folder.jsonl(options).await.unwrap();
        read_all(&dataset, 9).await.unwrap().remove(0)
    };
    let spread = r#", "kind": "choice", "question": "q", "options": ["a", "{{ b }}!", "c"], "gold": "label""#;
    let question = read(&format!("{spread}, \"gold_counts_from\": 0")).await;
    assert_eq!(question.options, ["x", "y!", "z"]);
    assert_eq!(question.gold.as_deref(), Some("C"));
    let question = read(&format!("{spread}, \"gold_counts_from\": 1")).await;
    assert_eq!(question.gold.as_deref(), Some("B"));
    let options = format!("{spread}, \"gold_counts_from\": 1, \"shuffle_options\": true");
    let question = read(&options).await;
    let place = usize::from(question.gold.unwrap().as_bytes()[0] - b'A');
    assert_eq!(question.options[place], "y!");
    // Three options have no four rotations.
    let options = format!("{spread}, \"gold_counts_from\": 1, \"circular\": true");
    let error = read_all(&folder.jsonl(&options).await.unwrap(), 9)
        .await
        .unwrap_err();
    assert!(error.message.contains("3 options"), "{error}");
}
