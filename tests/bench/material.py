"""What all contestants are given: a model folder with random weights, and inputs."""

import importlib.util
import os

import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("full_size", f"{HERE}/../full_size/make.py")
full_size = importlib.util.module_from_spec(spec)
spec.loader.exec_module(full_size)

MODEL = "full-size"


def models(folder):
    """A folder with a model of Stable Diffusion 1.5's size."""
    path = f"{folder}/models"
    if not os.path.exists(f"{path}/{MODEL}/model_index.json"):
        full_size.folder(path)
    return path


def inputs(folder, stage, size):
    """A safetensors file of a stage's inputs, for pictures of `size` × `size` pixels."""
    generator = torch.Generator().manual_seed(1)
    latent = size // 8
    tensors = {
        "unet": lambda: {
            "unet.sample": torch.randn(2, 4, latent, latent, generator=generator),
            "unet.timestep": torch.full((2,), 500.0),
            "unet.encoder_hidden_states": torch.randn(2, 77, 768, generator=generator),
        },
        "vae_decode": lambda: {"vae_decode.latents": torch.randn(1, 4, latent, latent, generator=generator)},
        "text_encoder": lambda: {"text_encoder.input_ids": torch.randint(0, 49408, (2, 77), generator=generator)},
    }[stage]()
    path = f"{folder}/{stage}-{size}.safetensors"
    save_file(tensors, path)
    return path
