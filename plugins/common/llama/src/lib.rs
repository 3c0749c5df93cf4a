//! The Llama family on libtorch: Llama 2 and 3, SmolLM2, Qwen2 and Qwen2.5, with LoRA adapters.
//!
//! One model for every weight format (`tale-weights` hides them) and for both devices: `f32` on a
//! CPU, `bf16` on a CUDA card. `model.rs` is the forward pass, `lora.rs` what is trained, `loss.rs`
//! the log-likelihood of given tokens with its gradient.
//!
//! libtorch's faults come as panics of `tch`; whoever calls this turns them into errors.

mod device;
mod lora;
mod loss;
mod model;
mod tensors;

pub use device::{Device, device, limit_threads};
pub use lora::Lora;
pub use loss::{TokenScores, token_scores};
pub use model::{Llama, Tokens};
pub use tensors::{to_array, to_tensor};
