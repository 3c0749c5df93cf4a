//! The number formats of GGUF, back to `f32`.
//!
//! A format is a block of values with shared scales. Names and layouts are those of ggml
//! (`ggml-common.h`); `d` is a block's scale, `m` what is added, `q` the stored integer.

use half::{bf16, f16};

/// The number of `f32` in the file's table.
pub(crate) const F32: u32 = 0;

/// Values and bytes of a block, and how a block becomes values.
type Format = (usize, usize, fn(&[u8], &mut [f32]));

fn format(kind: u32) -> Option<Format> {
    Some(match kind {
        F32 => (1, 4, |b, y| {
            y[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        }),
        1 => (1, 2, |b, y| y[0] = half(b, 0)),
        2 => (32, 18, q4_0),
        3 => (32, 20, q4_1),
        6 => (32, 22, q5_0),
        7 => (32, 24, q5_1),
        8 => (32, 34, q8_0),
        12 => (256, 144, q4_k),
        13 => (256, 176, q5_k),
        14 => (256, 210, q6_k),
        30 => (1, 2, |b, y| {
            y[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32();
        }),
        _ => return None,
    })
}

/// The bytes of `elements` values of a format.
pub(crate) fn bytes(kind: u32, elements: usize) -> Result<usize, String> {
    let (values, bytes, _) = format(kind).ok_or_else(|| {
        format!("has ggml's number format {kind}, which is not read; convert the file to Q8_0, a K-quant, F16 or BF16")
    })?;
    if !elements.is_multiple_of(values) {
        return Err(format!("has {elements} values, no multiple of {values}"));
    }
    (elements / values)
        .checked_mul(bytes)
        .ok_or_else(|| "is too large".to_owned())
}

/// The values of whole blocks; `bytes` has been asked about them.
pub(crate) fn dequantise(kind: u32, data: &[u8]) -> Vec<f32> {
    let (values, bytes, block) = format(kind).expect("`bytes` refuses unknown formats");
    let mut out = vec![0.0; data.len() / bytes * values];
    for (block_of, y) in data.chunks_exact(bytes).zip(out.chunks_exact_mut(values)) {
        block(block_of, y);
    }
    out
}

fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// 16 bytes hold 32 values of 4 bits: the low halves first, then the high ones.
fn nibbles(bytes: &[u8], y: &mut [f32], value: impl Fn(usize, u8) -> f32) {
    let (low, high) = y.split_at_mut(bytes.len());
    for (i, byte) in bytes.iter().enumerate() {
        low[i] = value(i, byte & 15);
        high[i] = value(i + bytes.len(), byte >> 4);
    }
}

fn q4_0(b: &[u8], y: &mut [f32]) {
    let d = half(b, 0);
    nibbles(&b[2..], y, |_, q| d * (f32::from(q) - 8.0));
}

fn q4_1(b: &[u8], y: &mut [f32]) {
    let (d, m) = (half(b, 0), half(b, 2));
    nibbles(&b[4..], y, |_, q| d * f32::from(q) + m);
}

/// The fifth bit of value `i`.
fn fifth(bits: u32, i: usize) -> u8 {
    u8::from(bits >> i & 1 == 1) << 4
}

fn q5_0(b: &[u8], y: &mut [f32]) {
    let (d, bits) = (half(b, 0), word(b, 2));
    nibbles(&b[6..], y, |i, q| {
        d * (f32::from(q | fifth(bits, i)) - 16.0)
    });
}

fn q5_1(b: &[u8], y: &mut [f32]) {
    let (d, m, bits) = (half(b, 0), half(b, 2), word(b, 4));
    nibbles(&b[8..], y, |i, q| d * f32::from(q | fifth(bits, i)) + m);
}

fn q8_0(b: &[u8], y: &mut [f32]) {
    let d = half(b, 0);
    for (y, &q) in y.iter_mut().zip(&b[2..]) {
        *y = d * f32::from(q.cast_signed());
    }
}

/// Scale and minimum of the eighth `j` of a K-block: 6 bits each, 16 of them in 12 bytes.
fn scale_and_min(s: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (s[j] & 63, s[j + 4] & 63)
    } else {
        (
            s[j + 4] & 15 | s[j - 4] >> 6 << 4,
            s[j + 4] >> 4 | s[j] >> 6 << 4,
        )
    };
    (f32::from(scale), f32::from(min))
}

fn q4_k(b: &[u8], y: &mut [f32]) {
    let (d, dmin, scales) = (half(b, 0), half(b, 2), &b[4..16]);
    for (j, (q, y)) in b[16..].chunks(32).zip(y.chunks_mut(64)).enumerate() {
        let pair = [
            scale_and_min(scales, 2 * j),
            scale_and_min(scales, 2 * j + 1),
        ];
        nibbles(q, y, |i, q| {
            let (scale, min) = pair[i / 32];
            d * scale * f32::from(q) - dmin * min
        });
    }
}

fn q5_k(b: &[u8], y: &mut [f32]) {
    let (d, dmin, scales, high) = (half(b, 0), half(b, 2), &b[4..16], &b[16..48]);
    for (j, (q, y)) in b[48..].chunks(32).zip(y.chunks_mut(64)).enumerate() {
        let pair = [
            scale_and_min(scales, 2 * j),
            scale_and_min(scales, 2 * j + 1),
        ];
        nibbles(q, y, |i, q| {
            let (scale, min) = pair[i / 32];
            // Bit 2j of the high byte belongs to the low halves, bit 2j+1 to the high ones.
            let fifth = high[i % 32] >> (2 * j + i / 32) & 1;
            d * scale * f32::from(q | fifth << 4) - dmin * min
        });
    }
}

#[expect(
    clippy::many_single_char_names,
    reason = "the letters of ggml's formulas"
)]
fn q6_k(b: &[u8], y: &mut [f32]) {
    let (low, high, scales, d) = (&b[..128], &b[128..192], &b[192..208], half(b, 208));
    for (i, y) in y.iter_mut().enumerate() {
        // Halves of 128 values; in each, quarters of 32 share their high bits' bytes.
        let (half, quarter, l) = (i / 128, i / 32 % 4, i % 32);
        let byte = low[64 * half + l + 32 * (quarter % 2)];
        let q = if quarter < 2 { byte & 15 } else { byte >> 4 };
        let top = high[32 * half + l] >> (2 * quarter) & 3;
        let scale = f32::from(scales[i / 16].cast_signed());
        *y = d * scale * (f32::from(q | top << 4) - 32.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of pseudo-random bytes and what gguf-py 0.17 makes of them: `tests/fixtures/quants.py`.
    #[test]
    fn blocks_become_what_the_formats_own_tool_makes_of_them() {
        let cases: serde_json::Value =
            serde_json::from_str(include_str!("../tests/fixtures/quants.json")).unwrap();
        for case in cases.as_array().unwrap() {
            let kind = u32::try_from(case["kind"].as_u64().unwrap()).unwrap();
            let data: Vec<u8> = serde_json::from_value(case["data"].clone()).unwrap();
            let expected: Vec<f32> = serde_json::from_value(case["values"].clone()).unwrap();
            let found = dequantise(kind, &data);
            assert_eq!(found.len(), expected.len());
            for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                assert!(
                    (a - b).abs() <= 1e-6 * b.abs().max(1.0),
                    "{} at {i}: {a} {b}",
                    case["name"]
                );
            }
        }
    }

    #[test]
    fn unknown_formats_and_broken_blocks_are_refused() {
        assert!(bytes(99, 256).unwrap_err().contains("format 99"));
        assert!(bytes(12, 100).unwrap_err().contains("multiple of 256"));
    }
}
