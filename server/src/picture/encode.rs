//! From pixels to files. The same pixels always give the same bytes.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, GrayImage, ImageEncoder as _, ImageError, ImageResult, RgbImage};
use x0_model::{Channels, Picture};
use x0_openapi::ImageFormat;

use super::exif;

/// The keyword of the PNG text chunk that says which request makes the picture again, as JSON.
pub const TEXT_KEYWORD: &str = "x0";
/// The keyword of AUTOMATIC1111's text chunk.
pub const INFOTEXT_KEYWORD: &str = "parameters";
/// The keyword of the text chunk with an XMP packet (XMP specification, part 3, section 1.1.5).
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// How a picture is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// With `iTXt` chunks that say where the picture comes from, if there is a `text`.
    Png { text: Option<Box<Provenance>> },
    /// `quality` is 1..=100. With AUTOMATIC1111's words of the `text` in EXIF, where there is one and [it fits](super::fits_in_jpeg).
    Jpeg { quality: u8, text: Option<Box<Provenance>> },
    /// Without loss. With AUTOMATIC1111's words of the `text` in EXIF.
    Webp { text: Option<Box<Provenance>> },
}

/// Where a picture comes from, for programs that read its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The request that makes it again, as JSON.
    pub request: String,
    /// The same in AUTOMATIC1111's words.
    pub infotext: String,
    pub source: DigitalSource,
}

/// IPTC's word for how a picture came about: <https://cv.iptc.org/newscodes/digitalsourcetype/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigitalSource {
    /// All of it was made by a model.
    TrainedAlgorithmicMedia,
    /// A part of another picture was made anew by a model.
    CompositeWithTrainedAlgorithmicMedia,
}

impl DigitalSource {
    fn name(self) -> &'static str {
        match self {
            DigitalSource::TrainedAlgorithmicMedia => "trainedAlgorithmicMedia",
            DigitalSource::CompositeWithTrainedAlgorithmicMedia => "compositeWithTrainedAlgorithmicMedia",
        }
    }

    /// An XMP packet with nothing else in it.
    fn xmp(self) -> String {
        format!(
            "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><rdf:Description \
             rdf:about=\"\" xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\" \
             Iptc4xmpExt:DigitalSourceType=\"http://cv.iptc.org/newscodes/digitalsourcetype/{}\"/></rdf:RDF></x:xmpmeta>",
            self.name()
        )
    }
}

impl Encoding {
    /// The plain encoding in `format`: no text, JPEG at quality 80.
    pub fn preview(format: ImageFormat) -> Self {
        match format {
            ImageFormat::Png => Encoding::Png { text: None },
            ImageFormat::Jpeg => Encoding::Jpeg { quality: 80, text: None },
            ImageFormat::Webp => Encoding::Webp { text: None },
        }
    }
}

/// Writes a picture as a file. It fails only where a side is zero or more than the format can express.
pub fn encode(picture: &Picture, encoding: &Encoding) -> ImageResult<Vec<u8>> {
    let mut file = Vec::new();
    let (width, height) = (picture.width, picture.height);
    let color = match picture.channels {
        Channels::Gray => ExtendedColorType::L8,
        Channels::Rgb => ExtendedColorType::Rgb8,
    };
    match encoding {
        Encoding::Png { text } => write_png(&mut file, picture, text.as_deref()).map_err(image_error)?,
        Encoding::Jpeg { quality, text } => {
            let mut encoder = JpegEncoder::new_with_quality(&mut file, *quality);
            if let Some(text) = text.as_ref().filter(|text| exif::fits_in_jpeg(&text.infotext)) {
                encoder.set_exif_metadata(exif::written(&text.infotext)).map_err(ImageError::Unsupported)?;
            }
            encoder.encode(&picture.bytes, width, height, color)?;
        }
        Encoding::Webp { text } => {
            let mut encoder = WebPEncoder::new_lossless(&mut file);
            if let Some(text) = text {
                encoder.set_exif_metadata(exif::written(&text.infotext)).map_err(ImageError::Unsupported)?;
            }
            encoder.encode(&picture.bytes, width, height, color)?;
        }
    }
    Ok(file)
}

fn write_png(file: &mut Vec<u8>, picture: &Picture, text: Option<&Provenance>) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(file, picture.width, picture.height);
    encoder.set_color(match picture.channels {
        Channels::Gray => png::ColorType::Grayscale,
        Channels::Rgb => png::ColorType::Rgb,
    });
    encoder.set_depth(png::BitDepth::Eight);
    if let Some(text) = text {
        encoder.add_itxt_chunk(TEXT_KEYWORD.to_owned(), text.request.clone())?;
        encoder.add_itxt_chunk(INFOTEXT_KEYWORD.to_owned(), text.infotext.clone())?;
        encoder.add_itxt_chunk(XMP_KEYWORD.to_owned(), text.source.xmp())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.bytes)?;
    writer.finish()
}

fn image_error(error: png::EncodingError) -> ImageError {
    ImageError::Encoding(image::error::EncodingError::new(image::ImageFormat::Png.into(), error))
}

