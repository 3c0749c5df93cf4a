//! A plugin for tests: healthy components, and others that misbehave in every way that the host has
//! to survive.

mod healthy;

tale_api::export_plugin! {
    name: "hostile",
    components: [
        llm "echo" => healthy::Echo::create, "Says the last message back, word by word",
            r#"{"type": "object", "additionalProperties": false,
                "properties": {"delay_ms": {"type": "integer", "minimum": 0}}}"#;
        estimator "asking" => healthy::Asking::create, "Asks the model; the budget is the answer's length",
            r#"{"type": "object", "additionalProperties": false}"#;
        feasibility "greedy" => healthy::Greedy::create, "Algorithm 2 of the paper",
            r#"{"type": "object", "additionalProperties": false}"#;
        dataset "counting" => healthy::Counting::create, "Asks for the numbers from 0 on",
            r#"{"type": "object", "additionalProperties": false,
                "properties": {"size": {"type": "integer", "minimum": 0, "default": 10}}}"#;
        trainer "stepping" => healthy::Stepping::create, "Takes a step per pair",
            r#"{"type": "object", "additionalProperties": false}"#;
    ]
}
