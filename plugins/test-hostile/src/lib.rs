//! A plugin for tests: healthy components, and others that misbehave in every way that the host has
//! to survive.
//!
//! * [`healthy`]: one component of each kind that does what it should.
//! * [`faulty`]: one component of each kind with the faults that a Rust plugin can have: panics,
//!   waiting for ever, blocking, flooding.
//! * [`instant`]: a model that costs nothing, for benchmarks.
//! * [`raw`]: a model that answers over the C table itself and breaks the protocol there.
//! * [`secretive`]: a model that repeats the secrets it is given wherever it can.
//! * [`start`]: a start that fails in the way that a byte of the library says. Tests change that
//!   byte, and the descriptor, in a copy of the file.

#![expect(
    clippy::unused_async,
    reason = "creation is async for those that need it"
)]

mod faulty;
mod healthy;
pub mod instant;
mod raw;
mod secretive;
mod start;

tale_api::__plugin_definition! {
    loaded, "hostile", [
        llm "echo" => healthy::Echo::create, "Says the last message back, word by word",
            r#"{"type": "object", "additionalProperties": false,
                "properties": {"delay_ms": {"type": "integer", "minimum": 0}}}"#;
        llm "instant" => instant::Instant::create, "Answers at once, for measurements",
            r#"{"type": "object", "additionalProperties": false}"#;
        estimator "asking" => healthy::Asking::create, "Asks the model; the budget is the answer's length",
            r#"{"type": "object", "additionalProperties": false}"#;
        feasibility "greedy" => healthy::Greedy::create, "Algorithm 2 of the paper",
            r#"{"type": "object", "additionalProperties": false,
                "properties": {"fails_on": {"type": "string"}, "unless": {"type": "string"}}}"#;
        dataset "counting" => healthy::Counting::create, "Asks for the numbers from 0 on",
            r#"{"type": "object", "additionalProperties": false,
                "properties": {"size": {"type": "integer", "minimum": 0, "default": 10}}}"#;
        trainer "stepping" => healthy::Stepping::create, "Takes a step per pair",
            r#"{"type": "object", "additionalProperties": false}"#;
        llm "faulty" => faulty::Faulty::create, "Misbehaves as its mode says", faulty::SCHEMA;
        estimator "faulty" => faulty::Faulty::create, "Misbehaves as its mode says", faulty::SCHEMA;
        feasibility "faulty" => faulty::Faulty::create, "Misbehaves as its mode says", faulty::SCHEMA;
        dataset "faulty" => faulty::Faulty::create, "Misbehaves as its mode says", faulty::SCHEMA;
        trainer "faulty" => faulty::Faulty::create, "Misbehaves as its mode says", faulty::SCHEMA;
        llm "secretive" => secretive::Secretive::create, "Repeats its secrets wherever it can",
            secretive::SCHEMA;
        llm "raw" => raw::never_created, "Breaks the protocol as its mode says", faulty::SCHEMA;
    ]
}

/// What `export_plugin!` would export, but for the start.
#[unsafe(no_mangle)]
pub static tale_plugin: tale_api::abi::Descriptor<__LEN> =
    tale_api::abi::Descriptor::new(__MANIFEST, start::start);
