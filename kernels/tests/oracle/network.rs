//! A small whole network, in which each kernel has its place: a picture's bits are its own.

use candle_core::{D, DType, Result, Tensor};
use x0_kernels::{Activation, Conv2d, Conv2dOptions, Linear, Mask, activate, attention, geglu, group_norm, layer_norm};

use crate::{assert_rows_keep_their_bits, numbers, tensor, values};

/// Channels of the inner maps.
const WIDTH: usize = 48;

struct Network {
    conv_in: Conv2d,
    time: Linear,
    conv: Conv2d,
    down: Conv2d,
    query: Linear,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
    up: Conv2d,
    joined: Conv2d,
    conv_out: Conv2d,
    ones: Tensor,
}

fn weight(seed: u64, shape: &[usize]) -> Tensor {
    let inputs: usize = shape[1..].iter().product();
    (tensor(&numbers(seed, shape.iter().product()), shape) / (inputs as f64).sqrt()).unwrap()
}

fn conv(seed: u64, inputs: usize, outputs: usize, options: Conv2dOptions) -> Conv2d {
    Conv2d::new(
        &weight(seed, &[outputs, inputs, 3, 3]),
        Some(&tensor(&numbers(seed + 1, outputs), &[outputs])),
        options,
    )
    .unwrap()
}

impl Network {
    fn new() -> Self {
        let linear = |seed, inputs, outputs| Linear::new(&weight(seed, &[outputs, inputs]), None).unwrap();
        let half = weight(60, &[WIDTH, 4 * WIDTH]).to_dtype(DType::F16).unwrap();
        Self {
            conv_in: conv(10, 4, WIDTH, Conv2dOptions::padded(1)),
            time: linear(20, 4, WIDTH).then(Activation::Silu),
            conv: conv(30, WIDTH, WIDTH, Conv2dOptions::padded(1)),
            down: conv(40, WIDTH, WIDTH, Conv2dOptions { stride: 2, padding: (0, 1), upsample: false }),
            query: linear(50, WIDTH, WIDTH),
            feed_forward_in: linear(55, WIDTH, 8 * WIDTH),
            feed_forward_out: Linear::new(&half, None).unwrap(),
            up: conv(70, WIDTH, WIDTH, Conv2dOptions { stride: 1, padding: (1, 1), upsample: true }),
            joined: conv(80, 2 * WIDTH, WIDTH, Conv2dOptions::padded(1)),
            conv_out: conv(90, WIDTH, 4, Conv2dOptions::padded(1)),
            ones: tensor(&[1.0; 2 * WIDTH], &[2 * WIDTH]),
        }
    }

    fn norm(&self, x: &Tensor) -> Result<Tensor> {
        let ones = self.ones.narrow(0, 0, x.dim(D::Minus1)?)?;
        group_norm(x, 8, &ones, &ones, 1e-5, Activation::Silu)
    }

    /// `(batch, height, width, 4)` to the same shape.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, height, width, _) = x.dims4()?;
        let time = self.time.forward(&x.narrow(1, 0, 1)?.narrow(2, 0, 1)?.reshape((batch, 4))?)?;
        let skip = self.conv_in.forward(x)?;
        let y = self.conv.forward_add_per_channel(&self.norm(&skip)?, &time)?;
        let y = self.down.forward(&self.conv.forward_add(&self.norm(&y)?, &skip)?)?;
        let tokens = y.reshape((batch, height / 2 * (width / 2), WIDTH))?;
        let ones = self.ones.narrow(0, 0, WIDTH)?;
        let normed = layer_norm(&tokens, &ones, &ones, 1e-5)?;
        let q = self.query.forward(&normed)?;
        let tokens = (tokens + attention(&q, &normed, &normed, 3, 0.25, Mask::None)?)?;
        let hidden = geglu(&self.feed_forward_in.forward(&tokens)?)?;
        let tokens = self.feed_forward_out.forward_add(&hidden, &tokens)?;
        let y = self.up.forward(&tokens.reshape((batch, height / 2, width / 2, WIDTH))?)?;
        let y = self.joined.forward(&self.norm(&Tensor::cat(&[&y, &skip], D::Minus1)?)?)?;
        self.conv_out.forward(&activate(&y, Activation::Tanh)?)
    }
}

#[test]
fn a_network_gives_rows_the_same_bits_in_any_company() {
    let network = Network::new();
    for size in [8, 16] {
        for batch in 1..=9 {
            let x = tensor(&numbers(batch as u64, batch * size * size * 4), &[batch, size, size, 4]);
            assert_rows_keep_their_bits(&x, |x| network.forward(x).unwrap());
        }
    }
}

#[test]
fn bits_do_not_depend_on_where_a_map_lies_in_memory() {
    let network = Network::new();
    let pixels = numbers(5, 2 * 8 * 8 * 4);
    let answer = values(&network.forward(&tensor(&pixels, &[2, 8, 8, 4])).unwrap());
    for before in [1, 3, 7] {
        let shifted = [&numbers(6, before)[..], &pixels].concat();
        let x = tensor(&shifted, &[shifted.len()]).narrow(0, before, pixels.len()).unwrap();
        assert!(values(&network.forward(&x.reshape((2, 8, 8, 4)).unwrap()).unwrap()) == answer, "{before} floats on");
    }
}
