//! From torch's order of a map's numbers, channel after channel, to the networks' order, pixel after pixel, and back.

use candle_core::{D, DType, Device, Result, Tensor};

/// A map `(1, height, width, channels)` on the processor of `values`, channel after channel.
pub(crate) fn channel_last(values: &[f32], (channels, height, width): (usize, usize, usize)) -> Result<Tensor> {
    let mut pixels = Vec::with_capacity(values.len());
    push_channel_last(values, channels, &mut pixels);
    Tensor::from_vec(pixels, (1, height, width, channels), &Device::Cpu)
}

/// The numbers of a map of one image, of any device and type, channel after channel.
pub(crate) fn channel_first(map: &Tensor) -> Result<Vec<f32>> {
    let pixels = numbers(map)?;
    let mut values = Vec::with_capacity(pixels.len());
    push_channel_first(&pixels, map.dim(D::Minus1)?, &mut values);
    Ok(values)
}

/// The numbers of a tensor of any device and type, in its order.
pub(crate) fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
}

/// Appends `values`, channel after channel, to `pixels` pixel after pixel.
fn push_channel_last(values: &[f32], channels: usize, pixels: &mut Vec<f32>) {
    let area = values.len() / channels;
    if channels == 1 {
        pixels.extend_from_slice(values);
    } else {
        pixels.extend((0..area).flat_map(|at| (0..channels).map(move |channel| values[channel * area + at])));
    }
}

/// Appends `pixels`, pixel after pixel, to `values` channel after channel.
fn push_channel_first(pixels: &[f32], channels: usize, values: &mut Vec<f32>) {
    if channels == 1 {
        values.extend_from_slice(pixels);
    } else {
        values.extend((0..channels).flat_map(|channel| pixels.iter().skip(channel).step_by(channels)));
    }
}

#[cfg(test)]
mod tests {
    use super::{push_channel_first, push_channel_last};

    #[test]
    fn one_is_the_inverse_of_the_other() {
        for channels in 1..5 {
            let values: Vec<f32> = (0..channels * 6).map(|i| i as f32).collect();
            let (mut pixels, mut back) = (Vec::new(), Vec::new());
            push_channel_last(&values, channels, &mut pixels);
            assert_eq!(pixels[channels - 1], values[(channels - 1) * 6]);
            push_channel_first(&pixels, channels, &mut back);
            assert_eq!(back, values);
        }
    }
}
