//! What inpainting does with pictures before and after the model: soft masks, what is under them, and laying the answer into the
//! picture that it is a part of. The steps are AUTOMATIC1111's.

use std::sync::Arc;

use image::imageops;
use image::{GrayImage, RgbaImage};
use x0_model::{Channels, Picture};

/// Wider blurs are approximated by boxes.
const NARROW: f64 = 4.0;

/// Part of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// A picture into which another one is laid where a mask is white.
#[derive(Clone, Debug)]
pub struct Overlay {
    pub under: Arc<Picture>,
    /// Gray, of the same size.
    pub mask: Picture,
    /// Where the other picture has its place.
    pub region: Region,
}

impl Region {
    /// All of a picture.
    pub fn whole(picture: &Picture) -> Self {
        Self { left: 0, top: 0, width: picture.width, height: picture.height }
    }

    /// The part of a picture in which the mask is not black, with `padding` pixels around it, and then as much more in one direction
    /// as it takes to have the proportions of `shape`, as far as the picture reaches. `None` if the mask is black.
    pub fn around(mask: &Picture, padding: u32, shape: (u32, u32)) -> Option<Self> {
        let lines = || mask.bytes.chunks_exact(mask.width as usize);
        let rows: Vec<u32> =
            (0..).zip(lines()).filter(|(_, line)| line.iter().any(|&v| v > 0)).map(|(y, _)| y).collect();
        let columns: Vec<u32> = (0..mask.width).filter(|x| lines().any(|line| line[*x as usize] > 0)).collect();
        let (horizontal, vertical) = (span(&columns, padding, mask.width)?, span(&rows, padding, mask.height)?);
        let (width, height) = (horizontal.1, vertical.1);
        // Whichever side is too short for the proportions.
        let wanted_height = u64::from(width) * u64::from(shape.1) / u64::from(shape.0).max(1);
        let wanted_width = u64::from(height) * u64::from(shape.0) / u64::from(shape.1).max(1);
        let (left, width) = grown(horizontal, wanted_width, mask.width);
        let (top, height) = grown(vertical, wanted_height, mask.height);
        Some(Self { left, top, width, height })
    }

    /// This part of a picture.
    pub fn of(self, picture: &Picture) -> Picture {
        picture.cropped((self.left, self.top), (self.width, self.height))
    }
}

/// From the first to the last of sorted places, with `padding` around them: where it begins, and how long it is.
fn span(places: &[u32], padding: u32, side: u32) -> Option<(u32, u32)> {
    let (first, last) = (places.first()?.saturating_sub(padding), places.last()?);
    let end = last.saturating_add(1).saturating_add(padding).min(side);
    Some((first, end - first))
}

/// A span made longer on both sides, and moved so that it stays within `side`.
fn grown((start, length): (u32, u32), wanted: u64, side: u32) -> (u32, u32) {
    let wanted = wanted.min(u64::from(side)) as u32;
    if wanted <= length {
        return (start, length);
    }
    let start = start.saturating_sub((wanted - length) / 2);
    (start.min(side - wanted), wanted)
}

impl Overlay {
    /// The picture with `made` laid into it.
    pub fn lay(&self, made: &Picture) -> Picture {
        let Region { left, top, width, height } = self.region;
        let made = if (made.width, made.height) == (width, height) {
            made.to_rgb()
        } else {
            made.resized(width, height).to_rgb()
        };
        let mut picture = self.under.to_rgb();
        for y in 0..height {
            for x in 0..width {
                let under = ((top + y) * picture.width + left + x) as usize;
                let over = (y * width + x) as usize * 3;
                let share = u32::from(self.mask.bytes[under]);
                for channel in 0..3 {
                    let below = u32::from(picture.bytes[under * 3 + channel]);
                    let above = u32::from(made.bytes[over + channel]);
                    picture.bytes[under * 3 + channel] = ((above * share + below * (255 - share) + 127) / 255) as u8;
                }
            }
        }
        picture
    }
}

/// Standard deviations below this blur nothing: a neighbour would weigh less than 10^-21 of a pixel.
const LEAST: f64 = 0.1;

/// A gray mask, blurred by a Gaussian of this standard deviation in pixels.
pub fn blurred(mask: &Picture, deviation: f64) -> Picture {
    if deviation < LEAST {
        return mask.clone();
    }
    let gray = GrayImage::from_raw(mask.width, mask.height, mask.bytes.clone())
        .expect("a gray picture holds width * height bytes");
    // A true Gaussian takes time in proportion to its width.
    let soft = if deviation <= NARROW {
        imageops::blur(&gray, deviation as f32)
    } else {
        imageops::fast_blur(&gray, deviation as f32)
    };
    Picture { bytes: soft.into_raw(), ..*mask }
}

/// A mask of which all but the darker half is white: what surrounds the white parts of a blurred mask counts as changed.
pub fn widened(mask: &Picture) -> Picture {
    Picture { bytes: mask.bytes.iter().map(|value| value.saturating_mul(2)).collect(), ..*mask }
}

