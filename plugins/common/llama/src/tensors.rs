//! Numbers from files to tensors and back.

use tale_weights::Array;
use tch::{Device, Kind, Tensor};

/// A tensor of an array's values.
pub fn to_tensor(array: &Array, kind: Kind, device: Device) -> Tensor {
    #[expect(clippy::cast_possible_wrap, reason = "sizes are far below 2^63")]
    let shape: Vec<i64> = array.shape.iter().map(|&size| size as i64).collect();
    Tensor::from_slice(&array.values)
        .view(shape.as_slice())
        .to_kind(kind)
        .to_device(device)
}

/// The values of a tensor as `f32`.
///
/// # Panics
/// Never: a flat tensor of `f32` is a list of `f32`.
#[must_use]
pub fn to_array(tensor: &Tensor) -> Array {
    let flat = tensor
        .detach()
        .to_device(Device::Cpu)
        .to_kind(Kind::Float)
        .contiguous()
        .view(-1);
    Array {
        shape: tensor
            .size()
            .iter()
            .map(|&size| usize::try_from(size).unwrap_or(0))
            .collect(),
        values: Vec::try_from(&flat).expect("a flat tensor of f32 is a list of f32"),
    }
}
