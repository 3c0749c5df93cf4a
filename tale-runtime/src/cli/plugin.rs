//! `tale plugin list|inspect|check|new`: what plugins say of themselves, whether they keep to the
//! rules, and the beginning of a new one. Only `check` runs their code.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use tale_api::{
    PluginManifest,
    conformance::{self, Sample},
    host::{LoadPolicy, Plugin},
};

use super::{Exit, Failure, Global, Outcome, output};
use crate::{
    diagnostics::Diagnostic,
    registry::{self, Registry, Residence},
};

#[derive(Subcommand)]
pub(super) enum PluginCommand {
    /// List the plugins of the search path and those linked in
    List,
    /// Show what a plugin offers, with the options of each component
    Inspect {
        /// A library, or the name of a plugin or component
        plugin: String,
    },
    /// Run the conformance suite against a plugin's components
    Check(CheckArgs),
    /// Write the beginning of a plugin: it builds, has tests and passes the check as it stands
    New(super::new::NewArgs),
}

#[derive(Args)]
pub(super) struct CheckArgs {
    /// The library
    file: PathBuf,
    /// Check only the component of this name
    #[arg(long)]
    component: Option<String>,
    /// An option to create the component with (may be given several times)
    #[arg(long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Check it in a process of its own, as `isolation = "process"` runs it
    #[arg(long)]
    isolated: bool,
}

pub(super) async fn plugin(command: &PluginCommand, global: &Global) -> Outcome {
    match command {
        PluginCommand::List => list(&global.registry(&[])?, global),
        PluginCommand::Inspect { plugin } => inspect(&global.registry(&[])?, plugin, global)?,
        PluginCommand::Check(args) => return check(args, global).await,
        PluginCommand::New(args) => return super::new::new(args, global),
    }
    Ok(Exit::Done)
}

fn list(registry: &Registry, global: &Global) {
    if global.json {
        let mut rows: Vec<_> = registry
            .linked()
            .map(|m| json!({ "name": m.name, "version": m.version, "origin": "linked", "components": m.components }))
            .collect();
        rows.extend(registry.candidates().iter().map(|c| match &c.inspected {
            Ok(i) => json!({
                "name": i.manifest.name, "version": i.manifest.version, "origin": c.origin,
                "path": c.path, "sha256": i.sha256, "abi": i.abi.to_string(),
                "components": i.manifest.components,
            }),
            Err(e) => json!({ "path": c.path, "origin": c.origin, "error": e.to_string() }),
        }));
        output::json(&rows);
        return;
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["PLUGIN", "VERSION", "ABI", "DIGEST", "OFFERS", "FROM"]);
    for manifest in registry.linked() {
        let row = [
            &*manifest.name,
            &*manifest.version,
            "",
            "",
            &offers(manifest),
            "linked in",
        ];
        table.add_row(row);
    }
    for candidate in registry.candidates() {
        let path = candidate.path.display().to_string();
        match &candidate.inspected {
            Ok(i) => {
                let abi = i.abi.to_string();
                let digest = i.sha256.get(..12).unwrap_or(&i.sha256);
                let m = &i.manifest;
                table.add_row([&*m.name, &*m.version, &*abi, digest, &offers(m), &*path]);
            }
            Err(e) => {
                table.add_row(["?", "", "", "", &format!("unusable: {e}"), &*path]);
            }
        }
    }
    output::line(&table.to_string());
}

