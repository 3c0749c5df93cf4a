//! A request's way: the caller keeps a [`Pending`], the engine's thread gets a [`Ticket`] with it and
//! makes it a [`Progress`] once it computes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tale_api::{
    Completion, Error, ErrorKind, Events, FinishReason, GenerateEvent, GenerateRequest, Result,
    Timings, Usage,
};
use tokio::sync::{
    mpsc::{
        self,
        error::{TryRecvError, TrySendError},
    },
    oneshot,
};

use crate::Visible;

/// Requests that an engine's thread holds beyond its slots, so that it can see who gave up.
const HELD: usize = 1024;

/// Whether there is anything to answer in `request`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`]: no message, or `max_tokens = 0`.
pub fn check(request: &GenerateRequest) -> Result<()> {
    let refused = |what| Err(Error::new(ErrorKind::InvalidInput, what));
    if request.messages.is_empty() {
        return refused("the request has no message");
    }
    if request.max_tokens == Some(0) {
        return refused("`max_tokens` is 0, nothing could be answered");
    }
    Ok(())
}

/// Whether a prompt of so many tokens fits with at least one token of the answer into the `context`
/// tokens of a slot.
///
/// # Errors
/// [`ErrorKind::ContextLength`] with both numbers.
pub fn fits(prompt: usize, context: usize) -> Result<()> {
    if prompt < context {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::ContextLength,
        format!("the prompt has {prompt} tokens, a slot holds {context} with the answer"),
    )
    .hint("raise the option `context`, or leave the question out")
    .context("prompt_tokens", prompt.to_string())
    .context("context_length", context.to_string()))
}

/// The error of a request whose engine is gone.
#[must_use]
pub fn died() -> Error {
    Error::new(ErrorKind::Internal, "the engine's thread has ended")
        .hint("the log holds the reason; a new run starts it anew")
}

/// The engine's end of a request that waits.
#[derive(Debug)]
pub struct Ticket {
    max_tokens: Option<u32>,
    stop: Vec<String>,
    deltas: Option<mpsc::Sender<String>>,
    reply: oneshot::Sender<Result<Completion>>,
    submitted: Instant,
}

/// The caller's end. Dropping it cancels the request.
#[derive(Debug)]
pub struct Pending {
    parts: mpsc::Receiver<String>,
    answered: oneshot::Receiver<Result<Completion>>,
}

/// Both ends of `request`; its time in the queue begins now. `is_streamed`: somebody wants the text as
/// it comes.
#[must_use]
pub fn ticket(request: &GenerateRequest, is_streamed: bool) -> (Ticket, Pending) {
    let (reply, answered) = oneshot::channel();
    let (deltas, parts) = mpsc::channel(1);
    let ticket = Ticket {
        max_tokens: request.max_tokens,
        stop: request.stop.clone(),
        deltas: is_streamed.then_some(deltas),
        reply,
        submitted: Instant::now(),
    };
    (ticket, Pending { parts, answered })
}

