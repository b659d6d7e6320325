//! Changing a picture's size and channels as the Python imaging library does, since diffusers prepares pictures with it:
//! `src/libImaging/Resample.c` and `Convert.c` of Pillow 13. The bytes are the same.

use std::f64::consts::PI;

use super::{Channels, Picture};

/// Fractional bits of a coefficient: a sum of products with bytes fits into 32 bits.
const PRECISION_BITS: u32 = 32 - 8 - 2;
/// Reach of the Lanczos filter.
const LOBES: f64 = 3.0;

/// How one row or column of the answer is made: source elements from `first` on, each times a coefficient.
struct Window {
    first: usize,
    coefficients: Vec<i64>,
}

impl Picture {
    /// This picture in another size, by Lanczos' filter in one direction and then, on rounded values, in the other.
    ///
    /// # Panics
    /// If a size, of this picture or of the answer, is 0.
    #[must_use]
    pub fn resized(&self, width: u32, height: u32) -> Self {
        assert!(width.min(height).min(self.width).min(self.height) > 0, "a picture without pixels");
        // Pillow's rule; before version 13 the horizontal direction always came first.
        let (fewer_rows, fewer_columns) =
            (i64::from(self.height) - i64::from(height), i64::from(self.width) - i64::from(width));
        if fewer_rows > 0 && fewer_rows > 2 * fewer_columns {
            self.with_height(height).with_width(width)
        } else {
            self.with_width(width).with_height(height)
        }
    }

    /// This picture in another size, each pixel as the nearest one of this.
    ///
    /// # Panics
    /// If a size, of this picture or of the answer, is 0.
    #[must_use]
    pub fn nearest(&self, width: u32, height: u32) -> Self {
        assert!(width.min(height).min(self.width).min(self.height) > 0, "a picture without pixels");
        let size = self.channels.count();
        let pick = |i: u32, to: u32, from: u32| {
            (((f64::from(i) + 0.5) * f64::from(from) / f64::from(to)) as u32).min(from - 1)
        };
        let pixel = |x: u32, y: u32| {
            let start = (pick(y, height, self.height) * self.width + pick(x, width, self.width)) as usize * size;
            &self.bytes[start..start + size]
        };
        let bytes = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y).iter().copied())).collect();
        Self { width, height, bytes, ..*self }
    }

    /// The part of this picture from column `left` and row `top` on.
    ///
    /// # Panics
    /// If it is not within this picture.
    #[must_use]
    pub fn cropped(&self, (left, top): (u32, u32), (width, height): (u32, u32)) -> Self {
        assert!(left + width <= self.width && top + height <= self.height, "a crop reaches beyond its picture");
        let size = self.channels.count();
        let line = self.width as usize * size;
        let (first, length) = (left as usize * size, width as usize * size);
        let lines = self.bytes.chunks_exact(line).skip(top as usize).take(height as usize);
        Self { width, height, bytes: lines.flat_map(|line| &line[first..first + length]).copied().collect(), ..*self }
    }

    fn with_width(&self, width: u32) -> Self {
        if width == self.width {
            return self.clone();
        }
        let (size, windows) = (self.channels.count(), windows(self.width as usize, width as usize));
        let lines = self.bytes.chunks_exact(self.width as usize * size);
        Self { width, bytes: lines.flat_map(|line| filter(line, size, &windows)).collect(), ..*self }
    }

    fn with_height(&self, height: u32) -> Self {
        if height == self.height {
            return self.clone();
        }
        // A whole line counts as one element.
        let size = self.width as usize * self.channels.count();
        Self { height, bytes: filter(&self.bytes, size, &windows(self.height as usize, height as usize)), ..*self }
    }

    /// This picture in shades of gray, by the weights of ITU-R BT.601.
    #[must_use]
    pub fn to_gray(&self) -> Self {
        let bytes = match self.channels {
            Channels::Gray => self.bytes.clone(),
            Channels::Rgb => {
                let luma = |[r, g, b]: &[u8; 3]| {
                    (u32::from(*r) * 19595 + u32::from(*g) * 38470 + u32::from(*b) * 7471 + 0x8000) >> 16
                };
                self.bytes.as_chunks().0.iter().map(|pixel| luma(pixel) as u8).collect()
            }
        };
        Self { channels: Channels::Gray, bytes, ..*self }
    }

    /// This picture with three channels.
    #[must_use]
    pub fn to_rgb(&self) -> Self {
        let bytes = match self.channels {
            Channels::Gray => self.bytes.iter().flat_map(|value| [*value; 3]).collect(),
            Channels::Rgb => self.bytes.clone(),
        };
        Self { channels: Channels::Rgb, bytes, ..*self }
    }
}

/// One element of `size` bytes for each window, from elements of the same size.
fn filter(elements: &[u8], size: usize, windows: &[Window]) -> Vec<u8> {
    let mut filtered = Vec::with_capacity(windows.len() * size);
    let mut sums = vec![0i64; size];
    for window in windows {
        sums.fill(1 << (PRECISION_BITS - 1));
        for (coefficient, element) in window.coefficients.iter().zip(elements.chunks_exact(size).skip(window.first)) {
            sums.iter_mut().zip(element).for_each(|(sum, value)| *sum += coefficient * i64::from(*value));
        }
        filtered.extend(sums.iter().map(|sum| (sum >> PRECISION_BITS).clamp(0, 255) as u8));
    }
    filtered
}

fn windows(from: usize, to: usize) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    // Enlarging does not blur.
    let filter_scale = scale.max(1.0);
    let support = LOBES * filter_scale;
    let window = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weight = |x: usize| lanczos((x as f64 - center + 0.5) / filter_scale);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: &f64| (weight / sum * f64::from(1 << PRECISION_BITS)).round() as i64;
        Window { first, coefficients: weights.iter().map(fixed).collect() }
    };
    (0..to).map(window).collect()
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
    if (-LOBES..LOBES).contains(&x) { sinc(x) * sinc(x / LOBES) } else { 0.0 }
}