/// The picture with the colours that surround the mask where it is white: blurs of what is left, from wide to narrow, over each
/// other.
pub fn surroundings(picture: &Picture, mask: &Picture) -> Picture {
    let rgb = picture.to_rgb();
    let pixels = rgb.bytes.as_chunks::<3>().0.iter().zip(&mask.bytes);
    // With the colours multiplied by what is visible of them, so that blurring is right.
    let visible = pixels.flat_map(|([r, g, b], white)| {
        let alpha = 255 - white;
        [*r, *g, *b, 255].map(|value| ((u32::from(value) * u32::from(alpha) + 127) / 255) as u8)
    });
    let visible = RgbaImage::from_raw(rgb.width, rgb.height, visible.collect()).expect("four bytes for each pixel");
    let mut sum = vec![[0.0f32; 4]; mask.bytes.len()];
    for (deviation, times) in [(256.0, 1), (64.0, 1), (16.0, 2), (4.0, 4), (2.0, 2), (0.0, 1)] {
        let layer = if deviation == 0.0 { visible.clone() } else { imageops::fast_blur(&visible, deviation) };
        for (below, above) in sum.iter_mut().zip(layer.pixels()) {
            let above = above.0.map(f32::from);
            for _ in 0..times {
                *below = std::array::from_fn(|i| above[i] + below[i] * (1.0 - above[3] / 255.0));
            }
        }
    }
    let colour = |[r, g, b, alpha]: &[f32; 4]| {
        [r, g, b].map(|value| if *alpha > 0.0 { (value * 255.0 / alpha).round().clamp(0.0, 255.0) as u8 } else { 0 })
    };
    Picture { channels: Channels::Rgb, bytes: sum.iter().flat_map(colour).collect(), ..rgb }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Picture {
        let bytes = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect();
        Picture { width, height, channels: Channels::Gray, bytes }
    }

    /// White in the rectangle from (10, 20) to (18, 24), in a picture of 64 x 48.
    fn mask() -> Picture {
        gray(64, 48, |x, y| if (10..18).contains(&x) && (20..24).contains(&y) { 255 } else { 0 })
    }

    #[test]
    fn what_is_too_narrow_to_see_blurs_nothing() {
        for deviation in [0.0, f64::from_bits(1), 1e-46, 1e-38, 1e-3, 0.05, 0.0999] {
            assert_eq!(blurred(&mask(), deviation), mask(), "{deviation}");
        }
        let white = gray(9, 7, |_, _| 255);
        for deviation in [0.1, 0.5, 3.0, 100.0] {
            assert_eq!(blurred(&white, deviation), white, "{deviation}");
        }
    }

    #[test]
    fn a_region_has_the_mask_its_padding_and_the_proportions() {
        let around = |padding, shape| Region::around(&mask(), padding, shape).unwrap();
        let region = |left, top, width, height| Region { left, top, width, height };
        assert_eq!(around(0, (2, 1)), region(10, 20, 8, 4));
        assert_eq!(around(0, (1, 1)), region(10, 18, 8, 8));
        assert_eq!(around(4, (1, 1)), region(6, 14, 16, 16));
        assert_eq!(around(0, (1, 4)), region(10, 6, 8, 32));
        assert_eq!(around(100, (1, 1)), region(0, 0, 64, 48), "the picture is not larger");
        assert_eq!(around(0, (1, 100)), region(10, 0, 8, 48));
        assert_eq!(around(0, (100, 1)), region(0, 20, 64, 4));
        assert_eq!(Region::around(&gray(4, 4, |_, _| 0), 0, (1, 1)), None);
    }

    #[test]
    fn what_the_mask_keeps_is_kept_exactly() {
        let under = Arc::new(gray(64, 48, |x, y| (x * 3 + y) as u8));
        let region = Region { left: 6, top: 14, width: 16, height: 16 };
        let overlay = Overlay { under: under.clone(), mask: mask(), region };
        // Twice the size of its place.
        let laid = overlay.lay(&gray(32, 32, |_, _| 200));
        for (i, pixel) in laid.bytes.as_chunks::<3>().0.iter().enumerate() {
            let expected = if mask().bytes[i] == 255 { 200 } else { under.bytes[i] };
            assert_eq!(*pixel, [expected; 3], "pixel {i}");
        }
    }

    #[test]
    fn a_gray_mask_mixes() {
        let (under, mask) = (Arc::new(gray(2, 2, |_, _| 0)), gray(2, 2, |_, _| 51));
        let region = Region::whole(&under);
        assert_eq!(Overlay { under, mask, region }.lay(&gray(2, 2, |_, _| 100)).bytes, [20; 12]);
    }

    #[test]
    fn blurring_softens_the_edge_and_keeps_the_middle() {
        let half = gray(64, 8, |x, _| if x < 32 { 255 } else { 0 });
        let soft = blurred(&half, 4.0);
        assert_eq!((soft.bytes[0], soft.bytes[63]), (255, 0));
        assert!((100..156).contains(&soft.bytes[31]) && soft.bytes[28] > soft.bytes[34]);
        assert_eq!(blurred(&half, 0.0), half);
        assert_eq!(widened(&half), half);
    }

    #[test]
    fn a_hole_gets_the_colours_around_it() {
        let picture = gray(32, 32, |_, _| 120);
        let with_spot = gray(32, 32, |x, y| if (12..20).contains(&x) && (12..20).contains(&y) { 255 } else { 120 });
        let hole = gray(32, 32, |x, y| if (10..22).contains(&x) && (10..22).contains(&y) { 255 } else { 0 });
        let filled = surroundings(&with_spot, &hole);
        let worst = filled.bytes.iter().zip(&picture.to_rgb().bytes).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(3), "nothing is left of the spot: {worst:?}");
    }
}
