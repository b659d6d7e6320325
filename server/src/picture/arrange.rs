//! Bringing a picture to another shape.

use x0_model::Picture;
use x0_openapi::InitResize;

/// A picture in the size `(width, height)`.
pub fn arranged(picture: &Picture, (width, height): (u32, u32), how: InitResize) -> Picture {
    // Its sides if it keeps its proportions and one of them is as asked.
    let by_height = (proportional(picture.width, height, picture.height), height);
    let by_width = (width, proportional(picture.height, width, picture.width));
    let wider = u64::from(picture.width) * u64::from(height) > u64::from(width) * u64::from(picture.height);
    let (inner_width, inner_height) = match how {
        InitResize::Stretch => return picture.resized(width, height),
        InitResize::Crop if wider => by_height,
        InitResize::Crop => by_width,
        InitResize::Fill if wider => by_width,
        InitResize::Fill => by_height,
    };
    let inner = picture.resized(inner_width, inner_height);
    on_canvas(&inner, (width, height))
}

/// `side * to / of`, at least 1.
fn proportional(side: u32, to: u32, of: u32) -> u32 {
    ((u64::from(side) * u64::from(to) / u64::from(of)) as u32).max(1)
}

/// The picture in the middle of a canvas: what is too large is cut off, and what is missing shows the nearest pixel.
fn on_canvas(picture: &Picture, (width, height): (u32, u32)) -> Picture {
    let size = picture.channels.count();
    let place = |at: u32, outer: u32, inner: u32| {
        let at = i64::from(at) - (i64::from(outer / 2) - i64::from(inner / 2));
        at.clamp(0, i64::from(inner) - 1) as usize
    };
    let mut bytes = Vec::with_capacity(width as usize * height as usize * size);
    for y in 0..height {
        let line = place(y, height, picture.height) * picture.width as usize;
        for x in 0..width {
            let pixel = (line + place(x, width, picture.width)) * size;
            bytes.extend_from_slice(&picture.bytes[pixel..pixel + size]);
        }
    }
    Picture { width, height, bytes, ..*picture }
}

#[cfg(test)]
mod tests {
    use x0_model::Channels;

    use super::*;

    /// Columns of 0, 0, 255, 255.
    fn picture() -> Picture {
        let bytes = [0, 0, 255, 255].repeat(2);
        Picture { width: 4, height: 2, channels: Channels::Gray, bytes }
    }

    #[test]
    fn a_wide_picture_becomes_a_square() {
        let square = |how| arranged(&picture(), (2, 2), how).bytes;
        assert_eq!(square(InitResize::Crop), [0, 255, 0, 255], "the middle");
        let filled = arranged(&picture(), (4, 4), InitResize::Fill);
        assert_eq!(filled.bytes, [0, 0, 255, 255].repeat(4), "above and below goes on what is at the edge");
        assert_eq!(square(InitResize::Stretch), picture().resized(2, 2).bytes);
    }

    #[test]
    fn every_shape_has_its_size() {
        for how in [InitResize::Stretch, InitResize::Crop, InitResize::Fill] {
            for (width, height) in [(1, 1), (7, 3), (3, 9), (4, 2), (5, 64)] {
                let arranged = arranged(&picture(), (width, height), how);
                assert!(arranged.is_whole() && (arranged.width, arranged.height) == (width, height), "{how:?}");
            }
        }
    }
}
