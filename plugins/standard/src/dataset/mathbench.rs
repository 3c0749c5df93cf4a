//! The data set `mathbench`: questions by level, English and Chinese, cloze and single choice
//! (arXiv 2405.12209).

use std::path::PathBuf;

use serde::Deserialize;
use tale_api::{AnswerKind, CreateEnv, DatasetInfo, Error, ErrorKind, Result};

use super::{DataFile, FileDataset, OnError, Part, table::Table, table::TableOptions};

/// Options of `mathbench`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MathBenchOptions {
    /// The folder `mathbench_v1` of the release, relative to the manifest's folder.
    pub path: PathBuf,
    /// Which levels. Default: all.
    #[serde(default = "Level::all")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub levels: Vec<Level>,
    /// Which languages: `en`, `zh`. Default: both.
    #[serde(default = "both_languages")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub languages: Vec<Language>,
    /// Asks each choice with its options in all four rotations, which count as one task that is
    /// solved if all four answers are right (`OpenCompass`'s circular evaluation). Cloze questions,
    /// which have nothing to rotate, are then left out.
    #[serde(default)]
    pub circular: bool,
    /// What happens at a record that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
}

/// A level of `MathBench`: a folder of its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Calculation.
    Arithmetic,
    /// Primary school.
    Primary,
    /// Middle school.
    Middle,
    /// High school.
    High,
    /// College.
    College,
    /// Concepts of primary school.
    PrimaryKnowledge,
    /// Concepts of middle school.
    MiddleKnowledge,
    /// Concepts of high school.
    HighKnowledge,
    /// Concepts of college.
    CollegeKnowledge,
}

/// A language of `MathBench`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

fn both_languages() -> Vec<Language> {
    vec![Language::En, Language::Zh]
}

impl Level {
    fn all() -> Vec<Self> {
        vec![
            Self::Arithmetic,
            Self::Primary,
            Self::Middle,
            Self::High,
            Self::College,
            Self::PrimaryKnowledge,
            Self::MiddleKnowledge,
            Self::HighKnowledge,
            Self::CollegeKnowledge,
        ]
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Arithmetic => "arithmetic",
            Self::Primary => "primary",
            Self::Middle => "middle",
            Self::High => "high",
            Self::College => "college",
            Self::PrimaryKnowledge => "primary_knowledge",
            Self::MiddleKnowledge => "middle_knowledge",
            Self::HighKnowledge => "high_knowledge",
            Self::CollegeKnowledge => "college_knowledge",
        }
    }

    fn kind(self) -> AnswerKind {
        match self {
            Self::Arithmetic | Self::Primary => AnswerKind::Math,
            _ => AnswerKind::Choice,
        }
    }

    /// The file in one language, if the release has it: there is no Chinese arithmetic.
    fn file(self, language: Language) -> Option<String> {
        let form = match self.kind() {
            AnswerKind::Choice => "single_choice",
            _ => "cloze",
        };
        let language = match (self, language) {
            (Self::Arithmetic, Language::Zh) => return None,
            (_, Language::En) => "en",
            (_, Language::Zh) => "cn",
        };
        Some(format!("{}/{form}_{language}", self.folder()))
    }
}

/// `MathBench` as its authors publish it: 17 files, `<level>/<form>_<language>.jsonl`.
#[derive(Clone, Copy, Debug)]
pub struct MathBench;

impl MathBench {
    /// Opens the data set.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where a file is missing, [`ErrorKind::InvalidOptions`] where the
    /// options leave no file.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: MathBenchOptions, env: CreateEnv) -> Result<FileDataset<Table>> {
        let mut parts = Vec::new();
        for level in &options.levels {
            for language in &options.languages {
                let kind = level.kind();
                if options.circular && kind != AnswerKind::Choice {
                    continue;
                }
                let Some(file) = level.file(*language) else {
                    continue;
                };
                parts.push(part(&options, &env, &file, kind, *language)?);
            }
        }
        if parts.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidOptions,
                "`levels`, `languages` and `circular` leave no file of MathBench",
            )
            .hint("arithmetic is English only, and cloze questions cannot be asked in circles"));
        }
        let about = DatasetInfo {
            name: "mathbench".to_owned(),
            license: Some("Apache-2.0".to_owned()),
            source: Some("https://arxiv.org/abs/2405.12209".to_owned()),
            ..DatasetInfo::default()
        };
        Ok(FileDataset::new(parts, about))
    }
}

fn part(
    options: &MathBenchOptions,
    env: &CreateEnv,
    file: &str,
    kind: AnswerKind,
    language: Language,
) -> Result<Part<Table>> {
    let path = options.path.join(format!("{file}.jsonl"));
    let known = TableOptions {
        language: match language {
            Language::En => "en".to_owned(),
            Language::Zh => "zh".to_owned(),
        },
        circular: options.circular,
        on_error: options.on_error,
        ..TableOptions::known(path.clone(), "question", "answer", kind)
    };
    let data = DataFile::named(&path, env, &known.reading()).map_err(|e| {
        e.hint(
            "`path` is the folder `mathbench_v1` of the release, with the folders `arithmetic`, \
             `primary`, … in it; `levels` and `languages` choose among them",
        )
    })?;
    Ok(Part {
        file: data,
        records: Table::new(known, env.seed)?,
        prefix: Some(format!("{file}:")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_has_seventeen_files() {
        let mut files = Vec::new();
        for level in Level::all() {
            files.extend(both_languages().into_iter().filter_map(|l| level.file(l)));
        }
        assert_eq!(files.len(), 17);
        assert_eq!(files[0], "arithmetic/cloze_en");
        assert_eq!(files[2], "primary/cloze_cn");
        assert_eq!(files[16], "college_knowledge/single_choice_cn");
    }
}
