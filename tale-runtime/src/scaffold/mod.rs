//! New plugins: the files that `tale plugin new` writes.
//!
//! The files are templates under `tale-runtime/templates/plugin`, one folder a language with one a
//! kind in it; what is the same for all kinds lies above. A crate that is written is of no
//! workspace and depends on `tale-api` as a stranger's does.

mod dependency;
mod name;

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use minijinja::{Environment, UndefinedBehavior, context};
use tale_api::ComponentKind;

use crate::diagnostics::Diagnostic;

pub use dependency::Dependency;
pub use name::PluginName;

/// The language of a new plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// A crate.
    Rust,
    /// A folder with a Makefile.
    C,
}

/// A plugin to be.
#[derive(Clone, Debug)]
pub struct Scaffold {
    /// What it is called.
    pub name: PluginName,
    /// What it offers.
    pub kind: ComponentKind,
    /// What it is written in.
    pub language: Language,
    /// Where a crate gets `tale-api` from.
    pub tale_api: Dependency,
}

/// A file to write: its path in the new folder, and its template.
type Template = (&'static str, &'static str);

macro_rules! template {
    ($($part:literal),+ $(,)?) => {
        include_str!(concat!("../../templates/plugin/", $($part,)+ ".j2"))
    };
}

/// The templates of one kind: Rust's source and schema, C's source and test.
macro_rules! of_kind {
    ($kind:literal) => {
        [
            template!("rust/", $kind, "/lib.rs"),
            template!("rust/", $kind, "/options.schema.json"),
            template!("c/", $kind, "/plugin.c"),
            template!("c/", $kind, "/test.c"),
        ]
    };
}

impl Scaffold {
    /// The package's name, which is the folder's too: `tale-KIND-NAME`.
    #[must_use]
    pub fn package(&self) -> String {
        format!("tale-{}-{}", self.kind, self.name)
    }

    /// The file name of the library that it builds, on this system.
    #[must_use]
    pub fn library(&self) -> String {
        use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
        let name = self.package().replace('-', "_");
        format!("{DLL_PREFIX}{name}{DLL_SUFFIX}")
    }

    /// What to do next in the new folder, as commands.
    #[must_use]
    pub fn next_steps(&self) -> Vec<String> {
        match self.language {
            Language::Rust => vec![
                "cargo test".to_owned(),
                "cargo build --release".to_owned(),
                format!("tale plugin check target/release/{}", self.library()),
            ],
            Language::C => vec![
                "make".to_owned(),
                "make test".to_owned(),
                format!("tale plugin check {}", self.library()),
            ],
        }
    }

    /// Where the three places to fill in are.
    #[must_use]
    pub fn source(&self) -> &'static str {
        match self.language {
            Language::Rust => "src/lib.rs",
            Language::C => "plugin.c",
        }
    }

    /// Writes the files into `folder`, which is made; gives their paths in it.
    ///
    /// # Errors
    /// The folder exists and is not empty, or cannot be written to. Nothing is ever overwritten.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
        refuse_if_used(folder)?;
        let files = self.render()?;
        let failed = |path: &Path, e: &io::Error| {
            Diagnostic::error(format!("cannot write `{}`", path.display())).cause(e.to_string())
        };
        for (path, content) in &files {
            let path = folder.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|e| failed(parent, &e))?;
            }
            File::create_new(&path)
                .and_then(|mut file| file.write_all(content.as_bytes()))
                .map_err(|e| failed(&path, &e))?;
        }
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }

    fn render(&self) -> Result<Vec<(PathBuf, String)>, Diagnostic> {
        let mut engine = Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        let values = context! {
            name => self.name.as_str(),
            type => self.name.type_name(),
            package => self.package(),
            library => self.library(),
            kind => self.kind.as_str(),
            kind_type => format!("{:?}", self.kind),
            kind_article => article(self.kind),
            tale_api => self.tale_api.to_toml(),
            manifest => self.manifest(),
        };
        let render = |(path, template): Template| {
            let mut text = engine.render_str(template, &values).map_err(|e| {
                Diagnostic::error(format!("the template of `{path}` is broken"))
                    .cause(e.to_string())
            })?;
            // The engine takes a template's last line break away.
            text.push('\n');
            Ok((PathBuf::from(path), text))
        };
        let mut files: Vec<_> = self
            .templates()
            .into_iter()
            .map(render)
            .collect::<Result<_, Diagnostic>>()?;
        if self.language == Language::C {
            let header = tale_api::abi::HEADER.to_owned();
            files.push((PathBuf::from("tale_plugin.h"), header));
        }
        Ok(files)
    }

    fn templates(&self) -> Vec<Template> {
        let [source, schema, c_source, c_test] = match self.kind {
            ComponentKind::Llm => of_kind!("llm"),
            ComponentKind::Estimator => of_kind!("estimator"),
            ComponentKind::Feasibility => of_kind!("feasibility"),
            ComponentKind::Dataset => of_kind!("dataset"),
            ComponentKind::Trainer => of_kind!("trainer"),
        };
        match self.language {
            Language::Rust => {
                let mut files = vec![
                    ("Cargo.toml", template!("rust/Cargo.toml")),
                    (".gitignore", template!("rust/gitignore")),
                    ("README.md", template!("rust/README.md")),
                    ("src/lib.rs", source),
                    ("src/options.schema.json", schema),
                    ("tests/conformance.rs", template!("rust/conformance.rs")),
                ];
                if self.kind == ComponentKind::Trainer {
                    files.push(("tests/pairs.jsonl", template!("rust/trainer/pairs.jsonl")));
                }
                files
            }
            Language::C => vec![
                ("Makefile", template!("c/Makefile")),
                (".gitignore", template!("c/gitignore")),
                ("README.md", template!("c/README.md")),
                ("plugin.c", c_source),
                ("test.c", c_test),
                ("test.h", template!("c/test.h")),
                ("tale_support.c", template!("c/tale_support.c")),
                ("tale_support.h", template!("c/tale_support.h")),
            ],
        }
    }

    /// How a manifest asks for it.
    fn manifest(&self) -> String {
        let name = &self.name;
        match self.kind {
            ComponentKind::Llm => format!("[llm]\nplugin = \"{name}\""),
            ComponentKind::Estimator => {
                format!("[evaluate]\nmethods = [\"tale-ep\"]\n\n[estimator]\nplugin = \"{name}\"")
            }
            ComponentKind::Feasibility => format!("[feasibility]\nplugin = \"{name}\""),
            ComponentKind::Dataset => format!("[dataset]\nplugin = \"{name}\""),
            ComponentKind::Trainer => format!("[trainer]\nplugin = \"{name}\""),
        }
    }
}

fn article(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Llm => "the language model",
        ComponentKind::Estimator => "the estimator",
        ComponentKind::Feasibility => "the feasibility rule",
        ComponentKind::Dataset => "the data set",
        ComponentKind::Trainer => "the trainer",
    }
}

fn refuse_if_used(folder: &Path) -> Result<(), Diagnostic> {
    let refused = |message: String| {
        Err(Diagnostic::error(message)
            .help("`--out DIR` names another folder; nothing was written"))
    };
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            Some(_) => refused(format!("the folder `{}` is not empty", folder.display())),
            None => Ok(()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            refused(format!("`{}` is a file", folder.display()))
        }
        Err(e) => refused(format!("cannot look into `{}`: {e}", folder.display())),
    }
}

#[cfg(test)]
mod tests;
