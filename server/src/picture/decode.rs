//! From files that came with a request to pixels. Nothing of such a file is trusted, and nothing of it but its pixels is kept.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use x0_model::{Channels, Picture};
use x0_openapi::{ErrorCode, MaskWhere};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a picture that comes in may be at most.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// The longer side.
    pub side: u32,
    pub pixels: u64,
    /// Bytes that decoding may take.
    pub memory: u64,
}

/// Why a picture was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    pub code: ErrorCode,
    pub message: String,
}

impl DecodeError {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn corrupt(cause: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::CorruptImage, format!("cannot be decoded: {cause}"))
    }
}

/// Whether a text that stands for a picture is an address, such as `https://...`. Base64 has no colon.
pub fn is_url(text: &str) -> bool {
    let is_scheme = |scheme: &str| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    text.split_once("://").is_some_and(|(scheme, _)| !scheme.is_empty() && is_scheme(scheme))
}

/// Reads base64, with or without padding, with or without the head of a data URL before it.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, DecodeError> {
    if is_url(text) {
        let message = "pictures are not fetched from their address here; send the file in base64";
        return Err(DecodeError::new(ErrorCode::UrlNotAllowed, message));
    }
    let invalid = |message: &str| DecodeError::new(ErrorCode::InvalidBase64, message);
    let payload = match text.strip_prefix("data:") {
        None => text,
        Some(url) => {
            let (head, payload) = url.split_once(',').ok_or_else(|| invalid("a data URL without a comma"))?;
            if !matches!(head, "image/png;base64" | "image/jpeg;base64" | "image/webp;base64") {
                return Err(invalid("a data URL must begin with data:image/png;base64, (or jpeg, webp)"));
            }
            payload
        }
    };
    BASE64.decode(payload.trim_ascii()).map_err(|_| invalid("not base64"))
}

/// Whether a file begins as those do that can be decoded.
pub fn is_picture(file: &[u8]) -> bool {
    known(file).is_some()
}

pub(super) fn known(file: &[u8]) -> Option<ImageFormat> {
    let format = image::guess_format(file).ok()?;
    matches!(format, ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP).then_some(format)
}

/// Decodes a PNG, JPEG or WebP file to RGB. The rotation that the file's EXIF asks for is applied, unless that cannot be read;
/// transparent parts become white.
pub fn decode_image(file: &[u8], limits: DecodeLimits) -> Result<Picture, DecodeError> {
    let image = decode(file, limits)?;
    let (width, height) = (image.width(), image.height());
    let bytes = if image.color().has_alpha() {
        image.into_rgba8().pixels().flat_map(|pixel| on_white(pixel.0)).collect()
    } else {
        image.into_rgb8().into_raw()
    };
    Ok(Picture { width, height, channels: Channels::Rgb, bytes })
}

/// Decodes a mask to gray: 255 where the picture may change, which is where the file is white, black, or transparent.
pub fn decode_mask(file: &[u8], changes: MaskWhere, limits: DecodeLimits) -> Result<Picture, DecodeError> {
    let (mask, nowhere) = match changes {
        MaskWhere::White => (white(decode_image(file, limits)?), "all black"),
        MaskWhere::Black => (inverted(white(decode_image(file, limits)?)), "all white"),
        MaskWhere::Transparent => (transparent(&decode(file, limits)?), "transparent nowhere"),
    };
    if mask.bytes.iter().all(|&value| value == 0) {
        let message = format!("the mask is {nowhere}, so nothing would change");
        return Err(DecodeError::new(ErrorCode::MaskMismatch, message));
    }
    Ok(mask)
}

fn white(image: Picture) -> Picture {
    let (width, height) = (image.width, image.height);
    let rgb = image::RgbImage::from_raw(width, height, image.bytes).expect("a picture holds width * height * 3 bytes");
    let bytes = DynamicImage::ImageRgb8(rgb).into_luma8().into_raw();
    Picture { width, height, channels: Channels::Gray, bytes }
}

