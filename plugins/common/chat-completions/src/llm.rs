//! The model: validate, wait for the turn, ask, judge; again where that helps.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tale_api::{
    Capabilities, Completion, CreateEnv, Error, Events, GenerateEvent, GenerateRequest, Llm,
    LlmInfo, Result, Timings, Usage, export::within,
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    batch::{self, Batcher},
    body::Form,
    client::{Client, address, authority},
    count::{Counter, Encoding, unknown},
    failure::{Again, Asked, Failure},
    gate::Gate,
    limits::{Adaptive, Limits},
    model,
    options::{Mode, Options, Patience, ThinkTags, invalid},
    profile::{self, Limiting},
    reply::{Collector, Reply},
    secret::KeySource,
    stream,
    tries::Tries,
    usage::Judge,
};

/// Attempts before the server has answered for the first time: what is wrong with the address or the
/// network is to be said soon.
const FIRST_ATTEMPTS: u32 = 3;

/// Tokens that an answer is taken to have for the pace, before it is known.
const EXPECTED_OUTPUT: u64 = 300;

/// A batch takes a day at most, and a request may be in some of them.
const LONGEST_BATCH_S: u32 = 4 * 86_400;

/// A provider: where it is and how it speaks, unless the options say otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Vendor {
    /// Its address.
    pub base_url: &'static str,
    /// Its profile.
    pub profile: &'static str,
}

/// A model behind a server of chat completions.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings, by name"
)]
pub struct ChatCompletions {
    client: Arc<Client>,
    batcher: Option<Batcher>,
    form: Form,
    info: LlmInfo,
    patience: Patience,
    max_attempts: u32,
    gate: Gate,
    limits: Limits,
    has_probe: bool,
    include_usage: bool,
    names_model: bool,
    is_streamed: bool,
    tags: ThinkTags,
    counter: Counter,
    own: Option<Encoding>,
    said: Mutex<BTreeSet<String>>,
}

impl ChatCompletions {
    /// Prepares the model. Nothing is asked and no key is read yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`](tale_api::ErrorKind::InvalidOptions): what cannot be, each with how to mend it.
    #[expect(clippy::unused_async, reason = "the form of a component's creation")]
    pub async fn create(vendor: Vendor, options: Options, env: CreateEnv) -> Result<Self> {
        options.refuse_secrets()?;
        let Some(model) = options.model.clone() else {
            return Err(invalid("no `model` is named").hint("`model = \"…\"` in `[llm]`"));
        };
        let own_server = authority(&address(vendor.base_url)?);
        let base = address(options.base_url.as_deref().unwrap_or(vendor.base_url))?;
        let host = authority(&base);
        let guessed = if host == own_server {
            vendor.profile
        } else {
            profile::guess(&host)
        };
        let name = options.profile.as_deref().unwrap_or(guessed);
        let Some(profile) = profile::all().get(name).cloned() else {
            let names: Vec<&str> = profile::all().keys().map(String::as_str).collect();
            return Err(invalid(format!("`profile`: there is no `{name}`"))
                .hint(format!("one of {}", names.join(", "))));
        };
        let is_own_server = host == own_server || profile::guess(&host) == name;
        let source = KeySource::of(&options, &profile, is_own_server, &env.base_dir);
        let patience = options.patience()?;
        let counter = Counter::of(&options.count)?;
        raise_open_files();

        let rule = if profile.model_rules {
            model::rule(&model)
        } else {
            model::Rule::default()
        };
        let limiting = options.reasoning.unwrap_or(match profile.model_rules {
            true if rule.efforts.is_empty() => Limiting::None,
            true => Limiting::Effort,
            false => profile.reasoning,
        });
        let own = profile
            .model_rules
            .then(|| Encoding::of_model(&model))
            .flatten();
        let info = LlmInfo {
            model: model.clone(),
            context_length: options.context_length,
            tokenizer: own.map(|e| e.name().to_owned()),
            capabilities: Capabilities {
                grammar: profile.gbnf.is_some() && profile.json_schema.is_some(),
                reasoning: limiting != Limiting::None,
                count_tokens: own.is_some(),
                max_concurrency: options.max_concurrency,
                longest_call_s: (options.mode == Mode::Batch).then_some(LONGEST_BATCH_S),
                ..Capabilities::default()
            },
            ..LlmInfo::default()
        };
        if options.mode == Mode::Batch && !profile.batch {
            let message = format!("the servers of profile `{name}` have no batch API");
            return Err(invalid(message).hint(
                "`mode = \"interactive\"`, or `profile = \"openai\"` for a server that has one",
            ));
        }
        let adaptive = Adaptive::new(options.max_concurrency, !options.adaptive);
        let batch_dir = match &options.batch.dir {
            Some(dir) => env.base_dir.join(dir),
            // Batches belong to an address and whoever is billed there.
            None => env.cache_dir.join("batches").join(slug(&host, &options)),
        };
        let client = Client::new(&options, patience, base, source, &env.base_dir)?;
        let client = Arc::new(client);
        let batcher = (options.mode == Mode::Batch).then(|| {
            Batcher::new(
                Arc::clone(&client),
                model.clone(),
                options.batch.clone(),
                batch_dir,
            )
        });
        Ok(Self {
            client,
            batcher,
            info,
            patience,
            max_attempts: options.max_attempts.max(1),
            gate: Gate::default(),
            limits: Limits::new(options.rpm, options.tpm, adaptive),
            has_probe: profile.probe,
            include_usage: profile.include_usage,
            names_model: profile.names_model,
            is_streamed: options.stream,
            tags: options.think_tags.unwrap_or(profile.think_tags),
            counter,
            own,
            form: Form {
                model,
                profile,
                rule,
                limiting,
                service_tier: options.service_tier,
                extra: options.extra_body,
            },
            said: Mutex::default(),
        })
    }

