//! A GBNF grammar, as llama.cpp reads and follows it.

use llama_cpp_2::{
    model::LlamaModel,
    sampling::LlamaSampler,
    token::{LlamaToken, data::LlamaTokenData, data_array::LlamaTokenDataArray},
};
use tale_api::{Error, ErrorKind, Result};
use tale_local_llm::Constraint;

/// A grammar and how far a text has come in it.
pub(super) struct Grammar(LlamaSampler);

impl Grammar {
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: `text` is no GBNF with a rule `root`.
    pub(super) fn new(model: &LlamaModel, text: &str) -> Result<Self> {
        let (compiled, errors) =
            crate::logs::capture(|| LlamaSampler::grammar(model, text, "root"));
        compiled.map(Self).map_err(|e| {
            let mut error = Error::new(
                ErrorKind::InvalidInput,
                "the grammar is no GBNF with a rule `root`",
            )
            .hint("llama.cpp's `grammars/README.md` describes the notation")
            .caused_by(&e);
            error.causes.extend(errors);
            error
        })
    }

    /// The grammar for a draw from the tokens of `model`.
    pub(super) fn of<'a>(&'a mut self, model: &'a LlamaModel) -> impl Constraint + 'a {
        Following {
            grammar: &mut self.0,
            model,
        }
    }
}

struct Following<'a> {
    grammar: &'a mut LlamaSampler,
    model: &'a LlamaModel,
}

impl Constraint for Following<'_> {
    fn allows(&mut self, token: u32) -> bool {
        let one = vec![LlamaTokenData::new(native(token), 0.0, 0.0)];
        let mut one = LlamaTokenDataArray::new(one, false);
        self.grammar.apply(&mut one);
        one.data.first().is_some_and(|t| t.logit().is_finite())
    }

    fn forbid(&mut self, logits: &mut [f32]) -> Result<()> {
        let all = (0..)
            .zip(logits.iter())
            .map(|(i, &logit)| LlamaTokenData::new(LlamaToken(i), logit, 0.0));
        let mut all = LlamaTokenDataArray::from_iter(all, false);
        self.grammar.apply(&mut all);
        let mut any = false;
        for (allowed, logit) in all.data.iter().zip(logits) {
            *logit = allowed.logit();
            any |= logit.is_finite();
        }
        if any {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            "the grammar allows none of the model's tokens here",
        ))
    }

    fn accept(&mut self, token: u32) {
        let token = native(token);
        if !self.model.vocab().is_eog(token) {
            self.grammar.accept(token);
        }
    }
}

/// A token as llama.cpp numbers it.
#[expect(
    clippy::cast_possible_wrap,
    reason = "a vocabulary has less than 2^31 tokens"
)]
pub(super) fn native(token: u32) -> LlamaToken {
    LlamaToken(token as i32)
}
