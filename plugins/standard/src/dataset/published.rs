//! Sets of open tasks as they are published: MBPP, code summaries of `CodeXGLUE`, and
//! `EmpatheticDialogues`.
//!
//! Their answers are texts, so that they are compared as texts and by BLEU; no code is ever run.

use std::path::PathBuf;

use serde::Deserialize;
use tale_api::{AnswerKind, CreateEnv, Result};

use super::{
    FileDataset, OnError,
    table::{Table, TableOptions},
};

/// Options of a data set that is read as it is published.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishedOptions {
    /// The file, or a folder of files, relative to the manifest's folder.
    pub path: PathBuf,
    /// What happens at a record that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
}

/// Mostly Basic Python Problems (arXiv 2108.07732): a task in a sentence and three assertions, which
/// name the function wanted.
#[derive(Clone, Copy, Debug)]
pub struct Mbpp;

impl Mbpp {
    /// Opens the data set.
    ///
    /// # Errors
    /// [`NotFound`](tale_api::ErrorKind::NotFound) where there is no such file.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: PublishedOptions, env: CreateEnv) -> Result<FileDataset<Table>> {
        // The sanitised set calls the task `prompt`.
        let question = "{{ text if text is defined else prompt }}\n\
                        Your code should pass these tests:\n\
                        {{ test_list | join('\\n') }}";
        let known = TableOptions {
            name: Some("mbpp".to_owned()),
            id: Some("task_id".to_owned()),
            on_error: options.on_error,
            license: Some("CC-BY-4.0".to_owned()),
            source: Some("https://github.com/google-research/google-research".to_owned()),
            ..TableOptions::known(options.path, question, "code", AnswerKind::Text)
        };
        Table::open(&known, &env)
    }
}

/// Code summaries: the code-to-text task of `CodeXGLUE` (arXiv 2102.04664). The code is asked
/// without its docstring, which is the gold answer, both joined from the published tokens, as in
/// its own evaluation.
#[derive(Clone, Copy, Debug)]
pub struct CodeSummary;

impl CodeSummary {
    /// Opens the data set.
    ///
    /// # Errors
    /// [`NotFound`](tale_api::ErrorKind::NotFound) where there is no such file.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: PublishedOptions, env: CreateEnv) -> Result<FileDataset<Table>> {
        let question = "Summarize what this {{ language }} code does in one sentence:\n\
                        {{ code_tokens | join(' ') }}";
        let known = TableOptions {
            name: Some("code-summary".to_owned()),
            on_error: options.on_error,
            license: Some("C-UDA-1.0".to_owned()),
            source: Some("https://github.com/microsoft/CodeXGLUE".to_owned()),
            ..TableOptions::known(
                options.path,
                question,
                "{{ docstring_tokens | join(' ') }}",
                AnswerKind::Text,
            )
        };
        Table::open(&known, &env)
    }
}

/// Replies to somebody who tells how they feel (`EmpatheticDialogues`, arXiv 1811.00207). A question
/// is a dialogue up to its listener's last reply, which is the gold answer.
#[derive(Clone, Copy, Debug)]
pub struct EmpatheticDialogues;

impl EmpatheticDialogues {
    /// Opens the data set.
    ///
    /// # Errors
    /// [`NotFound`](tale_api::ErrorKind::NotFound) where there is no such file.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: PublishedOptions, env: CreateEnv) -> Result<FileDataset<Table>> {
        // A file has a row for each utterance; speaker and listener take turns, the speaker first.
        let question = "{% set last = (rows | length) // 2 * 2 - 1 %}\
                        Reply to the speaker with empathy, in one or two sentences.\n\
                        {% for row in rows[:last] %}\
                        {{ 'Speaker' if loop.index0 is even else 'Listener' }}: \
                        {{ row.utterance | replace('_comma_', ',') }}\n\
                        {% endfor %}Listener:";
        let gold = "{% set last = (rows | length) // 2 * 2 - 1 %}\
                    {{ rows[last].utterance | replace('_comma_', ',') }}";
        let known = TableOptions {
            name: Some("empathetic-dialogues".to_owned()),
            id: Some("{{ rows[0].conv_id }}".to_owned()),
            group_rows: Some("conv_id".to_owned()),
            on_error: options.on_error,
            license: Some("CC-BY-NC-4.0".to_owned()),
            source: Some("https://github.com/facebookresearch/EmpatheticDialogues".to_owned()),
            ..TableOptions::known(options.path, question, gold, AnswerKind::Text)
        };
        // Commas are spelt `_comma_` there, quotes are text, and some rows have a column more.
        Table::open_plain(&known, &env)
    }
}
