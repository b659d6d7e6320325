//! Floating-point operations of layers: two for each multiplication of a product. What does not grow with a product of sizes,
//! normalisations, activations, sums, does not count; so these are the figures by which networks are usually compared, whatever
//! method computes them.

/// A linear layer on so many rows.
pub(crate) fn linear(rows: usize, from: usize, to: usize) -> f64 {
    2.0 * rows as f64 * from as f64 * to as f64
}

/// A convolution whose output has `area` pixels.
pub(crate) fn convolution(area: usize, kernel: usize, from: usize, to: usize) -> f64 {
    linear(area, kernel * kernel * from, to)
}

/// Attention between projected queries and keys, all heads together. A causal mask saves nothing here.
pub(crate) fn attention(queries: usize, keys: usize, channels: usize) -> f64 {
    2.0 * linear(queries, channels, keys)
}

/// A residual block: two 3×3 convolutions, and one of 1×1 where the number of channels changes.
pub(crate) fn resnet(area: usize, from: usize, to: usize) -> f64 {
    let shortcut = if from == to { 0.0 } else { convolution(area, 1, from, to) };
    convolution(area, 3, from, to) + convolution(area, 3, to, to) + shortcut
}
