//! What a picture's file says in words, read as if an adversary had written it.

use std::io::Cursor;

use png::{Decoder, Limits};
use x0_openapi::ErrorCode;

use super::decode::DecodeError;

/// Bytes of one text.
const MAX_TEXT: usize = 256 << 10;
/// Texts of one file.
const MAX_TEXTS: usize = 64;
/// Bytes that reading may take.
const MAX_MEMORY: usize = 16 << 20;

/// The text chunks of a PNG file, by keyword, in the order of the file: those before its pixels, as all programs write them. A text
/// that is too long is left out; a file of another format has none.
pub fn texts(file: &[u8]) -> Result<Vec<(String, String)>, DecodeError> {
    if !file.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Vec::new());
    }
    let corrupt = |error: png::DecodingError| DecodeError {
        code: ErrorCode::CorruptImage,
        message: format!("cannot be decoded: {error}"),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits { bytes: MAX_MEMORY });
    decoder.set_ignore_iccp_chunk(true);
    let reader = decoder.read_info().map_err(corrupt)?;
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
        assert_eq!(texts(b"\xff\xd8\xff\xe0").unwrap(), []);
        assert_eq!(texts(b"\x89PNG\r\n\x1a\nnothing").unwrap_err().code, ErrorCode::CorruptImage);
    }
}
