//! How an answer goes out, with the faults that spoil it on its way.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::sleep,
};

use crate::{Fault, chat, http::Reply};

/// An answer as a stream of events, `pause` after each.
pub(crate) async fn in_parts<S: AsyncWrite + Unpin>(
    parts: Vec<Vec<u8>>,
    pause: Duration,
    stream: &mut S,
    fault: Option<Fault>,
) -> io::Result<()> {
    let head = match fault {
        Some(Fault::ContentType) => Reply::new(200, "text/plain", Vec::new()).head(None),
        _ => chat::stream_head(),
    };
    if pause.is_zero() && fault.is_none_or(|f| !matches!(f, Fault::Half | Fault::Drip)) {
        let mut all = head;
        for part in &parts {
            all.extend_from_slice(part);
        }
        stream.write_all(&all).await?;
        return stream.flush().await;
    }
    stream.write_all(&head).await?;
    let half = parts.len() / 2;
    for (index, part) in parts.iter().enumerate() {
        if fault == Some(Fault::Half) && index == half {
            return stream.flush().await;
        }
        if fault == Some(Fault::Drip) && index < 4 {
            drip(part, stream).await?;
        } else {
            stream.write_all(part).await?;
        }
        stream.flush().await?;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    Ok(())
}

/// An answer in one piece.
pub(crate) async fn whole<S: AsyncWrite + Unpin>(
    body: String,
    stream: &mut S,
    fault: Option<Fault>,
) -> io::Result<()> {
    let kind = match fault {
        Some(Fault::ContentType) => "text/plain",
        _ => "application/json",
    };
    let reply = Reply::new(200, kind, body);
    let mut bytes = reply.head(Some(reply.body.len()));
    bytes.extend_from_slice(&reply.body);
    match fault {
        Some(Fault::Half) => {
            bytes.truncate(bytes.len() - reply.body.len() / 2);
            stream.write_all(&bytes).await?;
        }
        Some(Fault::Drip) => drip(&bytes, stream).await?,
        _ => stream.write_all(&bytes).await?,
    }
    stream.flush().await
}

/// A few bytes at a time, for a fifth of a second at most.
async fn drip<S: AsyncWrite + Unpin>(bytes: &[u8], stream: &mut S) -> io::Result<()> {
    for piece in bytes.chunks((bytes.len() / 20).max(1)) {
        stream.write_all(piece).await?;
        stream.flush().await?;
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
