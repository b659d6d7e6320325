//! The HTTP contract, over real connections, with a denoiser that needs no model.

mod bad_inputs;
mod cancelling;
mod concurrency;
mod connections;
mod document;
mod events;
mod failures;
mod generations;
mod harness;
mod keys;
mod logs;
mod operations;
mod picture_settings;
mod picture_urls;
mod pictures;
mod queue;
mod quotas;
mod resuming;
mod retouching;
mod sdapi;
mod sdapi_refuses;
mod stopping;
mod surfaces;
mod surfaces_refuse;
