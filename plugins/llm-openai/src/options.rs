//! Where the provider is; the options are those of every server of chat completions.

use tale_api::{CreateEnv, Result};
use tale_chat_completions::{ChatCompletions, Vendor};

pub use tale_chat_completions::Options;

/// The provider.
pub const VENDOR: Vendor = Vendor {
    base_url: "https://api.openai.com/v1",
    profile: "openai",
};

/// Prepares a model; nothing is asked yet.
///
/// # Errors
/// As [`ChatCompletions::create`].
pub async fn create(options: Options, env: CreateEnv) -> Result<ChatCompletions> {
    ChatCompletions::create(VENDOR, options, env).await
}
