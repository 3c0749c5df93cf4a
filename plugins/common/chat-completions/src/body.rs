//! The request as the server wants it.

use serde_json::{Map, Value, json};
use tale_api::{Effort, Error, ErrorKind, GenerateRequest, Grammar, ReasoningBudget, Result, Role};

use crate::{
    model::Rule,
    profile::{Limiting, Profile},
};

/// What a request is written with besides itself.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub model: String,
    pub profile: Profile,
    pub rule: Rule,
    pub limiting: Limiting,
    pub service_tier: Option<String>,
    pub extra: Map<String, Value>,
}

impl Form {
    /// The fields of a request that do not depend on how it is sent.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], [`ErrorKind::Unsupported`], as `Llm::generate` says.
    pub(crate) fn fields(&self, request: &GenerateRequest) -> Result<Map<String, Value>> {
        check(request)?;
        let (profile, rule) = (&self.profile, &self.rule);
        let mut body = Map::new();
        body.insert("model".into(), self.model.clone().into());
        body.insert("messages".into(), self.messages(request));
        let mut put = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        let sampling = &request.sampling;
        if rule.sampling {
            if let Some(temperature) = sampling.temperature {
                put("temperature", temperature.into());
            }
            if let Some(top_p) = sampling.top_p {
                put("top_p", top_p.into());
            }
        }
        if let (Some(name), Some(k)) = (&profile.top_k, sampling.top_k) {
            // 0 is no limit here, -1 there.
            put(name, if k == 0 { (-1).into() } else { k.into() });
        }
        if let (Some(name), Some(penalty)) =
            (&profile.repetition_penalty, sampling.repetition_penalty)
        {
            put(name, penalty.into());
        }
        if let Some(limit) = request.max_tokens {
            put(&profile.max_tokens, limit.into());
        }
        if rule.stop && !request.stop.is_empty() {
            put("stop", request.stop.clone().into());
        }
        if let (Some(name), Some(seed), true) = (&profile.seed, request.seed, rule.seed) {
            // A signed 64-bit number at most servers.
            put(name, (seed & (u64::MAX >> 1)).into());
        }
        if let (Some(name), Some(tier)) = (&profile.service_tier, &self.service_tier) {
            put(name, tier.clone().into());
        }
        if let Some(grammar) = &request.grammar {
            let (name, value) = self.grammar(grammar)?;
            put(name, value);
        }
        if let Some(budget) = &request.reasoning {
            for (name, value) in self.reasoning(budget)? {
                put(name, value);
            }
        }
        for (name, value) in &self.extra {
            put(name, value.clone());
        }
        Ok(body)
    }

