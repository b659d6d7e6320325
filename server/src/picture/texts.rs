//! What a picture's file says in words, read as if an adversary had written it.

use std::io::Cursor;

use image::{ImageDecoder as _, ImageFormat};
use png::{Decoder, Limits};

use super::decode::{DecodeError, guarded, known, reader};
use super::encode::INFOTEXT_KEYWORD;
use super::exif;

/// Bytes of one text.
const MAX_TEXT: usize = 256 << 10;
/// Texts of one file.
const MAX_TEXTS: usize = 64;
/// Bytes that reading may take.
const MAX_MEMORY: usize = 16 << 20;

/// What a file says, by keyword. Of a PNG its text chunks, in the order of the file: those before its pixels, as all programs write
/// them. Of a JPEG or WebP its EXIF comment, under the keyword that AUTOMATIC1111's text has in a PNG. A text that is too long is left
/// out; a file of another format has none.
///
/// # Errors
/// If the file is broken before that.
pub fn texts(file: &[u8]) -> Result<Vec<(String, String)>, DecodeError> {
    match known(file) {
        Some(ImageFormat::Png) => guarded(|| png_texts(file)),
        Some(format) => guarded(|| exif_text(file, format)),
        None => Ok(Vec::new()),
    }
}

fn exif_text(file: &[u8], format: ImageFormat) -> Result<Vec<(String, String)>, DecodeError> {
    let decoder = reader(file, format, MAX_MEMORY as u64).into_decoder();
    let exif = decoder.and_then(|mut decoder| decoder.exif_metadata()).map_err(DecodeError::corrupt)?;
    let text = exif.and_then(|exif| exif::comment(&exif)).filter(|text| text.len() <= MAX_TEXT);
    Ok(text.map(|text| (INFOTEXT_KEYWORD.to_owned(), text)).into_iter().collect())
}

fn png_texts(file: &[u8]) -> Result<Vec<(String, String)>, DecodeError> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits { bytes: MAX_MEMORY });
    decoder.set_ignore_iccp_chunk(true);
    let reader = decoder.read_info().map_err(DecodeError::corrupt)?;
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter().map(|chunk| (chunk.keyword.clone(), Some(chunk.text.clone())));
    let compressed = info.compressed_latin1_text.iter().map(|chunk| {
        let mut chunk = chunk.clone();
        let text = chunk.decompress_text_with_limit(MAX_TEXT).ok().and_then(|()| chunk.get_text().ok());
        (chunk.keyword, text)
    });
    let international = info.utf8_text.iter().map(|chunk| {
        let mut chunk = chunk.clone();
        let text = chunk.decompress_text_with_limit(MAX_TEXT).ok().and_then(|()| chunk.get_text().ok());
        (chunk.keyword, text)
    });
    let all = plain.chain(compressed).chain(international);
    let short = all.filter_map(|(keyword, text)| Some((keyword, text.filter(|text| text.len() <= MAX_TEXT)?)));
    Ok(short.take(MAX_TEXTS).collect())
}

#[cfg(test)]
mod tests {
    use x0_openapi::ErrorCode;

    use super::*;

    fn file(add: impl FnOnce(&mut png::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 1, 1);
        encoder.set_color(png::ColorType::Grayscale);
        add(&mut encoder);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0]).unwrap();
        writer.finish().unwrap();
        file
    }

    #[test]
    fn all_kinds_of_chunks_are_read() {
        let file = file(|encoder| {
            encoder.add_text_chunk("parameters".to_owned(), "café".to_owned()).unwrap();
            encoder.add_ztxt_chunk("Comment".to_owned(), "z".repeat(1000)).unwrap();
            encoder.add_itxt_chunk("x0".to_owned(), "{\"prompt\":\"🐑\"}".to_owned()).unwrap();
        });
        let expected = [("parameters", "café"), ("Comment", &"z".repeat(1000)), ("x0", "{\"prompt\":\"🐑\"}")];
        assert_eq!(texts(&file).unwrap(), expected.map(|(keyword, text)| (keyword.to_owned(), text.to_owned())));
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let file = file(|encoder| {
            encoder.add_ztxt_chunk("bomb".to_owned(), "z".repeat(8 << 20)).unwrap();
            encoder.add_text_chunk("kept".to_owned(), "k".to_owned()).unwrap();
        });
        assert_eq!(texts(&file).unwrap(), [("kept".to_owned(), "k".to_owned())]);
    }

    #[test]
    fn other_files_say_nothing_and_broken_ones_are_refused() {
        assert_eq!(texts(b"GIF89a").unwrap(), []);
        for file in [&b"\x89PNG\r\n\x1a\nnothing"[..], b"\xff\xd8\xff\xe0", b"RIFF\x04\0\0\0WEBP"] {
            assert_eq!(texts(file).unwrap_err().code, ErrorCode::CorruptImage, "{file:?}");
        }
    }
}
