//! Of EXIF the one field in which AUTOMATIC1111 keeps its text in JPEG and WebP files: `UserComment` (EXIF 2.32, sections 4.6.2 and 4.6.5;
//! TIFF 6.0, section 2).

/// The tag, in the first directory, that says where the directory of EXIF's own fields is.
const EXIF_DIRECTORY: u16 = 0x8769;
const USER_COMMENT: u16 = 0x9286;
/// TIFF's types of these two.
const LONG: u16 = 4;
const UNDEFINED: u16 = 7;
/// Bytes of a directory's entry.
const ENTRY: usize = 12;
/// Bytes that say how a comment is written, at its beginning.
const CODE: usize = 8;
const UTF_16: &[u8; CODE] = b"UNICODE\0";

/// What a JPEG file can hold of EXIF: a segment's length has 16 bits and counts itself, and six bytes say that it is EXIF.
const MAX_IN_JPEG: usize = 0xffff - 2 - 6;

/// Whether a JPEG file can hold a comment.
pub fn fits_in_jpeg(comment: &str) -> bool {
    written(comment).len() <= MAX_IN_JPEG
}

/// EXIF that says nothing but a comment.
pub(super) fn written(comment: &str) -> Vec<u8> {
    let text: Vec<u8> = UTF_16.iter().copied().chain(comment.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    // Each directory: how many entries it has, the entry, and that there is no directory behind it.
    const DIRECTORY: u32 = 2 + ENTRY as u32 + 4;
    const FIRST: u32 = 8;
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        let mut directory = 1_u16.to_be_bytes().to_vec();
        directory.extend(tag.to_be_bytes());
        directory.extend(kind.to_be_bytes());
        directory.extend(count.to_be_bytes());
        directory.extend(value.to_be_bytes());
        directory.extend(0_u32.to_be_bytes());
        directory
    };
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut exif = b"MM\0\x2a".to_vec();
    exif.extend(FIRST.to_be_bytes());
    exif.extend(entry(EXIF_DIRECTORY, LONG, 1, FIRST + DIRECTORY));
    exif.extend(entry(USER_COMMENT, UNDEFINED, length, FIRST + 2 * DIRECTORY));
    exif.extend(text);
    exif
}

/// The comment in EXIF of any origin; `None` where there is none that can be read.
pub(super) fn comment(exif: &[u8]) -> Option<String> {
    // Some programs put a JPEG segment's beginning into other files, too.
    let bytes = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let order = match bytes.get(..4)? {
        b"MM\0\x2a" => Order::Big,
        b"II\x2a\0" => Order::Little,
        _ => return None,
    };
    let tiff = Tiff { bytes, order };
    let own = tiff.find(tiff.long(4)?, EXIF_DIRECTORY)?;
    let comment = tiff.find(tiff.long(own + 8)?, USER_COMMENT)?;
    let length = usize::try_from(tiff.long(comment + 4)?).ok()?;
    let begin = usize::try_from(tiff.long(comment + 8)?).ok()?;
    let (code, text) = bytes.get(begin..begin.checked_add(length)?)?.split_first_chunk::<CODE>()?;
    let text = match code {
        UTF_16 => utf_16(text, order)?,
        b"ASCII\0\0\0" | [0, 0, 0, 0, 0, 0, 0, 0] => String::from_utf8(text.to_vec()).ok()?,
        _ => return None,
    };
    Some(text.trim_end_matches('\0').to_owned())
}

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Big,
    Little,
}

#[derive(Clone, Copy, Debug)]
struct Tiff<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl Tiff<'_> {
    fn short(self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(match self.order {
            Order::Big => u16::from_be_bytes(bytes),
            Order::Little => u16::from_le_bytes(bytes),
        })
    }

    fn long(self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(match self.order {
            Order::Big => u32::from_be_bytes(bytes),
            Order::Little => u32::from_le_bytes(bytes),
        })
    }

    /// Where the entry of a tag is, in the directory at `at`.
    fn find(self, at: u32, tag: u16) -> Option<usize> {
        let at = usize::try_from(at).ok()?;
        let entries = usize::from(self.short(at)?);
        (0..entries).map(|index| at + 2 + index * ENTRY).find(|entry| self.short(*entry) == Some(tag))
    }
}

/// UTF-16 in the order of the numbers around it, unless it says otherwise.
fn utf_16(bytes: &[u8], order: Order) -> Option<String> {
    let (bytes, order) = match bytes {
        [0xfe, 0xff, text @ ..] => (text, Order::Big),
        [0xff, 0xfe, text @ ..] => (text, Order::Little),
        text => (text, order),
    };
    let text = Tiff { bytes, order };
    let units: Vec<u16> = (0..).step_by(2).map_while(|at| text.short(at)).collect();
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["", "a cat", "ein Schäfchen 🐑\nSteps: 3", &"漢".repeat(10_000)] {
            assert_eq!(comment(&written(text)).as_deref(), Some(text));
            assert_eq!(comment(&[b"Exif\0\0", &written(text)[..]].concat()).as_deref(), Some(text));
        }
    }

    /// EXIF in little-endian order with a comment, behind a tag that is not ours.
    fn little(code: &[u8; CODE], text: &[u8]) -> Vec<u8> {
        let mut exif = b"II\x2a\0\x08\0\0\0\x02\0".to_vec();
        exif.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        exif.extend([0x69, 0x87, 4, 0, 1, 0, 0, 0, 38, 0, 0, 0]);
        exif.extend([0; 4]);
        exif.extend([1, 0, 0x86, 0x92, 7, 0]);
        exif.extend(u32::try_from(CODE + text.len()).unwrap().to_le_bytes());
        exif.extend([56, 0, 0, 0, 0, 0, 0, 0]);
        exif.extend(code);
        exif.extend(text);
        exif
    }

    #[test]
    fn comments_of_others_are_read() {
        for (code, text, expected) in [
            (b"ASCII\0\0\0", &b"a cat\0"[..], Some("a cat")),
            (b"\0\0\0\0\0\0\0\0", "ä".as_bytes(), Some("ä")),
            (b"UNICODE\0", b"a\0 \0c\0", Some("a c")),
            (b"UNICODE\0", b"\xfe\xff\0a", Some("a")),
            (b"UNICODE\0", b"\xff\xfea\0\0", Some("a")),
            (b"UNICODE\0", b"", Some("")),
            (b"UNICODE\0", b"\0\xd8", None),
            (b"ASCII\0\0\0", b"\xff", None),
            (b"JIS\0\0\0\0\0", b"a", None),
        ] {
            assert_eq!(comment(&little(code, text)).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let whole = written("a cat");
        for length in 0..whole.len() {
            assert_eq!(comment(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 8, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = comment(&changed);
            }
        }
        let itself = b"MM\0\x2a\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08\0\0\0\0";
        assert_eq!(comment(itself), None);
    }

    #[test]
    fn a_jpeg_segment_has_an_end() {
        let most = (MAX_IN_JPEG - written("").len()) / 2;
        assert!(fits_in_jpeg(&"a".repeat(most)) && !fits_in_jpeg(&"a".repeat(most + 1)));
    }
}
