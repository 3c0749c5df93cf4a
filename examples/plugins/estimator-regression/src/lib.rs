//! An estimator that asks no model: a budget by linear regression on what the question looks like.
//!
//! The coefficients are given in a file, or fitted at the start to the budgets that a search found.

mod estimator;
mod features;
mod fit;
mod options;

pub use estimator::Regression;
pub use options::{Options, SCHEMA};

tale_api::export_plugin! {
    name: "regression",
    components: [
        estimator "regression" => Regression::create,
            "A budget by linear regression on the question's length and numbers", SCHEMA;
    ]
}
