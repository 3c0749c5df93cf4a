//! TALE plugin `tch`: post-training with LoRA on libtorch, supervised (`sft`) and by preferences
//! (`dpo`).
//!
//! `trainer.rs` is the component, `training.rs` the loop behind it, `gradients.rs` the mathematics.
//! Nothing of it is an API: other crates load the library.

mod adamw;
mod batch;
mod checkpoint;
mod evaluation;
mod gradients;
mod options;
#[cfg(test)]
mod parity;
mod random;
mod schedule;
#[doc(hidden)]
pub mod throughput;
mod trainer;
mod training;

pub use trainer::TchTrainer;

tale_api::export_plugin! {
    name: "tch",
    components: [
        trainer "sft" => TchTrainer::sft, "Supervised fine-tuning of a LoRA adapter on libtorch", include_str!("sft.schema.json");
        trainer "dpo" => TchTrainer::dpo, "Direct preference optimisation of a LoRA adapter on libtorch", include_str!("dpo.schema.json");
    ]
}
