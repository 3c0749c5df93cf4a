//! Prompts: how a question is put to a model under each method.
//!
//! The prompts themselves are data (`prompts/standard.toml`, a copy of which anybody may change and
//! name in a manifest), chosen by the question's kind of answer and language, never by the data
//! set's name. Filling one is literal: see [`PromptSet::render`].

mod error;
mod file;
mod method;
mod template;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _, sync::LazyLock};

use sha2::{Digest, Sha256};
use tale_api::{Message, Question};

pub use error::PromptError;
pub use method::{Alpha, LimitUnit, Method};

use file::{PromptFile, Source};
use template::Template;

/// The text of the standard prompt file, to be shown or copied.
pub const STANDARD_TOML: &str = include_str!("../../prompts/standard.toml");

/// The comparison methods, a file each; they are part of the standard set.
const METHODS_TOML: [&str; 5] = [
    include_str!("../../prompts/chain-of-draft.toml"),
    include_str!("../../prompts/ccot.toml"),
    include_str!("../../prompts/concise-cot.toml"),
    include_str!("../../prompts/token-complexity.toml"),
    include_str!("../../prompts/tale-one.toml"),
];

const DIRECT: &str = "direct";
const VANILLA_COT: &str = "vanilla-cot";
/// Where the templates made of `vanilla-cot` and `budget` are kept; no file can use this name.
const UNDER_BUDGET: &str = "vanilla-cot under a budget";

static STANDARD: LazyLock<PromptSet> = LazyLock::new(|| {
    standard_file()
        .and_then(|file| PromptSet::from_file(&file))
        .expect("a test reads the prompts that are built in")
});

/// The paper's prompts and the comparison methods.
fn standard_file() -> Result<PromptFile, PromptError> {
    METHODS_TOML
        .iter()
        .try_fold(PromptFile::parse(STANDARD_TOML)?, |standard, text| {
            let mut methods = PromptFile::parse(text)?;
            methods.name.clone_from(&standard.name);
            Ok(methods.over(standard))
        })
}

/// A set of prompts: templates by method, kind of answer and language.
///
/// # Examples
/// ```
/// use tale_api::Question;
/// use tale_plugin_standard::{Method, PromptSet};
///
/// let prompts = PromptSet::standard();
/// let question = Question { text: "What is 2+2?".into(), ..Question::default() };
/// let messages = prompts.render(&Method::TaleEp, &question, Some(12))?;
/// assert!(messages[1].content.ends_with("Let's think step by step and use less than 12 tokens:\n"));
/// # Ok::<(), tale_plugin_standard::PromptError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PromptSet {
    name: String,
    digest: String,
    system: String,
    estimate: Template,
    estimate_source: String,
    /// By kind of answer, language and name.
    templates: BTreeMap<(&'static str, String, String), Prompt>,
}

/// A template with the system message that goes before it.
#[derive(Clone, Debug)]
struct Prompt {
    template: Template,
    /// In place of the set's.
    system: Option<String>,
}

/// What [`PromptSet::read`] found in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptParts<'p> {
    /// The question as it stands in the prompt, options included.
    pub question: &'p str,
    /// The budget, in tokens; absent for `vanilla-cot`.
    pub budget: Option<u32>,
}

impl PromptSet {
    /// The prompts of the paper's reference code, and the comparison methods.
    #[must_use]
    pub fn standard() -> Self {
        STANDARD.clone()
    }

    /// Reads a prompt file; `prompts/standard.toml` says what one looks like.
    ///
    /// # Errors
    /// Every fault that can be told without a question: unreadable TOML, an unknown key, a template
    /// without a place for the question, a budget rule that would change nothing.
    pub fn from_toml(text: &str) -> Result<Self, PromptError> {
        let mut file = PromptFile::parse(text)?;
        if let Some(base) = file.extends.take() {
            if base != "standard" {
                return Err(PromptError::UnknownBase { name: base });
            }
            file = file.over(standard_file()?);
        }
        Self::from_file(&file)
    }

    fn from_file(file: &PromptFile) -> Result<Self, PromptError> {
        let missing = |key| PromptError::MissingKey {
            set: file.name.clone(),
            key,
        };
        let estimate_source = file.estimate.clone().ok_or_else(|| missing("estimate"))?;
        let mut templates = BTreeMap::new();
        for (kind, languages) in file.kinds() {
            for (language, sources) in languages {
                let set = format!("{kind}.{language}");
                let mut put = |name: &str, template, system: Option<&String>| {
                    templates.insert(
                        (
                            kind.as_str(),
                            normalised(language).into_owned(),
                            name.to_owned(),
                        ),
                        Prompt {
                            template,
                            system: system.cloned(),
                        },
                    )
                };
                for (name, source) in &sources.by_name {
                    let full_name = format!("{set}.{name}");
                    if !is_template_name(name) {
                        return Err(PromptError::ReservedName {
                            template: full_name,
                        });
                    }
                    put(
                        name,
                        Template::parse(&full_name, &source.user)?,
                        source.system.as_ref(),
                    );
                }
                if let Some(rule) = &sources.budget {
                    let nothing = Source::default();
                    let vanilla = sources.by_name.get(VANILLA_COT).unwrap_or(&nothing);
                    put(
                        UNDER_BUDGET,
                        Template::with_budget(&set, &vanilla.user, &rule.replace, &rule.by)?,
                        vanilla.system.as_ref(),
                    );
                }
            }
        }
        Ok(Self {
            name: file.name.clone(),
            digest: digest(file),
            system: file.system.clone().unwrap_or_default(),
            estimate: Template::parse("estimate", &estimate_source)?,
            estimate_source,
            templates,
        })
    }

