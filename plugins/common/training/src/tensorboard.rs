//! `TensorBoard`'s event file: scalars by step.
//!
//! A record is its length, a checksum of that, the bytes and a checksum of these; the bytes are a
//! protocol buffer (`event.proto` and `summary.proto` of TensorFlow), of which four fields are needed.
//! The crate that once wrote these files is no longer maintained.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// An open event file.
#[derive(Debug)]
pub(crate) struct EventFile(File);

impl EventFile {
    /// Opens a new file in `folder`; one run may have several, `TensorBoard` reads them in order.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let name = format!(
            "events.out.tfevents.{:010}.{:09}.tale",
            nanos.as_secs(),
            nanos.subsec_nanos()
        );
        let mut file = Self(File::create(folder.join(name))?);
        let mut event = event_head(0);
        put_bytes(&mut event, 3, b"brain.Event:2");
        file.record(&event)?;
        Ok(file)
    }

    /// Adds a scalar for each name.
    pub(crate) fn scalars<'a>(
        &mut self,
        step: u64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> io::Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, tag.as_bytes());
            entry.push(2 << 3 | 5);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the format has single precision"
            )]
            entry.extend((value as f32).to_le_bytes());
            put_bytes(&mut summary, 1, &entry);
        }
        let mut event = event_head(step);
        put_bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked(data).to_le_bytes());
        self.0.write_all(&record)
    }
}

fn event_head(step: u64) -> Vec<u8> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut event = vec![1 << 3 | 1];
    event.extend(now.as_secs_f64().to_le_bytes());
    event.push(2 << 3);
    put_number(&mut event, step);
    event
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_number(out, bytes.len() as u64);
    out.extend(bytes);
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 127 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low seven bits are wanted"
        )]
        out.push(number as u8 | 128);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is below 128")]
    out.push(number as u8);
}

/// The checksum as the format has it: CRC-32C, turned and shifted.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_are_framed_and_hold_the_scalars() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(dir.path()).unwrap();
        file.scalars(300, [("loss", 0.5)]).unwrap();
        let path = std::fs::read_dir(dir.path())
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let bytes = std::fs::read(path).unwrap();
        let (mut at, mut records) = (0, Vec::new());
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            let length = usize::try_from(length).unwrap();
            assert_eq!(
                bytes[at + 8..at + 12],
                masked(&bytes[at..at + 8]).to_le_bytes()
            );
            let data = &bytes[at + 12..at + 12 + length];
            at += 16 + length;
            assert_eq!(bytes[at - 4..at], masked(data).to_le_bytes());
            records.push(data.to_vec());
        }
        assert_eq!(records.len(), 2);
        // Step 300 as a varint, then a summary with a value of tag `loss` and 0.5.
        assert_eq!(records[1][9..12], [16, 172, 2]);
        let expected = [
            &[42, 13, 10, 11, 10, 4][..],
            b"loss",
            &[21],
            &0.5_f32.to_le_bytes(),
        ]
        .concat();
        assert_eq!(records[1][12..], expected);
    }
}
