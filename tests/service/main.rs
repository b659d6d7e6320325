//! The program as its users meet it: over HTTP and on the command line, with the models that are part of it.

mod batching;
mod bench;
mod command_line;
mod crashes;
mod emoji;
mod events;
mod goldens;
mod operations;
mod pictures;
mod shutdown;
mod surfaces;