    /// The name that the file gives itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The system message; empty for none.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.system
    }

    /// SHA-256 (hexadecimal) of all templates: two sets with the same digest put every question the
    /// same way, whatever their names, comments and layout.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The method of this name: one of the built-in ones, a template of this set, or a template
    /// with a place for a number and that number: `ccot-45`.
    ///
    /// # Errors
    /// [`PromptError::UnknownMethod`], whose hint names the nearest or all there are.
    pub fn method(&self, name: &str) -> Result<Method, PromptError> {
        if let Ok(built_in) = name.parse() {
            return Ok(built_in);
        }
        if self.any(name).is_some_and(|t| t.limit().is_none()) {
            return Ok(Method::Template(name.to_owned()));
        }
        let limited = name.rsplit_once('-').and_then(|(template, digits)| {
            Some(Method::Limited {
                unit: self.any(template)?.limit()?,
                limit: method::positive(digits)?,
                template: template.to_owned(),
            })
        });
        limited.ok_or_else(|| PromptError::unknown_method(name, &self.method_names()))
    }

    /// The names of the templates that are methods of their own; `-<n>` stands for the number that
    /// some want.
    #[must_use]
    pub fn method_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .templates
            .iter()
            .filter(|((_, _, name), _)| ![DIRECT, VANILLA_COT, UNDER_BUDGET].contains(&&**name))
            .map(|((_, _, name), prompt)| match prompt.template.limit() {
                Some(_) => format!("{name}-<n>"),
                None => name.clone(),
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// A template of this name, whatever it is for.
    fn any(&self, name: &str) -> Option<&Template> {
        self.templates
            .iter()
            .find(|((_, _, known), _)| known == name && known != UNDER_BUDGET)
            .map(|(_, prompt)| &prompt.template)
    }

    /// The conversation that puts `question` to a model under `method`.
    ///
    /// The question (with its options, see [`question_text`]) and the budget are filled in literally:
    /// braces, percent signs or whole templates inside a question are just its text.
    ///
    /// # Arguments
    /// * `budget`: in tokens. [`Method::TaleEp`] without one is vanilla chain of thought: that is
    ///   the fallback where no estimate could be had. [`Method::Fixed`] and [`Method::Limited`]
    ///   bring their own number; `None` or the same [`fixed_budget`](Method::fixed_budget) is
    ///   expected.
    ///
    /// # Errors
    /// * [`PromptError::NoTemplate`]: nothing for this kind of answer in this language. Languages do
    ///   not stand in for each other: an answer format in the wrong language changes the task.
    /// * [`PromptError::BudgetMissing`], [`PromptError::BudgetNotTaken`],
    ///   [`PromptError::ZeroBudget`]: a budget where there is no place for it, or the reverse.
    pub fn render(
        &self,
        method: &Method,
        question: &Question,
        budget: Option<u32>,
    ) -> Result<Vec<Message>, PromptError> {
        let budget = match (method.fixed_budget(), budget) {
            (Some(own), given) if given.is_some_and(|g| g != own) => {
                return Err(PromptError::BudgetNotTaken {
                    method: method.to_string(),
                });
            }
            (own, given) => own.or(given),
        };
        if budget == Some(0) {
            return Err(PromptError::ZeroBudget);
        }
        let name = match method {
            Method::Direct => DIRECT,
            Method::Fixed(_) => UNDER_BUDGET,
            Method::TaleEp | Method::TaleEpAt(_) if budget.is_some() => UNDER_BUDGET,
            Method::TaleEp
            | Method::TaleEpAt(_)
            | Method::VanillaCot
            | Method::Effort(_)
            | Method::Thinking(_) => VANILLA_COT,
            Method::Template(name) | Method::Limited { template: name, .. } => name,
        };
        let prompt = self.prompt(name, question)?;
        let number = match method {
            Method::Limited { limit, .. } => Some(*limit),
            _ => budget,
        };
        match (prompt.template.limit(), number) {
            (Some(_), None) => {
                return Err(PromptError::BudgetMissing {
                    method: method.to_string(),
                });
            }
            (None, Some(_)) => {
                return Err(PromptError::BudgetNotTaken {
                    method: method.to_string(),
                });
            }
            _ => {}
        }
        let text = prompt.template.fill(&question_text(question), number);
        Ok(conversation(
            prompt.system.as_deref().unwrap_or(&self.system),
            text,
        ))
    }

    /// The conversation that asks for a token budget for `text`, usually the bare question.
    #[must_use]
    pub fn estimate(&self, text: &str) -> Vec<Message> {
        conversation(&self.system, self.estimate.fill(text, None))
    }

    /// The template that asks for a budget, with `{question}` in it, for an estimator's options.
    #[must_use]
    pub fn estimate_template(&self) -> &str {
        &self.estimate_source
    }

    /// This set with another prompt or system message for estimates; `None` keeps what there is.
    pub(crate) fn with_estimate(
        &self,
        estimate: Option<String>,
        system: Option<String>,
    ) -> Result<Self, PromptError> {
        let mut set = self.clone();
        if let Some(source) = estimate {
            set.estimate = Template::parse("prompt", &source)?;
            set.estimate_source = source;
        }
        set.system = system.unwrap_or(set.system);
        Ok(set)
    }

    /// What a chain-of-thought prompt of this set asks, the inverse of [`render`](Self::render) for
    /// `vanilla-cot`, `tale-ep` and `fixed-<b>`: each way in which `prompt` (the user's message) can
    /// be read. Serves to find the answers of a recorded search again.
    pub fn read<'p>(&self, prompt: &'p str) -> impl Iterator<Item = PromptParts<'p>> {
        self.templates
            .iter()
            .filter(|((_, _, name), _)| name == UNDER_BUDGET || name == VANILLA_COT)
            .filter_map(|(_, known)| known.template.read(prompt))
            .map(|(question, budget)| PromptParts { question, budget })
    }

    fn prompt(&self, name: &str, question: &Question) -> Result<&Prompt, PromptError> {
        let language = normalised(&question.language);
        let key = (
            question.kind.as_str(),
            language.clone().into_owned(),
            name.to_owned(),
        );
        self.templates
            .get(&key)
            .ok_or_else(|| PromptError::NoTemplate {
                template: if name == UNDER_BUDGET {
                    "budget".to_owned()
                } else {
                    name.to_owned()
                },
                kind: question.kind,
                language: language.into_owned(),
            })
    }
}

