//! TALE plugin `trl`: post-training with Hugging Face's TRL, supervised (`trl-sft`) and by
//! preferences (`trl-dpo`), for models that outgrow one card.
//!
//! `trainer.rs` is the component, `python.rs` finds Python, `training.rs` prepares a training and
//! takes its result, `process.rs` runs and ends the processes, and `train.py` is what they run.
//! Nothing of it is an API: other crates load the library.

mod checkpoints;
mod log;
mod options;
mod process;
mod protocol;
mod python;
mod trainer;
mod training;

pub use trainer::TrlTrainer;

tale_api::export_plugin! {
    name: "trl",
    components: [
        trainer "trl-sft" => TrlTrainer::sft, "Supervised fine-tuning of a LoRA adapter with TRL under accelerate", include_str!("sft.schema.json");
        trainer "trl-dpo" => TrlTrainer::dpo, "Direct preference optimisation of a LoRA adapter with TRL under accelerate", include_str!("dpo.schema.json");
    ]
}
