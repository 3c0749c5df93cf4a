//! The model's own chat template: messages become the text it was trained on.
//!
//! A template is Jinja as Python's Transformers render it. llama.cpp's
//! `llama_chat_apply_template` is no Jinja but recognises known templates by their look, and dropped
//! the system message of SmolLM2; so the template is really rendered here.

use jiff::civil::Date;
use minijinja::{Environment, ErrorKind as JinjaErrorKind, Value, context, syntax::SyntaxConfig};
use tale_api::{Error, ErrorKind, Message, Result, Role};

const NAME: &str = "chat";

/// A template that has been parsed, with the texts of the model's special tokens.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Parses `source`. `bos` and `eos` are what the template sees as `bos_token` and `eos_token`;
    /// `date` is what its `strftime_now` takes for today, absent today in UTC.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`]: the template is no valid Jinja; says where.
    pub fn new(source: String, bos: String, eos: String, date: Option<Date>) -> Result<Self> {
        let mut environment = Environment::new();
        // As Transformers set up Jinja.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|e| broken(&e))?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> Result<Value, minijinja::Error> {
                Err(minijinja::Error::new(
                    JinjaErrorKind::InvalidOperation,
                    message,
                ))
            },
        );
        environment.add_function("strftime_now", move |format: String| {
            strftime(date, &format)
        });
        environment
            .add_template_owned(NAME, source)
            .map_err(|e| broken(&e))?;
        Ok(Self {
            environment,
            bos,
            eos,
        })
    }

    /// The prompt for `messages`, ending where the assistant begins to speak.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: the template refuses these messages, for instance roles that do
    /// not alternate, or needs something that is not there.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|m| context! { role => role(m.role), content => m.content.as_str() })
            .collect();
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|e| broken(&e))?;
        template
            .render(context! {
                messages => messages,
                add_generation_prompt => true,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
            })
            .map_err(|e| {
                Error::new(
                    ErrorKind::InvalidInput,
                    "the model's chat template does not take these messages",
                )
                .caused_by(&e)
            })
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn strftime(date: Option<Date>, format: &str) -> Result<String, minijinja::Error> {
    let today = date.unwrap_or_else(|| {
        jiff::Timestamp::now()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date()
    });
    jiff::fmt::strtime::format(format, today).map_err(|e| {
        minijinja::Error::new(
            JinjaErrorKind::InvalidOperation,
            format!("strftime_now: {e}"),
        )
    })
}

fn broken(error: &minijinja::Error) -> Error {
    Error::new(ErrorKind::InvalidData, "the chat template cannot be parsed")
        .hint("set the option `chat_template` to a working one")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, messages: &[Message]) -> Result<String> {
        let date = Some(jiff::civil::date(2024, 7, 26));
        ChatTemplate::new(source.into(), "<s>".into(), "</s>".into(), date)?.render(messages)
    }

    #[test]
    fn block_lines_leave_no_trace_and_python_methods_work() {
        let source = "{%- for m in messages %}\n    {% if m.role.startswith('us') %}\n<{{ m.content.strip() }}>\n    {% endif %}\n{% endfor %}\n{{ bos_token }}{{ eos_token }}";
        assert_eq!(
            render(source, &[Message::user("  a ")]).unwrap(),
            "<a>\n<s></s>"
        );
    }

    #[test]
    fn a_template_that_refuses_says_why() {
        let source = "{{ raise_exception('roles must alternate') }}";
        let error = render(source, &[Message::user("a")]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(
            error.causes[0].contains("roles must alternate"),
            "{error:?}"
        );
    }

    #[test]
    fn the_date_is_the_one_set() {
        assert_eq!(
            render("{{ strftime_now('%d %b %Y') }}", &[Message::user("a")]).unwrap(),
            "26 Jul 2024"
        );
    }

    #[test]
    fn a_broken_template_is_found_at_once() {
        let error = render("{% for %}", &[Message::user("a")]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidData);
    }

    #[test]
    fn text_is_not_escaped() {
        assert_eq!(
            render(
                "{{ messages[0].content }}",
                &[Message::user("a < b & \"c\"")]
            )
            .unwrap(),
            "a < b & \"c\""
        );
    }
}