/// The picture with its longer side at most `max_size`, its shape kept; never made larger.
pub fn fit(picture: Picture, max_size: u32) -> Picture {
    let longer = picture.width.max(picture.height);
    if longer <= max_size {
        return picture;
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(max_size) / u64::from(longer)).max(1) as u32;
    let (width, height) = (scaled(picture.width), scaled(picture.height));
    let bytes = match picture.channels {
        Channels::Gray => GrayImage::from_raw(picture.width, picture.height, picture.bytes)
            .map(|gray| imageops::resize(&gray, width, height, FilterType::Triangle).into_raw()),
        Channels::Rgb => RgbImage::from_raw(picture.width, picture.height, picture.bytes)
            .map(|rgb| imageops::resize(&rgb, width, height, FilterType::Triangle).into_raw()),
    };
    Picture {
        width,
        height,
        channels: picture.channels,
        bytes: bytes.expect("a picture holds width * height * channels bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::texts;

    fn picture(width: u32, height: u32, channels: Channels) -> Picture {
        let bytes = (0..width as usize * height as usize * channels.count()).map(|i| (i * 37 % 256) as u8).collect();
        Picture { width, height, channels, bytes }
    }

    #[test]
    fn lossless_formats_give_the_pixels_back() {
        for channels in [Channels::Gray, Channels::Rgb] {
            for encoding in [
                Encoding::Png { text: Some(provenance()) },
                Encoding::Webp { text: Some(provenance()) },
                Encoding::Webp { text: None },
            ] {
                let picture = picture(28, 20, channels);
                let file = encode(&picture, &encoding).unwrap();
                assert_eq!(file, encode(&picture, &encoding).unwrap(), "the same bytes each time");
                let decoded = image::load_from_memory(&file).unwrap();
                let expected = match channels {
                    Channels::Gray => decoded.to_luma8().into_raw(),
                    Channels::Rgb => decoded.to_rgb8().into_raw(),
                };
                assert_eq!(expected, picture.bytes, "{encoding:?} {channels:?}");
            }
        }
    }

    #[test]
    fn jpeg_has_the_size_and_the_quality() {
        let picture = picture(40, 24, Channels::Rgb);
        let file = |quality| encode(&picture, &Encoding::Jpeg { quality, text: None }).unwrap();
        let decoded = image::load_from_memory(&file(90)).unwrap();
        assert_eq!((decoded.width(), decoded.height()), (40, 24));
        assert!(file(10).len() < file(90).len());
    }

    fn provenance() -> Box<Provenance> {
        Box::new(Provenance {
            request: "{\"prompt\":\"ein Schäfchen 🐑\"}".to_owned(),
            infotext: "ein Schäfchen 🐑\nSteps: 3".to_owned(),
            source: DigitalSource::TrainedAlgorithmicMedia,
        })
    }

    #[test]
    fn the_png_says_where_it_comes_from() {
        let file = encode(&picture(4, 4, Channels::Gray), &Encoding::Png { text: Some(provenance()) }).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let chunks = &reader.info().utf8_text;
        let texts: Vec<_> = chunks.iter().map(|chunk| (chunk.keyword.as_str(), chunk.get_text().unwrap())).collect();
        assert_eq!(texts[0], (TEXT_KEYWORD, provenance().request));
        assert_eq!(texts[1], (INFOTEXT_KEYWORD, provenance().infotext));
        let (keyword, xmp) = &texts[2];
        assert_eq!(*keyword, XMP_KEYWORD);
        assert!(
            xmp.contains(
                "DigitalSourceType=\"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia\""
            )
        );
    }

    #[test]
    fn other_files_say_it_in_exif() {
        let text = || Some(provenance());
        for encoding in [Encoding::Jpeg { quality: 90, text: text() }, Encoding::Webp { text: text() }] {
            for channels in [Channels::Gray, Channels::Rgb] {
                let file = encode(&picture(4, 4, channels), &encoding).unwrap();
                let expected = [(INFOTEXT_KEYWORD.to_owned(), provenance().infotext)];
                assert_eq!(texts(&file).unwrap(), expected, "{encoding:?}");
            }
        }
        for encoding in [Encoding::Jpeg { quality: 90, text: None }, Encoding::Webp { text: None }] {
            let file = encode(&picture(4, 4, Channels::Rgb), &encoding).unwrap();
            assert!(!file.windows(4).any(|bytes| bytes == b"Exif" || bytes == b"EXIF"));
            assert_eq!(texts(&file).unwrap(), []);
        }
        let long = Some(Box::new(Provenance { infotext: "🐑".repeat(20_000), ..*provenance() }));
        let jpeg = encode(&picture(4, 4, Channels::Rgb), &Encoding::Jpeg { quality: 90, text: long.clone() }).unwrap();
        assert_eq!(texts(&jpeg).unwrap(), [], "it does not fit");
        let webp = encode(&picture(4, 4, Channels::Rgb), &Encoding::Webp { text: long }).unwrap();
        assert_eq!(texts(&webp).unwrap()[0].1, "🐑".repeat(20_000));
    }

    #[test]
    fn fitting_keeps_the_shape_and_never_enlarges() {
        let sizes = |width, height, max| {
            let fitted = fit(picture(width, height, Channels::Rgb), max);
            assert_eq!(fitted.bytes.len(), fitted.width as usize * fitted.height as usize * 3);
            (fitted.width, fitted.height)
        };
        assert_eq!(sizes(100, 50, 20), (20, 10));
        assert_eq!(sizes(50, 100, 20), (10, 20));
        assert_eq!(sizes(20, 20, 20), (20, 20));
        assert_eq!(sizes(8, 8, 16), (8, 8));
        assert_eq!(sizes(200, 1, 20), (20, 1));
    }
}
