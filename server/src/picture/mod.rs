//! Pictures as files: what goes out is encoded, what comes in is decoded. All of it is work for the blocking pool.

mod arrange;
mod decode;
mod encode;
mod exif;
mod overlay;
mod texts;

pub use arrange::arranged;
pub use decode::{DecodeError, DecodeLimits, decode_base64, decode_image, decode_mask, is_picture, is_url};
pub use encode::{DigitalSource, Encoding, INFOTEXT_KEYWORD, Provenance, TEXT_KEYWORD, encode, fit};
pub use exif::fits_in_jpeg;
pub use overlay::{Overlay, Region, blurred, surroundings, widened};
pub use texts::texts;