impl Ticket {
    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Answers with an error.
    pub fn fail(self, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

impl Pending {
    /// Hands the text to `events` as it comes; gives the answer.
    ///
    /// # Errors
    /// The engine's, or [`died`].
    pub async fn wait(mut self, events: &Events<GenerateEvent>) -> Result<Completion> {
        let mut shown = 0;
        let mut show = |text: &str| {
            if !text.is_empty() {
                shown += text.len();
                let text = text.to_owned();
                events.send(GenerateEvent::Delta { text });
            }
            shown
        };
        let completion = loop {
            tokio::select! {
                biased;
                Some(text) = self.parts.recv() => { show(&text); }
                answer = &mut self.answered => break answer.map_err(|_| died())??,
            }
        };
        while let Ok(text) = self.parts.try_recv() {
            show(&text);
        }
        let shown = show("");
        show(&completion.text[shown..]);
        Ok(completion)
    }
}

/// A request under way: the text so far, and who waits for it.
#[derive(Debug)]
pub struct Progress {
    visible: Visible,
    unsent: String,
    deltas: Option<mpsc::Sender<String>>,
    reply: oneshot::Sender<Result<Completion>>,
    prompt: usize,
    /// The most tokens to draw: the request's bound or what the slot leaves.
    limit: usize,
    drawn: usize,
    queued: Duration,
    started: Instant,
    first_token: Option<Instant>,
}

impl Progress {
    /// A request with a prompt of so many tokens begins in a slot of `context` tokens.
    #[must_use]
    pub fn new(ticket: Ticket, prompt: usize, context: usize) -> Self {
        let started = Instant::now();
        let room = context.saturating_sub(prompt);
        let most = ticket.max_tokens.map(|most| most as usize);
        Self {
            visible: Visible::new(ticket.stop),
            unsent: String::new(),
            deltas: ticket.deltas,
            reply: ticket.reply,
            prompt,
            limit: most.map_or(room, |most| most.min(room)),
            drawn: 0,
            queued: started.duration_since(ticket.submitted),
            started,
            first_token: None,
        }
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// A token was drawn, be it one that ends the turn.
    pub fn drew(&mut self) {
        self.first_token.get_or_insert_with(Instant::now);
    }

    /// Takes the bytes of a token of the answer; says how the answer ended, if it did.
    pub fn push(&mut self, bytes: &[u8]) -> Option<FinishReason> {
        self.drawn += 1;
        self.visible.push(bytes);
        self.send_delta();
        if self.visible.is_stopped() {
            Some(FinishReason::Stop)
        } else if self.drawn >= self.limit {
            Some(FinishReason::Length)
        } else {
            None
        }
    }

    fn send_delta(&mut self) {
        let Some(deltas) = &self.deltas else { return };
        if let Some(delta) = self.visible.take_delta() {
            self.unsent.push_str(delta);
        }
        if self.unsent.is_empty() {
            return;
        }
        match deltas.try_send(std::mem::take(&mut self.unsent)) {
            Ok(()) => {}
            // A slow listener slows nobody: it gets the text at a later step.
            Err(TrySendError::Full(delta)) => self.unsent = delta,
            // Nobody listens: the request is abandoned and about to be noticed as such.
            Err(TrySendError::Closed(_)) => self.deltas = None,
        }
    }

    /// Answers. `rest` is text that was held back as bytes of no whole character, `reused` how many
    /// tokens of the prompt were not computed for it.
    pub fn finish(mut self, finish_reason: FinishReason, rest: &[u8], reused: usize) {
        let now = Instant::now();
        self.visible.push(rest);
        let since = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
        let completion = Completion {
            text: self.visible.finish(),
            reasoning: None,
            finish_reason,
            usage: Some(Usage {
                input_tokens: self.prompt as u64,
                cached_input_tokens: reused as u64,
                output_tokens: self.drawn as u64,
                reasoning_tokens: 0,
            }),
            timings: Timings {
                queue_s: self.queued.as_secs_f64(),
                first_token_s: since(self.started, self.first_token.unwrap_or(now)),
                total_s: since(self.started, now),
            },
            model: None,
            service_tier: None,
        };
        let _ = self.reply.send(Ok(completion));
    }

    /// Answers with an error.
    pub fn fail(self, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

/// Takes what has arrived into `queue`; waits if the engine `is_idle` otherwise. `false`: nobody can
/// send any more.
pub fn receive<J>(jobs: &mut mpsc::Receiver<J>, queue: &mut VecDeque<J>, is_idle: bool) -> bool {
    if is_idle {
        match jobs.blocking_recv() {
            Some(job) => queue.push_back(job),
            None => return false,
        }
    }
    while queue.len() < HELD {
        match jobs.try_recv() {
            Ok(job) => queue.push_back(job),
            Err(TryRecvError::Empty) => break,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tale_api::Message;

    use super::*;

    fn request(stop: &[&str], max_tokens: u32) -> GenerateRequest {
        GenerateRequest {
            stop: stop.iter().map(ToString::to_string).collect(),
            max_tokens: Some(max_tokens),
            ..GenerateRequest::new(vec![Message::user("?")])
        }
    }

    #[test]
    fn what_a_slow_listener_did_not_take_is_shown_with_the_answer() {
        let (ticket, pending) = ticket(&request(&["END"], 9), true);
        let mut progress = Progress::new(ticket, 5, 100);
        progress.drew();
        // The channel holds one part; nobody takes it before the end.
        for part in ["one ", "two ", "three"] {
            assert_eq!(progress.push(part.as_bytes()), None);
        }
        assert_eq!(progress.push(b" END, and more"), Some(FinishReason::Stop));
        progress.finish(FinishReason::Stop, b"", 2);
        let heard = Arc::new(Mutex::new(String::new()));
        let hearing = Arc::clone(&heard);
        let events = Events::to(move |event| {
            if let GenerateEvent::Delta { text } = event {
                hearing.lock().unwrap().push_str(&text);
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let completion = runtime.block_on(pending.wait(&events)).unwrap();
        assert_eq!(completion.text, "one two three ");
        assert_eq!(*heard.lock().unwrap(), completion.text);
        let usage = completion.usage.unwrap();
        assert_eq!(
            (
                usage.input_tokens,
                usage.cached_input_tokens,
                usage.output_tokens
            ),
            (5, 2, 4)
        );
    }

    #[test]
    fn an_answer_ends_at_its_bound_or_where_the_slot_does() {
        for (most, context, expected) in [(2, 100, 2), (9, 8, 3)] {
            let (ticket, _pending) = ticket(&request(&[], most), false);
            let mut progress = Progress::new(ticket, 5, context);
            let ended = (1..=9).find(|_| progress.push(b"x").is_some());
            assert_eq!(ended, Some(expected));
        }
    }

    #[test]
    fn a_dropped_caller_abandons_ticket_and_progress() {
        let (ticket, pending) = ticket(&request(&[], 1), false);
        assert!(!ticket.is_abandoned());
        let progress = Progress::new(ticket, 1, 9);
        drop(pending);
        assert!(progress.is_abandoned());
    }

    #[test]
    fn nothing_to_answer_and_too_long_a_prompt_are_named() {
        assert!(check(&request(&[], 1)).is_ok());
        let error = check(&request(&[], 0)).unwrap_err();
        assert!(error.message.contains("`max_tokens` is 0"));
        let error = check(&GenerateRequest::new(Vec::new())).unwrap_err();
        assert!(error.message.contains("no message"));
        assert!(fits(7, 8).is_ok());
        assert_eq!(fits(8, 8).unwrap_err().kind, ErrorKind::ContextLength);
    }
}