    /// What of `request` is left out, for a warning.
    pub(crate) fn left_out(&self, request: &GenerateRequest) -> Vec<&'static str> {
        let (profile, rule, sampling) = (&self.profile, &self.rule, &request.sampling);
        let mut names = Vec::new();
        let mut note = |is_left_out: bool, name| {
            if is_left_out {
                names.push(name);
            }
        };
        note(
            !rule.sampling && sampling.temperature.is_some(),
            "temperature",
        );
        note(!rule.sampling && sampling.top_p.is_some(), "top_p");
        note(profile.top_k.is_none() && sampling.top_k.is_some(), "top_k");
        note(
            profile.repetition_penalty.is_none() && sampling.repetition_penalty.is_some(),
            "repetition_penalty",
        );
        note(!rule.stop && !request.stop.is_empty(), "stop");
        note(
            (profile.seed.is_none() || !rule.seed) && request.seed.is_some(),
            "seed",
        );
        names
    }

    fn messages(&self, request: &GenerateRequest) -> Value {
        let system = self
            .rule
            .system_role
            .as_deref()
            .unwrap_or(&self.profile.system_role);
        let turns = request.messages.iter().map(|message| {
            let role = match message.role {
                Role::System => system,
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            json!({"role": role, "content": message.content})
        });
        Value::Array(turns.collect())
    }

    fn grammar(&self, grammar: &Grammar) -> Result<(&str, Value)> {
        match (grammar, &self.profile.gbnf, &self.profile.json_schema) {
            (Grammar::Gbnf(text), Some(name), _) => Ok((name, text.clone().into())),
            (Grammar::JsonSchema(text), _, Some(name)) => {
                let schema = serde_json::from_str(text).map_err(|e| {
                    Error::new(
                        ErrorKind::InvalidInput,
                        format!("a grammar that is no JSON: {e}"),
                    )
                })?;
                Ok((name, schema))
            }
            _ => Err(unsupported("the server cannot be forced to a grammar")),
        }
    }

    /// The fields that limit hidden reasoning.
    fn reasoning(&self, budget: &ReasoningBudget) -> Result<Vec<(&'static str, Value)>> {
        let ReasoningBudget { effort, max_tokens } = *budget;
        let mut fields = Vec::new();
        let template = |on: bool| ("chat_template_kwargs", json!({"enable_thinking": on}));
        match (self.limiting, max_tokens) {
            _ if effort.is_none() && max_tokens.is_none() => {}
            (Limiting::None, _) => {
                return Err(unsupported(&format!("the reasoning of `{}` cannot be limited", self.model))
                    .hint("is it a reasoning model? the option `reasoning` says how its server takes limits"));
            }
            (Limiting::Effort, Some(0)) => match &self.rule.off {
                Some(off) => fields.push(("reasoning_effort", off.clone().into())),
                None => {
                    return Err(unsupported(&format!(
                        "the reasoning of `{}` cannot be switched off",
                        self.model
                    )));
                }
            },
            (Limiting::EffortOrOff | Limiting::Template, Some(0)) => fields.push(template(false)),
            (Limiting::ThinkingBudget | Limiting::ThinkingSwitch, Some(0)) => {
                fields.push(("thinking", json!({"type": "disabled"})));
            }
            (Limiting::ReasoningObject, Some(0)) => {
                fields.push(("reasoning", json!({"enabled": false})));
            }
            (Limiting::ReasoningObject, Some(n)) => {
                fields.push(("reasoning", json!({"max_tokens": n})));
            }
            (Limiting::ReasoningObject, None) => {
                fields.push(("reasoning", json!({"effort": effort})));
            }
            (Limiting::ThinkingBudget, Some(n)) => {
                fields.push(("thinking", json!({"type": "enabled", "budget_tokens": n})));
            }
            (Limiting::Effort | Limiting::EffortOrOff, None) => {
                let effort = effort.unwrap_or(Effort::Medium);
                let known = &self.rule.efforts;
                if !known.is_empty() && !known.contains(&effort) {
                    return Err(unsupported(&format!(
                        "`{}` knows no effort {}",
                        self.model,
                        json!(effort)
                    )));
                }
                fields.push(("reasoning_effort", json!(effort)));
            }
            (_, Some(_)) => {
                return Err(unsupported(&format!("`{}` takes no budget of reasoning in tokens", self.model))
                    .hint("ask for an effort, or say with the option `reasoning` how its server takes budgets"));
            }
            (_, None) => {
                return Err(unsupported(&format!("`{}` takes no effort of reasoning", self.model))
                    .hint("ask for a number of tokens, or say with the option `reasoning` how its server takes efforts"));
            }
        }
        Ok(fields)
    }
}

fn check(request: &GenerateRequest) -> Result<()> {
    let bad = |message: &str| Err(Error::new(ErrorKind::InvalidInput, message));
    let sampling = &request.sampling;
    if request.messages.is_empty() {
        return bad("a request without a message");
    }
    if sampling
        .temperature
        .is_some_and(|t| !(0.0..=100.0).contains(&t))
    {
        return bad("the temperature is below 0, or no number");
    }
    if sampling.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
        return bad("`top_p` is not above 0 and at most 1");
    }
    if sampling
        .repetition_penalty
        .is_some_and(|p| !(p > 0.0 && p.is_finite()))
    {
        return bad("`repetition_penalty` is not above 0");
    }
    if request.max_tokens == Some(0) {
        return bad("`max_tokens` is 0");
    }
    if request
        .timeout_s
        .is_some_and(|t| !(t >= 0.0 && t.is_finite()))
    {
        return bad("`timeout_s` is no time");
    }
    Ok(())
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
