//! What OpenAI's Images API says over the wire, as its clients read and write it, with our own fields beside theirs.

mod answer;
mod error;
mod event;
mod request;

pub use answer::{OpenAiImage, OpenAiImages, OpenAiInputTokens, OpenAiUsage};
pub use error::{OpenAiError, OpenAiProblem};
pub use event::{OpenAiCompleted, OpenAiEvent, OpenAiFailed, OpenAiPartialImage};
pub use request::{
    OpenAiBackground, OpenAiEditForm, OpenAiEditRequest, OpenAiImageRequest, OpenAiInputFidelity, OpenAiModeration,
    OpenAiQuality, OpenAiResponseFormat,
};
