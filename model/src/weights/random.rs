//! Numbers for tensors that are in no file.

/// Standard deviation of what a layer makes of standard normal inputs: a little less than they, so that long chains stay in range.
const GAIN: f32 = 0.7;

/// Ones for a normalisation's weights, zeros for biases; for other tensors numbers of mean zero, spread so that a layer's outputs are
/// about as large as its inputs.
pub(super) fn values(name: &str, dims: &[usize]) -> Vec<f32> {
    let length: usize = dims.iter().product();
    if dims.len() < 2 {
        return vec![if name.ends_with("weight") { 1.0 } else { 0.0 }; length];
    }
    let inputs = (length / dims[0]).max(1) as f32;
    // Uniform numbers within ±√3 have a standard deviation of one.
    let range = 3f32.sqrt() * GAIN / inputs.sqrt();
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
        | 1;
    let mut unit = || {
        // Marsaglia's xorshift (2003), of which the upper half is used.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..length).map(|_| range * unit()).collect()
}

#[cfg(test)]
mod tests {
    use super::values;

    #[test]
    fn layers_keep_the_size_of_their_inputs() {
        let weights = values("a.weight", &[64, 32, 3, 3]);
        assert_eq!(weights, values("a.weight", &[64, 32, 3, 3]));
        assert_ne!(weights, values("b.weight", &[64, 32, 3, 3]));
        let mean = weights.iter().sum::<f32>() / weights.len() as f32;
        let square = weights.iter().map(|x| x * x).sum::<f32>() / weights.len() as f32;
        assert!(mean.abs() < 1e-3 && (square * 288.0 - 0.49).abs() < 0.02, "{mean} {square}");
        assert_eq!(values("norm.weight", &[3]), [1.0; 3]);
        assert_eq!(values("norm.bias", &[3]), [0.0; 3]);
    }
}
