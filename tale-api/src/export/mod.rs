//! The plugin's side: [`export_plugin!`](crate::export_plugin) and what it stands on.
//!
//! # A plugin
//! A crate with `crate-type = ["cdylib", "rlib"]`, one or more components, and one macro:
//! ```
//! use serde::Deserialize;
//! use tale_api::{CreateEnv, Error, Estimate, EstimateRequest, Estimator, Llm, Result, async_trait};
//!
//! /// What a manifest may say under `[estimator.options]`; `options.schema.json` says the same.
//! #[derive(Deserialize)]
//! struct Options {
//!     tokens_per_word: f64,
//! }
//!
//! /// A budget in proportion to the question's length.
//! struct ByLength {
//!     tokens_per_word: f64,
//! }
//!
//! impl ByLength {
//!     async fn create(options: Options, _env: CreateEnv) -> Result<Self> {
//!         Ok(Self { tokens_per_word: options.tokens_per_word })
//!     }
//! }
//!
//! #[async_trait]
//! impl Estimator for ByLength {
//!     async fn estimate(
//!         &self,
//!         request: EstimateRequest,
//!         _llm: std::sync::Arc<dyn Llm>,
//!     ) -> Result<Estimate> {
//!         let words = request.text.split_whitespace().count() as f64;
//!         let budget = (words * self.tokens_per_word).ceil().max(1.0) as u32;
//!         Ok(Estimate { budget: Some(budget), ..Estimate::default() })
//!     }
//! }
//!
//! tale_api::export_plugin! {
//!     name: "by-length",
//!     components: [
//!         estimator "by-length" => ByLength::create, "A budget in proportion to the question's length",
//!             r#"{"type": "object", "additionalProperties": false, "required": ["tokens_per_word"],
//!                 "properties": {"tokens_per_word": {"type": "number", "exclusiveMinimum": 0}}}"#;
//!     ]
//! }
//! # fn main() {}
//! ```
//! The schema usually lies in a file beside the source: `include_str!("options.schema.json")`. It
//! must be a constant, because it becomes part of the descriptor that hosts read without running
//! the plugin; that it is JSON is checked at compile time. [`check_schema`] keeps it equal to the
//! Rust type in a test.
//!
//! # What the macro brings
//! * The symbol `tale_plugin`: name, version (of the crate that calls the macro), components.
//! * A runtime of the plugin's own (tokio, several threads, started when the host starts the
//!   plugin). Components may use whatever needs one: `tokio::spawn`, timers, reqwest.
//! * A call is polled once in the host's thread, then in that runtime. Work that computes for long
//!   belongs on a thread of its own (`tokio::task::spawn_blocking`), as in any async program.
//! * A panic in a component becomes an error of kind
//!   [`Panicked`](crate::ErrorKind::Panicked) that names plugin and method.
//! * When the host gives a call up, its future is dropped.
//! * `tracing` events of the plugin reach the host's log with the plugin's name.

mod log;
mod manifest;
mod schema;
mod start;
mod within;

pub use manifest::{join, json_text, length, options_schema};
pub use schema::{SchemaDrift, check_schema};
pub use start::{Component, Definition, dataset, estimator, feasibility, llm, start, trainer};
pub use within::within;

/// Exports the plugin of this crate; see [`export`](crate::export) for a whole one.
///
/// ```text
/// tale_api::export_plugin! {
///     name: "…",
///     components: [
///         KIND "NAME" => CREATE, "DESCRIPTION", SCHEMA;
///         …
///     ]
/// }
/// ```
/// * `KIND`: `llm`, `estimator`, `feasibility`, `dataset` or `trainer`.
/// * `NAME`: what a manifest asks for; unique within kind and plugin.
/// * `CREATE`: `async fn(Options, CreateEnv) -> tale_api::Result<T>` where `Options` is
///   `Deserialize` and `T` implements the trait of the kind.
/// * `DESCRIPTION`: one sentence, without quotes, backslashes and line breaks.
/// * `SCHEMA`: the options' JSON Schema as a constant string.
///
/// A library can hold one plugin only. A plugin that is linked into a program instead of being
/// loaded uses [`define_plugin!`](crate::define_plugin).
#[macro_export]
macro_rules! export_plugin {
    (name: $name:expr, components: [$($components:tt)*] $(,)?) => {
        const _: () = {
            $crate::__plugin_definition! { loaded, $name, [$($components)*] }

            /// The symbol that a host looks for.
            #[unsafe(no_mangle)]
            #[allow(non_upper_case_globals)]
            pub static tale_plugin: $crate::abi::Descriptor<{ __LEN }> =
                $crate::abi::Descriptor::new(__MANIFEST, __start);
        };
    };
}

/// Defines the plugin of this crate as `pub static PLUGIN`, to be linked into a program and handed
/// to `tale_api::host::Plugin::linked(&PLUGIN)`. Written like
/// [`export_plugin!`](crate::export_plugin), but exports no symbol, so several fit into one
/// program; and its `tracing` events are the program's own already.
#[macro_export]
macro_rules! define_plugin {
    (name: $name:expr, components: [$($components:tt)*] $(,)?) => {
        /// The plugin of this crate, for `tale_api::host::Plugin::linked`.
        pub static PLUGIN: $crate::abi::Descriptor<{ __tale_plugin::__LEN }> =
            $crate::abi::Descriptor::new(__tale_plugin::__MANIFEST, __tale_plugin::__start);

        #[doc(hidden)]
        mod __tale_plugin {
            #[allow(unused_imports, reason = "what the components are named by in the macro")]
            use super::*;
            $crate::__plugin_definition! { linked, $name, [$($components)*] }
        }
    };
}

/// The part that both macros share.
#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_definition {
    ($how:ident, $name:expr, [
        $($kind:ident $component:expr => $create:expr, $description:expr, $schema:expr);+ $(;)?
    ]) => {
        const __PARTS: &[&str] = &[
            "{\"name\":\"", $crate::export::json_text($name),
            "\",\"version\":\"", $crate::export::json_text(env!("CARGO_PKG_VERSION")),
            "\",\"components\":[",
            $(
                "{\"kind\":\"", stringify!($kind),
                "\",\"name\":\"", $crate::export::json_text($component),
                "\",\"description\":\"", $crate::export::json_text($description),
                "\",\"options\":", $crate::export::options_schema($schema),
                "},",
            )+
            // The loop leaves a comma; `join` drops it before the closing bracket.
            "]}",
        ];
        pub(crate) const __LEN: usize = $crate::export::length(__PARTS);
        pub(crate) const __MANIFEST: [u8; __LEN] = $crate::export::join(__PARTS);

        static __DEFINITION: $crate::export::Definition = $crate::export::Definition {
            name: $name,
            is_linked: $crate::__plugin_is_linked!($how),
            components: || vec![$($crate::export::$kind($component, $create)),+],
        };

        pub(crate) unsafe extern "C" fn __start(
            host: *const $crate::abi::RawPeer,
            host_info: $crate::abi::Bytes,
        ) -> *const $crate::abi::RawPeer {
            // SAFETY: the host calls this by the protocol, which is `start`'s contract.
            unsafe { $crate::export::start(&__DEFINITION, host, host_info) }
        }
    };
}

/// Whether a definition is of a linked plugin.
#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_is_linked {
    (loaded) => {
        false
    };
    (linked) => {
        true
    };
}
