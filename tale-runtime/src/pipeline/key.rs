//! When a call is the same call, so that its recorded answer may stand for a new one.

use sha2::{Digest, Sha256};
use tale_api::{GenerateRequest, LlmInfo};

use crate::store::CallKey;

/// What tells a model from every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(String);

impl Identity {
    /// The model that says `info` of itself and comes from `source`: a plugin with the options that
    /// change its answers.
    #[must_use]
    pub fn new(source: &str, info: &LlmInfo) -> Self {
        let digest = info.digest.as_deref().unwrap_or("");
        Self(format!("{source}\n{}\n{digest}", info.model))
    }

    /// The key of the answer number `repeat` to `request`: a hash of everything that changes it, as
    /// decision 0007 has it.
    ///
    /// # Panics
    /// Never: a request is plain data.
    #[must_use]
    pub fn key(&self, request: &GenerateRequest, repeat: u32) -> CallKey {
        // How long somebody is willing to wait does not change the answer.
        let asked = GenerateRequest {
            timeout_s: None,
            ..request.clone()
        };
        let text = serde_json::to_vec(&asked).expect("a request is plain data");
        let mut hash = Sha256::new()
            .chain_update(b"tale call 1\n")
            .chain_update((self.0.len() as u64).to_le_bytes())
            .chain_update(&self.0)
            .chain_update(text);
        // The first answer's key is what it was before there were others.
        if repeat > 0 {
            hash.update(b"\nrepeat ");
            hash.update(repeat.to_le_bytes());
        }
        let digest = hash.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        CallKey(key)
    }
}
