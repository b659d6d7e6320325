//! Pictures as files: what goes out is encoded, what comes in is decoded. All of it is work for the blocking pool.

mod decode;
mod encode;

pub use decode::{DecodeError, DecodeLimits, decode_base64, decode_image, decode_mask};
pub use encode::{Encoding, TEXT_KEYWORD, encode, fit};
