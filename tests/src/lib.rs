//! What the black-box tests have in common: a server started as its users start it, a reader of event streams, pictures as
//! numbers, a browser.

mod picture;
mod program;
mod relay;
mod server;
mod sse;
mod webdriver;

pub use picture::Pixels;
pub use program::{program, run};
pub use relay::Relay;
pub use server::Server;
pub use sse::{Event, Events};
pub use webdriver::Browser;
