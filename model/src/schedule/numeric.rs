//! The few functions of numpy and torch whose rounding shows in timesteps and noise levels.

/// `numpy.linspace(start, stop, count)`.
pub(super) fn linspace(start: f64, stop: f64, count: usize) -> Vec<f64> {
    let step = (stop - start) / count.saturating_sub(1).max(1) as f64;
    let mut values: Vec<f64> = (0..count).map(|i| i as f64 * step + start).collect();
    if let [_, .., last] = values.as_mut_slice() {
        *last = stop;
    }
    values
}

/// `torch.linspace(start, stop, count, dtype=torch.float32)` on the CPU: from both ends to the middle, with fused products.
pub(crate) fn linspace_f32(start: f32, stop: f32, count: usize) -> Vec<f32> {
    let step = (stop - start) / count.saturating_sub(1).max(1) as f32;
    let value = |i: usize| {
        if i < count / 2 || count == 1 {
            step.mul_add(i as f32, start)
        } else {
            (-step).mul_add((count - i - 1) as f32, stop)
        }
    };
    (0..count).map(value).collect()
}

/// `numpy.log` of a positive, normal float32 on an x86 processor: a quotient of polynomials, not the nearest float32.
/// Timesteps are found by the logarithms of noise levels and then cut to whole numbers, so the last bit matters.
pub(crate) fn ln_f32(x: f32) -> f32 {
    const NUMERATOR: [f32; 6] = [2.589_979_2e-2, 3.808_837_8e-1, 1.480_000_6, 2.112_677_6, 1.0, 0.0];
    const DENOMINATOR: [f32; 6] = [5.875_095_3e-3, 1.546_476_3e-1, 9.864_943e-1, 2.453_006, 2.612_677_6, 1.0];
    let bits = x.to_bits();
    let mut exponent = (bits >> 23) as f32 - 127.0;
    let mut mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    if mantissa > std::f32::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    let polynomial = |coefficients: [f32; 6]| {
        coefficients.into_iter().reduce(|sum, coefficient| sum.mul_add(mantissa - 1.0, coefficient)).unwrap_or(0.0)
    };
    exponent.mul_add(std::f32::consts::LN_2, polynomial(NUMERATOR) / polynomial(DENOMINATOR))
}