fn inverted(mask: Picture) -> Picture {
    Picture { bytes: mask.bytes.into_iter().map(|value| 255 - value).collect(), ..mask }
}

fn transparent(image: &DynamicImage) -> Picture {
    let (width, height) = (image.width(), image.height());
    let bytes = image.to_rgba8().pixels().map(|pixel| 255 - pixel.0[3]).collect();
    Picture { width, height, channels: Channels::Gray, bytes }
}

/// Runs what reads a foreign file. Decoders are other people's code: where one panics, it has met a file that is corrupt in a way that
/// its author did not think of, and the client is to hear that.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    // What a panic leaves behind half done is the decoder's alone, and is dropped.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(DecodeError::corrupt("its decoder gave up")))
}

fn decode(file: &[u8], limits: DecodeLimits) -> Result<DynamicImage, DecodeError> {
    guarded(|| decode_trusting(file, limits))
}

fn decode_trusting(file: &[u8], limits: DecodeLimits) -> Result<DynamicImage, DecodeError> {
    let corrupt = |error: image::ImageError| {
        if matches!(error, image::ImageError::Limits(_)) {
            let most = limits.memory;
            let message = format!("decoding it takes more than the {most} bytes that this server allows");
            return DecodeError::new(ErrorCode::ImageTooLarge, message);
        }
        DecodeError::corrupt(error)
    };

    let unsupported = || DecodeError::new(ErrorCode::UnsupportedImage, "not a PNG, JPEG or WebP file");
    let format = known(file).ok_or_else(unsupported)?;
    let mut decoder = reader(file, format, limits.memory).into_decoder().map_err(corrupt)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > limits.side || u64::from(width) * u64::from(height) > limits.pixels {
        let DecodeLimits { side, pixels, .. } = limits;
        return Err(DecodeError::new(
            ErrorCode::ImageTooLarge,
            format!(
                "{width} x {height} is more than the {side} pixels a side, or the {pixels} pixels in all, that this server allows"
            ),
        ));
    }
    // A good picture with EXIF that makes no sense is as it stands.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(corrupt)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// A reader that takes so many bytes of memory at most.
pub(super) fn reader(file: &[u8], format: ImageFormat, memory: u64) -> ImageReader<Cursor<&[u8]>> {
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(memory);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    reader
}

/// A pixel of straight alpha laid over white.
fn on_white([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    [red, green, blue].map(|value| {
        let over = u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha));
        ((over + 127) / 255) as u8
    })
}

#[cfg(test)]
mod tests {
    use image::ImageEncoder;
    use image::codecs::jpeg::JpegEncoder;
    use image::codecs::png::PngEncoder;
    use image::codecs::webp::WebPEncoder;
    use x0_openapi::{ImageFormat as FileFormat, Named as _};

    use super::*;
    use crate::picture::{Encoding, encode};

    const LIMITS: DecodeLimits = DecodeLimits { side: 64, pixels: 2048, memory: 1 << 20 };

    fn file(width: u32, height: u32, encoding: Encoding) -> Vec<u8> {
        let bytes = (0..width * height * 3).map(|i| (i % 251) as u8).collect();
        encode(&Picture { width, height, channels: Channels::Rgb, bytes }, &encoding).unwrap()
    }

    #[test]
    fn files_are_told_apart_by_their_content() {
        for format in FileFormat::ALL {
            let encoding = Encoding::preview(*format);
            let picture = decode_image(&file(20, 10, encoding), LIMITS).unwrap();
            assert_eq!((picture.width, picture.height, picture.bytes.len()), (20, 10, 600));
        }
    }

