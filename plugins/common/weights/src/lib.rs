//! Files of language models, read without any engine: GGUF files, Hugging Face folders, PEFT
//! adapters, tokenizers.
//!
//! [`Model::open`] is the door. Whatever lies behind it, tensors go by their Hugging Face names and
//! come as `f32` in Hugging Face's order, so that one model serves every format.

pub mod adapter;
mod config;
mod error;
pub mod gguf;
pub mod merge;
mod model;
mod quants;
mod safetensors;
#[cfg(feature = "testing")]
pub mod testing;
mod tokenizer;

pub use config::{Architecture, Config, Rope};
pub use model::{Array, Model, gguf_name};
pub use safetensors::{read as read_tensors, write as write_tensors};
pub use tokenizer::Vocabulary;