fn conversation(system: &str, prompt: String) -> Vec<Message> {
    let system = (!system.is_empty()).then(|| Message::system(system));
    system.into_iter().chain([Message::user(prompt)]).collect()
}

/// The question as it stands in a prompt: its text, and for a choice question a line per option.
///
/// As the reference code does it, each line ends with a newline (`A. …\n`), so a blank line comes
/// between the options and whatever the template puts after the question.
#[must_use]
pub fn question_text(question: &Question) -> Cow<'_, str> {
    if question.options.is_empty() {
        return Cow::Borrowed(&question.text);
    }
    let mut text = question.text.clone();
    text.push('\n');
    for (letter, option) in ('A'..='Z').zip(&question.options) {
        writeln!(text, "{letter}. {option}").expect("writing to a string cannot fail");
    }
    Cow::Owned(text)
}

/// `zh` for `zh-CN`, `ZH_tw` and `cn` (so the files of `MathBench`); `en` for `en-GB` and nothing.
fn normalised(language: &str) -> Cow<'_, str> {
    let primary = language.split(['-', '_']).next().unwrap_or(language);
    match primary {
        "" => Cow::Borrowed("en"),
        "cn" | "CN" => Cow::Borrowed("zh"),
        _ if primary.bytes().any(|b| b.is_ascii_uppercase()) => {
            Cow::Owned(primary.to_ascii_lowercase())
        }
        _ => Cow::Borrowed(primary),
    }
}

fn is_template_name(name: &str) -> bool {
    let built_in = matches!(name, DIRECT | VANILLA_COT);
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let reserved = ["fixed-", "effort-", "thinking-"];
    let is_reserved = name == "tale-ep" || reserved.iter().any(|start| name.starts_with(start));
    built_in || (plain && !is_reserved)
}

fn digest(file: &PromptFile) -> String {
    let mut hash = Sha256::new();
    let mut put = |parts: &[&str]| {
        for part in parts {
            // The length first, so that no two lists of parts run together into the same bytes.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    };
    put(&[
        "system",
        file.system.as_deref().unwrap_or(""),
        "estimate",
        file.estimate.as_deref().unwrap_or(""),
    ]);
    for (kind, languages) in file.kinds() {
        for (language, templates) in languages {
            let language = normalised(language);
            for (name, source) in &templates.by_name {
                put(&[kind.as_str(), &language, name, &source.user]);
                if let Some(system) = &source.system {
                    put(&["system", system]);
                }
            }
            if let Some(rule) = &templates.budget {
                put(&[
                    kind.as_str(),
                    &language,
                    UNDER_BUDGET,
                    &rule.replace,
                    &rule.by,
                ]);
            }
        }
    }
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            write!(out, "{byte:02x}").expect("writing to a string cannot fail");
            out
        })
}
