//! Every kernel against a plain float64 oracle, over random shapes, on every instruction set that this machine has, and
//! against itself in other company: the bits of a row may not change.

mod attention;
mod conv2d;
mod linear;
mod network;
mod norm;
mod pointwise;
mod precision;

use candle_core::{Device, Tensor};
use x0_kernels::Isa;

/// The instruction sets that this machine has.
fn isas() -> Vec<Isa> {
    [Isa::Avx512, Isa::Avx2, Isa::Portable].into_iter().filter(|isa| isa.is_available()).collect()
}

/// Numbers in about -2..2 that are the same for the same seed (a 64-bit linear congruential generator).
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 22) as f32 - 2.0
    };
    (0..len).map(|_| next()).collect()
}

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).expect("the shape fits the values")
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).expect("a float32 tensor")
}

/// Compares with the oracle: within `tolerance` of the largest magnitude of the row's terms, which the oracle gives too.
fn assert_close(found: &[f32], expected: &[(f64, f64)], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (x, (y, magnitude))) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*x) - y).abs();
        assert!(error <= tolerance * magnitude.max(1e-3), "element {i}: {x} instead of {y}, magnitude {magnitude}");
    }
}

/// Runs `f` on a pool of `threads` threads.
fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(f)
}

/// The rows of a batch, each computed alone, equal the batch computed whole, with 1, 2 and 4 threads.
fn assert_rows_keep_their_bits(x: &Tensor, f: impl Fn(&Tensor) -> Tensor + Sync) {
    let whole = values(&f(x));
    for threads in [1, 2, 4] {
        assert!(with_threads(threads, || values(&f(x))) == whole, "{threads} threads change bits");
    }
    let batch = x.dim(0).expect("a batch");
    let each = whole.len() / batch;
    for row in 0..batch {
        let alone = values(&f(&x.narrow(0, row, 1).expect("the row")));
        assert!(alone == whole[row * each..(row + 1) * each], "row {row} of {batch} differs when it is alone");
    }
}
