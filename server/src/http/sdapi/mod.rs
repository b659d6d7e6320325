//! AUTOMATIC1111's API: a translation to our own request, and of our own events.
//!
//! What is global in AUTOMATIC1111 (progress, interrupting, options) concerns here what came in over this surface.

mod answer;
pub mod generate;
pub mod interrupt;
pub mod lists;
pub mod options;
pub mod png_info;
pub mod progress;
pub mod system;
mod tasks;
mod translate;
mod words;

pub use options::Settings;
pub use tasks::Tasks;

/// What this surface remembers between requests.
#[derive(Debug, Default)]
pub struct Sdapi {
    pub tasks: Tasks,
    pub settings: Settings,
}
