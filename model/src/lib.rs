//! Diffusion models, from a folder of weights to pictures. No HTTP, no queue.
//!
//! - [`Library`] finds the models of a folder and those compiled into the binary, and says what each can do ([`ModelInfo`]).
//! - [`Request`] is what one generation asks for; [`Library::plan`] checks it against a model and says what it costs.
//! - [`Model`] holds the weights; it begins a [`Slot`] for each image, steps many slots in one network call, and decodes.
//!
//! diffusers is the reference: the same weights and the same seed give the picture that diffusers gives on CPU in float32.

mod error;
#[cfg(feature = "cuda")]
mod graphs;
mod guidance;
mod info;
mod joint_step;
mod layout;
mod library;
mod model;
mod noise;
mod operations;
mod picture;
mod pixel;
mod placement;
mod request;
mod shape;
mod single_file;
mod stable_diffusion;

pub mod autoencoder_kl;
pub mod autoencoder_tiny;
pub mod clip;
pub mod folder;
pub mod generator;
pub mod nn;
pub mod prompt;
pub mod sampler;
pub mod schedule;
pub mod stage;
pub mod tokenizer;
pub mod unet_2d;
pub mod unet_2d_condition;
pub mod weights;

pub use error::{LoadError, StepError};
pub use guidance::Guidance;
pub use info::{Defaults, ModelInfo, ModelKind, SizeRule};
pub use library::Library;
pub use model::{Model, PreviewDecoder, Slot, StepReport};
pub use picture::{Channels, Picture};
pub use placement::{Placement, Precision};
pub use prompt::{Prompt, PromptSyntax};
pub use request::{
    Conditioning, Cost, Highres, InitImage, MaskFill, Request, RequestError, SecondPass, Upscaler, Variation,
};
pub use shape::Shape;
pub use x0_kernels::{BufferAllocator, CudaDeviceInfo, OpenError, cuda_devices};
