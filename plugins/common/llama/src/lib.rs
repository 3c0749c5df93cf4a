//! The Llama family on libtorch: Llama 2 and 3, SmolLM2, Qwen2 and Qwen2.5, with LoRA adapters.
//!
//! One model for every weight format (`tale-weights` hides them) and for both devices: `f32` on a
//! CPU, `bf16` on a CUDA card. `model.rs` is the forward pass of training, `lora.rs` what is trained,
//! `loss.rs` the log-likelihood of given tokens with its gradient. `decode.rs` is the forward pass of
//! generation over the keys and values in `cache.rs`; `draw.rs` takes a token from logits, and
//! `generate.rs` answers a list of prompts.
//!
//! libtorch's faults come as panics of `tch`; whoever calls this turns them into errors.

mod cache;
mod decode;
mod device;
mod failure;
mod generate;
mod lora;
mod loss;
mod model;
mod tensors;

pub use cache::{BLOCK, Cache};
pub use decode::Piece;
pub use device::{Device, device, limit_threads};
pub use failure::is_out_of_memory;
pub use generate::{Answer, Request, generate};
pub use lora::Lora;
pub use loss::{TokenScores, token_scores};
pub use model::{Llama, Tokens};
pub use tale_local_llm::Drawing;
pub use tensors::{to_array, to_tensor};
