//! A plugin has its own copy of `tracing`; this subscriber hands its events to the host.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::Field,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Registry,
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
};

use crate::peer::Connection;

/// Makes the events of this library go to `connection`, unless it has a subscriber already: the
/// first connection gets them, or the program that this is a part of.
pub(super) fn install(connection: &'static Connection, level: &str) {
    let level = level.parse().unwrap_or(LevelFilter::INFO);
    let subscriber = Registry::default().with(ToHost { connection }.with_filter(level));
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct ToHost {
    connection: &'static Connection,
}

/// A span stays here, and crosses with each event within it: its name, with what it was given.
impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ToHost {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id) {
            let mut fields = Fields(Map::new());
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let spans: Vec<Value> = ctx
            .event_scope(event)
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
            .map(|span| {
                let mut shown = Map::from_iter([("name".to_owned(), span.name().into())]);
                if let Some(Fields(given)) = span.extensions().get::<Fields>() {
                    shown.extend(given.clone());
                }
                shown.into()
            })
            .collect();
        if !spans.is_empty() {
            fields.0.insert("spans".to_owned(), spans.into());
        }
        let meta = event.metadata();
        let fields = Value::Object(fields.0).to_string();
        self.connection
            .send_log(number(*meta.level()), meta.target(), fields.as_bytes());
    }
}

/// The protocol's number of a level.
fn number(level: Level) -> u32 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        _ => 5,
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl tracing::field::Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut chain = value.to_string();
        let mut next = value.source();
        while let Some(cause) = next {
            let _ = write!(chain, ": {cause}");
            next = cause.source();
        }
        self.put(field, chain);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