    #[test]
    fn bad_files_are_refused_with_their_code() {
        let png = file(20, 10, Encoding::Png { text: None });
        let mut flipped = png.clone();
        flipped[60] ^= 0xff;
        for (name, file, code) in [
            ("nothing", Vec::new(), ErrorCode::UnsupportedImage),
            ("text", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), ErrorCode::UnsupportedImage),
            ("a GIF", b"GIF89a\x01\x00\x01\x00".to_vec(), ErrorCode::UnsupportedImage),
            ("half of a PNG", png[..png.len() / 2].to_vec(), ErrorCode::CorruptImage),
            ("a PNG with a wrong byte", flipped, ErrorCode::CorruptImage),
            ("too wide", file(65, 1, Encoding::Png { text: None }), ErrorCode::ImageTooLarge),
            ("too many pixels", file(64, 33, Encoding::Png { text: None }), ErrorCode::ImageTooLarge),
        ] {
            assert_eq!(decode_image(&file, LIMITS).unwrap_err().code, code, "{name}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let mut bomb = file(1, 1, Encoding::Png { text: None });
        bomb[16..20].copy_from_slice(&60_000u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&60_000u32.to_be_bytes());
        let checksum = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(decode_image(&bomb, LIMITS).unwrap_err().code, ErrorCode::ImageTooLarge);
    }

    /// The checksum of PNG chunks (ISO 3309), bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }

    #[test]
    fn base64_comes_in_several_dresses() {
        for text in ["aGk=", "aGk", "data:image/png;base64,aGk=", " aGk=\n"] {
            assert_eq!(decode_base64(text).unwrap(), b"hi", "{text}");
        }
        for text in
            ["a", "a b", "_-__", "data:image/gif;base64,aGk=", "data:image/png,aGk=", "data:aGk=", "https:x", "://x"]
        {
            assert_eq!(decode_base64(text).unwrap_err().code, ErrorCode::InvalidBase64, "{text}");
        }
        for text in ["http://x/y.png", "HTTPS://x", "file:///etc/passwd", "svn+ssh://x"] {
            assert_eq!(decode_base64(text).unwrap_err().code, ErrorCode::UrlNotAllowed, "{text}");
        }
    }

    /// A picture of four colours with this EXIF: red, green, blue, white, 16 x 8 pixels each.
    fn with_exif(format: FileFormat, exif: Vec<u8>) -> Vec<u8> {
        let color =
            |x, y| [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255; 3]][usize::from(x >= 16) + 2 * usize::from(y >= 8)];
        let image = image::RgbImage::from_fn(32, 16, |x, y| image::Rgb(color(x, y)));
        let mut file = Cursor::new(Vec::new());
        match format {
            FileFormat::Png => write(PngEncoder::new(&mut file), exif, &image),
            FileFormat::Jpeg => write(JpegEncoder::new_with_quality(&mut file, 95), exif, &image),
            FileFormat::Webp => write(WebPEncoder::new_lossless(&mut file), exif, &image),
        }
        file.into_inner()
    }

    fn write(mut encoder: impl ImageEncoder, exif: Vec<u8>, image: &image::RgbImage) {
        encoder.set_exif_metadata(exif).unwrap();
        encoder.write_image(image, image.width(), image.height(), image::ExtendedColorType::Rgb8).unwrap();
    }

    /// The colours in the corners, line by line, and whether the picture is wide.
    fn seen(file: &[u8]) -> (String, bool) {
        let limits = DecodeLimits { memory: 1 << 24, ..LIMITS };
        let Picture { width, height, bytes, .. } = decode_image(file, limits).unwrap();
        let color = |x: u32, y: u32| {
            let at = ((y * width + x) * 3) as usize;
            match bytes[at..at + 3].iter().map(|value| *value > 127).collect::<Vec<_>>()[..] {
                [true, false, false] => 'r',
                [false, true, false] => 'g',
                [false, false, true] => 'b',
                [true, true, true] => 'w',
                _ => '?',
            }
        };
        let corners = [(2, 2), (width - 3, 2), (2, height - 3), (width - 3, height - 3)];
        (corners.map(|(x, y)| color(x, y)).iter().collect(), width > height)
    }

