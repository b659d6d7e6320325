//! The models that are compiled into the program.

use crate::folder::EmbeddedFiles;

/// Takes files of a folder below `model/weights/` into the program.
macro_rules! embed {
    ($name:literal: $($file:literal)+) => {
        ($name, &[$(($file, include_bytes!(concat!("../../weights/", $name, "/", $file)) as &[u8]),)+])
    };
}

/// Their names and files.
pub(super) const MODELS: &[(&str, EmbeddedFiles)] = &[
    embed!("emoji": "model_index.json" "x0.json" "scheduler/scheduler_config.json"
        "text_encoder/config.json" "text_encoder/model.safetensors"
        "tokenizer/merges.txt" "tokenizer/special_tokens_map.json" "tokenizer/tokenizer_config.json" "tokenizer/vocab.json"
        "unet/config.json" "unet/diffusion_pytorch_model.safetensors" "vae/config.json" "vae/diffusion_pytorch_model.safetensors"),
    embed!("fashion": "model_index.json" "x0.json" "scheduler/scheduler_config.json" "unet/config.json" "unet/diffusion_pytorch_model.safetensors"),
];
