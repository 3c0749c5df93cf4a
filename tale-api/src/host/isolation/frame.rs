//! What travels over the pipe: a length, a type, numbers, bytes.

use std::io::{self, Read};

use crate::abi::BadBytes;

/// More than the largest message with its numbers and its method.
const MOST: usize = (256 << 20) + (1 << 16);

/// One function of a table, or a word between the two processes. Numbers and limits are those of
/// the protocol (`docs/abi.md`); little-endian, after a length of 4 bytes that counts what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// The first in each direction: JSON.
    Hello(&'a [u8]),
    Call {
        object: u64,
        call: u64,
        method: &'a [u8],
        request: &'a [u8],
    },
    Cancel {
        call: u64,
    },
    Event {
        call: u64,
        event: &'a [u8],
    },
    Finish {
        call: u64,
        status: u32,
        reply: &'a [u8],
    },
    Release {
        object: u64,
    },
    Log {
        level: u32,
        target: &'a [u8],
        fields: &'a [u8],
    },
    /// The answer to events that nobody wants.
    Unwanted {
        call: u64,
    },
    /// Bytes that the sender of this frame could not read, in words; ends the call.
    Fault {
        call: u64,
        what: &'a [u8],
    },
    /// `release` has returned.
    Released {
        object: u64,
    },
    /// Asks whether the other process still works on its calls.
    Ping(u64),
    /// It does.
    Pong(u64),
}

impl Frame<'_> {
    /// The frame with its length.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, numbers, small, parts): (u8, &[u64], Option<u32>, [&[u8]; 2]) = match *self {
            Self::Hello(json) => (0, &[], None, [&[], json]),
            Self::Call {
                object,
                call,
                method,
                request,
            } => (1, &[object, call], Some(length(method)), [method, request]),
            Self::Cancel { call } => (2, &[call], None, [&[], &[]]),
            Self::Event { call, event } => (3, &[call], None, [&[], event]),
            Self::Finish {
                call,
                status,
                reply,
            } => (4, &[call], Some(status), [&[], reply]),
            Self::Release { object } => (5, &[object], None, [&[], &[]]),
            Self::Log {
                level,
                target,
                fields,
            } => (
                6,
                &[u64::from(level)],
                Some(length(target)),
                [target, fields],
            ),
            Self::Unwanted { call } => (7, &[call], None, [&[], &[]]),
            Self::Fault { call, what } => (8, &[call], None, [&[], what]),
            Self::Released { object } => (9, &[object], None, [&[], &[]]),
            Self::Ping(n) => (10, &[n], None, [&[], &[]]),
            Self::Pong(n) => (11, &[n], None, [&[], &[]]),
        };
        let len = 1 + numbers.len() * 8 + small.map_or(0, |_| 4) + parts[0].len() + parts[1].len();
        let mut bytes = Vec::with_capacity(4 + len);
        bytes.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        bytes.push(kind);
        for number in numbers {
            bytes.extend(number.to_le_bytes());
        }
        if let Some(small) = small {
            bytes.extend(small.to_le_bytes());
        }
        bytes.extend(parts[0]);
        bytes.extend(parts[1]);
        bytes
    }
}

/// A method and a target are far shorter than 4 GB; what is not is cut by the reader's own check.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Reads the next frame into `buffer`; `None` at the end of the stream.
pub(super) fn read<'a>(
    input: &mut impl Read,
    buffer: &'a mut Vec<u8>,
) -> io::Result<Option<Frame<'a>>> {
    let mut len = [0; 4];
    // The stream ends well between frames only.
    loop {
        match input.read(&mut len[..1]) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    input.read_exact(&mut len[1..])?;
    let len = u32::from_le_bytes(len) as usize;
    if len == 0 || len > MOST {
        return Err(broken("a frame of a length that none has"));
    }
    // One huge message must not keep its room for ever.
    if buffer.capacity() > 1 << 20 && len < 1 << 16 {
        *buffer = Vec::new();
    }
    buffer.resize(len, 0);
    input.read_exact(buffer)?;
    decode(buffer)
        .map(Some)
        .ok_or_else(|| broken("a frame of no known form"))
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn decode(bytes: &[u8]) -> Option<Frame<'_>> {
    let (&kind, mut rest) = bytes.split_first()?;
    if kind == 0 {
        return Some(Frame::Hello(rest));
    }
    let first = number(&mut rest)?;
    Some(match kind {
        1 => {
            let call = number(&mut rest)?;
            let len = small(&mut rest)?;
            let (method, request) = rest.split_at_checked(len as usize)?;
            Frame::Call {
                object: first,
                call,
                method,
                request,
            }
        }
        2 => Frame::Cancel { call: first },
        3 => Frame::Event {
            call: first,
            event: rest,
        },
        4 => {
            let status = small(&mut rest)?;
            Frame::Finish {
                call: first,
                status,
                reply: rest,
            }
        }
        5 => Frame::Release { object: first },
        6 => {
            let len = small(&mut rest)?;
            let (target, fields) = rest.split_at_checked(len as usize)?;
            Frame::Log {
                level: u32::try_from(first).ok()?,
                target,
                fields,
            }
        }
        7 => Frame::Unwanted { call: first },
        8 => Frame::Fault {
            call: first,
            what: rest,
        },
        9 => Frame::Released { object: first },
        10 => Frame::Ping(first),
        11 => Frame::Pong(first),
        _ => return None,
    })
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*bytes))
}

fn small(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

/// What a fault of `bytes` is called when it is a part of a call.
pub(super) fn fault(part: &str, bytes: BadBytes) -> String {
    format!("{part} of {bytes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: [Frame<'static>; 12] = [
        Frame::Hello(b"{}"),
        Frame::Call {
            object: 7,
            call: u64::MAX,
            method: b"generate",
            request: b"{\"a\":1}",
        },
        Frame::Cancel { call: 3 },
        Frame::Event {
            call: 3,
            event: b"{}",
        },
        Frame::Finish {
            call: 3,
            status: 1,
            reply: b"",
        },
        Frame::Release { object: 7 },
        Frame::Log {
            level: 3,
            target: b"t",
            fields: b"{}",
        },
        Frame::Unwanted { call: 3 },
        Frame::Fault {
            call: 3,
            what: b"a reply",
        },
        Frame::Released { object: 7 },
        Frame::Ping(1),
        Frame::Pong(1),
    ];

    #[test]
    fn every_frame_comes_back_as_it_was_sent() {
        let sent: Vec<u8> = FRAMES.iter().flat_map(Frame::encode).collect();
        let (mut input, mut buffer) = (&*sent, Vec::new());
        for frame in FRAMES {
            assert_eq!(read(&mut input, &mut buffer).unwrap(), Some(frame));
        }
        assert_eq!(read(&mut input, &mut buffer).unwrap(), None);
    }

    #[test]
    fn a_frame_cut_anywhere_is_an_error_and_no_panic() {
        for frame in FRAMES {
            let sent = frame.encode();
            for len in 1..sent.len() {
                let mut buffer = Vec::new();
                assert!(
                    read(&mut &sent[..len], &mut buffer).is_err(),
                    "{frame:?} at {len}"
                );
            }
        }
    }

    #[test]
    fn bytes_that_are_no_frame_are_refused() {
        for sent in [
            &[0, 0, 0, 0][..],
            &[255, 255, 255, 255, 1],
            &[1, 0, 0, 0, 99],
            &[9, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0],
            // A method that is longer than the frame.
            &[
                21, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0,
            ],
            b"printf of a plugin",
        ] {
            assert!(read(&mut &*sent, &mut Vec::new()).is_err(), "{sent:?}");
        }
    }
}
