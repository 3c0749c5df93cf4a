//! The bytes of a reply, read as they come: one object, or a stream of events.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use eventsource_stream::{EventStream, EventStreamError};
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use tokio::time::timeout;

use crate::{
    failure::Failure,
    reply::{Collector, Reply},
};

/// A larger reply is no answer.
const LARGEST: usize = 64 << 20;

/// How long the end of a stream is waited for after its last event, so that the connection can be
/// used again.
const LINGER: Duration = Duration::from_millis(100);

/// What a reply looks like, by its first byte: the header that should say so is not always right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Object,
    Events,
    Page,
    Nothing,
    Garbage,
}

impl Look {
    fn of(first: &[u8]) -> Self {
        let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
        match text.trim_ascii_start().first() {
            None => Self::Nothing,
            Some(b'{' | b'[') => Self::Object,
            Some(b'<') => Self::Page,
            Some(b':' | b'd' | b'e' | b'i' | b'r') => Self::Events,
            Some(_) => Self::Garbage,
        }
    }
}

/// Reads a reply to its end. `idle` is how long a stream may be silent.
pub(crate) async fn read<S>(
    bytes: S,
    idle: Duration,
    collector: &mut Collector<'_>,
) -> Result<Reply, Failure>
where
    S: Stream<Item = Result<Bytes, Failure>>,
{
    let mut bytes = pin!(bytes);
    let mut first = Vec::new();
    while Look::of(&first) == Look::Nothing {
        match next(&mut bytes, idle).await? {
            Some(more) => first.extend_from_slice(&more),
            None => break,
        }
        if first.len() > LARGEST {
            break;
        }
    }
    match Look::of(&first) {
        Look::Nothing => Err(Failure::no_answer("an empty reply")),
        Look::Page => Err(Failure::no_answer("a web page in place of an answer")),
        Look::Garbage => Err(Failure::no_answer(
            "a reply that is neither JSON nor a stream of events",
        )),
        Look::Object => {
            while let Some(more) = next(&mut bytes, idle).await? {
                first.extend_from_slice(&more);
                if first.len() > LARGEST {
                    return Err(Failure::no_answer("a reply without end"));
                }
            }
            collector.take(&first)?;
            collector.end(false)
        }
        Look::Events => {
            let rest = stream::unfold(bytes, |mut bytes| async move {
                let item = next(&mut bytes, idle).await.transpose()?;
                Some((item, bytes))
            });
            events(
                stream::once(async move { Ok(Bytes::from(first)) }).chain(rest),
                collector,
            )
            .await
        }
    }
}

async fn next<S>(bytes: &mut S, idle: Duration) -> Result<Option<Bytes>, Failure>
where
    S: Stream<Item = Result<Bytes, Failure>> + Unpin,
{
    match timeout(idle, bytes.next()).await {
        Ok(item) => item.transpose(),
        Err(_) => Err(Failure::timeout(format!(
            "the answer stops coming for {} s",
            idle.as_secs_f64()
        ))),
    }
}

async fn events<S>(bytes: S, collector: &mut Collector<'_>) -> Result<Reply, Failure>
where
    S: Stream<Item = Result<Bytes, Failure>>,
{
    let mut events = pin!(EventStream::new(bytes));
    let mut total = 0;
    loop {
        // What has come together is handed on together.
        let item = if let Some(item) = events.next().now_or_never() {
            item
        } else {
            collector.flush();
            events.next().await
        };
        match item {
            None => return collector.end(false),
            Some(Ok(event)) if event.data == "[DONE]" => {
                let reply = collector.end(true);
                drain(&mut events).await;
                return reply;
            }
            Some(Ok(event)) => {
                total += event.data.len();
                if total > LARGEST {
                    return Err(Failure::no_answer("a reply without end"));
                }
                if !event.data.is_empty() {
                    collector.take(event.data.as_bytes())?;
                }
            }
            Some(Err(EventStreamError::Transport(failure))) => return Err(failure),
            Some(Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_))) => {
                return Err(Failure::no_answer("a broken stream of events"));
            }
        }
    }
}

/// Reads to the end of the body, so that the connection is free for the next request.
async fn drain<S: Stream + Unpin>(events: &mut S) {
    let rest = async { while events.next().await.is_some() {} };
    let _ = timeout(LINGER, rest).await;
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
