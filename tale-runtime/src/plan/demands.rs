//! Whether each `[plugins.NAME]` of a manifest is about a plugin of the run.

use super::Resolver;
use crate::{
    diagnostics::{Diagnostic, nearest},
    manifest::Manifest,
};

impl Resolver<'_> {
    /// What is demanded of a plugin that the run does not use holds nothing, which whoever pinned a
    /// library must know. A name that nobody has is a fault, like any other misspelt key; that of a
    /// plugin which another run would use is not.
    pub(super) fn check_demands(&mut self, manifest: &Manifest) {
        for name in manifest.plugins.keys() {
            if self.used.contains(name) {
                continue;
            }
            let place = self.source().at(&["plugins", name]);
            // Tables that this task does not read.
            let elsewhere = [
                Some(&manifest.estimator.plugin),
                manifest.feasibility.as_ref().map(|f| &f.plugin),
            ];
            let problem = if elsewhere.contains(&Some(name)) || self.registry.knows(name) {
                Diagnostic::warning(format!("nothing in this run uses plugin `{name}`"))
                    .help("what the table demands is demanded of nobody")
            } else {
                let problem = Diagnostic::error(format!("there is no plugin `{name}`"));
                match nearest(name, self.used.iter().map(String::as_str)) {
                    Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                    None => problem.help("`tale plugin list` names those that are found"),
                }
            };
            self.problems.push(problem.place(place));
        }
    }
}
