//! A plugin's log records become events of the host's `tracing`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata,
    callsite::{Callsite, Identifier},
    field::FieldSet,
    level_filters::LevelFilter,
    metadata::Kind,
    subscriber::Interest,
};

use crate::peer::{LogSink, Secrets};

const FIELDS: &[&str] = &["message", "plugin", "fields"];

/// A plugin's target names that are kept apart; beyond that, its name is the target. Each costs some
/// hundred bytes for ever, so a plugin must not be able to make as many as it likes.
const MOST_TARGETS: usize = 256;

/// Takes the records of the plugin `name`, without the secrets that it was given.
pub(super) fn sink(name: &str, secrets: Arc<Secrets>) -> LogSink {
    let plugin = name.to_owned();
    let sites = Mutex::new(HashMap::<(Level, String), &'static Site>::new());
    Box::new(move |level, target, fields| {
        let parsed = match level {
            1 => Level::ERROR,
            2 => Level::WARN,
            3 => Level::INFO,
            4 => Level::DEBUG,
            _ => Level::TRACE,
        };
        if LevelFilter::current() < parsed {
            return;
        }
        let site = {
            let mut sites = sites.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (parsed, target.to_owned());
            let is_known = sites.len() < MOST_TARGETS || sites.contains_key(&key);
            let key = if is_known {
                key
            } else {
                (parsed, plugin.clone())
            };
            *sites
                .entry(key)
                .or_insert_with_key(|(level, target)| Site::leak(*level, target))
        };
        let fields = String::from_utf8_lossy(fields);
        emit(site, &plugin, secrets.hide(&fields).as_bytes());
    })
}

/// Sends one event on. Its fields are the plugin's own, so they are one field of ours, as text.
fn emit(site: &'static Site, plugin: &str, fields: &[u8]) {
    let Some(meta) = site.meta.get() else { return };
    tracing::dispatcher::get_default(|dispatch| {
        if !dispatch.enabled(meta) {
            return;
        }
        let mut fields: Map<String, Value> = serde_json::from_slice(fields).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(fields).into_owned();
            Map::from_iter([("message".to_owned(), text.into())])
        });
        let message = match fields.shift_remove("message") {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let rest = (!fields.is_empty()).then(|| Value::Object(fields).to_string());
        let names = meta.fields();
        let (Some(a), Some(b), Some(c)) = (
            names.field(FIELDS[0]),
            names.field(FIELDS[1]),
            names.field(FIELDS[2]),
        ) else {
            return;
        };
        let message = format_args!("{message}");
        let values: [_; 3] = [
            (&a, Some(&message as &dyn tracing::Value)),
            (&b, Some(&plugin as &dyn tracing::Value)),
            (&c, rest.as_ref().map(|rest| rest as &dyn tracing::Value)),
        ];
        dispatch.event(&Event::new(meta, &names.value_set(&values)));
    });
}

/// `tracing` wants a static place for each kind of event; a plugin's are known only when they come.
struct Site {
    meta: OnceLock<Metadata<'static>>,
}

impl Site {
    fn leak(level: Level, target: &str) -> &'static Self {
        let site: &'static Self = Box::leak(Box::new(Self {
            meta: OnceLock::new(),
        }));
        let target: &'static str = Box::leak(target.to_owned().into_boxed_str());
        let fields = FieldSet::new(FIELDS, Identifier(site));
        site.meta.get_or_init(|| {
            Metadata::new(
                "plugin log",
                target,
                level,
                None,
                None,
                None,
                fields,
                Kind::EVENT,
            )
        });
        site
    }
}

impl Callsite for Site {
    /// Interest is asked for at each event, since filters may go by the target.
    fn set_interest(&self, _interest: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.meta
            .get()
            .expect("set in `leak`, before anybody else sees the site")
    }
}
