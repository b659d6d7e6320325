//! Each kernel once, at shapes that fill no vector and no tile: few enough operations for Miri to watch every access.
//!
//!     MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-disable-isolation -Zmiri-ignore-leaks" cargo +nightly miri test -p x0-kernels --test memory
//!
//! Under Miri direct convolutions take minutes and Winograd's method more than ten: `-- NAME` runs one.
//!
//! Miri has no instruction sets but the portable one. Elsewhere the answers are compared with those of the best one.

use candle_core::{DType, Device, Tensor};
use x0_kernels::{
    Activation, AttentionOptions, Conv2d, Conv2dOptions, Isa, Linear, Mask, activate, add_per_channel,
    attention_with_isa, geglu, group_norm, layer_norm,
};

fn ramp(shape: &[usize]) -> Tensor {
    let len = shape.iter().product();
    let values: Vec<f32> = (0..len).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The portable twin answers what the best one does.
fn same(answer: impl Fn(Isa) -> Tensor) {
    let [portable, best]: [Vec<f32>; 2] =
        [Isa::Portable, Isa::best()].map(|isa| answer(isa).flatten_all().unwrap().to_vec1().unwrap());
    assert!(portable == best);
    assert!(portable.iter().all(|x: &f32| x.is_finite()));
}

fn convolution(shape: [usize; 4], outputs: usize, options: Conv2dOptions) {
    let weight = ramp(&[outputs, shape[3], 3, 3]);
    let bias = ramp(&[outputs]);
    same(|isa| Conv2d::with_isa(&weight, Some(&bias), options, isa).unwrap().forward(&ramp(&shape)).unwrap());
}

#[test]
fn linear_layers() {
    for stored in [DType::F32, DType::F16, DType::BF16] {
        let weight = ramp(&[19, 7]).to_dtype(stored).unwrap();
        let bias = ramp(&[19]);
        same(|isa| {
            let layer = Linear::with_isa(&weight, Some(&bias), isa).unwrap().then(Activation::Gelu);
            layer.forward_add(&ramp(&[5, 7]), &ramp(&[5, 19])).unwrap()
        });
    }
}

#[test]
fn convolutions_of_patches() {
    convolution([2, 3, 4, 3], 5, Conv2dOptions::padded(1));
}

#[test]
fn direct_convolutions() {
    convolution([1, 3, 4, 13], 18, Conv2dOptions::padded(1));
    convolution([1, 5, 4, 13], 3, Conv2dOptions { stride: 2, padding: (0, 1), upsample: false });
    convolution([1, 2, 2, 13], 3, Conv2dOptions { stride: 1, padding: (1, 1), upsample: true });
}

#[test]
fn convolutions_by_winograd() {
    convolution([1, 9, 8, 64], 64, Conv2dOptions::padded(1));
}

#[test]
fn attention() {
    for mask in [Mask::None, Mask::Causal] {
        let keys = match mask {
            Mask::None => 13,
            Mask::Causal => 18,
        };
        same(|isa| {
            let options = AttentionOptions { heads: 2, scale: 0.4, mask, isa };
            attention_with_isa(&ramp(&[1, 18, 10]), &ramp(&[1, keys, 10]), &ramp(&[1, keys, 10]), options).unwrap()
        });
    }
}

#[test]
fn pointwise_kernels_and_norms() {
    let finite = |x: Tensor| assert!(x.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|x| x.is_finite()));
    let (map, channels) = (ramp(&[2, 3, 3, 18]), ramp(&[18]));
    finite(group_norm(&map, 3, &channels, &channels, 1e-5, Activation::Silu).unwrap());
    finite(layer_norm(&ramp(&[3, 18]), &channels, &channels, 1e-5).unwrap());
    finite(activate(&map, Activation::Tanh).unwrap());
    finite(add_per_channel(&map, &ramp(&[2, 18])).unwrap());
    finite(geglu(&ramp(&[3, 38])).unwrap());
}