/// Checks every component that was asked for; one broken rule makes the command fail.
async fn check(args: &CheckArgs, global: &Global) -> Outcome {
    let residence = if args.isolated {
        Residence::OwnProcess
    } else {
        Residence::Here
    };
    let plugin = registry::load(&args.file, &LoadPolicy::default(), residence)?;
    let options = Value::Object(super::parse_options(&args.options)?);
    let wanted = |name: &str| {
        args.component
            .as_deref()
            .is_none_or(|wanted| wanted == name)
    };
    let components: Vec<_> = plugin
        .manifest()
        .components
        .iter()
        .filter(|c| wanted(&c.name))
        .collect();
    if components.is_empty() {
        return Err(super::usage(
            format!("`{}` offers no such component", args.file.display()),
            format!("it offers {}", offers(plugin.manifest())),
        ));
    }
    let mut sample = Sample::new(options);
    sample.env.base_dir = std::env::current_dir()?;
    let mut reports = Vec::new();
    for component in components {
        let report = conformance::check(&plugin, component.kind, &component.name, &sample).await;
        if !global.json {
            output::line(&report.to_string());
        }
        reports.push(report);
    }
    if global.json {
        output::json(&reports);
    }
    let broken = reports.iter().filter(|report| !report.is_passed()).count();
    if broken == 0 {
        return Ok(Exit::Done);
    }
    let problem = Diagnostic::error(format!(
        "{broken} of {} components break rules",
        reports.len()
    ));
    Err(Failure {
        code: 1,
        diagnostics: problem
            .help("each rule's sentence says what is wanted; `docs/abi.md` has the protocol")
            .into(),
    })
}

fn offers(manifest: &PluginManifest) -> String {
    let mut kinds: Vec<(String, Vec<&str>)> = Vec::new();
    for component in &manifest.components {
        let kind = component.kind.to_string();
        match kinds.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, names)) => names.push(&component.name),
            None => kinds.push((kind, vec![&component.name])),
        }
    }
    let parts: Vec<String> = kinds
        .into_iter()
        .map(|(kind, names)| format!("{kind}: {}", names.join(", ")))
        .collect();
    parts.join("; ")
}

fn inspect(registry: &Registry, wanted: &str, global: &Global) -> Result<(), Failure> {
    if Path::new(wanted).is_file() {
        let path = PathBuf::from(wanted);
        let inspected = Plugin::inspect(&path)?;
        if !global.json {
            output::line(&format!(
                "{}\nsha256 {}\nABI {}",
                path.display(),
                inspected.sha256,
                inspected.abi
            ));
        }
        show(&inspected.manifest, None, global);
        return Ok(());
    }
    let found = registry
        .candidates()
        .iter()
        .filter_map(|c| c.inspected.as_ref().ok());
    let manifests: Vec<&PluginManifest> = registry
        .linked()
        .chain(found.map(|i| &i.manifest))
        .collect();
    if let Some(manifest) = manifests.iter().find(|m| m.name == wanted) {
        show(manifest, None, global);
        return Ok(());
    }
    let mut offered = manifests
        .iter()
        .filter(|m| m.components.iter().any(|c| c.name == wanted))
        .peekable();
    if offered.peek().is_none() {
        return Err(super::usage(
            format!("no plugin or component `{wanted}`, and no such file"),
            "`tale plugin list` shows what there is",
        ));
    }
    for manifest in offered {
        show(manifest, Some(wanted), global);
    }
    Ok(())
}

fn show(manifest: &PluginManifest, only: Option<&str>, global: &Global) {
    if global.json {
        output::json(manifest);
        return;
    }
    output::line(&format!("plugin {} {}", manifest.name, manifest.version));
    for component in manifest
        .components
        .iter()
        .filter(|c| only.is_none_or(|name| c.name == name))
    {
        output::line(&format!(
            "\n{} `{}`: {}",
            component.kind, component.name, component.description
        ));
        let properties = component
            .options
            .get("properties")
            .and_then(|p| p.as_object());
        let required: Vec<&str> = component
            .options
            .get("required")
            .and_then(|r| r.as_array())
            .map(|r| r.iter().filter_map(|v| v.as_str()).collect())
            .unwrap_or_default();
        for (name, schema) in properties.into_iter().flatten() {
            let default = schema.get("default").filter(|d| !d.is_null());
            let note = match default {
                _ if required.contains(&name.as_str()) => " (required)".to_owned(),
                Some(default) => format!(" (default {default})"),
                None => String::new(),
            };
            let text = schema
                .get("description")
                .and_then(|d| d.as_str())
                .unwrap_or("");
            output::line(&format!(
                "  {name}{note}\n      {}",
                text.replace('\n', "\n      ")
            ));
        }
    }
}
