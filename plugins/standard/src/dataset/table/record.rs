//! What a record of a table asks.

use tale_api::{AnswerKind, Error, ErrorKind, Question, Result};

use super::{Choice, Table};
use crate::dataset::{
    Records, broken, choice,
    compose::Source,
    mapping::{Record, text, texts},
};

impl Records for Table {
    fn question(&self, line: &str, number: u64) -> Result<Question> {
        let (mut question, gold) = self.read(line, number)?;
        if self.options.shuffle_options {
            choice::shuffle(&mut question, gold, self.seed);
        }
        Ok(question)
    }

    fn questions(&self, line: &str, number: u64) -> Result<Vec<Question>> {
        if !self.options.circular {
            return Ok(vec![self.question(line, number)?]);
        }
        let (question, gold) = self.read(line, number)?;
        if question.options.len() != ROTATIONS {
            let found = question.options.len();
            return Err(broken(format!(
                "{found} options, and `circular` asks choices of {ROTATIONS}"
            )));
        }
        Ok(choice::rotations(&question, gold, ROTATIONS))
    }

    fn questions_a_record(&self) -> u64 {
        if self.options.circular {
            ROTATIONS as u64
        } else {
            1
        }
    }

    fn ids_may_repeat(&self) -> bool {
        self.id.is_some()
    }
}

/// Rotations of a choice, as `OpenCompass` asks `MathBench`.
const ROTATIONS: usize = 4;

impl Table {
    /// The question of a record, and the position of its right option.
    fn read(&self, line: &str, number: u64) -> Result<(Question, Option<usize>)> {
        let record = Record::parse(line)?;
        let wanted = |source: &Source| -> Result<String> {
            let text = self.templates.text(source, &record)?;
            text.ok_or_else(|| broken(format!("`{}` is null or empty", source.name())))
        };
        let maybe = |field: &Option<String>| -> Result<Option<String>> {
            field
                .as_deref()
                .and_then(|f| Some((f, record.get(f)?)))
                .map_or(Ok(None), |(f, value)| text(f, value))
        };
        let kind = match maybe(&self.options.kind_field)? {
            Some(kind) => kind.parse().map_err(|e: Error| Error {
                kind: ErrorKind::InvalidData,
                ..e
            })?,
            None => self.options.kind,
        };
        let id = self.id.as_ref().map(wanted).transpose()?;
        let mut question = Question {
            id: id.unwrap_or_else(|| number.to_string()),
            text: wanted(&self.question)?,
            gold: self.gold(&record)?,
            kind,
            language: maybe(&self.options.language_field)?
                .unwrap_or_else(|| self.options.language.clone()),
            options: Vec::new(),
        };
        if kind != AnswerKind::Choice {
            return Ok((question, None));
        }
        let written = match &self.choice {
            Choice::One(field) => texts(field, record.require(field)?)?,
            Choice::Each(sources) => sources.iter().map(wanted).collect::<Result<_>>()?,
        };
        question.options = choice::without_letters(written);
        choice::check(&question.options)?;
        let gold = question
            .gold
            .as_deref()
            .map(|gold| choice::position(gold, &question.options, self.options.gold_counts_from))
            .transpose()?;
        question.gold = gold.map(choice::letter);
        Ok((question, gold))
    }

