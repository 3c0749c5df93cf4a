//! The number formats in which weights are written.

use half::{bf16, f16};

/// A number format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
    /// 16 bits with the range of 32.
    BF16,
    /// GGUF only: blocks of 32 values of 8 bits with a common scale.
    Q8_0,
}

/// Values and bytes of a block of [`Numbers::Q8_0`].
const BLOCK: (usize, usize) = (32, 34);

impl Numbers {
    /// ggml's number for it.
    pub(super) fn ggml(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 8,
            Self::BF16 => 30,
        }
    }

    /// What safetensors call it; they have no blocks.
    pub(super) fn safetensors(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::BF16 => "BF16",
            Self::F16 | Self::Q8_0 => "F16",
        }
    }

    /// That of the name in a safetensors file.
    pub(super) fn of_safetensors(name: &str) -> Option<Self> {
        match name {
            "F32" => Some(Self::F32),
            "F16" => Some(Self::F16),
            "BF16" => Some(Self::BF16),
            _ => None,
        }
    }

    /// Whether rows of `width` values can be written in it.
    pub(super) fn fits(self, width: usize) -> bool {
        self != Self::Q8_0 || width.is_multiple_of(BLOCK.0)
    }

    /// Bytes of `count` values.
    pub(super) fn bytes(self, count: usize) -> u64 {
        let count = count as u64;
        match self {
            Self::F32 => 4 * count,
            Self::F16 | Self::BF16 => 2 * count,
            Self::Q8_0 => count / BLOCK.0 as u64 * BLOCK.1 as u64,
        }
    }

    /// The values in this format.
    pub(super) fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16 => values
                .iter()
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect(),
            Self::BF16 => values
                .iter()
                .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                .collect(),
            Self::Q8_0 => values.chunks_exact(BLOCK.0).flat_map(q8_0).collect(),
        }
    }
}

/// As ggml rounds: the largest value of a block becomes ±127.
fn q8_0(block: &[f32]) -> [u8; BLOCK.1] {
    let largest = block.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    let d = largest / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let mut out = [0; BLOCK.1];
    out[..2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    for (out, v) in out[2..].iter_mut().zip(block) {
        #[expect(clippy::cast_possible_truncation, reason = "within ±127")]
        let q = (v * inverse).round() as i8;
        *out = q.cast_unsigned();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quants;

    #[test]
    fn what_is_written_is_read_within_the_formats_precision() {
        let values: Vec<f32> = (0..64_u8).map(|i| (f32::from(i) - 31.0) / 17.0).collect();
        for (numbers, tolerance) in [
            (Numbers::F32, 0.0),
            (Numbers::F16, 1e-3),
            (Numbers::BF16, 8e-3),
            (Numbers::Q8_0, 8e-3),
        ] {
            let bytes = numbers.encode(&values);
            assert_eq!(bytes.len() as u64, numbers.bytes(values.len()));
            let read = quants::dequantise(numbers.ggml(), &bytes);
            for (a, b) in read.iter().zip(&values) {
                assert!((a - b).abs() <= tolerance, "{numbers:?}: {a} {b}");
            }
        }
        assert_eq!(Numbers::Q8_0.encode(&[0.0; 32]), [0; 34]);
        assert!(!Numbers::Q8_0.fits(48) && Numbers::F16.fits(48));
    }
}
