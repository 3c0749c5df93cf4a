//! The committed schemas say what the options' types say.
//!
//! `TALE_UPDATE_SCHEMA=1 cargo test -p tale-plugin-standard schema` writes them anew.

use schemars::{Schema, SchemaGenerator, json_schema, schema_for};
use tale_api::AnswerKind;

use crate::{
    dataset::{
        GpqaOptions, Gsm8kOptions, InlineOptions, MathBenchOptions, PublishedOptions, TableOptions,
    },
    estimator::{FixedOptions, LearnedOptions, NoEstimateOptions, ZeroShotOptions},
    feasibility::{MajorityOptions, NoOptions},
};

/// The schema of [`AnswerKind`], a type that knows nothing of schemas.
pub(crate) fn answer_kind(_: &mut SchemaGenerator) -> Schema {
    use AnswerKind::{Choice, Math, Number, Text};
    let names = [Number, Choice, Math, Text].map(AnswerKind::as_str);
    json_schema!({"type": "string", "enum": names})
}

#[test]
fn each_schema_is_that_of_its_options() {
    let schemas = [
        ("dataset.gsm8k", schema_for!(Gsm8kOptions)),
        ("dataset.inline", schema_for!(InlineOptions)),
        ("dataset.mathbench", schema_for!(MathBenchOptions)),
        ("dataset.gpqa", schema_for!(GpqaOptions)),
        ("dataset.published", schema_for!(PublishedOptions)),
        ("dataset.table", schema_for!(TableOptions)),
        ("estimator.zero-shot", schema_for!(ZeroShotOptions)),
        ("estimator.fixed", schema_for!(FixedOptions)),
        ("estimator.none", schema_for!(NoEstimateOptions)),
        ("estimator.regression", schema_for!(LearnedOptions)),
        ("estimator.knn", schema_for!(LearnedOptions)),
        ("feasibility.greedy", schema_for!(NoOptions)),
        ("feasibility.correct", schema_for!(NoOptions)),
        ("feasibility.majority", schema_for!(MajorityOptions)),
    ];
    for (name, schema) in schemas {
        let file = format!("{}/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
        tale_api::export::check_schema(file, schema.as_value()).unwrap();
    }
}