    /// The body of a request that is sent at once.
    fn body(&self, mut fields: Map<String, Value>) -> Bytes {
        if self.is_streamed {
            fields.entry("stream").or_insert(true.into());
            if self.include_usage {
                fields
                    .entry("stream_options")
                    .or_insert(json!({"include_usage": true}));
            }
        }
        Bytes::from(Value::Object(fields).to_string())
    }

    async fn ask(
        &self,
        request: &GenerateRequest,
        events: &Events<GenerateEvent>,
    ) -> Result<Completion> {
        let fields = self.form.fields(request)?;
        for name in self.form.left_out(request) {
            self.say_once(&format!(
                "`{}` does not take `{name}`; it is left out",
                self.form.model
            ));
        }
        let begin = Instant::now();
        if let Some(batcher) = &self.batcher {
            return self
                .ask_batch(batcher, fields, request, events, begin)
                .await;
        }
        let body = self.body(fields);
        let mut first = self.gate.enter().await?;
        if first.is_some() && self.has_probe && self.probe(events).await? {
            self.gate.open();
            first = None;
        }
        let outcome = self.persist(request, &body, events, begin).await;
        match &outcome {
            Ok(_) => self.gate.open(),
            Err(error) => self.gate.note(error),
        }
        drop(first);
        outcome
    }

    /// Asks within the next batch.
    async fn ask_batch(
        &self,
        batcher: &Batcher,
        fields: Map<String, Value>,
        request: &GenerateRequest,
        events: &Events<GenerateEvent>,
        begin: Instant,
    ) -> Result<Completion> {
        let body = Bytes::from(Value::Object(fields).to_string());
        let asked = Asked {
            model: &self.form.model,
            url: self.client.shown(),
        };
        let work = async {
            let digest = batch::digest(&body, request);
            let answer = batcher.ask(digest, body, events.clone()).await?;
            let mut collector = Collector::new(events, asked, self.tags);
            collector.take(answer.to_string().as_bytes())?;
            collector.end(true)
        };
        let reply = work
            .await
            .map_err(|failure: Failure| self.client.scrubbed(failure.error))?;
        let mut completion = self.completion(reply, request, begin, begin);
        // Waiting for a batch is waiting, not the model's time.
        completion.timings = Timings {
            queue_s: begin.elapsed().as_secs_f64(),
            ..Timings::default()
        };
        completion.service_tier = Some("batch".to_owned());
        Ok(completion)
    }