    #[test]
    fn pictures_are_turned_as_exif_says() {
        // What is stored as "rgbw", as EXIF 2.32 describes each orientation in section 4.6.4.
        for (orientation, expected) in [
            (1, ("rgbw", true)),
            (2, ("grwb", true)),
            (3, ("wbgr", true)),
            (4, ("bwrg", true)),
            (5, ("rbgw", false)),
            (6, ("brwg", false)),
            (7, ("wgbr", false)),
            (8, ("gwrb", false)),
        ] {
            let big =
                [b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[orientation][..], b"\0\0\0\0\0\0"].concat();
            let little =
                [b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", &[orientation][..], b"\0\0\0\0\0\0\0"].concat();
            for format in FileFormat::ALL {
                for exif in [&big, &little] {
                    let (corners, wide) = seen(&with_exif(*format, exif.clone()));
                    assert_eq!((corners.as_str(), wide), expected, "{format:?} {orientation}");
                }
            }
        }
    }

    #[test]
    fn exif_that_makes_no_sense_harms_no_picture() {
        let head = b"MM\0\x2a\0\0\0\x08";
        for exif in [
            b"M".to_vec(),
            b"nonsense".to_vec(),
            b"II\0\x2a\0\0\0\x08".to_vec(),
            head.to_vec(),
            b"MM\0\x2a\xff\xff\xff\xff".to_vec(),
            [&head[..], b"\xff\xff"].concat(),
            [&head[..], b"\xff\xff", &b"\0\x01".repeat(30_000)].concat(),
            // An orientation that there is not, of another type, several of them.
            [&head[..], b"\0\x01\x01\x12\0\x03\0\0\0\x01\0\x00\0\0\0\0\0\0"].concat(),
            [&head[..], b"\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0\0\0\0\0"].concat(),
            [&head[..], b"\0\x01\x01\x12\0\x03\0\0\0\x01\xff\xff\0\0\0\0\0\0"].concat(),
            [&head[..], b"\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06\0\0\0\0"].concat(),
            [&head[..], b"\0\x01\x01\x12\0\x03\xff\xff\xff\xff\0\x06\0\0\0\0\0\0"].concat(),
            vec![0xff; 60_000],
        ] {
            for format in FileFormat::ALL {
                assert_eq!(seen(&with_exif(*format, exif.clone())), ("rgbw".to_owned(), true), "{format:?} {exif:?}");
            }
        }
    }

    #[test]
    fn transparent_parts_become_white() {
        assert_eq!(on_white([10, 20, 30, 255]), [10, 20, 30]);
        assert_eq!(on_white([10, 20, 30, 0]), [255, 255, 255]);
        assert_eq!(on_white([0, 0, 0, 51]), [204, 204, 204]);
    }

    #[test]
    fn a_mask_must_mask_something() {
        let gray = |value| Picture { width: 4, height: 4, channels: Channels::Gray, bytes: vec![value; 16] };
        let file = |value| encode(&gray(value), &Encoding::Png { text: None }).unwrap();
        let mask = |value| decode_mask(&file(value), MaskWhere::White, LIMITS);
        assert_eq!(mask(0).unwrap_err().code, ErrorCode::MaskMismatch);
        assert_eq!(mask(255).unwrap(), gray(255));
        let opaque = decode_mask(&file(255), MaskWhere::Transparent, LIMITS).unwrap_err();
        assert_eq!(opaque.message, "the mask is transparent nowhere, so nothing would change");
        let black = |value| decode_mask(&file(value), MaskWhere::Black, LIMITS);
        assert_eq!((black(0).unwrap(), black(255).unwrap_err().code), (gray(255), ErrorCode::MaskMismatch));
    }

    #[test]
    fn a_mask_may_be_transparent_where_the_picture_changes() {
        let mut file = Cursor::new(Vec::new());
        let colours = image::RgbaImage::from_fn(2, 1, |x, _| image::Rgba([9, 9, 9, if x == 0 { 255 } else { 55 }]));
        colours.write_to(&mut file, ImageFormat::Png).unwrap();
        let mask = decode_mask(file.get_ref(), MaskWhere::Transparent, LIMITS).unwrap();
        assert_eq!((mask.channels, mask.bytes), (Channels::Gray, vec![0, 200]));
    }
}
