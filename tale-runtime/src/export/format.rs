//! A pair as each consumer wants it.

use serde_json::{Value, json};

use super::Pair;

/// Whose format a file of pairs has; one JSON object a line in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// TALE's own trainer, supervised: `prompt` (messages), `chosen`
    Sft,
    /// TALE's own trainer, preferences: `prompt` (messages), `chosen`, `rejected`
    Dpo,
    /// TRL's `DPOTrainer`: conversational `prompt`, `chosen`, `rejected`
    Trl,
    /// TRL's `SFTTrainer`: conversational `prompt`, `completion`
    TrlSft,
    /// LLaMA-Factory, preferences in the `ShareGPT` form
    LlamaFactory,
    /// OpenAI's fine-tuning, supervised: `messages`
    Openai,
    /// OpenAI's fine-tuning, preferences: `input`, `preferred_output`, `non_preferred_output`
    OpenaiDpo,
}

impl Format {
    /// The line of `pair`.
    pub(super) fn line(self, pair: &Pair<'_>) -> Value {
        let prompt = messages(pair);
        let said = |text: &str| json!([{ "role": "assistant", "content": text }]);
        match self {
            Self::Sft => json!({
                "id": pair.id, "prompt": prompt, "chosen": pair.chosen,
                "budget": pair.budget, "chosen_tokens": pair.chosen_tokens,
            }),
            Self::Dpo => json!({
                "id": pair.id, "prompt": prompt, "chosen": pair.chosen, "rejected": pair.rejected,
                "budget": pair.budget, "chosen_tokens": pair.chosen_tokens,
                "rejected_tokens": pair.rejected_tokens,
            }),
            Self::Trl => json!({
                "prompt": prompt, "chosen": said(pair.chosen), "rejected": said(pair.rejected),
            }),
            Self::TrlSft => json!({ "prompt": prompt, "completion": said(pair.chosen) }),
            Self::LlamaFactory => {
                let said = |text: &str| json!({ "from": "gpt", "value": text });
                let mut line = json!({
                    "conversations": [{ "from": "human", "value": pair.prompt }],
                    "chosen": said(pair.chosen), "rejected": said(pair.rejected),
                });
                if !pair.system.is_empty() {
                    line["system"] = pair.system.into();
                }
                line
            }
            Self::Openai => {
                let mut messages = prompt;
                messages.push(json!({ "role": "assistant", "content": pair.chosen }));
                json!({ "messages": messages })
            }
            Self::OpenaiDpo => json!({
                "input": { "messages": prompt, "tools": [], "parallel_tool_calls": true },
                "preferred_output": said(pair.chosen),
                "non_preferred_output": said(pair.rejected),
            }),
        }
    }
}

/// The conversation up to the answer.
fn messages(pair: &Pair<'_>) -> Vec<Value> {
    let system =
        (!pair.system.is_empty()).then(|| json!({ "role": "system", "content": pair.system }));
    let user = json!({ "role": "user", "content": pair.prompt });
    system.into_iter().chain([user]).collect()
}
