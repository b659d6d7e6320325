//! Large maps in overlapping tiles, whose seams are blended, as diffusers' `AutoencoderKL` does it with `enable_tiling`.

use candle_core::{Device, Result, Tensor};

use crate::layout::numbers;

/// Which share of a tile its neighbour covers, too.
const OVERLAP: f64 = 0.25;

/// How a map is cut and put together again. Sizes hold for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiling {
    /// Of an input tile.
    size: usize,
    /// From one input tile to the next.
    stride: usize,
    /// Over how many rows and columns of the output two tiles are blended.
    blend: usize,
    /// How much of an output tile is kept: what is beyond belongs to the next.
    keep: usize,
}

/// A tile of the output, rows of pixels of channels.
struct Tile {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Tiling {
    /// For tiles of `size` that become tiles of `output_size`.
    pub(super) fn new(size: usize, output_size: usize) -> Self {
        let blend = (output_size as f64 * OVERLAP) as usize;
        let stride = (size as f64 * (1.0 - OVERLAP)) as usize;
        Self { size, stride: stride.max(1), blend, keep: output_size - blend }
    }

    /// Applies `network` to the tiles of `x`, `(1, h, w, c)`, one by one, and joins what it gives: `(1, h', w', c')`.
    pub(super) fn run(self, x: &Tensor, network: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let (_, height, width, _) = x.dims4()?;
        let (mut joined, mut channels, mut rows_out, mut columns_out) = (Vec::new(), 0, 0, 0);
        let mut above: Vec<Tile> = Vec::new();
        for y in (0..height).step_by(self.stride) {
            let mut row: Vec<Tile> = Vec::new();
            for (column, x0) in (0..width).step_by(self.stride).enumerate() {
                let tile = x.narrow(1, y, self.size.min(height - y))?.narrow(2, x0, self.size.min(width - x0))?;
                let tile = network(&tile.contiguous()?)?;
                let (_, h, w, c) = tile.dims4()?;
                channels = c;
                let mut tile = Tile { height: h, width: w, values: numbers(&tile)? };
                if let Some(above) = above.get(column) {
                    tile.blend_below(above, self.blend, c);
                }
                if let Some(left) = row.last() {
                    tile.blend_right_of(left, self.blend, c);
                }
                row.push(tile);
            }
            rows_out += self.join(&row, channels, &mut joined);
            columns_out = row.iter().map(|tile| tile.width.min(self.keep)).sum();
            above = row;
        }
        Tensor::from_vec(joined, (1, rows_out, columns_out, channels), &Device::Cpu)?
            .to_device(x.device())?
            .to_dtype(x.dtype())
    }

    /// Appends the kept part of a row of tiles; says how many rows of pixels that is.
    fn join(self, row: &[Tile], channels: usize, to: &mut Vec<f32>) -> usize {
        let height = row.iter().map(|tile| tile.height).min().unwrap_or(0).min(self.keep);
        for y in 0..height {
            for tile in row {
                let at = y * tile.width * channels;
                to.extend(&tile.values[at..at + tile.width.min(self.keep) * channels]);
            }
        }
        height
    }
}

impl Tile {
    /// Fades from the last rows of `above` into the first rows of this tile.
    fn blend_below(&mut self, above: &Self, blend: usize, channels: usize) {
        let extent = blend.min(above.height).min(self.height);
        let line = self.width.min(above.width) * channels;
        for y in 0..extent {
            let share = y as f64 / extent as f64;
            let other = &above.values[(above.height - extent + y) * above.width * channels..][..line];
            mix(&mut self.values[y * self.width * channels..][..line], other, share);
        }
    }

    /// Fades from the last columns of `left` into the first columns of this tile.
    fn blend_right_of(&mut self, left: &Self, blend: usize, channels: usize) {
        let extent = blend.min(left.width).min(self.width);
        for x in 0..extent {
            let share = x as f64 / extent as f64;
            for y in 0..self.height.min(left.height) {
                let other = &left.values[(y * left.width + left.width - extent + x) * channels..][..channels];
                mix(&mut self.values[(y * self.width + x) * channels..][..channels], other, share);
            }
        }
    }
}

/// `other * (1 - share) + own * share`
fn mix(own: &mut [f32], other: &[f32], share: f64) {
    let (keep, take) = (share as f32, (1.0 - share) as f32);
    for (own, other) in own.iter_mut().zip(other) {
        *own = other * take + *own * keep;
    }
}
