//! Hugging Face's inference API, the tasks text-to-image and image-to-image: a translation to our own request.

pub mod infer;
mod translate;