    /// Asks for the list of models, which costs nothing, to find out whether all is well.
    async fn probe(&self, events: &Events<GenerateEvent>) -> Result<bool> {
        let mut tries = Tries::new(FIRST_ATTEMPTS, self.patience.retries);
        loop {
            let limit = self.patience.connect + self.patience.connect;
            let probed = timeout(limit, self.client.probe(&self.form.model)).await;
            let Ok(probed) = probed else {
                // A list that does not come says nothing; the call itself will tell.
                return Ok(false);
            };
            match probed {
                Ok(is_right) => return Ok(is_right),
                Err(failure) => {
                    let error = self.client.scrubbed(failure.error.clone());
                    let Some(delay) = tries.next(&failure) else {
                        self.gate.note(&error);
                        return Err(error);
                    };
                    self.pause(&error, delay, events).await;
                }
            }
        }
    }

    /// Tries until there is an answer or no hope.
    async fn persist(
        &self,
        request: &GenerateRequest,
        body: &Bytes,
        events: &Events<GenerateEvent>,
        begin: Instant,
    ) -> Result<Completion> {
        let mut tries = Tries::new(self.max_attempts, self.patience.retries);
        let expected = if self.limits.counts_tokens() {
            expected_tokens(request)
        } else {
            0
        };
        loop {
            let permit = self.limits.enter(expected).await;
            let start = Instant::now();
            let asked = timeout(self.patience.attempt, self.attempt(body, events)).await;
            let failure = match asked {
                Ok(Ok(reply)) => {
                    permit.answered();
                    drop(permit);
                    let completion = self.completion(reply, request, begin, start);
                    if let Some(Usage {
                        input_tokens,
                        output_tokens,
                        ..
                    }) = completion.usage
                    {
                        self.limits.settle(expected, input_tokens + output_tokens);
                    }
                    return Ok(completion);
                }
                Ok(Err(failure)) => failure,
                Err(_) => Failure::timeout(format!(
                    "no whole answer within {} s",
                    self.patience.attempt.as_secs_f64()
                )),
            };
            self.limits.settle(expected, 0);
            if let Again::Slower(wait) = failure.again {
                permit.refused();
                if let Some(wait) = wait {
                    self.limits.be_silent(wait);
                }
            }
            drop(permit);
            if failure.is_unreached && !self.gate.is_open() {
                tries.most = tries.most.min(FIRST_ATTEMPTS);
            }
            let error = self.client.scrubbed(failure.error.clone());
            match tries.next(&failure) {
                Some(delay) => self.pause(&error, delay, events).await,
                None => return Err(tries.told(error)),
            }
        }
    }

    async fn attempt(
        &self,
        body: &Bytes,
        events: &Events<GenerateEvent>,
    ) -> Result<Reply, Failure> {
        let asked = Asked {
            model: &self.form.model,
            url: self.client.shown(),
        };
        let response = self.client.chat(body.clone(), &self.form.model).await?;
        let mut collector = Collector::new(events, asked, self.tags);
        let idle = if self.is_streamed {
            self.patience.idle
        } else {
            self.patience.attempt
        };
        let reply = stream::read(self.client.bytes(response), idle, &mut collector).await;
        match reply {
            // All text is there, only the numbers are missing, and we can count ourselves.
            Err(_) if collector.has_finished() && self.own.is_some() => collector.end(true),
            Err(failure) => {
                if collector.has_sent() {
                    events.send(GenerateEvent::Restart);
                }
                Err(failure)
            }
            Ok(reply) => Ok(reply),
        }
    }

