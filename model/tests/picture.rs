//! Pictures against Pillow: every byte of `data/pictures/cases.safetensors`, see its `make.py`.

mod goldens;

use goldens::Goldens;
use x0_model::{Channels, Picture};

fn picture(goldens: &Goldens, name: &str) -> Picture {
    let pixels = goldens.get(name);
    let bytes = goldens::flat(&pixels).into_iter().map(|value| value as u8).collect();
    let (height, width) = (pixels.dim(0).unwrap() as u32, pixels.dim(1).unwrap() as u32);
    let channels = if pixels.rank() == 3 { Channels::Rgb } else { Channels::Gray };
    Picture { width, height, channels, bytes }
}

#[test]
fn resizing_and_graying_give_pillows_bytes() {
    let goldens = Goldens::read("pictures/cases.safetensors");
    let original = picture(&goldens, "picture");
    for (width, height) in [(31, 23), (16, 8), (64, 48), (31, 7), (5, 23), (1, 1), (97, 3), (30, 20), (30, 21)] {
        let resized = original.resized(width, height);
        assert_eq!(resized, picture(&goldens, &format!("resized.{width}x{height}")), "{width}x{height}");
        assert_eq!(resized.to_gray(), picture(&goldens, &format!("gray.{width}x{height}")), "gray {width}x{height}");
    }
}

#[test]
fn gray_pictures_gain_and_lose_channels_without_a_change() {
    let gray = Picture { width: 2, height: 2, channels: Channels::Gray, bytes: vec![0, 1, 128, 255] };
    assert_eq!(gray.to_gray(), gray);
    assert_eq!(gray.to_rgb().bytes, [0, 0, 0, 1, 1, 1, 128, 128, 128, 255, 255, 255]);
    assert_eq!(gray.to_rgb().to_gray(), gray);
}