    fn gold(&self, record: &Record<'_>) -> Result<Option<String>> {
        let gold = match &self.gold {
            // Who names a field means it: a typing error must not make every answer wrong.
            Some(source) => self.templates.text(source, record)?,
            None => match record.get("answer") {
                Some(value) => text("answer", value)?,
                None => None,
            },
        };
        let (Some(gold), Some(mark)) = (&gold, self.options.gold_after.as_deref()) else {
            return Ok(gold);
        };
        let Some((_, after)) = gold.rsplit_once(mark) else {
            let field = self.gold.as_ref().map_or("answer", Source::name);
            return Err(broken(format!("no `{mark}` in `{field}`")));
        };
        Ok(Some(after.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::TableOptions;

    fn read(options: &str, line: &str) -> Result<Question> {
        let options = serde_json::from_str(&format!(r#"{{"path": "x"{options}}}"#)).unwrap();
        Table::new(options, 1024)?.question(line, 17)
    }

    #[test]
    fn without_options_question_and_answer_are_read() {
        let question = read("", r#"{"question": "2+2?", "answer": 4}"#).unwrap();
        assert_eq!(
            question,
            Question {
                id: "17".to_owned(),
                text: "2+2?".to_owned(),
                gold: Some("4".to_owned()),
                language: "en".to_owned(),
                ..Question::default()
            }
        );
        assert_eq!(read("", r#"{"question": "2+2?"}"#).unwrap().gold, None);
        assert_eq!(
            read("", r#"{"question": "2+2?", "answer": null}"#)
                .unwrap()
                .gold,
            None
        );
    }

    #[test]
    fn every_field_can_be_mapped() {
        let question = read(
            r#", "question": "task.text", "gold": "solutions.0", "gold_after": "=", "id": "uid", "kind_field": "type", "language_field": "lang""#,
            r#"{"task": {"text": "2+2?"}, "solutions": ["2+2 = 4"], "uid": 9, "type": "math", "lang": "zh"}"#,
        )
        .unwrap();
        assert_eq!(
            question,
            Question {
                id: "9".to_owned(),
                text: "2+2?".to_owned(),
                gold: Some("4".to_owned()),
                kind: AnswerKind::Math,
                language: "zh".to_owned(),
                options: Vec::new(),
            }
        );
        let default = read(
            r#", "kind": "text", "kind_field": "type", "language_field": "lang""#,
            r#"{"question": "q"}"#,
        )
        .unwrap();
        assert_eq!(
            (default.kind, default.language.as_str()),
            (AnswerKind::Text, "en")
        );
    }

    #[test]
    fn a_field_that_was_named_must_be_there() {
        for options in [
            r#", "gold": "gold""#,
            r#", "id": "uid""#,
            r#", "question": "q""#,
        ] {
            let error = read(options, r#"{"question": "q", "answer": 4}"#).unwrap_err();
            assert!(error.message.starts_with("no field"), "{error}");
        }
        assert!(
            read(
                r#", "kind_field": "type""#,
                r#"{"question": "q", "type": "essay"}"#
            )
            .is_err()
        );
        assert!(
            read(
                r#", "gold_after": "=""#,
                r#"{"question": "q", "answer": "4"}"#
            )
            .is_err()
        );
    }

    #[test]
    fn choices_lose_their_letters_and_the_gold_becomes_one() {
        let choice = |options: &str, gold: &str| {
            read(
                r#", "kind": "choice""#,
                &format!(r#"{{"question": "q", "options": {options}, "answer": {gold}}}"#),
            )
        };
        let lettered = choice(r#"["A)21", "B) 21.5", "C)22"]"#, "\"B\"").unwrap();
        assert_eq!(lettered.options, ["21", "21.5", "22"]);
        assert_eq!(lettered.gold.as_deref(), Some("B"));
        assert_eq!(
            choice(r#"["A. Lincoln", "J. Adams"]"#, "\"a\"")
                .unwrap()
                .options,
            ["A. Lincoln", "J. Adams"]
        );
        assert_eq!(
            choice(r#"["21", "22"]"#, "22").unwrap().gold.as_deref(),
            Some("B")
        );
        assert_eq!(
            choice(r#"{"A": "21", "B": "22"}"#, "\"A\"")
                .unwrap()
                .options,
            ["21", "22"]
        );
        for (options, gold) in [
            (r#"["21", "22"]"#, "\"C\""),
            (r#"["21", "21"]"#, "21"),
            (r#"{"B": "1"}"#, "\"A\""),
            ("\"21\"", "\"A\""),
        ] {
            assert!(choice(options, gold).is_err(), "{options} {gold}");
        }
        assert!(
            read(
                r#", "kind": "choice""#,
                r#"{"question": "q", "answer": "A"}"#
            )
            .is_err()
        );
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(serde_json::from_str::<TableOptions>(r#"{"path": "x", "questoin": "q"}"#).is_err());
    }
}
