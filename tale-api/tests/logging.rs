//! A plugin's `tracing` reaches the host's subscriber. Alone in its process, because the host tells
//! a plugin at the start which levels are worth sending.

#![expect(
    clippy::unwrap_used,
    reason = "a test, also where it is a helper of one"
)]

#[path = "boundary/built.rs"]
#[expect(dead_code, reason = "shared with the other tests of loading")]
mod built;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tale_api::{
    CreateEnv,
    host::{LoadPolicy, Plugin},
};
use tracing::{Event, Level, Subscriber, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    Registry,
    filter::Targets,
    layer::{Context, Layer, SubscriberExt},
};

/// Level, target and fields of an event.
type Record = (Level, String, BTreeMap<String, String>);

#[derive(Clone, Default)]
struct Collect(Arc<Mutex<Vec<Record>>>);

struct Fields(BTreeMap<String, String>);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &Event<'_>, _ctx: Context<'_, S>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        let meta = event.metadata();
        self.0
            .lock()
            .unwrap()
            .push((*meta.level(), meta.target().to_owned(), fields.0));
    }
}

#[tokio::test]
async fn events_arrive_with_plugin_level_target_and_fields_as_far_as_the_filter_lets_them() {
    let collected = Collect::default();
    // As `RUST_LOG=debug,elsewhere=off` would have it.
    let filter = Targets::new()
        .with_default(LevelFilter::DEBUG)
        .with_target("elsewhere", LevelFilter::OFF);
    let layer = collected.clone().with_filter(filter);
    tracing::subscriber::set_global_default(Registry::default().with(layer)).unwrap();

    let plugin = Plugin::load(&built::hostile(), &LoadPolicy::default()).unwrap();
    let options = json!({"mode": "log"});
    let llm = plugin
        .llm("faulty", options, &CreateEnv::default())
        .await
        .unwrap();
    llm.info().await.unwrap();

    let records = collected.0.lock().unwrap();
    let from_plugin: Vec<_> = records
        .iter()
        .filter(|(.., f)| f.get("plugin").is_some_and(|p| p == "hostile"))
        .collect();
    let seen: Vec<_> = from_plugin
        .iter()
        .map(|(level, target, fields)| (*level, target.as_str(), fields["message"].as_str()))
        .collect();
    let target = "tale_test_hostile::faulty";
    // The warning is of a target that is off, the trifle below the level.
    assert_eq!(
        seen,
        [
            (Level::ERROR, target, "an error"),
            (Level::INFO, target, "an information"),
            (Level::DEBUG, target, "a detail"),
        ]
    );
    assert_eq!(from_plugin[0].2["fields"], r#"{"number":1}"#);
    let rest: serde_json::Value = serde_json::from_str(&from_plugin[1].2["fields"]).unwrap();
    assert_eq!(
        rest,
        json!({"flag": true, "text": "a \"quote\"", "spans": [{"name": "outer", "question": 7, "tokens": 50}]})
    );
}