    fn completion(
        &self,
        reply: Reply,
        request: &GenerateRequest,
        begin: Instant,
        start: Instant,
    ) -> Completion {
        let judge = Judge {
            counter: self.counter,
            own: self.own,
            messages: &request.messages,
            text: &reply.text,
            reasoning: &reply.reasoning,
        };
        let judged = judge.judge(reply.usage.as_ref());
        for fault in judged.faults {
            let instead = if judged.usage.is_some() {
                "counted here instead"
            } else {
                "left out"
            };
            self.say_once(&format!(
                "`{}` reports wrong usage ({fault}); {instead}",
                self.form.model
            ));
        }
        let model = reply.model.filter(|_| self.names_model);
        if let Some(other) = model.as_deref().filter(|m| !is_same(&self.form.model, m)) {
            self.say_once(&format!(
                "asked for `{}`, but `{other}` answers",
                self.form.model
            ));
        }
        let total_s = start.elapsed().as_secs_f64();
        Completion {
            text: reply.text,
            reasoning: Some(reply.reasoning).filter(|r| !r.is_empty()),
            finish_reason: reply.finish,
            usage: judged.usage,
            timings: Timings {
                queue_s: start.saturating_duration_since(begin).as_secs_f64(),
                first_token_s: reply.first_token.map_or(total_s, |d| d.as_secs_f64()),
                total_s,
            },
            model,
            service_tier: reply
                .tier
                .filter(|t| !matches!(t.as_str(), "default" | "auto" | "standard")),
        }
    }

    async fn pause(&self, error: &Error, delay: Duration, events: &Events<GenerateEvent>) {
        let seconds = delay.as_secs_f64();
        tracing::debug!(kind = %error.kind, "{}; again in {seconds:.1} s", error.message);
        if events.is_wanted() {
            events.send(GenerateEvent::Status {
                text: format!("{}; again in {seconds:.1} s", error.kind),
            });
        }
        sleep(delay).await;
    }

    /// A warning that is not repeated for every call.
    fn say_once(&self, what: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.contains(what) {
            tracing::warn!("{what}");
            said.insert(what.to_owned());
        }
    }
}

#[async_trait]
impl Llm for ChatCompletions {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(self.info.clone())
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        events: Events<GenerateEvent>,
    ) -> Result<Completion> {
        within(request.timeout_s, self.ask(&request, &events)).await
    }

    async fn count_tokens(&self, text: &str) -> Result<u64> {
        match self.own {
            Some(own) => Ok(own.count(text)),
            None => Err(unknown(&self.form.model)),
        }
    }
}

/// A folder's name for a server and who is billed there.
fn slug(host: &str, options: &Options) -> String {
    let billed = [&options.organization, &options.project];
    let parts = std::iter::once(host).chain(billed.into_iter().flatten().map(String::as_str));
    let name: Vec<&str> = parts.collect();
    name.join("_").replace(
        |c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_',
        "-",
    )
}

/// Whether `found` is what was asked for: the name itself, a dated form of it, or the file behind it.
fn is_same(asked: &str, found: &str) -> bool {
    let last = |name: &str| {
        name.rsplit('/')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let (asked, found) = (last(asked), last(found));
    found == asked
        || found
            .strip_prefix(&asked)
            .is_some_and(|rest| rest.starts_with(['-', ':', '@']))
        || asked
            .strip_prefix(&found)
            .is_some_and(|rest| rest.starts_with([':', '@']))
}

fn expected_tokens(request: &GenerateRequest) -> u64 {
    let characters: usize = request.messages.iter().map(|m| m.content.len()).sum();
    let output = request
        .max_tokens
        .map_or(EXPECTED_OUTPUT, |m| EXPECTED_OUTPUT.min(m.into()));
    characters as u64 / 4 + output
}

/// Each request under way needs a connection, and many systems begin with 1,024 files.
fn raise_open_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            // Where it may not be raised, the error of too many open files says what to do.
            let _ = setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: maximum,
                    maximum,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dated_names_are_the_same_model() {
        for (asked, found, same) in [
            ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", true),
            ("gpt-4o", "gpt-4o", true),
            ("openai/gpt-4o", "gpt-4o", true),
            ("qwen2.5", "qwen2.5:latest", true),
            ("gpt-4o", "gpt-4", false),
            ("gpt-4o", "another-model", false),
        ] {
            assert_eq!(is_same(asked, found), same, "{asked} {found}");
        }
    }
}
