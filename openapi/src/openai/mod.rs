//! What OpenAI's Images API says over the wire, as its clients read and write it, with our own fields beside theirs.

mod error;

pub use error::{OpenAiError, OpenAiProblem};
